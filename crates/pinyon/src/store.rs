//! The contract that every backend implements, in bytes.
//!
//! A store knows nothing of prefixes, versions, serializers or default timeouts: it gets made keys, encoded items and
//! resolved expiries. [`crate::Cache`] adds the rest, and the conformance suite runs against it on every backend.

use crate::error::{Error, ErrorKind, Result};
use crate::timeout::{Expiry, Ttl};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use std::fmt;
use std::time::Duration;

/// An encoded value, borrowed: its bytes, and the flags that Memcached keeps beside them (elsewhere 0).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The bytes as the server has them.
    pub bytes: &'a [u8],
    /// Memcached's client flags; 0 on every other backend.
    pub flags: u32,
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} bytes, flags {})", self.bytes.len(), self.flags)
    }
}

/// The result of an `incr`. Django's integers have no bounds, and Redis values written by Django may have more than 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integer {
    /// A number within 64 bits.
    Small(i64),
    /// A number beyond them.
    Big(BigInt),
}

impl Integer {
    /// The number as `i64`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if it has more than 64 bits; what is stored stays as it is.
    pub fn to_i64(&self) -> Result<i64> {
        match self {
            Self::Small(number) => Ok(*number),
            Self::Big(_) => Err(Error::new(
                ErrorKind::OutOfRange,
                "the stored integer has more than 64 bits and does not fit an i64",
            )),
        }
    }

    /// Reads ASCII decimal digits with an optional sign, and the trailing spaces that Memcached's `decr` leaves.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(digits.trim_ascii()).ok()?;
        match text.parse::<i64>() {
            Ok(number) => Some(Self::Small(number)),
            Err(_) => BigInt::parse_bytes(text.as_bytes(), 10).map(Self::from),
        }
    }
}

impl From<BigInt> for Integer {
    fn from(number: BigInt) -> Self {
        number.to_i64().map_or(Self::Big(number), Self::Small)
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Self::Small(number)
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(number) => write!(f, "{number}"),
            Self::Big(number) => write!(f, "{number}"),
        }
    }
}

/// What one server of a cache answered to a health check.
#[derive(Debug)]
pub struct ServerReport {
    /// The server without credentials, for example `redis://127.0.0.1:6379/1`; for memory the name of the store.
    pub server: String,
    /// What it said, or why it could not be asked.
    pub result: Result<ServerInfo>,
}

/// A server that answered a health check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerInfo {
    /// Time of one round trip on an open connection.
    pub round_trip: Duration,
    /// What the server calls itself, for example `Redis 7.0.15`.
    pub version: String,
    /// Memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// The most memory it may use, in bytes; none if it has no limit.
    pub memory_limit: Option<u64>,
    /// Number of entries, where the server can tell cheaply.
    pub entries: Option<u64>,
}

/// A byte-level cache. Every method is safe to call from many threads at once.
///
/// Every method may fail with a connection error ([`Error::is_connection`]) on a backend with servers; only the errors
/// beyond those are listed.
#[allow(clippy::missing_errors_doc)] // said once, above
pub trait Store: Send + Sync + fmt::Debug {
    /// The short name of the backend: `memory`, `redis`, `memcached`.
    fn backend(&self) -> &'static str;

    /// Checks a made key.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] if this backend cannot take it.
    fn check_key(&self, key: &str) -> Result<()>;

    /// Calls `visit` with the item if there is one; returns whether there was.
    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool>;

    /// Stores the item; [`Expiry::Now`] removes the key. False if the server refused the item (too large): the key then
    /// has no value, never its old one.
    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool>;

    /// Stores the item if the key has none; returns whether it had none. With [`Expiry::Now`] the answer is the same
    /// and nothing is stored. False as well if the server refused the item.
    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool>;

    /// Gives an existing entry a new expiry; returns whether it existed. [`Expiry::Now`] removes it.
    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool>;

    /// Removes an entry; returns whether it existed.
    fn delete(&self, key: &str) -> Result<bool>;

    /// Whether there is an entry.
    fn has(&self, key: &str) -> Result<bool>;

    /// Adds `delta` to a stored integer, atomically, and keeps its expiry. `None` if there is no entry.
    ///
    /// # Errors
    /// [`ErrorKind::NotAnInteger`] if the entry is something else; [`ErrorKind::OutOfRange`] if the server cannot hold
    /// the result.
    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>>;

    /// Calls `visit` with the index in `keys` and the item of every key that has one, in any order.
    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()>;

    /// Stores every item; returns the indexes of those that were not stored. Their keys have no value then.
    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>>;

    /// Removes every key.
    fn delete_many(&self, keys: &[&str]) -> Result<()>;

    /// Removes every entry of the store, other caches' entries in it too, as Django's `clear()` does.
    fn clear(&self) -> Result<()>;

    /// How long the entry has left.
    fn ttl(&self, key: &str) -> Result<Ttl>;

    /// Asks every server how it is. Never fails as a whole: each report has its own result.
    fn check(&self) -> Vec<ServerReport>;
}
