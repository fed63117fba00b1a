//! The settings of one cache as Django gives them, made into what its backend needs, once.

use crate::backend::State;
use crate::codec::{Codec, Layout};
use crate::errors::improperly_configured;
use crate::formats::{Site, built_in};
use crate::hooks::hooks;
use crate::places;
use pinyon::settings::{BackendSettings, CacheSettings, ClearScope, Entry, Node, OnBadValue, SerializerKind, Value};
use pinyon::value::codec::flag;
use pyo3::exceptions::{PyAttributeError, PyException, PyImportError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Settings that have been read, and the counters of the cache that they describe. Objects of one cache share it.
#[pyclass(frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct Configuration {
    alias: String,
    pub settings: BackendSettings,
    pub codec: Codec,
    pub on_bad_value: OnBadValue,
    pub counters: Counters,
    /// What BaseCache made of the settings, once that is known.
    pub attributes: OnceLock<State>,
    warned: AtomicBool,
    warnings: Vec<String>,
}

/// What a cache has done in this process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub bad_values: AtomicU64,
    pub errors: AtomicU64,
}

impl Counters {
    pub(crate) fn found(&self, hits: u64, misses: u64) {
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.misses.fetch_add(misses, Ordering::Relaxed);
    }

    /// As `stats()` shows them.
    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        for (name, counter) in
            [("hits", &self.hits), ("misses", &self.misses), ("bad_values", &self.bad_values), ("errors", &self.errors)]
        {
            stats.set_item(name, counter.load(Ordering::Relaxed))?;
        }
        Ok(stats)
    }
}

#[pymethods]
impl Configuration {
    /// Reads one cache's part of `CACHES`: `backend` is the path of its class.
    #[new]
    #[pyo3(signature = (alias, backend, location, params))]
    fn new(
        py: Python<'_>,
        alias: &str,
        backend: &str,
        location: &Bound<'_, PyAny>,
        params: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let mut entries = vec![Entry::new("BACKEND", Node::new(Value::String(backend.to_owned())))];
        entries.push(Entry::new("LOCATION", node(location)?));
        for (key, value) in params {
            entries.push(Entry::new(key.str()?.to_string(), node(&value)?));
        }
        let read = CacheSettings::from_node(alias, &Node::new(Value::Table(entries)));
        let settings = read.map_err(|error| improperly_configured(py, &error))?;
        Self::from_settings(py, settings, params)
    }

    /// Sentences about options that were accepted and do nothing here.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The stores that hold the entries, without credentials: caches that have one in common share their keys there.
    #[getter]
    fn places(&self) -> Vec<String> {
        places::of(&self.settings)
    }

    /// Whether `clear` removes only the keys of the prefix and the version: Redis with CLEAR = "prefix".
    #[getter]
    fn clears_prefix(&self) -> bool {
        matches!(&self.settings, BackendSettings::Redis(redis) if redis.clear_scope == ClearScope::Prefix)
    }

    /// `(host, port, TLS)` of every Redis server that is reached through the network.
    #[getter]
    fn redis_addresses(&self) -> Vec<(String, u16, bool)> {
        places::redis_addresses(&self.settings)
    }

    /// BREAKER_FAILURES and BREAKER_PAUSE, in seconds, of a Redis cache; None of others.
    #[getter]
    fn breaker(&self) -> Option<(u32, f64)> {
        match &self.settings {
            BackendSettings::Redis(redis) => Some((redis.breaker_failures, redis.breaker_pause.as_secs_f64())),
            _ => None,
        }
    }

    /// The object with `dumps` and `loads` that stands in for pickle, for a backend in Python; None for pickle itself.
    #[getter]
    fn serializer(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.codec.serializers.first()?.object.as_ref().map(|object| object.clone_ref(py))
    }

    /// Counts what a backend in Python found and did not find.
    #[pyo3(name = "found")]
    fn count_found(&self, hits: u64, misses: u64) {
        self.counters.found(hits, misses);
    }

    /// Counts an operation that failed; returns whether it was the first, to log it.
    fn failed(&self) -> bool {
        self.counters.errors.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// As `bad_value` for backends in Rust.
    #[pyo3(name = "bad_value")]
    fn count_bad_value(&self, py: Python<'_>, key: &str, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.bad_value(py, key.as_bytes(), PyErr::from_value(error))
    }

    /// The counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.counters.to_dict(py)
    }
}

impl Configuration {
    fn from_settings(py: Python<'_>, settings: CacheSettings, params: &Bound<'_, PyDict>) -> PyResult<Self> {
        let (kind, layout, on_bad_value) = match &settings.backend {
            BackendSettings::Memory(memory) => (memory.serializer, Layout::Digits, memory.on_bad_value),
            // Its own serializers follow below.
            BackendSettings::Redis(redis) => (SerializerKind::Pickle, Layout::Digits, redis.on_bad_value),
            BackendSettings::Memcached(memcached) => (memcached.serializer, Layout::Flags, memcached.on_bad_value),
            BackendSettings::File(file) => (file.serializer, Layout::Serialized, file.on_bad_value),
            BackendSettings::Database(database) => (database.serializer, Layout::Serialized, database.on_bad_value),
            BackendSettings::Dummy => (SerializerKind::Pickle, Layout::Digits, OnBadValue::default()),
        };
        let serialized_flags = match kind {
            SerializerKind::Pickle => flag::PICKLE,
            SerializerKind::Json => flag::JSON,
            SerializerKind::Msgpack => flag::MSGPACK,
        };
        let mut codec = Codec {
            layout,
            serialized_flags,
            pickle_protocol: -1,
            serializers: vec![built_in(py, kind)?],
            compressors: Vec::new(),
            integers_as_digits: true,
        };
        if let BackendSettings::Redis(redis) = &settings.backend {
            let site = Site { alias: &settings.alias, params };
            codec.serializers = site.serializers(&redis.serializers)?;
            codec.compressors = site.compressors(&redis.compressors)?;
            codec.integers_as_digits = redis.integers_as_digits;
            codec.pickle_protocol = redis.pickle_protocol.map_or(-1, i32::from);
        }
        Ok(Self {
            alias: settings.alias,
            settings: settings.backend,
            codec,
            on_bad_value,
            counters: Counters::default(),
            attributes: OnceLock::new(),
            warned: AtomicBool::new(false),
            warnings: settings.warnings,
        })
    }

    /// A value that cannot be read: a miss that is counted, and logged the first time; or an error, if the settings say so.
    pub(crate) fn bad_value(&self, py: Python<'_>, key: &[u8], error: PyErr) -> PyResult<()> {
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        self.counters.bad_values.fetch_add(1, Ordering::Relaxed);
        if self.on_bad_value == OnBadValue::Raise {
            let message = "the cached value cannot be read; OPTIONS ON_BAD_VALUE = \"miss\" makes it a miss";
            let raised = py.import("pinyon.exceptions")?.getattr("BadValueError")?.call1((message,))?;
            let raised = PyErr::from_value(raised);
            raised.set_cause(py, Some(error));
            return Err(raised);
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            let message = "cache '%s': the value of %r cannot be read and counts as a miss: %s. Further ones are counted in \
                           stats() as bad_values and not logged.";
            let key = String::from_utf8_lossy(key).into_owned();
            let arguments = (message, self.alias.as_str(), key, reason(py, &error)?);
            hooks(py)?.logger.bind(py).call_method1("warning", arguments)?;
        }
        Ok(())
    }
}

/// Why a value cannot be read, without anything of the value: the name of a class or module that is gone is not one.
fn reason(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let kind = error.get_type(py).name()?.to_string();
    let names_a_class = error.is_instance_of::<PyImportError>(py) || error.is_instance_of::<PyAttributeError>(py);
    Ok(if names_a_class { format!("{kind}: {}", error.value(py).str()?) } else { kind })
}

/// A Python object of the settings as a node; what has no form in a settings file is named, not read.
fn node(object: &Bound<'_, PyAny>) -> PyResult<Node> {
    let value = if object.is_none() {
        Value::Null
    } else if let Ok(flag) = object.cast::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if object.is_instance_of::<PyInt>() {
        match object.extract() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::String(object.str()?.to_string()),
        }
    } else if let Ok(number) = object.cast::<PyFloat>() {
        Value::Float(number.value())
    } else if let Ok(text) = object.cast::<PyString>() {
        Value::String(text.to_string())
    } else if let Ok(table) = object.cast::<PyDict>() {
        let entries = table.iter().map(|(key, value)| Ok(Entry::new(key.str()?.to_string(), node(&value)?)));
        Value::Table(entries.collect::<PyResult<_>>()?)
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items = object.try_iter()?.map(|item| node(&item?));
        Value::List(items.collect::<PyResult<_>>()?)
    } else if let Ok(path) = object.call_method0("__fspath__").and_then(|path| path.extract::<String>()) {
        Value::String(path)
    } else if object.str().is_ok_and(|_| is_lazy_text(object)) {
        Value::String(object.str()?.to_string())
    } else {
        Value::Opaque(describe(object))
    };
    Ok(Node::new(value))
}

/// Django's lazy strings stand for text.
fn is_lazy_text(object: &Bound<'_, PyAny>) -> bool {
    object.get_type().name().is_ok_and(|name| name == "__proxy__")
}

fn describe(object: &Bound<'_, PyAny>) -> String {
    let name = |owner: &Bound<'_, PyAny>| -> PyResult<String> {
        Ok(format!("{}.{}", owner.getattr("__module__")?, owner.getattr("__qualname__")?))
    };
    name(object)
        .or_else(|_| Ok::<_, PyErr>(format!("an object of {}", name(object.get_type().as_any())?)))
        .unwrap_or_else(|_| "an object".to_owned())
}
