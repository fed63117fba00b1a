//! Which server is left alone for a while after it failed.
//!
//! How long follows from what the failures cost: 20 times what the failed attempt took (so that a dead server takes at most
//! a twentieth of the time), at least 10 ms, and at most `retry_timeout`, doubled with each failure up to `dead_timeout`. A
//! refused connection costs next to nothing and is tried again almost at once; a host that swallows packets is asked seldom.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const COST_FACTOR: u32 = 20;

/// All moments are counted from here, so that they fit an atomic.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The health of one server, shared by all threads of the process.
#[derive(Debug)]
pub(crate) struct Health {
    failures: AtomicU32,
    /// Milliseconds after [`START`] until which the server is left alone.
    quiet_until: AtomicU64,
    retry_timeout: Duration,
    dead_timeout: Duration,
}

impl Health {
    pub(crate) fn new(retry_timeout: Duration, dead_timeout: Duration) -> Self {
        Self { failures: AtomicU32::new(0), quiet_until: AtomicU64::new(0), retry_timeout, dead_timeout }
    }

    /// True if the server may be asked now.
    pub(crate) fn may_ask(&self) -> bool {
        self.failures.load(Ordering::Relaxed) == 0
            || millis(START.elapsed()) >= self.quiet_until.load(Ordering::Relaxed)
    }

    pub(crate) fn succeeded(&self) {
        // Read first: on the way of every hit, this line of memory stays shared between the cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure that took `cost`. True if it is the first one, which the caller should hear of.
    ///
    /// What was on its way together with another failure is the same failure: a thousand tasks that wait in vain must not
    /// make the pause as long as a thousand attempts one after the other would.
    pub(crate) fn failed(&self, cost: Duration) -> bool {
        if !self.may_ask() {
            return false;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let quiet_until = START.elapsed() + self.pause(before, cost);
        self.quiet_until.store(millis(quiet_until), Ordering::Relaxed);
        before == 0
    }

    fn pause(&self, failures_before: u32, cost: Duration) -> Duration {
        let schedule = self.retry_timeout.saturating_mul(1 << failures_before.min(16)).min(self.dead_timeout);
        cost.saturating_mul(COST_FACTOR).max(SHORTEST_PAUSE).min(schedule)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Duration::from_secs(1), Duration::from_secs(60))
    }

    #[test]
    fn only_the_first_failure_is_told_and_a_success_starts_over() {
        let health = health();
        assert!(health.may_ask());
        assert!(health.failed(Duration::from_secs(1)));
        assert!(!health.failed(Duration::from_secs(1)));
        assert!(!health.may_ask());
        health.succeeded();
        assert!(health.may_ask() && health.failed(Duration::ZERO));
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let health = health();
        for _ in 0..100 {
            health.failed(Duration::from_secs(10));
        }
        assert_eq!(health.failures.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_slow_failure_is_retried_on_a_doubling_schedule_and_a_quick_one_almost_at_once() {
        let health = health();
        let slow = Duration::from_secs(10);
        assert_eq!(health.pause(0, slow), Duration::from_secs(1));
        assert_eq!(health.pause(3, slow), Duration::from_secs(8));
        assert_eq!(health.pause(40, slow), Duration::from_secs(60));
        assert_eq!(health.pause(40, Duration::from_micros(50)), SHORTEST_PAUSE);
    }
}
