//! The CACHES dictionary: what it may say, and its readers.
//!
//! The same dictionary comes as TOML, as JSON, as one URL a cache, from a Django settings.py (feature `settings-py`), or, in
//! the Python face, as Django's own. Each reader makes a tree of [`node::Node`]s; validation turns the tree into [`Settings`] and reports everything that is wrong with
//! it at once. No key and no option is ever ignored: it works, or it is an error, or it is named in
//! [`Settings::warnings`].
//!
//! ```
//! let settings = pinyon::Settings::from_toml(
//!     r#"
//!     [default]
//!     BACKEND = "django.core.cache.backends.locmem.LocMemCache"
//!     TIMEOUT = 60
//!
//!     [redis_cache]
//!     BACKEND = "django_redis.cache.RedisCache"
//!     LOCATION = "redis://127.0.0.1:6379/1"
//!     "#,
//! )?;
//! assert_eq!(settings.caches.len(), 2);
//! # Ok::<(), pinyon::Error>(())
//! ```
mod backend;
mod database_options;
mod environment;
mod fields;
mod file_options;
mod formats;
mod json;
mod limits;
mod location;
mod mask;
mod memcached_options;
mod memory_options;
pub mod model;
pub mod node;
#[cfg(feature = "settings-py")]
mod python;
mod redis_cluster;
mod redis_options;
mod redis_servers;
mod sentinel_options;
mod server_list;
mod toml;
mod url;
mod validate;

#[cfg(test)]
mod tests;

pub use environment::{SETTINGS_VARIABLE, URL_VARIABLE};
pub use location::{MEMCACHED_PORT, REDIS_PORT, SENTINEL_PORT};
pub use model::*;
pub use node::{Entry, Location, Node, Span, Value};
