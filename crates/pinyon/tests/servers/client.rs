//! Stores of both network backends, so that a test says once what holds for both.

use pinyon::ServerStore;
use pinyon::memcached::MemcachedStore;
use pinyon::redis::RedisStore;
use pinyon::settings::{Address, MemcachedSettings, RedisServer, RedisSettings};
use pinyon::store::{Item, Store};
use pinyon::timeout::Expiry;
use std::sync::Arc;
use std::time::Duration;

/// An expiry that no test sees the end of.
pub const LONG: Expiry = Expiry::In(Duration::from_secs(300));

/// A store with what is beyond the [`Store`] trait.
#[derive(Clone)]
pub struct Client {
    /// `Redis` or `Memcached`.
    pub name: &'static str,
    /// The store.
    pub store: Arc<dyn Store>,
    open: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl Client {
    /// A client of a Redis cache.
    pub fn redis(settings: &RedisSettings) -> Self {
        let store = Arc::new(RedisStore::new(settings));
        let counted = store.clone();
        Self { name: "Redis", store, open: Arc::new(move || counted.open_connections()) }
    }

    /// A client of a Memcached cache.
    pub fn memcached(settings: &MemcachedSettings) -> Self {
        let store = Arc::new(MemcachedStore::new(settings));
        let counted = store.clone();
        Self { name: "Memcached", store, open: Arc::new(move || counted.open_connections()) }
    }

    /// Open connections, idle or in use.
    pub fn open_connections(&self) -> usize {
        (self.open)()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> pinyon::Result<Option<Vec<u8>>> {
        let mut found = None;
        self.store.get(key, &mut |item| found = Some(item.bytes.to_vec()))?;
        Ok(found)
    }

    /// Sets `key` for a long time.
    pub fn set(&self, key: &str, value: &[u8]) -> pinyon::Result<bool> {
        self.store.set(key, plain(value), LONG)
    }

    /// The values of `keys`.
    pub fn get_many(&self, keys: &[&str]) -> pinyon::Result<Vec<Option<Vec<u8>>>> {
        let mut found = vec![None; keys.len()];
        self.store.get_many(keys, &mut |index, item| found[index] = Some(item.bytes.to_vec()))?;
        Ok(found)
    }
}

/// An item without flags.
pub fn plain(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

/// A port on loopback.
pub fn loopback(port: u16) -> Address {
    Address::Tcp { host: "127.0.0.1".to_owned(), port }
}

/// Settings with one server and everything else as it is by default.
pub fn redis_at(address: Address) -> RedisSettings {
    RedisSettings { servers: vec![RedisServer::new(address)], ..RedisSettings::default() }
}

/// Settings with these servers and everything else as it is by default.
pub fn memcached_at(servers: impl IntoIterator<Item = Address>) -> MemcachedSettings {
    MemcachedSettings { servers: servers.into_iter().collect(), ..MemcachedSettings::default() }
}

/// A client of either backend for one address, with this operation timeout.
pub fn both(address: &Address, timeout: Duration) -> [Client; 2] {
    [
        Client::redis(&RedisSettings { timeout, ..redis_at(address.clone()) }),
        Client::memcached(&MemcachedSettings { timeout, ..memcached_at([address.clone()]) }),
    ]
}
