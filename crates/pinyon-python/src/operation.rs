//! One operation that an asyncio task waits for: a Rust future whose result becomes that of a Python one.

use crate::event_loop::{LoopState, Ready};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Something that can go on.
pub(crate) trait Step: Send + Sync {
    /// Goes on as far as it can, on the loop's own thread.
    fn step(self: Arc<Self>, py: Python<'_>);
}

/// Makes the Python result out of what the operation came to.
type Finish<T> = Box<dyn FnOnce(Python<'_>, pinyon::Result<T>) -> PyResult<Py<PyAny>> + Send>;
type Running<T> = Pin<Box<dyn Future<Output = pinyon::Result<T>> + Send>>;

struct Operation<T> {
    state: Mutex<Option<(Running<T>, Finish<T>)>>,
    /// The `asyncio.Future` that the task waits for.
    result: Py<PyAny>,
    ready: Arc<Ready>,
}

/// Starts an operation on the running loop; what it returns is to be awaited.
pub(crate) fn start<'py, T: Send + 'static>(
    event_loop: &Bound<'py, PyAny>,
    state: &Py<LoopState>,
    running: Running<T>,
    finish: Finish<T>,
) -> PyResult<Bound<'py, PyAny>> {
    let result = event_loop.call_method0(intern!(event_loop.py(), "create_future"))?;
    let operation = Arc::new(Operation {
        state: Mutex::new(Some((running, finish))),
        result: result.clone().unbind(),
        ready: state.get().ready().clone(),
    });
    operation.step(event_loop.py());
    Ok(result)
}

impl<T: Send + 'static> Step for Operation<T> {
    fn step(self: Arc<Self>, py: Python<'_>) {
        let Some((mut running, finish)) = self.take() else { return };
        let result = self.result.bind(py);
        // Nobody waits any more: the reply, if one is still to come, is dropped when it comes.
        let done = result.call_method0(intern!(py, "done")).and_then(|done| done.extract::<bool>());
        if done.unwrap_or(true) {
            return;
        }
        let waker = Waker::from(self.clone());
        let outcome = match running.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some((running, finish));
                return;
            }
            Poll::Ready(outcome) => finish(py, outcome),
        };
        let told = match outcome {
            Ok(value) => result.call_method1(intern!(py, "set_result"), (value,)),
            Err(error) => result.call_method1(intern!(py, "set_exception"), (error.into_value(py),)),
        };
        if let Err(error) = told {
            // A StopIteration cannot be the exception of a future.
            let raised = PyRuntimeError::new_err("the operation raised what a future cannot carry");
            raised.set_cause(py, Some(error));
            let _ = result.call_method1(intern!(py, "set_exception"), (raised.into_value(py),));
        }
    }
}

impl<T> Operation<T> {
    fn take(&self) -> Option<(Running<T>, Finish<T>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T: Send + 'static> Wake for Operation<T> {
    fn wake(self: Arc<Self>) {
        let ready = self.ready.clone();
        ready.push(self);
    }
}
