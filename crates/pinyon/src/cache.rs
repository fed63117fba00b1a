//! One cache: typed values and Django's rules on top of a store of bytes.

use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyMaker, Version, key_warnings};
use crate::settings::OnBadValue;
use crate::store::{Item, ServerReport, Store};
use crate::timeout::{Expiry, Timeout, Ttl};
use crate::value::Codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A cache of the dictionary. Cloning it is cheap, and clones share everything.
///
/// The blocking face is [`Cache::blocking`]; it starts no thread and no runtime.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    keys: KeyMaker,
}

struct Shared {
    alias: String,
    timeout: Expiry,
    codec: Codec,
    on_bad_value: OnBadValue,
    store: Arc<dyn Store>,
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
        let counters = Counters::default();
        Self {
            shared: Arc::new(Shared { alias: alias.to_owned(), timeout, codec, on_bad_value, store, counters }),
            keys,
        }
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
        Self { shared: self.shared.clone(), keys: self.keys.with_version(version.into()) }
    }

    /// The methods that block the calling thread until the server has answered.
    pub fn blocking(&self) -> BlockingCache<'_> {
        BlockingCache { cache: self }
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

    fn make_keys(&self, keys: &[&str], operation: &'static str) -> Result<Vec<String>> {
        keys.iter().map(|key| self.make_key(key, operation)).collect()
    }

    fn explain(&self, error: Error, operation: &'static str) -> Error {
        error.with_alias(&self.shared.alias).with_operation(operation)
    }

    /// The value in `item`; none, counted and logged once, if its bytes cannot be read and the settings say so.
    fn decode<T: DeserializeOwned>(&self, key: &str, item: Item<'_>) -> Result<Option<T>> {
        match self.shared.codec.decode(item) {
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

/// The blocking face of a [`Cache`].
///
/// Every method may fail with a connection error ([`Error::is_connection`]) on a cache with servers, and with
/// [`ErrorKind::Key`] on Memcached; only the errors beyond those are listed.
#[derive(Clone, Copy, Debug)]
pub struct BlockingCache<'a> {
    cache: &'a Cache,
}

#[allow(clippy::missing_errors_doc)] // said once, above
impl BlockingCache<'_> {
    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if there is a value that is no `T`, or a Python object that has no Rust form; the text names
    /// its class.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let made = self.cache.make_key(key, "get")?;
        let mut value = Ok(None);
        let found = self.store().get(&made, &mut |item| value = self.cache.decode(&made, item));
        let value = found.and(value).map_err(|error| self.cache.explain(error, "get"))?;
        self.cache.count(usize::from(value.is_some()), usize::from(value.is_none()));
        Ok(value)
    }

    /// Stores a value. False if the server refused it (too large for Memcached); the key has no value then.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the serializer cannot write it.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        self.write(key, value, timeout, "set", |made, item, expiry| self.store().set(made, item, expiry))
    }

    /// Stores a value if the key has none; returns whether it had none.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the serializer cannot write it.
    pub fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        self.write(key, value, timeout, "add", |made, item, expiry| self.store().add(made, item, expiry))
    }

    /// The value of `key`; if it has none, the value that `make` gives, which is stored unless another caller was faster:
    /// then theirs is everybody's.
    ///
    /// # Errors
    /// As [`BlockingCache::get`] and [`BlockingCache::add`].
    pub fn get_or_set<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        timeout: Timeout,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        let value = make();
        if self.add(key, &value, timeout)? {
            return Ok(value);
        }
        if let Some(theirs) = self.get(key)? {
            return Ok(theirs);
        }
        // Bytes that cannot be read are in the way of `add`, and a miss for `get`.
        self.set(key, &value, timeout)?;
        Ok(value)
    }

    /// Gives an existing entry a new timeout; returns whether it existed.
    pub fn touch(&self, key: &str, timeout: Timeout) -> Result<bool> {
        let expiry = timeout.resolve(self.cache.shared.timeout);
        self.on_key(key, "touch", |made| self.store().touch(made, expiry))
    }

    /// Removes an entry; returns whether it existed.
    pub fn delete(&self, key: &str) -> Result<bool> {
        self.on_key(key, "delete", |made| self.store().delete(made))
    }

    /// Whether there is an entry.
    pub fn has_key(&self, key: &str) -> Result<bool> {
        self.on_key(key, "has_key", |made| self.store().has(made))
    }

    /// Adds `delta` to a stored integer, atomically, keeps its timeout, and returns the sum.
    ///
    /// # Errors
    /// [`ErrorKind::KeyNotFound`] if there is no entry, [`ErrorKind::NotAnInteger`] if it is something else,
    /// [`ErrorKind::OutOfRange`] if the sum does not fit (with Redis and memory it is stored all the same).
    pub fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.add_to(key, delta, "incr")
    }

    /// As [`BlockingCache::incr`] with a negative delta. On Memcached a number does not go below 0.
    pub fn decr(&self, key: &str, delta: i64) -> Result<i64> {
        let negated = delta.checked_neg().ok_or_else(|| {
            self.cache.explain(Error::new(ErrorKind::OutOfRange, "the delta is too large to be negated"), "decr")
        })?;
        self.add_to(key, negated, "decr")
    }

    /// The values of those of `keys` that have one, by key. One round trip a server.
    ///
    /// # Errors
    /// As [`BlockingCache::get`].
    pub fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<HashMap<String, T>> {
        let made = self.cache.make_keys(keys, "get_many")?;
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        let mut found = HashMap::new();
        let mut failure = None;
        let outcome = self.store().get_many(&made, &mut |index, item| match self.cache.decode(made[index], item) {
            Ok(Some(value)) => _ = found.insert(keys[index].to_owned(), value),
            Ok(None) => {}
            Err(error) => failure = Some(error),
        });
        outcome.and(failure.map_or(Ok(()), Err)).map_err(|error| self.cache.explain(error, "get_many"))?;
        self.cache.count(found.len(), keys.len().saturating_sub(found.len()));
        Ok(found)
    }

    /// Stores many values; returns the keys that were not stored, which have no value then. One round trip a server.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the serializer cannot write one of them: then none is stored.
    pub fn set_many<'k, T: Serialize + 'k>(
        &self,
        items: impl IntoIterator<Item = (&'k str, T)>,
        timeout: Timeout,
    ) -> Result<Vec<String>> {
        let expiry = timeout.resolve(self.cache.shared.timeout);
        let mut encoded = Vec::new();
        for (key, value) in items {
            let made = self.cache.make_key(key, "set_many")?;
            let value =
                self.cache.shared.codec.encode(&value).map_err(|error| self.cache.explain(error, "set_many"))?;
            encoded.push((key, made, value));
        }
        let pairs: Vec<(&str, Item<'_>)> =
            encoded.iter().map(|(_, made, value)| (made.as_str(), value.item())).collect();
        let failed = self.store().set_many(&pairs, expiry).map_err(|error| self.cache.explain(error, "set_many"))?;
        Ok(failed.into_iter().map(|index| encoded[index].0.to_owned()).collect())
    }

    /// Removes many entries. One round trip a server.
    pub fn delete_many(&self, keys: &[&str]) -> Result<()> {
        let made = self.cache.make_keys(keys, "delete_many")?;
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        self.store().delete_many(&made).map_err(|error| self.cache.explain(error, "delete_many"))
    }

    /// Moves a value to the version that is `delta` higher, keeps its timeout, and returns that version. Not atomic.
    ///
    /// # Errors
    /// [`ErrorKind::KeyNotFound`] if there is no entry, [`ErrorKind::Unsupported`] if VERSION is not a number.
    pub fn incr_version(&self, key: &str, delta: i64) -> Result<i64> {
        let Version::Number(version) = *self.cache.keys.version() else {
            let error = Error::new(ErrorKind::Unsupported, "the VERSION of this cache is not a number");
            return Err(self.cache.explain(error, "incr_version"));
        };
        let next = version.saturating_add(delta);
        let (from, to) =
            (self.cache.make_key(key, "incr_version")?, self.cache.with_version(next).make_key(key, "incr_version")?);
        self.rename(key, &from, &to).map_err(|error| self.cache.explain(error, "incr_version"))?;
        Ok(next)
    }

    /// Removes every entry of the store, those of other applications in it too, as Django does.
    pub fn clear(&self) -> Result<()> {
        self.store().clear().map_err(|error| self.cache.explain(error, "clear"))
    }

    /// How long an entry has left.
    pub fn ttl(&self, key: &str) -> Result<Ttl> {
        self.on_key(key, "ttl", |made| self.store().ttl(made))
    }

    /// The value of `key` as text for people, whoever wrote it: a pickle is shown, never executed.
    pub fn show(&self, key: &str) -> Result<Option<String>> {
        let mut shown = None;
        self.on_key(key, "get", |made| {
            self.store().get(made, &mut |item| shown = Some(self.cache.shared.codec.show(item)))
        })?;
        Ok(shown)
    }

    /// Asks every server how it is.
    pub fn check(&self) -> Vec<ServerReport> {
        let mut reports = self.store().check();
        for report in &mut reports {
            let result = std::mem::replace(&mut report.result, Ok(crate::store::ServerInfo::default()));
            report.result = result.map_err(|error| self.cache.explain(error, "check"));
        }
        reports
    }

    fn store(&self) -> &dyn Store {
        &*self.cache.shared.store
    }

    fn on_key<R>(self, key: &str, operation: &'static str, ask: impl FnOnce(&str) -> Result<R>) -> Result<R> {
        let made = self.cache.make_key(key, operation)?;
        ask(&made).map_err(|error| self.cache.explain(error, operation))
    }

    fn write<T: Serialize + ?Sized>(
        self,
        key: &str,
        value: &T,
        timeout: Timeout,
        operation: &'static str,
        ask: impl FnOnce(&str, Item<'_>, Expiry) -> Result<bool>,
    ) -> Result<bool> {
        let expiry = timeout.resolve(self.cache.shared.timeout);
        self.on_key(key, operation, |made| {
            let encoded = self.cache.shared.codec.encode(value)?;
            ask(made, encoded.item(), expiry)
        })
    }

    fn add_to(self, key: &str, delta: i64, operation: &'static str) -> Result<i64> {
        self.on_key(key, operation, |made| match self.store().incr(made, delta)? {
            Some(sum) => sum.to_i64(),
            None => Err(key_not_found(key)),
        })
    }

    fn rename(self, key: &str, from: &str, to: &str) -> Result<()> {
        let expiry = match self.store().ttl(from)? {
            Ttl::Missing => return Err(key_not_found(key)),
            Ttl::Never => Expiry::Never,
            Ttl::Left(left) if left.is_zero() => Expiry::Now,
            Ttl::Left(left) => Expiry::In(left),
        };
        let mut moved = None;
        self.store().get(from, &mut |item| moved = Some((item.bytes.to_vec(), item.flags)))?;
        let (bytes, flags) = moved.ok_or_else(|| key_not_found(key))?;
        if !self.store().set(to, Item { bytes: &bytes, flags }, expiry)? {
            return Err(Error::new(ErrorKind::Server, "the server did not take the value; it stays where it is"));
        }
        self.store().delete(from)?;
        Ok(())
    }
}

fn key_not_found(key: &str) -> Error {
    Error::new(ErrorKind::KeyNotFound, format!("Key '{key}' not found"))
}
