//! What `RedisCache`, `MemcachedCache` and `FileBasedCache` are: one implementation over stores of bytes.
//!
//! The lock on the interpreter is released while a server or the disk is asked, and taken again to make the value out of the
//! read buffer, where it was copied once.

use crate::backend::{Backend, TimeoutArgument};
use crate::codec::{Codec, Encoded, EncodedMany};
use crate::configuration::{Configuration, Counters};
use crate::errors::{improperly_configured, key_not_found, raise};
use crate::event_loop;
use crate::local::{from_absolute, items, seconds_left};
use crate::made_key::{MadeKey, MadeKeys};
use crate::report;
use pinyon::file::FileStore;
use pinyon::memcached::{MemcachedStore, MetaProtocol};
use pinyon::net::Lease;
use pinyon::redis::{RedisStore, RespProtocol};
use pinyon::settings::{BackendSettings, TimeoutUnit};
use pinyon::{Error, Expiry, Integer, Item, ServerStore, Store, Timeout};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// A cache on a store of bytes.
#[pyclass(extends = Backend, subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct StoreCache {
    open: OnceLock<Open>,
}

#[derive(Debug)]
struct Open {
    configuration: Py<Configuration>,
    store: Shared,
    ignore_exceptions: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Shared {
    Redis(Arc<RedisStore>),
    Memcached(Arc<MemcachedStore>),
    File(Arc<FileStore>),
}

/// What a `get` or a `get_many` found.
enum Found {
    Redis(pinyon::Found<RedisStore, Lease<RespProtocol>>),
    Memcached(pinyon::Found<MemcachedStore, Lease<MetaProtocol>>),
    File(Vec<(usize, Vec<u8>)>),
}

impl Shared {
    fn store(&self) -> &dyn Store {
        match self {
            Self::Redis(store) => &**store,
            Self::Memcached(store) => &**store,
            Self::File(store) => &**store,
        }
    }

    /// The store with the limits of the cache object, which sites and tests change at run time. Servers have their own.
    fn limited(&self, (max_entries, cull_frequency): (i64, i64)) -> Cow<'_, Self> {
        match self {
            Self::File(store) => Cow::Owned(Self::File(Arc::new(store.with_limits(max_entries, cull_frequency)))),
            _ => Cow::Borrowed(self),
        }
    }

    fn fetch(&self, key: &str) -> pinyon::Result<Found> {
        match self {
            Self::Redis(store) => store.fetch(key).map(Found::Redis),
            Self::Memcached(store) => store.fetch(key).map(Found::Memcached),
            Self::File(store) => Ok(Found::File(store.fetch(key)?.map(|bytes| (0, bytes)).into_iter().collect())),
        }
    }

    fn fetch_many(&self, keys: &[&str]) -> pinyon::Result<Found> {
        match self {
            Self::Redis(store) => store.fetch_many(keys).map(Found::Redis),
            Self::Memcached(store) => store.fetch_many(keys).map(Found::Memcached),
            Self::File(store) => store.fetch_many(keys).map(Found::File),
        }
    }

    fn open_connections(&self) -> Option<usize> {
        match self {
            Self::Redis(store) => Some(store.open_connections() + event_loop::open_connections(store)),
            Self::Memcached(store) => Some(store.open_connections() + event_loop::open_connections(store)),
            Self::File(_) => None,
        }
    }
}

impl Found {
    fn item<R>(&self, visit: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        match self {
            Self::Redis(found) => found.item(visit),
            Self::Memcached(found) => found.item(visit),
            Self::File(found) => found.first().map(|(_, bytes)| visit(plain(bytes))),
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(usize, Item<'_>)) {
        match self {
            Self::Redis(found) => found.visit(visit),
            Self::Memcached(found) => found.visit(visit),
            Self::File(found) => found.iter().for_each(|(index, bytes)| visit(*index, plain(bytes))),
        }
    }
}

fn plain(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

impl StoreCache {
    pub(crate) fn shared<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Shared> {
        Ok(&slf.get().open()?.store)
    }

    /// An object before its `__init__`.
    pub(crate) fn before_init() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Backend::new()).add_subclass(Self { open: OnceLock::new() })
    }

    fn open(&self) -> PyResult<&Open> {
        self.open.get().ok_or_else(|| PyRuntimeError::new_err("the cache was not initialised"))
    }

    /// Runs `ask` without the lock on the interpreter. A connection error is `ignored` if the settings say so.
    fn run<R: Send>(
        slf: &Bound<'_, Self>,
        ignored: R,
        ask: impl FnOnce(&Shared) -> pinyon::Result<R> + Send,
    ) -> PyResult<R> {
        let store = Self::shared(slf)?;
        match slf.py().detach(|| ask(store)) {
            Ok(result) => Ok(result),
            Err(error) => Self::failed(slf, error).map(|()| ignored),
        }
    }

    /// Counts an error, and raises it unless the settings say that it is ignored.
    pub(crate) fn failed(slf: &Bound<'_, Self>, error: Error) -> PyResult<()> {
        let open = slf.get().open()?;
        open.counters().errors.fetch_add(1, Ordering::Relaxed);
        if !(open.ignore_exceptions && error.is_connection()) {
            return Err(raise(slf.as_super(), error));
        }
        // Named only if somebody wants to know: while a server is away, this happens with every operation.
        if slf.getattr(intern!(slf.py(), "_logs_ignored"))?.is_truthy()? {
            let error = raise(slf.as_super(), error).into_value(slf.py());
            slf.call_method1(intern!(slf.py(), "_log_ignored"), (error,))?;
        }
        Ok(())
    }

    /// What its server counts timeouts in.
    pub(crate) fn timeout_unit(slf: &Bound<'_, Self>) -> PyResult<TimeoutUnit> {
        match &slf.get().open()?.configuration.get().settings {
            BackendSettings::Redis(settings) => Ok(settings.timeout_unit),
            _ => Ok(TimeoutUnit::Seconds),
        }
    }

    pub(crate) fn codec<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Codec> {
        Ok(&slf.get().open()?.configuration.get().codec)
    }

    /// Counts a value that cannot be read, or raises what it is.
    pub(crate) fn bad_value(slf: &Bound<'_, Self>, key: &[u8], error: PyErr) -> PyResult<()> {
        slf.get().open()?.configuration.get().bad_value(slf.py(), key, error)
    }

    /// The Python value; `None` for one that cannot be read.
    pub(crate) fn decode<'py>(
        slf: &Bound<'py, Self>,
        key: &[u8],
        item: Item<'_>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match Self::codec(slf)?.decode(slf.py(), item) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Self::bad_value(slf, key, error).map(|()| None),
        }
    }

    /// Counts what was found and what was not.
    pub(crate) fn count(slf: &Bound<'_, Self>, hits: u64, misses: u64) -> PyResult<()> {
        slf.get().open()?.counters().found(hits, misses);
        Ok(())
    }

    /// What `incr` returns, or raises if there was nothing to add to.
    pub(crate) fn sum<'py>(
        slf: &Bound<'py, Self>,
        made: &MadeKey,
        key: &Bound<'py, PyAny>,
        sum: Option<Integer>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match sum {
            Some(Integer::Small(number)) => Ok(number.into_pyobject(py)?.into_any()),
            Some(Integer::Big(number)) => Ok(number.into_pyobject(py)?.into_any()),
            None => Err(match Self::shared(slf)? {
                Shared::Redis(_) => key_not_found(made.bytes(), true),
                Shared::Memcached(_) => key_not_found(made.bytes(), false),
                // Django's base class names the caller's key.
                Shared::File(_) => key_not_found(key.str()?.to_string_lossy().as_bytes(), false),
            }),
        }
    }

    /// What `clear` returns: True for Redis, as Django does.
    pub(crate) fn cleared(slf: &Bound<'_, Self>) -> PyResult<Option<bool>> {
        Ok(matches!(Self::shared(slf)?, Shared::Redis(_)).then_some(true))
    }

    /// What `set` returns: with Redis whether the value was stored, as with django-redis; elsewhere None, as with Django.
    pub(crate) fn set_result(slf: &Bound<'_, Self>, stored: bool) -> PyResult<Py<PyAny>> {
        matches!(Self::shared(slf)?, Shared::Redis(_)).then_some(stored).into_py_any(slf.py())
    }

    pub(crate) fn expiry(slf: &Bound<'_, Self>, timeout: &TimeoutArgument<'_>) -> PyResult<Expiry> {
        let read = match slf.get().open()?.store {
            Shared::Redis(_) => from_seconds,
            Shared::Memcached(_) => from_exptime,
            Shared::File(_) => from_absolute,
        };
        Backend::expiry(slf.as_super(), timeout, read)
    }

    /// `set`, and whether the value was stored.
    pub(crate) fn store(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: &TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let (text, expiry) = (made.text()?, Self::expiry(slf, timeout)?);
        let encoded = Self::encode(slf, value)?;
        let item = encoded.item()?;
        let limits = slf.as_super().get().limits();
        Self::run(slf, false, |store| store.limited(limits).store().set(text, item, expiry))
    }

    pub(crate) fn encode<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Encoded<'py>> {
        Self::codec(slf)?.encode(value)
    }
}

impl Open {
    fn counters(&self) -> &Counters {
        &self.configuration.get().counters
    }
}

/// Django's form for Redis: seconds, or none.
fn from_seconds(seconds: Option<f64>) -> Expiry {
    seconds.map_or(Expiry::Never, |seconds| Timeout::secs_f64(seconds).resolve(Expiry::Never))
}

/// Django's form for Memcached: 0 never, negative at once, up to 30 days relative, beyond that Unix time.
fn from_exptime(exptime: Option<f64>) -> Expiry {
    let exptime = exptime.unwrap_or(0.0);
    if exptime == 0.0 {
        return Expiry::Never;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let relative = if exptime > 2_592_000.0 { exptime - now } else { exptime };
    Timeout::secs_f64(relative).resolve(Expiry::Never)
}

#[pymethods]
impl StoreCache {
    fn _configure(&self, py: Python<'_>, configuration: Py<Configuration>) -> PyResult<()> {
        let (store, ignore_exceptions) = match &configuration.get().settings {
            BackendSettings::Redis(settings) => {
                (Shared::Redis(RedisStore::shared(settings)), settings.ignore_exceptions)
            }
            BackendSettings::Memcached(settings) => {
                (Shared::Memcached(MemcachedStore::shared(settings)), settings.ignore_exceptions)
            }
            BackendSettings::File(settings) => {
                let store = FileStore::shared(settings);
                (Shared::File(store.map_err(|error| improperly_configured(py, &error))?), false)
            }
            _ => return Err(PyTypeError::new_err("settings of another backend")),
        };
        let _ = self.open.set(Open { configuration, store, ignore_exceptions });
        Ok(())
    }

    #[pyo3(signature = (key, default=None, version=None))]
    pub(crate) fn get<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let text = made.text()?;
        let fetched = Self::run(slf, None, |store| store.fetch(text).map(Some))?;
        let value =
            fetched.and_then(|found| found.item(|item| Self::decode(slf, made.bytes(), item))).transpose()?.flatten();
        Self::count(slf, u64::from(value.is_some()), u64::from(value.is_none()))?;
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
        Self::store(slf, key, value, &timeout, version).map(drop)
    }

    #[pyo3(signature = (key, value, timeout=TimeoutArgument::NotGiven, version=None))]
    pub(crate) fn add(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let (text, expiry) = (made.text()?, Self::expiry(slf, &timeout)?);
        let encoded = Self::encode(slf, value)?;
        let item = encoded.item()?;
        let limits = slf.as_super().get().limits();
        Self::run(slf, false, |store| store.limited(limits).store().add(text, item, expiry))
    }

    #[pyo3(signature = (key, timeout=TimeoutArgument::NotGiven, version=None))]
    pub(crate) fn touch(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        timeout: TimeoutArgument<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let (text, expiry) = (made.text()?, Self::expiry(slf, &timeout)?);
        Self::run(slf, false, |store| store.store().touch(text, expiry))
    }

    #[pyo3(signature = (key, version=None))]
    pub(crate) fn delete(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let text = made.text()?;
        Self::run(slf, false, |store| store.store().delete(text))
    }

    #[pyo3(signature = (key, version=None))]
    fn has_key(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let text = made.text()?;
        Self::run(slf, false, |store| store.store().has(text))
    }

    #[pyo3(signature = (key, delta=1, version=None))]
    fn incr<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        delta: i64,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let text = made.text()?;
        // Ignored: None, as with django-redis.
        let Some(result) = Self::run(slf, None, |store| store.store().incr(text, delta).map(Some))? else {
            return Ok(py.None().into_bound(py));
        };
        Self::sum(slf, &made, key, result)
    }

    #[pyo3(signature = (keys, version=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        keys: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let (names, made) = MadeKeys::make(slf.as_super(), keys, version)?;
        let texts = made.texts()?;
        let found = PyDict::new(py);
        let fetched = Self::run(slf, None, |store| store.fetch_many(&texts).map(Some))?;
        let mut outcome = Ok(());
        if let Some(fetched) = fetched {
            fetched.visit(&mut |index, item| {
                if outcome.is_ok() {
                    outcome = Self::decode(slf, made.bytes(index), item).and_then(|value| match value {
                        Some(value) => found.set_item(&names[index], value),
                        None => Ok(()),
                    });
                }
            });
        }
        outcome?;
        let hits = found.len() as u64;
        Self::count(slf, hits, (names.len() as u64).saturating_sub(hits))?;
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
        let data = items(data)?;
        let expiry = Self::expiry(slf, &timeout)?;
        let (mut made, mut encoded) = (MadeKeys::with_capacity(data.len()), EncodedMany::with_capacity(data.len()));
        let codec = Self::codec(slf)?;
        for (key, value) in &data {
            made.push(slf.as_super(), key, version)?;
            encoded.push(codec, value)?;
        }
        let mut pairs = Vec::with_capacity(data.len());
        for (key, item) in made.texts()?.into_iter().zip(encoded.items()) {
            pairs.push((key, item?));
        }
        let all = (0..data.len()).collect();
        let limits = slf.as_super().get().limits();
        let failed = Self::run(slf, all, |store| store.limited(limits).store().set_many(&pairs, expiry))?;
        PyList::new(py, failed.into_iter().map(|index| &data[index].0))
    }

    #[pyo3(signature = (keys, version=None))]
    fn delete_many(slf: &Bound<'_, Self>, keys: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (_, made) = MadeKeys::make(slf.as_super(), keys, version)?;
        let texts = made.texts()?;
        Self::run(slf, (), |store| store.store().delete_many(&texts))
    }

    /// Empties the whole store, other applications' entries in it too, as Django does. True for Redis.
    fn clear(slf: &Bound<'_, Self>) -> PyResult<Option<bool>> {
        Self::run(slf, (), |store| store.store().clear())?;
        Self::cleared(slf)
    }

    /// Seconds that the entry has left; None if it does not expire, 0 if there is none.
    #[pyo3(signature = (key, version=None))]
    fn ttl<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<u64>> {
        let made = Backend::make_key(slf.as_super(), key, version)?;
        let text = made.text()?;
        Self::run(slf, pinyon::Ttl::Missing, |store| store.store().ttl(text)).map(seconds_left)
    }

    /// What the caches of these settings have done in this process.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let open = self.open()?;
        let stats = open.counters().to_dict(py)?;
        if let Some(connections) = open.store.open_connections() {
            stats.set_item("connections", connections)?;
        }
        if let Shared::Redis(store) = &open.store {
            let (failures, pause) = store.breaker();
            stats.set_item("breaker_failures", failures)?;
            stats.set_item("breaker_pause_ms", u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))?;
        }
        Ok(stats)
    }

    /// Asks every server how it is, also with IGNORE_EXCEPTIONS; a dictionary a server (`report.rs`).
    fn _check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let open = self.open()?;
        report::to_python(py, py.detach(|| open.store.store().check()))
    }
}
