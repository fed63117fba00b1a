//! What a task awaits while a server works: a future of asyncio in all but its class.
//!
//! asyncio lets a task wait for any object with `_asyncio_future_blocking` and the methods of a future (the
//! [protocol](https://docs.python.org/3/library/asyncio-extending.html) is that of `asyncio.Future`). One of our own has a reason: an
//! `asyncio.Future` wakes its task by `call_soon`, which costs some frames of Python, a handle and a turn of the loop for each.
//! The loop's callback that has read the replies of many tasks can let them go on itself, one after the other.

use crate::event_loop::guard;
use crate::hooks::hooks;
use pyo3::PyTraverseError;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyBaseException, PyKeyboardInterrupt, PyRuntimeError, PyStopIteration, PySystemExit};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How those who wait are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waking {
    /// At once: only in a callback of the loop, where no task runs.
    Here,
    /// By the loop, in its next turn.
    Soon,
}

/// The result of an operation that may still be under way. Made for one loop, and used on its thread.
#[pyclass(frozen, module = "pinyon._pinyon")]
pub(crate) struct PendingOperation {
    event_loop: Py<PyAny>,
    /// A task has been handed this object and has not asked it for a callback yet.
    blocking: AtomicBool,
    /// Whoever has awaited it asks for the result then.
    is_asked: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// The task that waits, as a callback; more than one is rare.
    callbacks: Vec<Callback>,
}

enum Outcome {
    Value(Py<PyAny>),
    Failed(Py<PyBaseException>),
    /// With the message for the `CancelledError`.
    Cancelled(Option<Py<PyAny>>),
}

struct Callback {
    function: Py<PyAny>,
    /// A `contextvars.Context`
    context: Py<PyAny>,
}

impl PendingOperation {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> Self {
        Self {
            event_loop: event_loop.clone().unbind(),
            blocking: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// To be awaited and then asked for its `result`: the exception that would carry it takes a tenth of the time of an `aget`.
    pub(crate) fn to_be_asked(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }

    /// True with a result, or when nobody wants one any more.
    pub(crate) fn is_done(&self) -> bool {
        guard(&self.state).outcome.is_some()
    }

    /// Sets the result and tells those who wait. Without effect if there is one: it was cancelled meanwhile.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit` of a task that went on.
    pub(crate) fn complete(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>, waking: Waking) -> PyResult<()> {
        let outcome = match result {
            Ok(value) => Outcome::Value(value),
            Err(error) => Outcome::Failed(carried(slf.py(), error)),
        };
        Self::finish(slf, outcome, waking).map(|_| ())
    }

    /// False if there was a result.
    fn finish(slf: &Bound<'_, Self>, outcome: Outcome, waking: Waking) -> PyResult<bool> {
        let mut state = guard(&slf.get().state);
        if state.outcome.is_some() {
            drop(state);
            return Ok(false);
        }
        state.outcome = Some(outcome);
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        let mut told = Ok(true);
        for callback in callbacks {
            // After an interrupt, the others are told in the next turn.
            let waking = if told.is_ok() { waking } else { Waking::Soon };
            let outcome = callback.call(slf, waking);
            told = told.and_then(|_| outcome.map(|()| true));
        }
        told
    }

    /// The result, which has to be there.
    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = guard(&self.state);
        match &state.outcome {
            Some(Outcome::Value(value)) => Ok(value.clone_ref(py)),
            Some(Outcome::Failed(error)) => Err(PyErr::from_value(error.bind(py).clone().into_any())),
            Some(Outcome::Cancelled(message)) => {
                let message = message.as_ref().map(|message| message.clone_ref(py));
                drop(state);
                Err(message.map_or_else(|| CancelledError::new_err(()), |message| CancelledError::new_err((message,))))
            }
            None => Err(InvalidStateError::new_err("this operation of a cache is still under way")),
        }
    }
}

/// The exception that a task can be told. A StopIteration would end the coroutine that it is raised in.
fn carried(py: Python<'_>, error: PyErr) -> Py<PyBaseException> {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error.into_value(py);
    }
    let raised = PyRuntimeError::new_err("the operation raised StopIteration");
    raised.set_cause(py, Some(error));
    raised.into_value(py)
}

impl Callback {
    fn call(self, pending: &Bound<'_, PendingOperation>, waking: Waking) -> PyResult<()> {
        let py = pending.py();
        let event_loop = pending.get().event_loop.bind(py);
        // A task in C asks a future of asyncio's own for its result without a call, and needs none: it has what it awaits tell it.
        let is_in_c = self.function.bind(py).is_exact_instance_of::<PyCFunction>();
        let told = if is_in_c { hooks(py)?.resolved.bind(py) } else { pending.as_any() };
        let Err(error) = (match waking {
            Waking::Here => self.context.bind(py).call_method1(intern!(py, "run"), (&self.function, told)),
            Waking::Soon => {
                let options = PyDict::new(py);
                options.set_item(intern!(py, "context"), &self.context)?;
                let arguments = (&self.function, told);
                let scheduled = event_loop.call_method(intern!(py, "call_soon"), arguments, Some(&options));
                // A closed loop takes no callbacks: nothing on it goes on any more.
                return scheduled.map(|_| ()).or(Ok(()));
            }
        }) else {
            return Ok(());
        };
        // As a handle of the loop does it.
        if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
            return Err(error);
        }
        let report = PyDict::new(py);
        report.set_item(intern!(py, "message"), "Exception in the callback of an operation of a cache")?;
        report.set_item(intern!(py, "exception"), error.into_value(py))?;
        report.set_item(intern!(py, "future"), pending)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (report,)).map(|_| ())
    }
}

#[pymethods]
impl PendingOperation {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Gives itself to the task until there is a result, which then ends the iteration.
    fn __next__(slf: Bound<'_, Self>) -> PyResult<Option<Bound<'_, Self>>> {
        let this = slf.get();
        if this.is_done() {
            if this.is_asked.load(Ordering::Relaxed) {
                return Ok(None);
            }
            return Err(PyStopIteration::new_err((this.outcome(slf.py())?,)));
        }
        if this.blocking.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("an operation of a cache can only be awaited by a task of asyncio"));
        }
        Ok(Some(slf))
    }

    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    /// A task asks for the loop when it begins to wait, and the one that runs then is ours. In this form it makes no method object.
    #[classattr]
    fn get_loop(py: Python<'_>) -> PyResult<Py<PyAny>> {
        py.import("asyncio")?.getattr("get_running_loop").map(Bound::unbind)
    }

    #[pyo3(signature = (function, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        function: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let context = match context {
            Some(context) => context,
            None => slf.py().import("contextvars")?.call_method0("copy_context")?,
        };
        let callback = Callback { function: function.unbind(), context: context.unbind() };
        let mut state = guard(&slf.get().state);
        if state.outcome.is_some() {
            drop(state);
            return callback.call(slf, Waking::Soon);
        }
        state.callbacks.push(callback);
        Ok(())
    }

    /// The number of callbacks that were removed.
    fn remove_done_callback(&self, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        let callbacks = std::mem::take(&mut guard(&self.state).callbacks);
        let (mut kept, mut removed, mut compared) = (Vec::with_capacity(callbacks.len()), Vec::new(), Ok(()));
        for callback in callbacks {
            let is_it = callback.function.bind(function.py()).eq(function).unwrap_or_else(|error| {
                compared = Err(error);
                false
            });
            if is_it { &mut removed } else { &mut kept }.push(callback);
        }
        guard(&self.state).callbacks.extend(kept);
        compared.map(|()| removed.len())
    }

    /// False if there is a result.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Self::finish(slf, Outcome::Cancelled(msg), Waking::Soon)
    }

    fn cancelled(&self) -> bool {
        matches!(guard(&self.state).outcome, Some(Outcome::Cancelled(_)))
    }

    fn done(&self) -> bool {
        self.is_done()
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
    }

    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyBaseException>>> {
        if let Some(Outcome::Failed(error)) = &guard(&self.state).outcome {
            return Ok(Some(error.clone_ref(py)));
        }
        self.outcome(py).map(|_| None)
    }

    fn __repr__(&self) -> &'static str {
        match guard(&self.state).outcome {
            None => "<PendingOperation of a cache: waits for its server>",
            Some(Outcome::Cancelled(_)) => "<PendingOperation of a cache: cancelled>",
            Some(_) => "<PendingOperation of a cache: finished>",
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // Whoever holds the lock uses the object, so that it is no garbage.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        match &state.outcome {
            Some(Outcome::Value(value)) => visit.call(value)?,
            Some(Outcome::Failed(error)) => visit.call(error)?,
            Some(Outcome::Cancelled(message)) => visit.call(message)?,
            None => {}
        }
        for callback in &state.callbacks {
            visit.call(&callback.function)?;
            visit.call(&callback.context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let callbacks = std::mem::take(&mut guard(&self.state).callbacks);
        // What goes with them can be anybody's code: not under the lock.
        drop(callbacks);
    }
}
