//! Django's cache framework with a Rust core.
//!
//! A Rust service and a Django site share one cache: the same `CACHES` dictionary, the same keys, timeouts and versions, and
//! values that both can read and write.
//!
//! ```
//! use pinyon::{Caches, Timeout};
//! # async fn render() -> String { "rendered".to_owned() }
//!
//! # #[cfg(feature = "tokio")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let caches = Caches::from_toml(r#"
//!     [default]
//!     BACKEND = "memory"
//!     KEY_PREFIX = "shop"
//! "#)?;
//! let cache = caches.get("default")?;
//!
//! cache.set("greeting", "hello", Timeout::Default).await?;
//! let greeting: Option<String> = cache.get("greeting").await?;
//! assert_eq!(greeting.as_deref(), Some("hello"));
//!
//! // Of all tasks that miss it at the same time, one renders the page.
//! let page = cache.get_or_set("page", Timeout::secs(30), || async { render().await }).await?;
//! assert_eq!(page, "rendered");
//!
//! // The same for threads that may wait. It starts no thread and no runtime.
//! cache.blocking().set("hits", &0, Timeout::Never)?;
//! assert_eq!(cache.blocking().incr("hits", 1)?, 1);
//! # Ok::<(), pinyon::Error>(())
//! # }).unwrap();
//! ```
//!
//! - [`Caches`] reads the dictionary from TOML, JSON, a URL or a settings.py; [`Cache`] is one of them, with methods
//!   for tasks of a tokio runtime (feature `tokio`, on by default); [`Cache::blocking`] has the same for threads, and needs neither
//!   that feature nor a runtime.
//! - [`Cache::redis`]: what Redis can do beyond that, typed: sets, hashes, lists, sorted sets, locks, keys by a pattern, scripts.
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
pub mod process;
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

/// The Rust example of the page about Redis compiles.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../../../docs/redis.md")]
struct RedisPage;

/// The Rust example of the README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
