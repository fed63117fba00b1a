//! What expires when: lists of entries by the time at which they do.

use super::clock::{Moment, NEVER};
use super::slots::{NIL, Slots};
use std::collections::BTreeMap;

/// Entries whose expiries agree but for the lowest 24 bits, which is 16.8 ms, share a bucket.
/// Only the bucket of the moment holds both entries that have expired and entries that have not.
pub(super) const BUCKET_BITS: u32 = 24;

pub(super) struct ExpiryIndex {
    /// The first slot of every bucket, by bucket number.
    buckets: BTreeMap<u64, u32>,
}

impl ExpiryIndex {
    pub(super) const fn new() -> Self {
        Self { buckets: BTreeMap::new() }
    }

    /// Moves an entry to the bucket of its new expiry.
    pub(super) fn set<V>(&mut self, slots: &mut Slots<V>, index: u32, expires: u64) {
        let before = bucket_of(std::mem::replace(&mut slots[index].expires, expires));
        let bucket = bucket_of(expires);
        if before == bucket {
            return;
        }
        if let Some(before) = before {
            self.leave(slots, index, before);
        }
        if let Some(bucket) = bucket {
            let next = self.buckets.insert(bucket, index).unwrap_or(NIL);
            slots[index].bucket_next = next;
            if next != NIL {
                slots[next].bucket_previous = index;
            }
        }
    }

    fn leave<V>(&mut self, slots: &mut Slots<V>, index: u32, bucket: u64) {
        let entry = &mut slots[index];
        let previous = std::mem::replace(&mut entry.bucket_previous, NIL);
        let next = std::mem::replace(&mut entry.bucket_next, NIL);
        if next != NIL {
            slots[next].bucket_previous = previous;
        }
        if previous != NIL {
            slots[previous].bucket_next = next;
        } else if next == NIL {
            self.buckets.remove(&bucket);
        } else {
            self.buckets.insert(bucket, next);
        }
    }

    /// All entries that have expired: those of whole buckets, and what has expired of the bucket of this moment.
    pub(super) fn expired<V>(&self, slots: &Slots<V>, now: &Moment) -> Vec<u32> {
        let mut found = Vec::new();
        for (bucket, first) in &self.buckets {
            if !now.has_passed(bucket << BUCKET_BITS) {
                break;
            }
            let mut index = *first;
            while index != NIL {
                let entry = &slots[index];
                if now.has_passed(entry.expires) {
                    found.push(index);
                }
                index = entry.bucket_next;
            }
        }
        found
    }

    /// Nothing expires before this moment.
    pub(super) fn soonest(&self) -> u64 {
        self.buckets.first_key_value().map_or(NEVER, |(bucket, _)| bucket << BUCKET_BITS)
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> usize {
        let mut found = 0;
        for (bucket, first) in &self.buckets {
            let (mut index, mut previous) = (*first, NIL);
            assert_ne!(index, NIL, "an empty bucket was left behind");
            while index != NIL {
                let entry = &slots[index];
                assert_eq!((entry.bucket_previous, bucket_of(entry.expires)), (previous, Some(*bucket)));
                found += 1;
                previous = std::mem::replace(&mut index, entry.bucket_next);
            }
        }
        found
    }
}

fn bucket_of(expires: u64) -> Option<u64> {
    (expires != NEVER).then_some(expires >> BUCKET_BITS)
}
