//! One operation that an asyncio task waits for: a Rust future whose result becomes that of a Python one.

use crate::event_loop::{LoopState, Ready};
use crate::pending::{PendingOperation, Waking};
use pyo3::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Something that can go on.
pub(crate) trait Step: Send + Sync {
    /// Goes on as far as it can, on the loop's own thread.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit` of a task that was woken.
    fn step(self: Arc<Self>, py: Python<'_>, waking: Waking) -> PyResult<()>;
}

/// Makes the Python result out of what the operation came to.
type Finish<T> = Box<dyn FnOnce(Python<'_>, pinyon::Result<T>) -> PyResult<Py<PyAny>> + Send>;
type Running<T> = Pin<Box<dyn Future<Output = pinyon::Result<T>> + Send>>;

struct Operation<T> {
    state: Mutex<Option<(Running<T>, Finish<T>)>>,
    /// What the task waits for.
    pending: Py<PendingOperation>,
    ready: Arc<Ready>,
}

/// Starts an operation on the running loop; what it returns is to be awaited.
pub(crate) fn start<'py, T: Send + 'static>(
    event_loop: &Bound<'py, PyAny>,
    state: &Py<LoopState>,
    running: Running<T>,
    finish: Finish<T>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let pending = Bound::new(py, PendingOperation::new(event_loop))?;
    let operation = Arc::new(Operation {
        state: Mutex::new(Some((running, finish))),
        pending: pending.clone().unbind(),
        ready: state.get().ready().clone(),
    });
    operation.step(py, Waking::Soon)?;
    Ok(pending.into_any())
}

impl<T: Send + 'static> Step for Operation<T> {
    fn step(self: Arc<Self>, py: Python<'_>, waking: Waking) -> PyResult<()> {
        let Some((mut running, finish)) = self.take() else { return Ok(()) };
        let pending = self.pending.bind(py);
        // Nobody waits any more: the reply, if one is still to come, is dropped when it comes.
        if pending.get().is_done() {
            return Ok(());
        }
        let waker = Waker::from(self.clone());
        match running.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some((running, finish));
                Ok(())
            }
            Poll::Ready(outcome) => PendingOperation::complete(pending, finish(py, outcome), waking),
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
