//! Python objects that every call needs: Django's sentinel and functions, pickle, and the functions whose replacement has to
//! be noticed. Installed once, when `pinyon.django` is imported.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// What [`install`] was given.
pub(crate) struct Hooks {
    /// `django.core.cache.backends.base.DEFAULT_TIMEOUT`
    pub default_timeout: Py<PyAny>,
    /// `django.core.cache.backends.base.default_key_func`
    pub default_key_func: Py<PyAny>,
    /// Methods that Rust stands in for, by name: as long as a class has one of these functions under the name, calling it
    /// from Rust is not needed.
    pub stand_ins: Vec<(String, Vec<Py<PyAny>>)>,
    /// `pickle.dumps`, `pickle.loads`
    pub dumps: Py<PyAny>,
    pub loads: Py<PyAny>,
    /// `asyncio.get_running_loop`
    pub get_running_loop: Py<PyAny>,
    /// An `asyncio.Future` that has a result.
    pub resolved: Py<PyAny>,
    /// `logging.getLogger("pinyon")`
    pub logger: Py<PyAny>,
}

static HOOKS: PyOnceLock<Hooks> = PyOnceLock::new();

/// Takes the objects over from Python. The first call wins.
#[pyfunction]
pub(crate) fn install(
    py: Python<'_>,
    default_timeout: Py<PyAny>,
    default_key_func: Py<PyAny>,
    stand_ins: Vec<(String, Vec<Py<PyAny>>)>,
    resolved: Py<PyAny>,
) -> PyResult<()> {
    let pickle = py.import("pickle")?;
    let _ = HOOKS.set(
        py,
        Hooks {
            default_timeout,
            default_key_func,
            stand_ins,
            dumps: pickle.getattr("dumps")?.unbind(),
            loads: pickle.getattr("loads")?.unbind(),
            get_running_loop: py.import("asyncio")?.getattr("get_running_loop")?.unbind(),
            resolved,
            logger: py.import("logging")?.call_method1("getLogger", PyTuple::new(py, ["pinyon"])?)?.unbind(),
        },
    );
    Ok(())
}

/// The objects.
pub(crate) fn hooks(py: Python<'_>) -> PyResult<&'static Hooks> {
    HOOKS.get(py).ok_or_else(|| PyRuntimeError::new_err("import pinyon.django before its backends are used"))
}
