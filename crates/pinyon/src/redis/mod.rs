//! Redis and Valkey.
//!
//! - `protocol`: RESP2 and RESP3, bytes to replies and back, no I/O.
//! - `command`: one cache operation as bytes, and its replies as the result.
//! - [`RedisStore`]: which server, which driver.
//!
//! Formats and rules: Django's `RedisCache` and django-redis.

mod command;
mod protocol;
mod store;

pub use store::RedisStore;

#[doc(hidden)]
pub use protocol::{Reply, RespParser, RespProtocol, replies};

#[cfg(test)]
mod protocol_tests;
