//! Timeouts: what the caller asks for, what it means, and how each server wants it said.
//!
//! The rules are Django's (`BaseCache.get_backend_timeout` and the per-backend conversions): the default of the cache if
//! nothing is said, never if it is none, already expired if it is zero or negative.

use crate::settings::TimeoutUnit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Memcached reads an expiry above this many seconds (30 days) as a moment in Unix time.
const MEMCACHED_RELATIVE_LIMIT: u64 = 30 * 24 * 60 * 60;

/// How long an entry lives, as the caller says it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Timeout {
    /// The TIMEOUT of the cache's settings (300 seconds unless they say otherwise).
    #[default]
    Default,
    /// The entry does not expire.
    Never,
    /// The entry lives this long. Zero: it is expired at once.
    After(Duration),
}

impl Timeout {
    /// A timeout in whole seconds; zero and negative mean that the entry is expired at once.
    pub const fn secs(seconds: i64) -> Self {
        Self::After(Duration::from_secs(if seconds > 0 { seconds.unsigned_abs() } else { 0 }))
    }

    /// A timeout in seconds with a fraction; zero, negative and NaN mean that the entry is expired at once.
    pub fn secs_f64(seconds: f64) -> Self {
        if seconds > 0.0 {
            // Infinite, or more than u64 seconds: as long as a duration can be.
            Self::After(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        } else {
            Self::After(Duration::ZERO)
        }
    }

    /// What this means for a cache whose own timeout is `default`.
    pub fn resolve(self, default: Expiry) -> Expiry {
        match self {
            Self::Default => default,
            Self::Never => Expiry::Never,
            Self::After(duration) if duration.is_zero() => Expiry::Now,
            Self::After(duration) => Expiry::In(duration),
        }
    }
}

impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Self {
        Self::After(duration)
    }
}

/// A timeout with the default filled in: what a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The entry does not expire.
    Never,
    /// The entry is expired already: a `set` removes the key.
    Now,
    /// The entry expires after this time, which is not zero.
    In(Duration),
}

impl Expiry {
    /// Whole seconds, rounded down, as Django's RedisCache sends them (`EX`); what rounds to zero is [`Expiry::Now`].
    #[must_use]
    pub fn to_whole_seconds(self) -> Self {
        match self {
            Self::In(duration) if duration.as_secs() == 0 => Self::Now,
            Self::In(duration) => Self::In(Duration::from_secs(duration.as_secs())),
            other => other,
        }
    }

    /// Whole milliseconds, rounded down, as django-redis sends them (`PX`); what rounds to zero is [`Expiry::Now`].
    #[must_use]
    pub fn to_whole_milliseconds(self) -> Self {
        match self {
            Self::In(duration) if duration.as_millis() == 0 => Self::Now,
            Self::In(duration) => {
                let nanos = duration.subsec_millis() * 1_000_000;
                Self::In(Duration::new(duration.as_secs(), nanos))
            }
            other => other,
        }
    }

    /// Whole units, rounded down: what is sent to Redis.
    #[must_use]
    pub fn to_whole(self, unit: TimeoutUnit) -> Self {
        match unit {
            TimeoutUnit::Seconds => self.to_whole_seconds(),
            TimeoutUnit::Milliseconds => self.to_whole_milliseconds(),
        }
    }

    /// The `exptime` of Memcached: 0 never, -1 at once, up to 30 days relative, beyond that Unix time `now` plus the timeout. The
    /// clock is asked only for the last.
    pub fn to_memcached(self, now: impl FnOnce() -> SystemTime) -> i64 {
        match self {
            Self::Never => 0,
            Self::Now => -1,
            Self::In(duration) => {
                let seconds = duration.as_secs();
                let value = match seconds {
                    0 => return -1,
                    1..=MEMCACHED_RELATIVE_LIMIT => seconds,
                    _ => {
                        seconds.saturating_add(now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
                    }
                };
                // memcached keeps the moment as 32 bits of seconds since its start; far beyond that means never.
                i64::try_from(value).ok().filter(|value| *value <= i64::from(i32::MAX)).unwrap_or(0)
            }
        }
    }
}

/// How long an entry has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// There is no such entry, or it has expired.
    Missing,
    /// The entry does not expire.
    Never,
    /// The entry expires after this time.
    Left(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Expiry = Expiry::In(Duration::from_secs(300));

    #[test]
    fn zero_and_negative_timeouts_are_expired_at_once() {
        for timeout in [
            Timeout::secs(0),
            Timeout::secs(-5),
            Timeout::secs_f64(0.0),
            Timeout::secs_f64(-1.5),
            Timeout::secs_f64(f64::NAN),
        ] {
            assert_eq!(timeout.resolve(DEFAULT), Expiry::Now);
        }
    }

    #[test]
    fn default_and_never_resolve_to_the_settings_and_to_no_expiry() {
        assert_eq!(Timeout::Default.resolve(DEFAULT), DEFAULT);
        assert_eq!(Timeout::Never.resolve(DEFAULT), Expiry::Never);
    }

    #[test]
    fn django_floors_redis_timeouts_to_whole_seconds() {
        assert_eq!(Timeout::secs_f64(100.7).resolve(DEFAULT).to_whole_seconds(), Expiry::In(Duration::from_secs(100)));
        assert_eq!(Timeout::secs_f64(0.7).resolve(DEFAULT).to_whole_seconds(), Expiry::Now);
    }

    #[test]
    fn memcached_exptime_is_relative_up_to_thirty_days_and_absolute_beyond() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(Expiry::Never.to_memcached(|| now), 0);
        assert_eq!(Expiry::Now.to_memcached(|| now), -1);
        assert_eq!(Timeout::secs_f64(0.5).resolve(DEFAULT).to_memcached(|| now), -1);
        assert_eq!(Timeout::secs(2_592_000).resolve(DEFAULT).to_memcached(|| now), 2_592_000);
        assert_eq!(Timeout::secs(2_592_001).resolve(DEFAULT).to_memcached(|| now), 1_702_592_001);
        assert_eq!(Timeout::After(Duration::MAX).resolve(DEFAULT).to_memcached(|| now), 0);
    }
}
