//! Entries: `set` with a condition or with what was there before, counting from nothing, and lifetimes.

#[cfg(feature = "tokio")]
use super::Redis;
use super::{BlockingRedis, Over, faces};
use crate::error::{Error, ErrorKind};
use crate::redis::{LONGEST, Reply, unexpected};
use crate::timeout::{Expiry, Timeout};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Only if there is none yet (NX).
    Missing,
    /// Only if there is one already (XX).
    Exists,
}

impl Condition {
    pub(super) fn word(self) -> &'static [u8] {
        match self {
            Self::Missing => b"NX",
            Self::Exists => b"XX",
        }
    }
}

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Stores a value if the key has none, or if it has one; returns whether that was so. With a timeout of zero nothing is
    /// stored, and what there is is removed.
    fn set_if[T: Serialize + ?Sized](&self, key: &str, value: &T, timeout: Timeout, condition: Condition) -> bool {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        let made = made.as_bytes();
        let lifetime = match (self.expiry(timeout), condition) {
            (Expiry::Now, Condition::Missing) => return Ok(!self.write(&[b"EXISTS", made]).await?.flag()?),
            (Expiry::Now, Condition::Exists) => return self.write(&[b"DEL", made]).await?.flag(),
            (Expiry::Never, _) => None,
            (Expiry::In(time), _) => Some(milliseconds(time)),
        };
        let mut words = vec![b"SET".as_slice(), made, &value, condition.word()];
        if let Some(lifetime) = &lifetime {
            words.extend([b"PX", lifetime.as_bytes()]);
        }
        let answer = self.write(&words).await?;
        match answer.reply()? {
            Reply::Status(_) => Ok(true),
            Reply::Nil => Ok(false),
            _ => Err(unexpected("OK or nil")),
        }
    }

    /// Stores a value and returns the one that the key had before, if it had one, in one step. Redis 6.2 or later.
    ///
    /// # Errors
    /// The value before is no `T`: the new one is stored then.
    fn set_and_get[T: DeserializeOwned](
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
        timeout: Timeout,
    ) -> Option<T> {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        let lifetime = match self.expiry(timeout) {
            Expiry::Now => {
                let before = self.write(&[b"GETDEL", made.as_bytes()]).await?;
                return before.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes));
            }
            Expiry::Never => None,
            Expiry::In(time) => Some(milliseconds(time)),
        };
        let mut words = vec![b"SET".as_slice(), made.as_bytes(), &value, b"GET"];
        if let Some(lifetime) = &lifetime {
            words.extend([b"PX", lifetime.as_bytes()]);
        }
        let before = self.write(&words).await?;
        before.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    /// As [`Cache::incr`](crate::Cache::incr), and a key without a value counts from 0 and does not expire.
    ///
    /// # Errors
    /// [`ErrorKind::NotAnInteger`](crate::ErrorKind::NotAnInteger) if the value is something else,
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) if the sum does not fit; it is stored all the same.
    fn incr_or_create(&self, key: &str, delta: i64) -> i64 {
        let made = self.key(key)?;
        self.repeat(&[b"SET", made.as_bytes(), b"0", b"NX"]).await?.reply()?;
        match self.wire.incr(&made, delta).await? {
            Some(sum) => sum.to_i64(),
            // It was removed in between, by another caller or to make room.
            None => Err(Error::new(ErrorKind::KeyNotFound, format!("Key '{key}' not found"))),
        }
    }

    /// Lets an entry never expire; returns whether it would have expired.
    fn persist(&self, key: &str) -> bool {
        let made = self.key(key)?;
        self.write(&[b"PERSIST", made.as_bytes()]).await?.flag()
    }

    /// Lets an entry expire after `time`, in whole milliseconds, and at once if that is less than one; returns whether there
    /// is one. How long an entry has left says [`Cache::ttl`](crate::Cache::ttl).
    fn expire(&self, key: &str, time: Duration) -> bool {
        let made = self.key(key)?;
        self.write(&[b"PEXPIRE", made.as_bytes(), milliseconds(time).as_bytes()]).await?.flag()
    }

    /// Lets an entry expire at a moment, in whole milliseconds, and at once if that is past; returns whether there is one.
    fn expire_at(&self, key: &str, moment: SystemTime) -> bool {
        let made = self.key(key)?;
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.repeat(&[b"PEXPIREAT", made.as_bytes(), milliseconds(since).as_bytes()]).await?.flag()
    }
}

/// Whole milliseconds in digits, of not more than 300 years.
pub(super) fn milliseconds(time: Duration) -> String {
    time.min(LONGEST).as_millis().to_string()
}
