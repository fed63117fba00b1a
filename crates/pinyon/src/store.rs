//! The contract that every backend implements, in bytes.
//!
//! A store knows nothing of prefixes, versions, serializers or default timeouts: it gets made keys, encoded items and
//! resolved expiries. [`crate::Cache`] adds the rest, and the conformance suite runs against it on every backend.

use crate::error::{Error, ErrorKind, Result};
use crate::memcached::MemcachedStore;
use crate::redis::RedisStore;
use crate::timeout::{Expiry, Ttl};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use std::fmt;
use std::ops::Add;
use std::sync::Arc;
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

/// The most digits of an integer: Python's own limit (`sys.int_info.default_max_str_digits`). Reading them takes quadratic time.
const MAX_DIGITS: usize = 4300;

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

    /// Reads ASCII decimal digits with an optional sign, and the trailing spaces that Memcached's `decr` leaves. None for
    /// anything else, and for more than 4,300 digits, which Python does not read either.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let digits = digits.trim_ascii();
        if let Some(number) = std::str::from_utf8(digits).ok()?.parse().ok().map(Self::Small) {
            return Some(number);
        }
        // BigInt would take underscores between the digits; a server would not.
        let unsigned = digits.strip_prefix(b"-").or_else(|| digits.strip_prefix(b"+")).unwrap_or(digits);
        if unsigned.len() > MAX_DIGITS || !unsigned.iter().all(u8::is_ascii_digit) {
            return None;
        }
        BigInt::parse_bytes(digits, 10).map(Self::from)
    }
}

impl Add<i64> for Integer {
    type Output = Self;

    fn add(self, delta: i64) -> Self {
        match self {
            Self::Small(number) => {
                number.checked_add(delta).map_or_else(|| Self::Big(BigInt::from(number) + delta), Self::Small)
            }
            Self::Big(number) => Self::from(number + delta),
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
#[expect(clippy::missing_errors_doc, reason = "said once, above, for all of them")]
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

    /// How async code reaches this store. By default as one whose methods may block.
    fn reach(self: Arc<Self>) -> Reach {
        Reach::Blocking
    }
}

/// How async code reaches a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reach {
    /// Its methods wait for nothing and are called in place.
    Immediate,
    /// Its methods may block and are called on a thread that may.
    Blocking,
    /// Over connections that tasks share.
    Redis(Arc<RedisStore>),
    /// Over connections that tasks share.
    Memcached(Arc<MemcachedStore>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_ascii_digits_with_a_sign_and_room_around_them() {
        assert_eq!(Integer::parse(b"42"), Some(Integer::Small(42)));
        assert_eq!(Integer::parse(b"-7"), Some(Integer::Small(-7)));
        assert_eq!(Integer::parse(b"9 "), Some(Integer::Small(9)));
        let big = Integer::parse(b"-9223372036854775809").unwrap();
        assert_eq!((big.to_string().as_str(), big.to_i64().is_err()), ("-9223372036854775809", true));
        assert!(Integer::parse("9".repeat(4300).as_bytes()).is_some());
        assert_eq!(Integer::parse("9".repeat(4301).as_bytes()), None);
        for not_a_number in [&b""[..], b"-", b"1_0", b"12345678901234567890_1", b"1.5", b"0x1", b"\xff", b"--1", b"+-1"]
        {
            assert_eq!(Integer::parse(not_a_number), None);
        }
    }

    #[test]
    fn sums_leave_64_bits_and_come_back() {
        let beyond = Integer::Small(i64::MAX) + 1;
        assert_eq!(beyond.to_string(), "9223372036854775808");
        assert_eq!(beyond + -1, Integer::Small(i64::MAX));
    }
}
