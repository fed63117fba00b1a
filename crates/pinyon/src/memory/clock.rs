//! What time it is, asked as seldom and as cheaply as can be: reading the clock would cost more than the rest of a hit.

use crate::timeout::Expiry;
use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment, in nanoseconds of Unix time, at which an entry without expiry expires.
pub(super) const NEVER: u64 = u64::MAX;

/// The coarse clock is behind by one tick of the kernel, at most 10 ms. An entry that has this much left by it is alive.
const COARSE_SLACK: u64 = 100_000_000;

/// A timeout of at least so many nanoseconds may begin at the coarse clock, and end up to one of its ticks too early.
const COARSE_TIMEOUT: u64 = 1_000_000_000;

/// The moment of one operation, read when it is first needed.
pub(super) struct Moment {
    /// 0: not read yet.
    exact: Cell<u64>,
    /// 0: not read yet.
    coarse: Cell<u64>,
}

impl Moment {
    pub(super) const fn unread() -> Self {
        Self { exact: Cell::new(0), coarse: Cell::new(0) }
    }

    #[cfg(test)]
    pub(super) const fn fixed(nanoseconds: u64) -> Self {
        Self { exact: Cell::new(nanoseconds), coarse: Cell::new(nanoseconds) }
    }

    /// Nanoseconds of Unix time.
    pub(super) fn nanoseconds(&self) -> u64 {
        if self.exact.get() == 0 {
            self.exact.set(unix_nanoseconds());
        }
        self.exact.get()
    }

    /// As [`Self::nanoseconds`], or up to one tick of the kernel earlier.
    fn coarse(&self) -> u64 {
        if self.coarse.get() == 0 {
            self.coarse.set(coarse_nanoseconds().unwrap_or_else(|| self.nanoseconds()));
        }
        self.coarse.get()
    }

    #[inline]
    pub(super) fn has_passed(&self, expires: u64) -> bool {
        expires != NEVER && self.has_come(expires)
    }

    fn has_come(&self, expires: u64) -> bool {
        expires <= self.coarse() + COARSE_SLACK && expires <= self.nanoseconds()
    }

    /// The moment of an expiry. [`Expiry::Now`] is one that has always passed; one beyond the year 2554 is never.
    pub(super) fn after(&self, expiry: Expiry) -> u64 {
        match expiry {
            Expiry::Never => NEVER,
            Expiry::Now => 0,
            Expiry::In(duration) => {
                let timeout = u64::try_from(duration.as_nanos()).unwrap_or(NEVER);
                let start = if timeout >= COARSE_TIMEOUT { self.coarse() } else { self.nanoseconds() };
                start.saturating_add(timeout)
            }
        }
    }
}

fn unix_nanoseconds() -> u64 {
    nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanoseconds(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(NEVER - 1)
}

#[cfg(target_os = "linux")]
fn coarse_nanoseconds() -> Option<u64> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn coarse_nanoseconds() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_seconds_ends_at_most_a_tick_too_early_and_never_too_late() {
        for milliseconds in [1, 999, 1000, 86_400_000] {
            let (timeout, before) = (Duration::from_millis(milliseconds), unix_nanoseconds());
            let expires = Moment::unread().after(Expiry::In(timeout));
            let after = unix_nanoseconds();
            let timeout = milliseconds * 1_000_000;
            let early = if timeout < COARSE_TIMEOUT { 0 } else { 20_000_000 };
            assert!((before + timeout - early..=after + timeout).contains(&expires), "{milliseconds} ms");
        }
    }

    #[test]
    fn what_has_passed_is_told_as_the_exact_clock_tells_it() {
        let now = unix_nanoseconds();
        for (expires, expected) in
            [(0, true), (now, true), (now + 10 * COARSE_SLACK, false), (now + 3_600_000_000_000, false), (NEVER, false)]
        {
            assert_eq!(Moment::unread().has_passed(expires), expected, "{expires} at {now}");
        }
        let moment = Moment::fixed(now);
        assert!(moment.has_passed(now) && !moment.has_passed(now + 1));
    }
}
