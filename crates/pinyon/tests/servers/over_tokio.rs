//! A store whose every operation runs over the tokio driver, so that the conformance suite runs on it too.

#![allow(unreachable_pub, reason = "a module of many test files, not of one crate")]

use pinyon::ServerStore;
use pinyon::store::{Integer, Item, ServerReport, Store};
use pinyon::timeout::{Expiry, Ttl};
use pinyon::{Error, Result};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The tokio face of `store`, for threads that are not of the runtime.
#[derive(Debug)]
pub struct OverTokio<S> {
    /// The store.
    pub store: Arc<S>,
    /// The runtime whose connections it uses.
    pub runtime: Handle,
}

macro_rules! run {
    ($self:ident.$over:ident($($argument:expr),*)) => {
        $self.runtime.block_on($self.store.$over($self.store.servers().tokio(), $($argument),*))
    };
}

impl<S: ServerStore> Store for OverTokio<S> {
    fn backend(&self) -> &'static str {
        S::BACKEND
    }

    fn check_key(&self, key: &str) -> Result<(), Error> {
        self.store.allows_key(key)
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        Ok(run!(self.get_over(key))?.item(visit).is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        run!(self.set_over(key, item, expiry))
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        run!(self.add_over(key, item, expiry))
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        run!(self.touch_over(key, expiry))
    }

    fn delete(&self, key: &str) -> Result<bool> {
        run!(self.delete_over(key))
    }

    fn has(&self, key: &str) -> Result<bool> {
        run!(self.has_over(key))
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        run!(self.incr_over(key, delta))
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        run!(self.get_many_over(keys))?.visit(visit);
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        run!(self.set_many_over(items, expiry))
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        run!(self.delete_many_over(keys))
    }

    fn clear(&self) -> Result<()> {
        run!(self.clear_over())
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        run!(self.ttl_over(key))
    }

    fn check(&self) -> Vec<ServerReport> {
        run!(self.check_over())
    }
}
