//! Views of a memory store under the names of LocMemCache's private attributes, which Django's own tests (and some sites)
//! look at: `_cache`, `_expire_info`, `_lock`.

use crate::local_value::LocalValue;
use pinyon::memory::{Deadline, Memory};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Arc;

/// A read-only mapping from made keys to pickles, or to moments of expiry in Unix time.
#[pyclass(frozen, module = "pinyon._pinyon", mapping)]
#[derive(Debug)]
pub(crate) struct StoreView {
    store: Arc<Memory<LocalValue>>,
    deadlines: bool,
}

impl StoreView {
    pub(crate) fn pickles(store: Arc<Memory<LocalValue>>) -> Self {
        Self { store, deadlines: false }
    }

    pub(crate) fn deadlines(store: Arc<Memory<LocalValue>>) -> Self {
        Self { store, deadlines: true }
    }

    pub(crate) fn store(&self) -> &Arc<Memory<LocalValue>> {
        &self.store
    }
}

#[pymethods]
impl StoreView {
    fn __getitem__<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        let missing = || PyKeyError::new_err(key.to_owned());
        if self.deadlines {
            return match self.store.expiry(key.as_bytes()).ok_or_else(missing)? {
                Deadline::Never => Ok(py.None().into_bound(py)),
                Deadline::At(moment) => Ok(moment.into_pyobject(py)?.into_any()),
            };
        }
        let value = self.store.get_with(key.as_bytes(), |value| value.take(py)).ok_or_else(missing)?;
        Ok(value?.pickle()?.into_any())
    }

    fn __contains__(&self, key: &str) -> bool {
        self.store.contains(key.as_bytes())
    }

    fn __len__(&self) -> usize {
        self.store.len()
    }

    fn keys<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyString>> {
        self.store.keys().iter().map(|key| PyString::new(py, &String::from_utf8_lossy(key))).collect()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.keys(py).into_pyobject(py)?.call_method0("__iter__")
    }

    /// Whether some thread holds the store's lock at this moment.
    fn locked(&self) -> bool {
        self.store.is_locked()
    }
}
