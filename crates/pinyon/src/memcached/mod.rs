//! Memcached, by its meta protocol (memcached 1.6 or later).
//!
//! - `protocol`: replies of the meta commands, no I/O.
//! - `command`: one cache operation as bytes, and its replies as the result.
//! - `placement`: which server has a key, as pymemcache's `HashClient` chooses it.
//! - [`MemcachedStore`]: all of it together.

mod command;
mod placement;
mod protocol;
mod store;

pub use placement::Rendezvous;
pub use store::MemcachedStore;

#[doc(hidden)]
pub use protocol::{MetaParser, MetaProtocol, MetaReply, Status};

#[cfg(test)]
mod protocol_tests;
