//! What expires when: lists of entries by the time at which they do.

use super::clock::{Moment, NEVER};
use super::slots::{NIL, Slots};
use std::collections::BTreeMap;

/// Entries whose expiries agree but for the lowest 24 bits, which is 16.8 ms, share a bucket.
/// Only the bucket of the moment holds both entries that have expired and entries that have not.
pub(super) const BUCKET_BITS: u32 = 24;

pub(super) struct ExpiryIndex {
    /// The first slot of every bucket but the one at hand, by bucket number.
    buckets: BTreeMap<u64, u32>,
    /// The bucket at hand and its first slot, [`NIL`] if it is empty. Entries that are stored one after the other mostly have
    /// the same timeout, so that most of them enter this one, without a search.
    at_hand: (u64, u32),
    /// The bucket that the latest entry entered, if it was another one: the second entry in a row has it put at hand.
    candidate: Option<u64>,
}

impl ExpiryIndex {
    pub(super) const fn new() -> Self {
        Self { buckets: BTreeMap::new(), at_hand: (0, NIL), candidate: None }
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
            let next = self.enter(bucket, index);
            slots[index].bucket_next = next;
            if next != NIL {
                slots[next].bucket_previous = index;
            }
        }
    }

    /// Puts a slot first, and returns the one that was.
    fn enter(&mut self, bucket: u64, index: u32) -> u32 {
        if bucket == self.at_hand.0 {
            self.candidate = None;
        } else if self.candidate.replace(bucket) == Some(bucket) {
            self.candidate = None;
            let first = self.buckets.remove(&bucket).unwrap_or(NIL);
            let (before, first) = std::mem::replace(&mut self.at_hand, (bucket, first));
            if first != NIL {
                self.buckets.insert(before, first);
            }
        } else {
            return self.buckets.insert(bucket, index).unwrap_or(NIL);
        }
        std::mem::replace(&mut self.at_hand.1, index)
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
        } else if bucket == self.at_hand.0 {
            self.at_hand.1 = next;
        } else if next == NIL {
            self.buckets.remove(&bucket);
        } else {
            self.buckets.insert(bucket, next);
        }
    }

    /// All entries that have expired: those of whole buckets, and what has expired of the bucket of this moment.
    pub(super) fn expired<V>(&self, slots: &Slots<V>, now: &Moment) -> Vec<u32> {
        let mut found = Vec::new();
        let is_due = |(bucket, _): &(u64, u32)| now.has_passed(bucket << BUCKET_BITS);
        let others = self.buckets.iter().map(|(bucket, first)| (*bucket, *first)).take_while(is_due);
        for (_, mut index) in others.chain(Some(self.at_hand).filter(is_due)) {
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
        let at_hand = (self.at_hand.1 != NIL).then_some(self.at_hand.0);
        let of_others = self.buckets.first_key_value().map(|(bucket, _)| *bucket);
        at_hand.into_iter().chain(of_others).min().map_or(NEVER, |bucket| bucket << BUCKET_BITS)
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> usize {
        assert!(!self.buckets.contains_key(&self.at_hand.0), "a bucket is in two places");
        assert!(self.buckets.values().all(|first| *first != NIL), "an empty bucket was left behind");
        let mut found = 0;
        for (bucket, mut index) in self.buckets.iter().map(|(bucket, first)| (*bucket, *first)).chain([self.at_hand]) {
            let mut previous = NIL;
            while index != NIL {
                let entry = &slots[index];
                assert_eq!((entry.bucket_previous, bucket_of(entry.expires)), (previous, Some(bucket)));
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
