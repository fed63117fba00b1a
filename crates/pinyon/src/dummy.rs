//! The cache that stores nothing: for tests and development, in the place of any other.

use crate::error::Result;
use crate::store::{Integer, Item, Reach, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use std::sync::Arc;

/// Accepts everything and stores nothing, as Django's `DummyCache`: every `get` is a miss, `set` and `add` are content. Keys get the
/// same warnings as elsewhere, so that a key that Memcached would refuse is seen in development.
#[derive(Clone, Copy, Debug, Default)]
pub struct DummyStore;

impl Store for DummyStore {
    fn backend(&self) -> &'static str {
        "dummy"
    }

    fn check_key(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    fn get(&self, _key: &str, _visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        Ok(false)
    }

    fn set(&self, _key: &str, _item: Item<'_>, _expiry: Expiry) -> Result<bool> {
        Ok(true)
    }

    fn add(&self, _key: &str, _item: Item<'_>, _expiry: Expiry) -> Result<bool> {
        Ok(true)
    }

    fn touch(&self, _key: &str, _expiry: Expiry) -> Result<bool> {
        Ok(false)
    }

    fn delete(&self, _key: &str) -> Result<bool> {
        Ok(false)
    }

    fn has(&self, _key: &str) -> Result<bool> {
        Ok(false)
    }

    fn incr(&self, _key: &str, _delta: i64) -> Result<Option<Integer>> {
        Ok(None)
    }

    fn get_many(&self, _keys: &[&str], _visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        Ok(())
    }

    fn set_many(&self, _items: &[(&str, Item<'_>)], _expiry: Expiry) -> Result<Vec<usize>> {
        Ok(Vec::new())
    }

    fn delete_many(&self, _keys: &[&str]) -> Result<()> {
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        Ok(())
    }

    fn ttl(&self, _key: &str) -> Result<Ttl> {
        Ok(Ttl::Missing)
    }

    fn check(&self) -> Vec<ServerReport> {
        let version = concat!("Pinyon ", env!("CARGO_PKG_VERSION")).to_owned();
        let info = ServerInfo { version, entries: Some(0), ..ServerInfo::default() };
        vec![ServerReport { server: "dummy".to_owned(), result: Ok(info) }]
    }

    fn reach(self: Arc<Self>) -> Reach {
        Reach::Immediate
    }
}

#[cfg(test)]
mod tests {
    use crate::{Caches, ErrorKind, Timeout};

    #[test]
    fn nothing_is_stored_and_every_answer_is_that_of_djangos_dummy_cache() {
        let caches = Caches::from_url("dummy://").unwrap();
        let cache = caches.get("default").unwrap().blocking();
        assert!(cache.set("key", "value", Timeout::Never).unwrap());
        assert_eq!(cache.get::<String>("key").unwrap(), None);
        assert!(
            cache.add("key", "value", Timeout::Never).unwrap() && cache.add("key", "value", Timeout::Never).unwrap()
        );
        assert!(!cache.touch("key", Timeout::Never).unwrap());
        assert!(!cache.delete("key").unwrap() && !cache.has_key("key").unwrap());
        assert!(cache.set_many([("a", 1)], Timeout::Default).unwrap().is_empty());
        assert!(cache.get_many::<i64>(&["a"]).unwrap().is_empty());
        assert_eq!(cache.incr("key", 1).unwrap_err().kind(), ErrorKind::KeyNotFound);
        assert_eq!(cache.incr_version("key", 1).unwrap_err().kind(), ErrorKind::KeyNotFound);
        assert_eq!(cache.get_or_set("key", Timeout::Default, || "made".to_owned()).unwrap(), "made");
        cache.delete_many(&["a"]).unwrap();
        cache.clear().unwrap();
        assert!(cache.check().iter().all(|report| report.result.is_ok()));
    }
}
