//! Redis and Valkey.
//!
//! - `protocol`: RESP2 and RESP3, bytes to replies and back, no I/O.
//! - `command`: one cache operation as bytes, and its replies as the result.
//! - [`Commands`]: commands that the caller words; `worded`: how they are sent.
//! - `group`: a primary with its replicas. `ring`, `topology`: which group has a key.
//! - `sentinel`, `cluster`: who tells the topology; `changing`: when it is asked for again.
//! - `many`: an operation on the keys of several groups; `gathered`: replies of several in one order.
//! - [`RedisStore`]: the operations.
//!
//! Formats and rules: Django's `RedisCache` and django-redis.

mod changing;
mod cluster;
mod command;
mod gathered;
mod group;
mod many;
mod protocol;
mod raw;
mod ring;
mod sentinel;
mod store;
mod topology;
mod worded;

pub use crate::cache::redis::{
    AddToSorted, BlockingLock, BlockingLockGuard, BlockingPages, BlockingRedis, Condition, OwnedReply, Place, Script,
};
#[cfg(feature = "tokio")]
pub use crate::cache::redis::{Lock, LockGuard, Pages, Redis};
pub(crate) use command::{LONGEST, unexpected};
pub use protocol::{Replies, Reply, server_error};
pub use raw::{Commands, Results};
pub use store::RedisStore;

#[doc(hidden)]
pub use protocol::{RespParser, RespProtocol, replies};

#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod raw_tests;
