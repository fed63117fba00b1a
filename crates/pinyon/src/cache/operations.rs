//! The operations of a cache, each written once.

use super::Cache;
use super::flight::{Flights, Lead, Turn, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Version;
use crate::store::{Integer, Item, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Timeout, Ttl};
use crate::value::Encoded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::future::Future;

/// How a store is asked: by the thread that calls, or by a task. Each method is the one of [`crate::Store`].
pub(super) trait Access {
    async fn get<R>(&self, key: &str, read: impl FnOnce(Item<'_>) -> R) -> Result<Option<R>>;
    async fn get_many(&self, keys: &[&str], visit: &mut impl FnMut(usize, Item<'_>)) -> Result<()>;
    async fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool>;
    async fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool>;
    async fn touch(&self, key: &str, expiry: Expiry) -> Result<bool>;
    async fn delete(&self, key: &str) -> Result<bool>;
    async fn has(&self, key: &str) -> Result<bool>;
    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>>;
    async fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>>;
    async fn delete_many(&self, keys: &[&str]) -> Result<()>;
    async fn clear(&self) -> Result<()>;
    async fn ttl(&self, key: &str) -> Result<Ttl>;
    async fn check(&self) -> Result<Vec<ServerReport>>;

    /// What is being made by those who may wait for one another.
    fn flights(&self) -> &'static Flights;

    /// Waits for another's value.
    async fn wait(&self, wait: Wait) -> Option<Lead>;
}

/// The operations of `cache`, asked through `store`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operations<'a, A> {
    pub(super) cache: &'a Cache,
    pub(super) store: A,
}

impl<A: Access> Operations<'_, A> {
    pub(super) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let made = self.cache.make_key(key, "get")?;
        self.read(&made).await
    }

    pub(super) async fn set(&self, draft: &Draft) -> Result<bool> {
        self.explained("set", self.store.set(&draft.made, draft.value.item(), draft.expiry)).await
    }

    pub(super) async fn add(&self, draft: &Draft) -> Result<bool> {
        self.explained("add", self.store.add(&draft.made, draft.value.item(), draft.expiry)).await
    }

    pub(super) async fn try_get_or_set<T, E, F>(
        &self,
        key: &str,
        timeout: Timeout,
        make: impl FnOnce() -> F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let made = self.cache.make_key(key, "get")?;
        let flights = self.store.flights();
        let landed = flights.landed();
        if let Some(value) = self.read(&made).await? {
            return Ok(value);
        }
        let (lead, may_be_there) = match flights.join(self.cache.address_of_store(), &made) {
            Turn::Lead(lead) => (Some(lead), flights.landed() != landed),
            Turn::Wait(wait) => (self.store.wait(wait).await, true),
        };
        if may_be_there && let Some(value) = self.read(&made).await? {
            return Ok(value);
        }
        let value = make().await?;
        let draft = self.encode(made, &value, timeout, "add")?;
        let mut theirs = None;
        if !self.add(&draft).await? {
            theirs = self.read(&draft.made).await?;
            if theirs.is_none() {
                // Bytes that cannot be read are in the way of `add`, and a miss for `get`.
                self.set(&draft).await?;
            }
        }
        if let Some(lead) = lead {
            lead.land();
        }
        Ok(theirs.unwrap_or(value))
    }

    pub(super) async fn touch(&self, key: &str, timeout: Timeout) -> Result<bool> {
        let made = self.cache.make_key(key, "touch")?;
        self.explained("touch", self.store.touch(&made, timeout.resolve(self.cache.shared.timeout))).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<bool> {
        let made = self.cache.make_key(key, "delete")?;
        self.explained("delete", self.store.delete(&made)).await
    }

    pub(super) async fn has_key(&self, key: &str) -> Result<bool> {
        let made = self.cache.make_key(key, "has_key")?;
        self.explained("has_key", self.store.has(&made)).await
    }

    pub(super) async fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.add_to(key, delta, "incr").await
    }

    pub(super) async fn decr(&self, key: &str, delta: i64) -> Result<i64> {
        let negated = delta.checked_neg().ok_or_else(|| {
            self.cache.explain(Error::new(ErrorKind::OutOfRange, "the delta is too large to be negated"), "decr")
        })?;
        self.add_to(key, negated, "decr").await
    }

    pub(super) async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<HashMap<String, T>> {
        let made = self.make_keys(keys, "get_many")?;
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        let mut found = HashMap::new();
        let mut failure = None;
        let mut visit = |index: usize, item: Item<'_>| match self.cache.decode(made[index], item) {
            Ok(Some(value)) => _ = found.insert(keys[index].to_owned(), value),
            Ok(None) => {}
            Err(error) => failure = Some(error),
        };
        let outcome = self.store.get_many(&made, &mut visit).await;
        outcome.and(failure.map_or(Ok(()), Err)).map_err(|error| self.cache.explain(error, "get_many"))?;
        self.cache.count(found.len(), keys.len().saturating_sub(found.len()));
        Ok(found)
    }

    pub(super) async fn set_many(&self, drafts: &[(&str, Draft)]) -> Result<Vec<String>> {
        let Some((_, Draft { expiry, .. })) = drafts.first() else { return Ok(Vec::new()) };
        let items: Vec<(&str, Item<'_>)> =
            drafts.iter().map(|(_, draft)| (draft.made.as_str(), draft.value.item())).collect();
        let failed = self.explained("set_many", self.store.set_many(&items, *expiry)).await?;
        Ok(failed.into_iter().map(|index| drafts[index].0.to_owned()).collect())
    }

    pub(super) async fn delete_many(&self, keys: &[&str]) -> Result<()> {
        let made = self.make_keys(keys, "delete_many")?;
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        self.explained("delete_many", self.store.delete_many(&made)).await
    }

    pub(super) async fn incr_version(&self, key: &str, delta: i64) -> Result<i64> {
        let Version::Number(version) = *self.cache.keys.version() else {
            let error = Error::new(ErrorKind::Unsupported, "the VERSION of this cache is not a number");
            return Err(self.cache.explain(error, "incr_version"));
        };
        let next = version.saturating_add(delta);
        let from = self.cache.make_key(key, "incr_version")?;
        let to = self.cache.with_version(next).make_key(key, "incr_version")?;
        self.explained("incr_version", self.rename(key, &from, &to)).await?;
        Ok(next)
    }

    pub(super) async fn clear(&self) -> Result<()> {
        self.explained("clear", self.store.clear()).await
    }

    pub(super) async fn ttl(&self, key: &str) -> Result<Ttl> {
        let made = self.cache.make_key(key, "ttl")?;
        self.explained("ttl", self.store.ttl(&made)).await
    }

    pub(super) async fn show(&self, key: &str) -> Result<Option<String>> {
        let made = self.cache.make_key(key, "get")?;
        self.explained("get", self.store.get(&made, |item| self.cache.shared.codec.show(item))).await
    }

    pub(super) async fn check(&self) -> Vec<ServerReport> {
        let mut reports = self.store.check().await.unwrap_or_else(|error| {
            vec![ServerReport { server: self.cache.shared.store.backend().to_owned(), result: Err(error) }]
        });
        for report in &mut reports {
            let result = std::mem::replace(&mut report.result, Ok(ServerInfo::default()));
            report.result = result.map_err(|error| self.cache.explain(error, "check"));
        }
        reports
    }

    /// What `set` or `add` stores.
    pub(super) fn draft<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        timeout: Timeout,
        operation: &'static str,
    ) -> Result<Draft> {
        self.encode(self.cache.make_key(key, operation)?, value, timeout, operation)
    }

    /// What `set_many` stores.
    pub(super) fn drafts<'k, T: Serialize>(
        &self,
        items: impl IntoIterator<Item = (&'k str, T)>,
        timeout: Timeout,
    ) -> Result<Vec<(&'k str, Draft)>> {
        items.into_iter().map(|(key, value)| Ok((key, self.draft(key, &value, timeout, "set_many")?))).collect()
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        made: String,
        value: &T,
        timeout: Timeout,
        operation: &'static str,
    ) -> Result<Draft> {
        let shared = &self.cache.shared;
        let value = shared.codec.encode(value).map_err(|error| self.cache.explain(error, operation))?;
        Ok(Draft { made, value, expiry: timeout.resolve(shared.timeout) })
    }

    fn make_keys(&self, keys: &[&str], operation: &'static str) -> Result<Vec<String>> {
        keys.iter().map(|key| self.cache.make_key(key, operation)).collect()
    }

    async fn explained<R>(&self, operation: &'static str, asked: impl Future<Output = Result<R>>) -> Result<R> {
        asked.await.map_err(|error| self.cache.explain(error, operation))
    }

    /// The value of a made key.
    async fn read<T: DeserializeOwned>(&self, made: &str) -> Result<Option<T>> {
        let found = self.store.get(made, |item| self.cache.decode(made, item)).await;
        let value = found.and_then(|found| found.unwrap_or(Ok(None)));
        let value = value.map_err(|error| self.cache.explain(error, "get"))?;
        self.cache.count(usize::from(value.is_some()), usize::from(value.is_none()));
        Ok(value)
    }

    async fn add_to(&self, key: &str, delta: i64, operation: &'static str) -> Result<i64> {
        let made = self.cache.make_key(key, operation)?;
        let sum = self.explained(operation, self.store.incr(&made, delta)).await?;
        let sum = sum.ok_or_else(|| key_not_found(key)).and_then(|sum| sum.to_i64());
        sum.map_err(|error| self.cache.explain(error, operation))
    }

    async fn rename(&self, key: &str, from: &str, to: &str) -> Result<()> {
        let expiry = match self.store.ttl(from).await? {
            Ttl::Missing => return Err(key_not_found(key)),
            Ttl::Never => Expiry::Never,
            Ttl::Left(left) if left.is_zero() => Expiry::Now,
            Ttl::Left(left) => Expiry::In(left),
        };
        let moved = self.store.get(from, Encoded::of).await?;
        let moved = moved.ok_or_else(|| key_not_found(key))?;
        if !self.store.set(to, moved.item(), expiry).await? {
            return Err(Error::new(ErrorKind::Server, "the server did not take the value; it stays where it is"));
        }
        self.store.delete(from).await?;
        Ok(())
    }
}

/// What is to be stored, under a made key.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    made: String,
    value: Encoded,
    expiry: Expiry,
}

/// What `read` makes of the item of a key in a store that is asked in place.
pub(super) fn take<R>(store: &dyn Store, key: &str, read: impl FnOnce(Item<'_>) -> R) -> Result<Option<R>> {
    let (mut read, mut result) = (Some(read), None);
    store.get(key, &mut |item| result = read.take().map(|read| read(item)))?;
    Ok(result)
}

fn key_not_found(key: &str) -> Error {
    Error::new(ErrorKind::KeyNotFound, format!("Key '{key}' not found"))
}
