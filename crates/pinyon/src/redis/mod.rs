//! Redis and Valkey.
//!
//! - `protocol`: RESP2 and RESP3, bytes to replies and back, no I/O.
//! - `command`: one cache operation as bytes, and its replies as the result.
//! - [`Commands`]: commands that the caller words.
//! - [`RedisStore`]: which server, which driver.
//!
//! Formats and rules: Django's `RedisCache` and django-redis.

mod command;
mod protocol;
mod raw;
mod store;

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
