//! `LocMemCache`: process memory.
//!
//! The store is never locked while Python code runs: pickling happens before, unpickling after, and what leaves is dropped
//! after.

use crate::backend::{Backend, TimeoutArgument};
use crate::configuration::Configuration;
use crate::errors::{key_not_found, not_an_integer};
use crate::local_value::{LocalValue, Taken};
use crate::local_view::StoreView;
use crate::made_key::{MadeKey, MadeKeys};
use crate::pickle;
use crate::report;
use arc_swap::ArcSwap;
use pinyon::memory::{Added, Limits, Memory, Registry};
use pinyon::settings::BackendSettings;
use pinyon::store::{ServerInfo, ServerReport};
use pinyon::{Expiry, Ttl};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The stores of this process, by LOCATION.
static STORES: Registry<LocalValue> = Registry::new();

/// Django's `LocMemCache` in Rust.
#[pyclass(extends = Backend, subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct LocMemCache {
    configuration: OnceLock<Py<Configuration>>,
    store: ArcSwap<Memory<LocalValue>>,
    max_bytes: OnceLock<Option<u64>>,
}

impl LocMemCache {
    fn limits(slf: &Bound<'_, Self>) -> Limits {
        let (max_entries, cull_frequency) = slf.as_super().get().limits();
        Limits { max_entries, cull_frequency, max_bytes: slf.get().max_bytes.get().copied().flatten() }
    }

    fn configuration(&self) -> PyResult<&Configuration> {
        let configuration = self.configuration.get().map(Py::get);
        configuration.ok_or_else(|| PyRuntimeError::new_err("the cache was not initialised"))
    }

    /// The Python value; `None` for one that cannot be unpickled any more.
    fn decode<'py>(slf: &Bound<'py, Self>, key: &[u8], value: Taken<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let pickle = match value {
            Taken::Object(object) => return Ok(Some(object)),
            Taken::Pickle(pickle) => pickle,
        };
        match pickle::loads(slf.py(), pickle.as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => slf.get().configuration()?.bad_value(slf.py(), key, error).map(|()| None),
        }
    }

    fn expiry(slf: &Bound<'_, Self>, timeout: &TimeoutArgument<'_>) -> PyResult<Expiry> {
        Backend::expiry(slf.as_super(), timeout, from_absolute)
    }

    pub(crate) fn store(&self) -> Arc<Memory<LocalValue>> {
        self.store.load_full()
    }

    /// Adds within 64 bits without leaving Rust; says what to add in Python otherwise.
    fn incr_small(slf: &Bound<'_, Self>, key: &MadeKey, delta: i64) -> Option<Result<i64, ()>> {
        slf.get().store.load().update(key.bytes(), &Self::limits(slf), |value| {
            match value.as_integer().and_then(|integer| integer.checked_add(delta)) {
                Some(sum) => (Some(LocalValue::integer(sum)), Ok(sum)),
                None => (None, Err(())),
            }
        })
    }

    /// Adds in Python, which may run anybody's code: outside the lock, and again if somebody was faster.
    fn incr_any<'py>(
        slf: &Bound<'py, Self>,
        key: &MadeKey,
        delta: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        loop {
            let store = slf.get().store();
            let Some(seen) = store.get_with(key.bytes(), |value| value.clone_ref(py)) else { return Ok(None) };
            let Some(number) = Self::decode(slf, key.bytes(), seen.take(py)?)? else { return Ok(None) };
            let sum = number.add(delta).map_err(|error| not_an_integer(slf.as_super(), error))?;
            let encoded = LocalValue::encode(&sum)?;
            let replaced = store.update(key.bytes(), &Self::limits(slf), |value| {
                if value.is_same(&seen) { (Some(encoded), true) } else { (None, false) }
            });
            match replaced {
                Some(true) => return Ok(Some(sum)),
                Some(false) => {}
                None => return Ok(None),
            }
        }
    }
}

/// Django's form for memory and files: a moment in Unix time, or none.
pub(crate) fn from_absolute(moment: Option<f64>) -> Expiry {
    let Some(moment) = moment else { return Expiry::Never };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match Duration::try_from_secs_f64(moment).ok().and_then(|moment| moment.checked_sub(now)) {
        Some(left) if !left.is_zero() => Expiry::In(left),
        None if moment == f64::INFINITY => Expiry::Never,
        _ => Expiry::Now,
    }
}

#[pymethods]
impl LocMemCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        let cache = Self {
            configuration: OnceLock::new(),
            store: ArcSwap::from_pointee(Memory::new()),
            max_bytes: OnceLock::new(),
        };
        PyClassInitializer::from(Backend::new()).add_subclass(cache)
    }

    fn _configure(&self, configuration: Py<Configuration>) -> PyResult<()> {
        let BackendSettings::Memory(settings) = &configuration.get().settings else {
            return Err(PyTypeError::new_err("settings of another backend"));
        };
        self.store.store(STORES.open(&settings.name, settings.policy, settings.max_entries));
        let _ = self.max_bytes.set(settings.max_bytes);
        let _ = self.configuration.set(configuration);
        Ok(())
    }

    #[pyo3(signature = (key, default=None, version=None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let found = slf.get().store.load().get_with(made.bytes(), |value| value.take(py));
        let value = match found {
            Some(value) => Self::decode(slf, made.bytes(), value?)?,
            None => None,
        };
        Ok(value.or(default).unwrap_or_else(|| py.None().into_bound(py)))
    }

    #[pyo3(signature = (key, value, timeout=TimeoutArgument::NotGiven, version=None))]
    fn set(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let value = LocalValue::encode(value)?;
        let expiry = Self::expiry(slf, &timeout)?;
        slf.get().store.load().set(made.bytes(), value, expiry, &Self::limits(slf));
        Ok(())
    }

    #[pyo3(signature = (key, value, timeout=TimeoutArgument::NotGiven, version=None))]
    fn add(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let value = LocalValue::encode(value)?;
        let expiry = Self::expiry(slf, &timeout)?;
        let added = slf.get().store.load().add(made.bytes(), value, expiry, &Self::limits(slf));
        Ok(added == Added::Stored)
    }

    #[pyo3(signature = (key, timeout=TimeoutArgument::NotGiven, version=None))]
    fn touch(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        timeout: TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let expiry = Self::expiry(slf, &timeout)?;
        Ok(slf.get().store.load().touch(made.bytes(), expiry))
    }

    #[pyo3(signature = (key, version=None))]
    fn delete(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        Ok(slf.get().store.load().delete(made.bytes()))
    }

    #[pyo3(signature = (key, version=None))]
    fn has_key(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        Ok(slf.get().store.load().contains(made.bytes()))
    }

    #[pyo3(signature = (key, delta=None, version=None))]
    fn incr<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        delta: Option<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let delta = match delta {
            Some(delta) => delta,
            None => 1_i64.into_pyobject(py)?.into_any(),
        };
        if delta.is_exact_instance_of::<PyInt>()
            && let Ok(small) = delta.extract::<i64>()
        {
            match Self::incr_small(slf, &made, small) {
                Some(Ok(sum)) => return Ok(sum.into_pyobject(py)?.into_any()),
                Some(Err(())) => {}
                None => return Err(key_not_found(made.bytes(), false)),
            }
        }
        Self::incr_any(slf, &made, &delta)?.ok_or_else(|| key_not_found(made.bytes(), false))
    }

    #[pyo3(signature = (keys, version=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        keys: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let found = PyDict::new(py);
        if Backend::overrides_single(slf.as_super())? {
            let missing = PyList::empty(py);
            for key in keys.try_iter()? {
                let key = key?;
                let value = slf.call_method1("get", (&key, &missing, version))?;
                if !value.is(&missing) {
                    found.set_item(key, value)?;
                }
            }
            return Ok(found);
        }
        let (names, made) = MadeKeys::make(slf.as_super(), keys, version)?;
        let mut values = Vec::with_capacity(names.len());
        slf.get().store.load().get_many_with(&made.all(), |index, value| values.push((index, value.take(py))));
        for (index, value) in values {
            if let Some(value) = Self::decode(slf, made.bytes(index), value?)? {
                found.set_item(&names[index], value)?;
            }
        }
        Ok(found)
    }

    #[pyo3(signature = (data, timeout=TimeoutArgument::NotGiven, version=None))]
    fn set_many<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        timeout: TimeoutArgument<'py>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let failed = PyList::empty(py);
        let data = items(data)?;
        if Backend::overrides_single(slf.as_super())? {
            let keywords = PyDict::new(py);
            if let TimeoutArgument::Given(timeout) = &timeout {
                keywords.set_item("timeout", timeout)?;
            }
            keywords.set_item("version", version)?;
            for (key, value) in data {
                slf.call_method("set", (key, value), Some(&keywords))?;
            }
            return Ok(failed);
        }
        let expiry = Self::expiry(slf, &timeout)?;
        let mut encoded = Vec::with_capacity(data.len());
        for (key, value) in &data {
            encoded.push((Backend::make_key(slf.as_super(), key, version)?, LocalValue::encode(value)?));
        }
        for index in slf.get().store.load().set_many(encoded, expiry, &Self::limits(slf)) {
            failed.append(&data[index].0)?;
        }
        Ok(failed)
    }

    #[pyo3(signature = (keys, version=None))]
    fn delete_many(slf: &Bound<'_, Self>, keys: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if Backend::overrides_single(slf.as_super())? {
            for key in keys.try_iter()? {
                slf.call_method1("delete", (key?, version))?;
            }
            return Ok(());
        }
        let (_, made) = MadeKeys::make(slf.as_super(), keys, version)?;
        slf.get().store.load().delete_many(&made.all());
        Ok(())
    }

    fn clear(&self) {
        self.store.load().clear();
    }

    /// Seconds that the entry has left; None if it does not expire, 0 if there is none.
    #[pyo3(signature = (key, version=None))]
    fn ttl<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<u64>> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        Ok(seconds_left(slf.get().store.load().ttl(made.bytes())))
    }

    /// What the store has done in this process.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let store = slf.get().store();
        let counters = store.counters();
        let stats = PyDict::new(py);
        stats.set_item("hits", counters.hits)?;
        stats.set_item("misses", counters.misses)?;
        stats.set_item("evictions", counters.evictions)?;
        stats.set_item("expired", counters.expired)?;
        stats.set_item("entries", store.len())?;
        stats.set_item("bytes", store.bytes())?;
        let bad_values = &slf.get().configuration()?.counters.bad_values;
        stats.set_item("bad_values", bad_values.load(std::sync::atomic::Ordering::Relaxed))?;
        Ok(stats)
    }

    /// How the store is: a list with one dictionary (`report.rs`).
    fn _check<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let BackendSettings::Memory(settings) = &slf.get().configuration()?.settings else {
            return Err(PyTypeError::new_err("settings of another backend"));
        };
        let store = slf.get().store();
        let start = Instant::now();
        let (entries, bytes) = (store.len(), store.bytes());
        let info = ServerInfo {
            round_trip: start.elapsed(),
            version: concat!("Pinyon ", env!("CARGO_PKG_VERSION")).to_owned(),
            memory_used: Some(bytes),
            memory_limit: settings.max_bytes,
            entries: Some(entries as u64),
        };
        let server = format!("memory '{}'", settings.name);
        report::to_python(slf.py(), vec![ServerReport { server, result: Ok(info) }])
    }

    /// Django's private dictionary of pickles, as a view; setting it makes this cache share another one's store.
    #[getter]
    fn _cache(&self) -> StoreView {
        StoreView::pickles(self.store())
    }

    #[setter(_cache)]
    fn share_store(&self, view: &StoreView) {
        self.store.store(view.store().clone());
    }

    /// Django's private dictionary of expiries, as a view.
    #[getter]
    fn _expire_info(&self) -> StoreView {
        StoreView::deadlines(self.store())
    }

    #[setter(_expire_info)]
    fn share_deadlines(&self, view: &StoreView) {
        self.store.store(view.store().clone());
    }

    /// Django's private lock, as a view that tells whether the store is locked.
    #[getter]
    fn _lock(&self) -> StoreView {
        StoreView::pickles(self.store())
    }
}

/// The pairs of a mapping.
pub(crate) fn items<'py>(data: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    if let Ok(data) = data.cast::<PyDict>() {
        return Ok(data.iter().collect());
    }
    data.call_method0("items")?.try_iter()?.map(|pair| pair?.extract()).collect()
}

/// django-redis's form of a remaining time: 0 for no entry, None for no expiry.
pub(crate) fn seconds_left(ttl: Ttl) -> Option<u64> {
    match ttl {
        Ttl::Missing => Some(0),
        Ttl::Never => None,
        Ttl::Left(left) => Some(left.as_secs() + u64::from(left.subsec_nanos() >= 500_000_000)),
    }
}
