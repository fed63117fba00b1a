//! The methods of a cache that block the calling thread.

use super::Cache;
use super::flight::{Flights, Lead, Wait};
use super::operations::{Access, Operations, take};
use crate::error::{Error, Result};
use crate::net::now;
use crate::settings::ClearScope;
use crate::store::{Integer, Item, ServerReport, Store};
use crate::timeout::{Expiry, Timeout, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// The blocking face of a [`Cache`], with the same errors.
#[derive(Clone, Copy, Debug)]
pub struct BlockingCache<'a> {
    pub(super) cache: &'a Cache,
}

#[allow(clippy::missing_errors_doc)] // said once, at `Cache`
impl<'a> BlockingCache<'a> {
    pub(super) fn new(cache: &'a Cache) -> Self {
        Self { cache }
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if there is a value that is no `T`, or a Python object that has no Rust form; the text names
    /// its class.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        now(self.here().get(key))
    }

    /// Stores a value. False if the server refused it (too large for Memcached); the key has no value then.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write it.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        let operations = self.here();
        let draft = operations.draft(key, value, timeout, "set")?;
        now(operations.set(&draft))
    }

    /// Stores a value if the key has none; returns whether it had none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write it.
    pub fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        let operations = self.here();
        let draft = operations.draft(key, value, timeout, "add")?;
        now(operations.add(&draft))
    }

    /// The value of `key`; if it has none, the value that `make` gives, which is stored unless another caller was faster:
    /// then theirs is everybody's.
    ///
    /// Of all threads of this process that miss the key of this store at the same time, one makes the value; the others wait for it.
    /// If it fails or panics, the next one makes it. `make` must not ask for its own key.
    ///
    /// # Errors
    /// As [`BlockingCache::get`] and [`BlockingCache::add`].
    pub fn get_or_set<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        timeout: Timeout,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        self.try_get_or_set(key, timeout, || Ok(make()))
    }

    /// As [`BlockingCache::get_or_set`] with a `make` that may fail. Then nothing is stored, and the next that waits makes the
    /// value.
    ///
    /// # Errors
    /// Those of `make`, and as [`BlockingCache::get_or_set`].
    pub fn try_get_or_set<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        key: &str,
        timeout: Timeout,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        now(self.here().try_get_or_set(key, timeout, || ready(make())))
    }

    /// Gives an existing entry a new timeout; returns whether it existed.
    pub fn touch(&self, key: &str, timeout: Timeout) -> Result<bool> {
        now(self.here().touch(key, timeout))
    }

    /// Removes an entry; returns whether it existed.
    pub fn delete(&self, key: &str) -> Result<bool> {
        now(self.here().delete(key))
    }

    /// Whether there is an entry.
    pub fn has_key(&self, key: &str) -> Result<bool> {
        now(self.here().has_key(key))
    }

    /// Adds `delta` to a stored integer, atomically, keeps its timeout, and returns the sum.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyNotFound`] if there is no entry, [`crate::ErrorKind::NotAnInteger`] if it is something else,
    /// [`crate::ErrorKind::OutOfRange`] if the sum does not fit (with Redis and memory it is stored all the same).
    pub fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        now(self.here().incr(key, delta))
    }

    /// As [`BlockingCache::incr`] with a negative delta. On Memcached a number does not go below 0.
    pub fn decr(&self, key: &str, delta: i64) -> Result<i64> {
        now(self.here().decr(key, delta))
    }

    /// The values of those of `keys` that have one, by key. One round trip a server.
    ///
    /// # Errors
    /// As [`BlockingCache::get`].
    pub fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<HashMap<String, T>> {
        now(self.here().get_many(keys))
    }

    /// Stores many values; returns the keys that were not stored, which have no value then. One round trip a server.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write one of them: then none is stored.
    pub fn set_many<'k, T: Serialize + 'k>(
        &self,
        items: impl IntoIterator<Item = (&'k str, T)>,
        timeout: Timeout,
    ) -> Result<Vec<String>> {
        let operations = self.here();
        let drafts = operations.drafts(items, timeout)?;
        now(operations.set_many(&drafts))
    }

    /// Removes many entries. One round trip a server.
    pub fn delete_many(&self, keys: &[&str]) -> Result<()> {
        now(self.here().delete_many(keys))
    }

    /// Moves a value to the version that is `delta` higher, keeps its timeout, and returns that version. Not atomic.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyNotFound`] if there is no entry, [`crate::ErrorKind::Unsupported`] if VERSION is not a number.
    pub fn incr_version(&self, key: &str, delta: i64) -> Result<i64> {
        now(self.here().incr_version(key, delta))
    }

    /// Removes every entry of the store, those of other applications in it too, as Django does; on Redis with `CLEAR = "prefix"`,
    /// only those of this cache's prefix and version.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] if that is asked for and KEY_FUNCTION hashes keys.
    pub fn clear(&self) -> Result<()> {
        match self.cache.clear_scope {
            ClearScope::Database => now(self.here().clear()),
            ClearScope::Prefix => self.redis()?.clear_prefix(),
        }
    }

    /// How long an entry has left.
    pub fn ttl(&self, key: &str) -> Result<Ttl> {
        now(self.here().ttl(key))
    }

    /// The value of `key` as text for people, whoever wrote it: a pickle is shown, never executed.
    pub fn show(&self, key: &str) -> Result<Option<String>> {
        now(self.here().show(key))
    }

    /// Asks every server how it is.
    pub fn check(&self) -> Vec<ServerReport> {
        now(self.here().check())
    }

    fn here(self) -> Operations<'a, Here<'a>> {
        Operations { cache: self.cache, store: Here(&*self.cache.shared.store) }
    }
}

static FLIGHTS: Flights = Flights::new();

/// A store that the calling thread asks. Nothing here is ever left waiting.
#[derive(Clone, Copy, Debug)]
struct Here<'a>(&'a dyn Store);

impl Access for Here<'_> {
    async fn get<R>(&self, key: &str, read: impl FnOnce(Item<'_>) -> R) -> Result<Option<R>> {
        take(self.0, key, read)
    }

    async fn get_many(&self, keys: &[&str], visit: &mut impl FnMut(usize, Item<'_>)) -> Result<()> {
        self.0.get_many(keys, visit)
    }

    async fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        self.0.set(key, item, expiry)
    }

    async fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        self.0.add(key, item, expiry)
    }

    async fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.0.touch(key, expiry)
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.0.delete(key)
    }

    async fn has(&self, key: &str) -> Result<bool> {
        self.0.has(key)
    }

    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        self.0.incr(key, delta)
    }

    async fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        self.0.set_many(items, expiry)
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<()> {
        self.0.delete_many(keys)
    }

    async fn clear(&self) -> Result<()> {
        self.0.clear()
    }

    async fn ttl(&self, key: &str) -> Result<Ttl> {
        self.0.ttl(key)
    }

    async fn check(&self) -> Result<Vec<ServerReport>> {
        Ok(self.0.check())
    }

    fn flights(&self) -> &'static Flights {
        &FLIGHTS
    }

    async fn wait(&self, wait: Wait) -> Option<Lead> {
        let waker = Waker::from(Arc::new(Sleeper(thread::current())));
        let mut wait = pin!(wait);
        loop {
            match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(lead) => return lead,
                Poll::Pending => thread::park(),
            }
        }
    }
}

/// A thread that waits.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
