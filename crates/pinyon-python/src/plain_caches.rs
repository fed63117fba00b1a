//! `MemcachedCache` and `FileBasedCache`, which have nothing of their own.

use crate::store_cache::{Shared, StoreCache};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::OsString;

/// Memcached.
#[pyclass(extends = StoreCache, subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct MemcachedCache;

#[pymethods]
impl MemcachedCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        StoreCache::before_init().add_subclass(Self)
    }
}

/// Files in Django's format.
#[pyclass(extends = StoreCache, subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct FileBasedCache;

#[pymethods]
impl FileBasedCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        StoreCache::before_init().add_subclass(Self)
    }

    /// The directory as an absolute path.
    #[getter]
    fn _dir(slf: &Bound<'_, Self>) -> PyResult<OsString> {
        match StoreCache::shared(slf.as_super())? {
            Shared::File(store) => Ok(store.directory().as_os_str().to_owned()),
            _ => Err(PyTypeError::new_err("settings of another backend")),
        }
    }
}
