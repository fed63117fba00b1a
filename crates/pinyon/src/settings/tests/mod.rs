//! The rules of the dictionary, through its readers.

mod database;
mod formats;
mod keys;
mod memcached;
mod readers;
mod redis;
mod sentinel;

use super::{BackendSettings, CacheSettings, MemcachedSettings, RedisSettings, Settings};

/// The one cache of a TOML text whose table is `[default]`.
fn cache(body: &str) -> CacheSettings {
    Settings::from_toml(&format!("[default]\n{body}")).unwrap().caches.remove(0)
}

/// What is said about a `[default]` that is wrong.
fn complaint(body: &str) -> String {
    let error = Settings::from_toml(&format!("[default]\n{body}")).unwrap_err();
    assert!(error.is_config());
    error.to_string()
}

fn redis(body: &str) -> RedisSettings {
    into_redis(cache(body))
}

fn into_redis(cache: CacheSettings) -> RedisSettings {
    match cache.backend {
        BackendSettings::Redis(settings) => settings,
        other => panic!("not Redis: {other:?}"),
    }
}

fn memcached(body: &str) -> MemcachedSettings {
    into_memcached(cache(body))
}

fn into_memcached(cache: CacheSettings) -> MemcachedSettings {
    match cache.backend {
        BackendSettings::Memcached(settings) => settings,
        other => panic!("not Memcached: {other:?}"),
    }
}

fn memory(body: &str) -> super::MemorySettings {
    match cache(body).backend {
        BackendSettings::Memory(settings) => settings,
        other => panic!("not memory: {other:?}"),
    }
}
