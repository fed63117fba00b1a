//! One cache of each backend for tests of the typed face: memory, a real Redis and a real Memcached.
#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(unreachable_pub, reason = "a module of many test files, not of one crate")]

#[path = "../servers/mod.rs"]
pub mod servers;

use pinyon::Caches;
use servers::Server;
use std::sync::atomic::{AtomicU32, Ordering};

/// The aliases of [`Backends::caches`].
pub const ALIASES: [&str; 3] = ["memory", "redis", "memcached"];

static MEMORIES: AtomicU32 = AtomicU32::new(0);

/// The servers of one test.
pub struct Backends {
    pub redis: Server,
    pub memcached: Server,
    memory: String,
}

impl Backends {
    pub fn start() -> Self {
        let memory = format!("test {}", MEMORIES.fetch_add(1, Ordering::Relaxed));
        Self { redis: servers::redis().start(), memcached: servers::memcached().start(), memory }
    }

    /// The same settings for all three, with these keys, for example `VERSION = 2`, and these options, for example
    /// `SERIALIZER = "json"`.
    pub fn toml(&self, keys: &str, options: &str) -> String {
        let redis = format!("redis://127.0.0.1:{}/1", self.redis.port());
        let memcached = format!("127.0.0.1:{}", self.memcached.port());
        ALIASES
            .into_iter()
            .zip([&self.memory, &redis, &memcached])
            .map(|(alias, location)| {
                format!(
                    "[{alias}]\nBACKEND = '{alias}'\nLOCATION = '{location}'\n{keys}\nOPTIONS = {{ {options} }}\n\n"
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The caches of [`Backends::toml`].
    pub fn caches(&self, keys: &str, options: &str) -> Caches {
        Caches::from_toml(&self.toml(keys, options)).expect("settings")
    }
}
