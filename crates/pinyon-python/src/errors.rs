//! Errors of the core as Python exceptions (`pinyon.exceptions`).

use crate::backend::Backend;
use pinyon::{Error, ErrorKind};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The exception for an error of an operation of `backend`, with the alias that the settings give it.
pub(crate) fn raise(backend: &Bound<'_, Backend>, error: Error) -> PyErr {
    if let Some(interrupt) = interrupt(&error, backend.py()) {
        return interrupt;
    }
    // The alias is looked for here and not when the object is made: it is only ever needed here.
    match backend.call_method0("_alias").and_then(|alias| alias.extract::<Option<String>>()) {
        Ok(Some(alias)) => to_exception(backend.py(), &error.with_alias(&alias)),
        _ => to_exception(backend.py(), &error),
    }
}

/// The `KeyboardInterrupt`, or whatever the signal handler raised, that ended a wait.
fn interrupt(error: &Error, py: Python<'_>) -> Option<PyErr> {
    use std::error::Error as _;
    error.source()?.downcast_ref::<PyErr>().map(|interrupt| interrupt.clone_ref(py))
}

fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    let name = match error.kind() {
        ErrorKind::Timeout => "CacheTimeoutError",
        ErrorKind::Auth => "CacheAuthError",
        ErrorKind::Protocol => "CacheProtocolError",
        ErrorKind::Server | ErrorKind::Unsupported => "CacheServerError",
        ErrorKind::File => "CacheFileError",
        ErrorKind::NotAnInteger => "NotAnIntegerError",
        ErrorKind::BadValue => "BadValueError",
        ErrorKind::Unreachable | ErrorKind::Disconnected | ErrorKind::Tls => "CacheConnectionError",
        ErrorKind::OutOfRange => return PyOverflowError::new_err(error.to_string()),
        ErrorKind::Key => return django_exception(py, "django.core.cache.backends.base", "InvalidCacheKey", error),
        ErrorKind::Config => return improperly_configured(py, error),
        _ => "CacheError",
    };
    build(py, name, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, name: &str, error: &Error) -> PyResult<PyErr> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("pinyon.exceptions").map(Bound::unbind))?.bind(py);
    let class = module.getattr(name)?.cast_into::<PyType>()?;
    let exception = class.call1((error.to_string(),))?;
    exception.setattr("alias", error.alias())?;
    exception.setattr("server", error.server())?;
    exception.setattr("operation", error.operation())?;
    exception.setattr("hint", error.hint())?;
    exception.setattr("maybe_applied", error.is_ambiguous())?;
    Ok(PyErr::from_value(exception))
}

/// A `TypeError` of an addition in memory, as the other backends say it.
pub(crate) fn not_an_integer(backend: &Bound<'_, Backend>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(backend.py()) {
        return error;
    }
    let raised = Error::new(ErrorKind::NotAnInteger, "the value stored under this key is not a number")
        .with_operation("incr")
        .with_hint("Set the key to one first");
    let raised = raise(backend, raised);
    raised.set_cause(backend.py(), Some(error));
    raised
}

/// Django's exception for settings that cannot be right. Its text ends with the hint, which is also its attribute `hint`.
pub(crate) fn improperly_configured(py: Python<'_>, error: &Error) -> PyErr {
    let raised = django_exception(py, "django.core.exceptions", "ImproperlyConfigured", error);
    match raised.value(py).setattr("hint", error.hint()) {
        Ok(()) => raised,
        Err(failure) => failure,
    }
}

fn django_exception(py: Python<'_>, module: &str, name: &str, error: &Error) -> PyErr {
    let made = py.import(module).and_then(|module| module.getattr(name)?.call1((error.to_string(),)));
    made.map_or_else(|failure| failure, PyErr::from_value)
}

/// Django's answer to `incr` on a key that has no value; it names the made key.
pub(crate) fn key_not_found(key: &[u8], full_stop: bool) -> PyErr {
    let key = String::from_utf8_lossy(key);
    PyValueError::new_err(format!("Key '{key}' not found{}", if full_stop { "." } else { "" }))
}
