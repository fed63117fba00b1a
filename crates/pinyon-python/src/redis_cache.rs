//! `RedisCache`: what it takes beyond the other caches on stores, as django-redis does.

use crate::backend::TimeoutArgument;
use crate::store_cache::StoreCache;
use pinyon::Expiry;
use pinyon::settings::TimeoutUnit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Redis and Valkey.
#[pyclass(extends = StoreCache, subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct RedisCache;

/// A `client` argument is looked at in Python.
fn check_client(slf: &Bound<'_, RedisCache>, client: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match client {
        None => Ok(()),
        Some(client) => slf.call_method1(intern!(slf.py(), "_check_client"), (client,)).map(drop),
    }
}

#[pymethods]
impl RedisCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        StoreCache::before_init().add_subclass(Self)
    }

    #[pyo3(signature = (key, default=None, version=None, client=None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
        client: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_client(slf, client)?;
        StoreCache::get(slf.as_super(), key, default, version)
    }

    #[expect(clippy::too_many_arguments, reason = "django-redis's")]
    #[pyo3(signature = (key, value, timeout=TimeoutArgument::NotGiven, version=None, client=None, nx=false, xx=false, get=false))]
    fn set<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        timeout: TimeoutArgument<'py>,
        version: Option<&Bound<'py, PyAny>>,
        client: Option<&Bound<'py, PyAny>>,
        nx: bool,
        xx: bool,
        get: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        check_client(slf, client)?;
        if nx || xx || get {
            let arguments = (key, value, timeout.given(py)?, version, nx, xx, get);
            return slf.call_method1(intern!(py, "_set_if"), arguments);
        }
        let stored = StoreCache::store(slf.as_super(), key, value, &timeout, version)?;
        Ok(stored.into_pyobject(py)?.to_owned().into_any())
    }

    #[pyo3(signature = (key, value, timeout=TimeoutArgument::NotGiven, version=None, client=None))]
    fn add<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        timeout: TimeoutArgument<'py>,
        version: Option<&Bound<'py, PyAny>>,
        client: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        check_client(slf, client)?;
        StoreCache::add(slf.as_super(), key, value, timeout, version)
    }

    #[pyo3(signature = (key, timeout=TimeoutArgument::NotGiven, version=None, client=None))]
    fn touch<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        timeout: TimeoutArgument<'py>,
        version: Option<&Bound<'py, PyAny>>,
        client: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        check_client(slf, client)?;
        StoreCache::touch(slf.as_super(), key, timeout, version)
    }

    #[pyo3(signature = (key, version=None, prefix=None, client=None))]
    fn delete<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
        prefix: Option<&Bound<'py, PyAny>>,
        client: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        check_client(slf, client)?;
        match prefix {
            None => StoreCache::delete(slf.as_super(), key, version),
            Some(_) => slf.call_method1(intern!(slf.py(), "_delete_prefixed"), (key, version, prefix))?.extract(),
        }
    }

    /// Milliseconds that an entry with this timeout lives: None for ever, 0 not at all.
    #[pyo3(signature = (timeout=TimeoutArgument::NotGiven))]
    fn _lifetime<'py>(slf: &Bound<'py, Self>, timeout: TimeoutArgument<'py>) -> PyResult<Option<u64>> {
        let expiry = StoreCache::expiry(slf.as_super(), &timeout)?;
        let expiry = match StoreCache::timeout_unit(slf.as_super())? {
            TimeoutUnit::Seconds => expiry.to_whole_seconds(),
            TimeoutUnit::Milliseconds => expiry.to_whole_milliseconds(),
        };
        Ok(match expiry {
            Expiry::Never => None,
            Expiry::Now => Some(0),
            Expiry::In(left) => Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}
