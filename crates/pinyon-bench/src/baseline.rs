//! The stored counts, and what a new count means beside an old one.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A count may be larger or smaller than the stored one by this part of it.
pub const TOLERANCE: f64 = 0.03;

/// The file `baseline.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it was counted with.
    pub made_with: Tools,
    /// By workload, the instructions of one operation, rounded.
    pub instructions: BTreeMap<String, u64>,
}

/// What the counts depend on beside our code. With others than those of the baseline, counts are shown and not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// The compiler's version: `1.95.0`.
    pub rustc: String,
    /// What it compiles for: `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// The C library, whose allocator and copying are counted with what uses them: `glibc 2.36`.
    pub libc: String,
}

/// What a count means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Same,
    /// More than before.
    Slower,
    /// Less than before: the baseline should be renewed, or it would hide the next slow-down.
    Faster,
    /// There is no stored count.
    New,
    /// There is no such workload any more.
    Gone,
}

impl Verdict {
    /// Whether a check fails because of it.
    pub fn fails(self) -> bool {
        matches!(self, Self::Slower | Self::New | Self::Gone)
    }

    /// Compares a count with the stored one.
    pub fn of(stored: Option<u64>, counted: Option<u64>) -> Self {
        let (stored, counted) = match (stored, counted) {
            (Some(stored), Some(counted)) => (stored, counted),
            (None, _) => return Self::New,
            (_, None) => return Self::Gone,
        };
        let change = change(stored, counted);
        if change > TOLERANCE {
            Self::Slower
        } else if change < -TOLERANCE {
            Self::Faster
        } else {
            Self::Same
        }
    }
}

/// The change from one count to the next as a part of the first.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2 to the 52nd")]
pub fn change(stored: u64, counted: u64) -> f64 {
    counted as f64 / stored.max(1) as f64 - 1.0
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "",
            Self::Slower => "SLOWER",
            Self::Faster => "faster: please renew the baseline",
            Self::New => "NOT IN THE BASELINE",
            Self::Gone => "IN THE BASELINE ONLY",
        })
    }
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {}, {}, {}", self.rustc, self.target, self.libc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_down_beyond_the_tolerance_fails_and_a_gain_asks_for_a_new_baseline() {
        for (stored, counted, verdict, fails) in [
            (1_000, 1_000, Verdict::Same, false),
            (1_000, 1_029, Verdict::Same, false),
            (1_000, 1_031, Verdict::Slower, true),
            (1_000, 971, Verdict::Same, false),
            (1_000, 969, Verdict::Faster, false),
        ] {
            let found = Verdict::of(Some(stored), Some(counted));
            assert_eq!((found, found.fails()), (verdict, fails), "{counted}");
        }
    }

    #[test]
    fn a_workload_without_its_counterpart_fails() {
        assert_eq!(Verdict::of(None, Some(1)), Verdict::New);
        assert_eq!(Verdict::of(Some(1), None), Verdict::Gone);
        assert!(Verdict::New.fails() && Verdict::Gone.fails());
    }
}
