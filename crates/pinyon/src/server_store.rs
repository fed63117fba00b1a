//! The contract of [`Store`] for what is kept on servers, over any [`Driver`].
//!
//! A backend writes each operation once, as an `async fn` that says which server gets which bytes and what the replies mean.
//! With the blocking driver it is a [`Store`]; with a multiplexed one it is what async Rust and asyncio run.

use crate::error::Result;
use crate::net::{Answered, Driver, Lease, Protocol, Servers, now};
use crate::store::{Integer, Item, Reach, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

/// A store on servers. Each method is the one of [`Store`] without its ending, over a driver, with the same meaning and
/// errors.
#[expect(clippy::missing_errors_doc, reason = "those of `Store`")]
pub trait ServerStore: Send + Sync + fmt::Debug + Sized + 'static {
    /// How its servers are talked to.
    type Protocol: Protocol;

    /// As [`Store::backend`].
    const BACKEND: &'static str;

    /// Its servers.
    fn servers(&self) -> &Servers<Self::Protocol>;

    /// As [`Store::check_key`].
    fn allows_key(&self, key: &str) -> Result<()>;

    /// The items in a server's answer to a `get_many`, each with the number of its key in the request; or to a `get`, with
    /// the number 0.
    fn items<A: Answered<Self::Protocol>>(answer: &A, visit: &mut dyn FnMut(usize, Item<'_>));

    /// As [`Store::get`].
    fn get_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        key: &str,
    ) -> impl Future<Output = Result<Found<Self, D::Answer>>>;

    /// As [`Store::get_many`].
    fn get_many_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        keys: &[&str],
    ) -> impl Future<Output = Result<Found<Self, D::Answer>>>;

    /// As [`Store::set`].
    fn set_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> impl Future<Output = Result<bool>>;

    /// As [`Store::add`].
    fn add_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> impl Future<Output = Result<bool>>;

    /// As [`Store::touch`].
    fn touch_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        key: &str,
        expiry: Expiry,
    ) -> impl Future<Output = Result<bool>>;

    /// As [`Store::delete`].
    fn delete_over<D: Driver<Self::Protocol>>(&self, driver: &D, key: &str) -> impl Future<Output = Result<bool>>;

    /// As [`Store::has`].
    fn has_over<D: Driver<Self::Protocol>>(&self, driver: &D, key: &str) -> impl Future<Output = Result<bool>>;

    /// As [`Store::incr`].
    fn incr_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        key: &str,
        delta: i64,
    ) -> impl Future<Output = Result<Option<Integer>>>;

    /// As [`Store::set_many`].
    fn set_many_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        items: &[(&str, Item<'_>)],
        expiry: Expiry,
    ) -> impl Future<Output = Result<Vec<usize>>>;

    /// As [`Store::delete_many`].
    fn delete_many_over<D: Driver<Self::Protocol>>(
        &self,
        driver: &D,
        keys: &[&str],
    ) -> impl Future<Output = Result<()>>;

    /// As [`Store::clear`].
    fn clear_over<D: Driver<Self::Protocol>>(&self, driver: &D) -> impl Future<Output = Result<()>>;

    /// As [`Store::ttl`].
    fn ttl_over<D: Driver<Self::Protocol>>(&self, driver: &D, key: &str) -> impl Future<Output = Result<Ttl>>;

    /// As [`Store::check`].
    fn check_over<D: Driver<Self::Protocol>>(&self, driver: &D) -> impl Future<Output = Vec<ServerReport>>;

    /// As [`Store::reach`].
    fn reached(self: Arc<Self>) -> Reach {
        Reach::Blocking
    }

    /// Number of open connections of this process to all its servers, of the blocking driver.
    fn open_connections(&self) -> usize {
        self.servers().open_connections()
    }

    /// [`Store::get`] on the calling thread; the item can be read where it arrived, for as long as the result lives.
    fn fetch(&self, key: &str) -> Result<Found<Self, Lease<Self::Protocol>>> {
        now(self.get_over(&self.servers().blocking(), key))
    }

    /// [`Store::get_many`], as [`ServerStore::fetch`].
    fn fetch_many(&self, keys: &[&str]) -> Result<Found<Self, Lease<Self::Protocol>>> {
        now(self.get_many_over(&self.servers().blocking(), keys))
    }
}

/// What the servers answered to a `get` or a `get_many`: items that can be read where they arrived.
pub struct Found<S, A> {
    /// From a server that was asked for all keys, in their order.
    one: Option<A>,
    /// From servers that were asked for the keys with these indexes.
    answers: Vec<(Vec<usize>, A)>,
    store: PhantomData<fn() -> S>,
}

impl<S: ServerStore, A: Answered<S::Protocol>> Found<S, A> {
    /// One server's answer to a request for all keys, in their order. None if no server was asked.
    pub(crate) fn one(answer: Option<A>) -> Self {
        Self { one: answer, answers: Vec::new(), store: PhantomData }
    }

    /// Several servers' answers, each with the indexes of its keys.
    pub(crate) fn several(answers: impl IntoIterator<Item = (Vec<usize>, A)>) -> Self {
        Self { one: None, answers: answers.into_iter().collect(), store: PhantomData }
    }

    /// Calls `visit` with the index of the key and the item of every value found, server by server.
    pub fn visit(&self, visit: &mut dyn FnMut(usize, Item<'_>)) {
        if let Some(answer) = &self.one {
            S::items(answer, visit);
        }
        for (keys, answer) in &self.answers {
            S::items(answer, &mut |number, item| {
                if let Some(index) = keys.get(number) {
                    visit(*index, item);
                }
            });
        }
    }

    /// Calls `visit` with the item that a `get` found; none if it found none.
    pub fn item<R>(&self, visit: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let (mut visit, mut result) = (Some(visit), None);
        self.visit(&mut |_, item| {
            if let Some(visit) = visit.take() {
                result = Some(visit(item));
            }
        });
        result
    }
}

// It says nothing about values.
impl<S: ServerStore, A> fmt::Debug for Found<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found({})", S::BACKEND)
    }
}

impl<S: ServerStore> Store for S {
    fn backend(&self) -> &'static str {
        S::BACKEND
    }

    fn check_key(&self, key: &str) -> Result<()> {
        self.allows_key(key)
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        Ok(self.fetch(key)?.item(visit).is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        now(self.set_over(&self.servers().blocking(), key, item, expiry))
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        now(self.add_over(&self.servers().blocking(), key, item, expiry))
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        now(self.touch_over(&self.servers().blocking(), key, expiry))
    }

    fn delete(&self, key: &str) -> Result<bool> {
        now(self.delete_over(&self.servers().blocking(), key))
    }

    fn has(&self, key: &str) -> Result<bool> {
        now(self.has_over(&self.servers().blocking(), key))
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        now(self.incr_over(&self.servers().blocking(), key, delta))
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        self.fetch_many(keys)?.visit(visit);
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        now(self.set_many_over(&self.servers().blocking(), items, expiry))
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        now(self.delete_many_over(&self.servers().blocking(), keys))
    }

    fn clear(&self) -> Result<()> {
        now(self.clear_over(&self.servers().blocking()))
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        now(self.ttl_over(&self.servers().blocking(), key))
    }

    fn check(&self) -> Vec<ServerReport> {
        now(self.check_over(&self.servers().blocking()))
    }

    fn reach(self: Arc<Self>) -> Reach {
        self.reached()
    }
}
