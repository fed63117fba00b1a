//! Django's cache framework with a Rust core.
//!
//! A Rust service and a Django site share one cache: the same `CACHES` dictionary, the same keys, timeouts and versions, and
//! values that both can read and write.
//!
//! ```
//! use pinyon::{Caches, Timeout};
//!
//! let caches = Caches::from_toml(r#"
//!     [default]
//!     BACKEND = "memory"
//!     KEY_PREFIX = "shop"
//! "#)?;
//! let cache = caches.get("default")?.blocking();
//!
//! cache.set("greeting", "hello", Timeout::Default)?;
//! let greeting: Option<String> = cache.get("greeting")?;
//! assert_eq!(greeting.as_deref(), Some("hello"));
//!
//! let page = cache.get_or_set("page", Timeout::secs(30), || "rendered".to_owned())?;
//! assert_eq!(page, "rendered");
//!
//! cache.set("hits", &0, Timeout::Never)?;
//! assert_eq!(cache.incr("hits", 1)?, 1);
//! # Ok::<(), pinyon::Error>(())
//! ```
//!
//! - [`Caches`] reads the dictionary from TOML, JSON, a URL or a settings.py; [`Cache`] is one of them; [`Cache::blocking`] has the methods.
//! - [`settings`]: every key and option, with its meaning and default.
//! - [`django`]: the keys under which Django caches pages and template fragments, so that a Rust program can drop them.
//! - [`memory::Memory`] holds values of any Rust type, without serializing them.
//! - [`database`]: Django's cache table on SQLite (feature `sqlite`, on by default), PostgreSQL (`postgres`) and MySQL or MariaDB
//!   (`mysql`). `database+sqlite:///path` is a whole cache that needs no server.
//! - [`Store`] is the byte-level contract behind every cache; with the feature `conformance` its test cases are there for a
//!   store of your own.
//! - [`Error`] answers questions: `is_timeout()`, `is_retryable()`, `is_ambiguous()`, `is_config()`.
#![forbid(unsafe_code)]

mod cache;
mod caches;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod database;
pub mod django;
pub mod dummy;
pub mod error;
pub mod file;
pub mod key;
pub mod memcached;
pub mod memory;
pub mod net;
pub mod redis;
mod server_store;
pub mod settings;
pub mod store;
pub mod timeout;
pub mod value;

pub use cache::{BlockingCache, Cache, Stats};
pub use caches::{Caches, CachesBuilder};
pub use error::{Error, ErrorKind, Result};
pub use key::Version;
pub use server_store::{Found, ServerStore};
pub use settings::Settings;
pub use store::{Integer, Item, Reach, Store};
pub use timeout::{Expiry, Timeout, Ttl};

/// The Rust example of the README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
