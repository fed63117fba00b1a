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
    /// Milliseconds after [`START`] at which the last of them was noted.
    failed_at: AtomicU64,
    /// Milliseconds after [`START`] until which the server is left alone.
    quiet_until: AtomicU64,
    rules: Rules,
}

/// When a server is left alone, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// After so many failures in a row; 0: never.
    pub failures: u32,
    /// The longest pause after the first of them, doubled with each further one.
    pub retry_timeout: Duration,
    /// The longest pause of all.
    pub dead_timeout: Duration,
    /// How long the one that asks after a pause may take before another one does.
    pub patience: Duration,
}

impl Health {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { failures: AtomicU32::new(0), failed_at: AtomicU64::new(0), quiet_until: AtomicU64::new(0), rules }
    }

    /// True if the server may be asked now. After a pause one caller may; the others may when it has been answered.
    pub(crate) fn may_ask(&self) -> bool {
        if !self.is_open() {
            return true;
        }
        let (now, quiet_until) = (millis(START.elapsed()), self.quiet_until.load(Ordering::Relaxed));
        let until = now + millis(self.rules.patience);
        now >= quiet_until
            && self.quiet_until.compare_exchange(quiet_until, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// True if it has failed so often that it is left alone from time to time.
    pub(crate) fn is_open(&self) -> bool {
        self.rules.failures > 0 && self.failures() >= self.rules.failures
    }

    /// For how long the server is still left alone.
    pub(crate) fn pause_left(&self) -> Duration {
        let left = self.quiet_until.load(Ordering::Relaxed).saturating_sub(millis(START.elapsed()));
        Duration::from_millis(left)
    }

    /// How often it has failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
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
        let now = START.elapsed();
        let begun = millis(now.saturating_sub(cost));
        if self.failures.load(Ordering::Relaxed) > 0 && begun < self.failed_at.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        self.failed_at.store(millis(now), Ordering::Relaxed);
        let beyond = (before + 1).saturating_sub(self.rules.failures.max(1));
        self.quiet_until.store(millis(now + self.pause(beyond, cost)), Ordering::Relaxed);
        before == 0
    }

    fn pause(&self, failures_beyond: u32, cost: Duration) -> Duration {
        let doubled = self.rules.retry_timeout.saturating_mul(1 << failures_beyond.min(16));
        cost.saturating_mul(COST_FACTOR).max(SHORTEST_PAUSE).min(doubled.min(self.rules.dead_timeout))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(failures: u32) -> Health {
        let (retry_timeout, dead_timeout) = (Duration::from_secs(1), Duration::from_secs(60));
        Health::new(Rules { failures, retry_timeout, dead_timeout, patience: Duration::from_secs(3) })
    }

    /// A failure of an attempt that began after the one before had failed.
    fn fail_again(health: &Health, cost: Duration) -> bool {
        health.failed_at.store(0, Ordering::Relaxed);
        health.failed(cost)
    }

    #[test]
    fn only_the_first_failure_is_told_and_a_success_starts_over() {
        let health = health(1);
        assert!(health.may_ask());
        assert!(health.failed(Duration::from_secs(1)));
        assert!(!fail_again(&health, Duration::from_secs(1)));
        assert!(!health.may_ask());
        health.succeeded();
        assert!(health.may_ask() && health.failed(Duration::ZERO));
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let health = health(1);
        std::thread::sleep(Duration::from_millis(5));
        for _ in 0..100 {
            health.failed(Duration::from_millis(4));
        }
        assert_eq!(health.failures(), 1);
    }

    #[test]
    fn a_server_is_asked_until_it_has_failed_often_enough_in_a_row() {
        let (patient, tireless) = (health(3), health(0));
        for failed in 1..=3 {
            assert!(patient.may_ask() && tireless.may_ask());
            fail_again(&patient, Duration::from_secs(1));
            fail_again(&tireless, Duration::from_secs(1));
            assert_eq!(patient.failures(), failed);
        }
        assert!(!patient.may_ask() && tireless.may_ask());
        assert!(patient.pause_left() > Duration::ZERO);
    }

    #[test]
    fn after_a_pause_one_caller_asks_and_the_others_wait_for_what_comes_of_it() {
        let health = health(1);
        health.failed(Duration::from_secs(1));
        health.quiet_until.store(0, Ordering::Relaxed);
        assert!(health.may_ask());
        assert!(!health.may_ask());
        health.succeeded();
        assert!(health.may_ask() && health.may_ask());
    }

    #[test]
    fn a_slow_failure_is_retried_on_a_doubling_schedule_and_a_quick_one_almost_at_once() {
        let health = health(1);
        let slow = Duration::from_secs(10);
        assert_eq!(health.pause(0, slow), Duration::from_secs(1));
        assert_eq!(health.pause(3, slow), Duration::from_secs(8));
        assert_eq!(health.pause(40, slow), Duration::from_secs(60));
        assert_eq!(health.pause(40, Duration::from_micros(50)), SHORTEST_PAUSE);
    }
}
