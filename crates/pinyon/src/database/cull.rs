//! When to count the rows of a table: not with every write.

use std::sync::atomic::{AtomicI64, Ordering};

/// How often a full table is counted: once in `MAX_ENTRIES / COUNTS` writes.
const COUNTS: i64 = 16;

/// Counts writes, and says when the rows should be counted.
///
/// Django counts the rows with each write. Here a process does so with its first write and then once in a sixteenth of
/// MAX_ENTRIES, so that N processes together may exceed MAX_ENTRIES by N sixteenths.
#[derive(Debug)]
pub(super) struct Culling {
    pub(super) max_entries: i64,
    /// One entry in so many is removed; 0: all are.
    pub(super) frequency: i64,
    left: AtomicI64,
}

impl Culling {
    pub(super) fn new(max_entries: i64, frequency: i64) -> Self {
        Self { max_entries, frequency, left: AtomicI64::new(0) }
    }

    /// Notes that so many rows are about to be written; true if they should be counted first.
    pub(super) fn is_due(&self, writes: usize) -> bool {
        let writes = i64::try_from(writes).unwrap_or(i64::MAX);
        // Nobody loses a count if two threads see the end at the same time: both count.
        let left = self.left.fetch_sub(writes, Ordering::Relaxed);
        if left > 0 {
            return false;
        }
        self.left.store((self.max_entries / COUNTS).max(1) - 1, Ordering::Relaxed);
        true
    }

    /// How many of `rows` are to go, expired ones having gone already. None if none is.
    pub(super) fn share(&self, rows: i64) -> Option<i64> {
        (rows > self.max_entries).then(|| rows.checked_div(self.frequency).unwrap_or(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_write_counts_and_then_one_in_a_sixteenth_of_the_limit() {
        let culling = Culling::new(160, 3);
        let due: Vec<bool> = (0..21).map(|_| culling.is_due(1)).collect();
        let at: Vec<usize> = (0..21).filter(|write| due[*write]).collect();
        assert_eq!(at, [0, 10, 20]);
        assert!(!culling.is_due(9) && culling.is_due(1), "rows are counted, not calls");
    }

    #[test]
    fn a_small_limit_counts_with_each_write() {
        for limit in [-1, 0, 1, 30] {
            let culling = Culling::new(limit, 3);
            assert!((0..5).all(|_| culling.is_due(1)), "{limit}");
        }
    }

    #[test]
    fn a_full_table_loses_one_row_in_so_many_and_all_of_them_with_zero() {
        let culling = Culling::new(30, 3);
        assert_eq!((culling.share(30), culling.share(31), culling.share(90)), (None, Some(10), Some(30)));
        assert_eq!(Culling::new(30, 0).share(31), Some(31));
        assert_eq!(Culling::new(30, 1).share(31), Some(31));
    }
}
