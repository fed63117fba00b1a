//! One cache: typed values and Django's rules on top of a store of bytes.
//!
//! Each operation is written once, over what its store is asked through: the calling thread ([`BlockingCache`]) or a task
//! of a tokio runtime (the methods of [`Cache`] itself).

#[cfg(feature = "tokio")]
mod asynchronous;
mod blocking;
mod flight;
mod operations;
pub(crate) mod redis;
#[cfg(feature = "tokio")]
mod task;

pub use blocking::BlockingCache;

use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyMaker, Version, key_warnings};
use crate::settings::{ClearScope, OnBadValue};
use crate::store::{Item, Reach, Store};
use crate::timeout::Expiry;
use crate::value::Codec;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A cache of the dictionary. Cloning it is cheap, and clones share everything.
///
/// With the feature `tokio`, its own methods are those of async Rust, to be awaited in a task of a tokio runtime; their futures
/// are `Send`. [`Cache::blocking`] has the same methods for threads that may wait, with or without that feature; they start no
/// thread and no runtime.
///
/// Every operation may fail with a connection error ([`Error::is_connection`]) on a cache with servers, with
/// [`ErrorKind::Key`] on Memcached, and, if it is async, with [`ErrorKind::Unsupported`] outside a tokio runtime; only the errors
/// beyond those are listed.
///
/// **What an await waits for.** Redis and Memcached are asked over one connection a server and runtime, which all tasks share.
/// Memory answers in place. Files, databases and [stores of your own](Store::reach) are asked on a thread of the runtime that
/// may block. A future that is dropped asks for nothing more; what it has sent is still carried out, and the answer is
/// dropped.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    keys: KeyMaker,
    clear_scope: ClearScope,
}

struct Shared {
    alias: String,
    timeout: Expiry,
    codec: Codec,
    on_bad_value: OnBadValue,
    store: Arc<dyn Store>,
    reach: Reach,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    bad_values: AtomicU64,
    warned: AtomicBool,
}

/// What a cache has done in this process, through this object and its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Values that were found.
    pub hits: u64,
    /// Values that were not.
    pub misses: u64,
    /// Misses whose bytes could not be read; see `ON_BAD_VALUE`.
    pub bad_values: u64,
}

impl Cache {
    /// A cache on any store: your own, or one of this crate's. [`crate::Caches`] makes one from settings.
    pub fn new(alias: &str, store: Arc<dyn Store>, codec: Codec, keys: KeyMaker, timeout: Expiry) -> Self {
        Self::with_bad_values(alias, store, codec, keys, timeout, OnBadValue::default())
    }

    pub(crate) fn with_bad_values(
        alias: &str,
        store: Arc<dyn Store>,
        codec: Codec,
        keys: KeyMaker,
        timeout: Expiry,
        on_bad_value: OnBadValue,
    ) -> Self {
        let shared = Shared {
            alias: alias.to_owned(),
            timeout,
            codec,
            on_bad_value,
            reach: store.clone().reach(),
            store,
            counters: Counters::default(),
        };
        Self { shared: Arc::new(shared), keys, clear_scope: ClearScope::default() }
    }

    /// The same cache, whose `clear` removes this much.
    pub(crate) fn clearing(self, clear_scope: ClearScope) -> Self {
        Self { clear_scope, ..self }
    }

    /// The name of the cache in the dictionary.
    pub fn alias(&self) -> &str {
        &self.shared.alias
    }

    /// The byte-level store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The same cache with another default version.
    #[must_use]
    pub fn with_version(&self, version: impl Into<Version>) -> Self {
        Self { keys: self.keys.with_version(version.into()), ..self.clone() }
    }

    /// The methods that block the calling thread until the server has answered.
    pub fn blocking(&self) -> BlockingCache<'_> {
        BlockingCache::new(self)
    }

    /// What has been found and missed.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            hits: counters.hits.load(Ordering::Relaxed),
            misses: counters.misses.load(Ordering::Relaxed),
            bad_values: counters.bad_values.load(Ordering::Relaxed),
        }
    }

    fn make_key(&self, key: &str, operation: &'static str) -> Result<String> {
        let made = self.keys.make(key);
        self.shared.store.check_key(&made).map_err(|error| self.explain(error, operation))?;
        if !crate::key::is_portable(&made) {
            for warning in key_warnings(&made) {
                tracing::warn!(alias = self.shared.alias, "{warning}");
            }
        }
        Ok(made)
    }

    /// What tells two stores apart while they exist.
    fn address_of_store(&self) -> usize {
        Arc::as_ptr(&self.shared.store).addr()
    }

    fn explain(&self, error: Error, operation: &'static str) -> Error {
        error.with_alias(&self.shared.alias).with_operation(operation)
    }

    /// The value in `item`; none as [`Cache::readable`] says.
    fn decode<T: DeserializeOwned>(&self, key: &str, item: Item<'_>) -> Result<Option<T>> {
        self.readable(key, self.shared.codec.decode(item))
    }

    /// A value that was decoded; none, counted and logged once, if its bytes cannot be read and the settings say so.
    fn readable<T>(&self, key: &str, decoded: Result<T>) -> Result<Option<T>> {
        match decoded {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::BadValue && self.shared.on_bad_value == OnBadValue::Miss => {
                let counters = &self.shared.counters;
                counters.bad_values.fetch_add(1, Ordering::Relaxed);
                if !counters.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(alias = self.shared.alias, key, %error, "a cached value cannot be read and counts as a miss");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn count(&self, hits: usize, misses: usize) {
        self.shared.counters.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.shared.counters.misses.fetch_add(misses as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({:?}, {})", self.shared.alias, self.shared.store.backend())
    }
}
