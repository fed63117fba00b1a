//! The methods of a cache for tasks of a tokio runtime.

use super::Cache;
use super::operations::Operations;
use super::task::InTask;
use crate::error::{Error, Result};
use crate::settings::ClearScope;
use crate::store::ServerReport;
use crate::timeout::{Timeout, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::future::Future;

#[allow(clippy::missing_errors_doc)] // said once, at `Cache`
impl Cache {
    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if there is a value that is no `T`, or a Python object that has no Rust form; the text names
    /// its class.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.in_task().get(key).await
    }

    /// Stores a value. False if the server refused it (too large for Memcached); the key has no value then.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write it.
    pub async fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        let operations = self.in_task();
        let draft = operations.draft(key, value, timeout, "set")?;
        operations.set(&draft).await
    }

    /// Stores a value if the key has none; returns whether it had none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write it.
    pub async fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T, timeout: Timeout) -> Result<bool> {
        let operations = self.in_task();
        let draft = operations.draft(key, value, timeout, "add")?;
        operations.add(&draft).await
    }

    /// The value of `key`; if it has none, the value that `make` gives, which is stored unless another caller was faster:
    /// then theirs is everybody's.
    ///
    /// Of all tasks of this process that miss the key of this store at the same time, one makes the value; the others wait for it.
    /// If it fails, is dropped or panics, the next one makes it. `make` must not ask for its own key.
    ///
    /// # Errors
    /// As [`Cache::get`] and [`Cache::add`].
    pub async fn get_or_set<T, F>(&self, key: &str, timeout: Timeout, make: impl FnOnce() -> F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = T>,
    {
        self.try_get_or_set(key, timeout, || async { Ok(make().await) }).await
    }

    /// As [`Cache::get_or_set`] with a `make` that may fail. Then nothing is stored, and the next that waits makes the value.
    ///
    /// # Errors
    /// Those of `make`, and as [`Cache::get_or_set`].
    pub async fn try_get_or_set<T, E, F>(&self, key: &str, timeout: Timeout, make: impl FnOnce() -> F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        self.in_task().try_get_or_set(key, timeout, make).await
    }

    /// Gives an existing entry a new timeout; returns whether it existed.
    pub async fn touch(&self, key: &str, timeout: Timeout) -> Result<bool> {
        self.in_task().touch(key, timeout).await
    }

    /// Removes an entry; returns whether it existed.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        self.in_task().delete(key).await
    }

    /// Whether there is an entry.
    pub async fn has_key(&self, key: &str) -> Result<bool> {
        self.in_task().has_key(key).await
    }

    /// Adds `delta` to a stored integer, atomically, keeps its timeout, and returns the sum.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyNotFound`] if there is no entry, [`crate::ErrorKind::NotAnInteger`] if it is something else,
    /// [`crate::ErrorKind::OutOfRange`] if the sum does not fit (with Redis and memory it is stored all the same).
    pub async fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.in_task().incr(key, delta).await
    }

    /// As [`Cache::incr`] with a negative delta. On Memcached a number does not go below 0.
    pub async fn decr(&self, key: &str, delta: i64) -> Result<i64> {
        self.in_task().decr(key, delta).await
    }

    /// The values of those of `keys` that have one, by key. One round trip a server.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<HashMap<String, T>> {
        self.in_task().get_many(keys).await
    }

    /// Stores many values; returns the keys that were not stored, which have no value then. One round trip a server.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Value`] if the serializer cannot write one of them: then none is stored.
    pub async fn set_many<'k, T: Serialize + 'k>(
        &self,
        items: impl IntoIterator<Item = (&'k str, T)>,
        timeout: Timeout,
    ) -> Result<Vec<String>> {
        let operations = self.in_task();
        let drafts = operations.drafts(items, timeout)?;
        operations.set_many(&drafts).await
    }

    /// Removes many entries. One round trip a server.
    pub async fn delete_many(&self, keys: &[&str]) -> Result<()> {
        self.in_task().delete_many(keys).await
    }

    /// Moves a value to the version that is `delta` higher, keeps its timeout, and returns that version. Not atomic.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyNotFound`] if there is no entry, [`crate::ErrorKind::Unsupported`] if VERSION is not a number.
    pub async fn incr_version(&self, key: &str, delta: i64) -> Result<i64> {
        self.in_task().incr_version(key, delta).await
    }

    /// Removes every entry of the store, those of other applications in it too, as Django does; on Redis with `CLEAR = "prefix"`,
    /// only those of this cache's prefix and version.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] if that is asked for and KEY_FUNCTION hashes keys.
    pub async fn clear(&self) -> Result<()> {
        match self.clear_scope {
            ClearScope::Database => self.in_task().clear().await,
            ClearScope::Prefix => self.redis()?.clear_prefix().await,
        }
    }

    /// How long an entry has left.
    pub async fn ttl(&self, key: &str) -> Result<Ttl> {
        self.in_task().ttl(key).await
    }

    /// The value of `key` as text for people, whoever wrote it: a pickle is shown, never executed.
    pub async fn show(&self, key: &str) -> Result<Option<String>> {
        self.in_task().show(key).await
    }

    /// Asks every server how it is.
    pub async fn check(&self) -> Vec<ServerReport> {
        self.in_task().check().await
    }

    fn in_task(&self) -> Operations<'_, InTask<'_>> {
        Operations { cache: self, store: InTask { store: &self.shared.store, reach: &self.shared.reach } }
    }
}
