//! Django's cache framework with a Rust core.
#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod error;
pub mod key;
pub mod memcached;
pub mod memory;
pub mod net;
pub mod redis;
pub mod settings;
pub mod store;
pub mod timeout;
pub mod value;

pub use error::{Error, ErrorKind, Result};
pub use key::Version;
pub use settings::Settings;
pub use store::{Integer, Item, Store};
pub use timeout::{Expiry, Timeout, Ttl};
