//! The least recently used entry leaves first.
//!
//! A use gives an entry a number, and writes nothing else: no list, whose neighbours would be written with every hit. Who leaves
//! next is looked up when somebody has to: the entries with the lowest numbers are collected, and leave one by one, but for those
//! that were used meanwhile and have another number therefore. This is the exact order, at the price of looking at
//! about [`LOOKED_AT`] entries for one that leaves.
//!
//! A store has many engines and one order. One counter for all threads would be what they wait for; instead, a thread and an
//! engine each remember their latest number, and a use gets one above both. That is the true order within a thread, and
//! within an engine; two threads may disagree about their latest [`PUBLISHED_EVERY`] uses in different engines.

use crate::memory::slots::Slots;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread tells the others its latest number after this many.
const PUBLISHED_EVERY: u64 = 64;

/// A number that threads start from. Far from everything else that is written often.
#[repr(align(128))]
struct Published(AtomicU64);

static PUBLISHED: Published = Published(AtomicU64::new(0));

/// The latest number of a thread, which is published when it ends.
struct Latest(Cell<u64>);

impl Drop for Latest {
    fn drop(&mut self) {
        PUBLISHED.0.fetch_max(self.0.get(), Ordering::Relaxed);
    }
}

thread_local! {
    static LATEST: Latest = const { Latest(Cell::new(0)) };
}

/// Entries that are looked at to find one that leaves, on average.
const LOOKED_AT: usize = 8;

pub(in crate::memory) struct Lru {
    latest: u64,
    /// Numbers and slots of entries that are older than all others, or were; the oldest last.
    oldest: Vec<(u64, u32)>,
}

impl Lru {
    pub(super) const fn new() -> Self {
        Self { latest: 0, oldest: Vec::new() }
    }

    #[inline]
    pub(super) fn used<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        slots[index].mark = self.next();
    }

    pub(super) fn victim<V>(&mut self, slots: &Slots<V>) -> Option<u32> {
        loop {
            match self.oldest.last() {
                Some((mark, index)) if slots.get(*index).is_some_and(|entry| entry.mark == *mark) => {
                    return Some(*index);
                }
                Some(_) => _ = self.oldest.pop(),
                None => self.collect(slots),
            }
            if self.oldest.is_empty() && slots.is_empty() {
                return None;
            }
        }
    }

    pub(super) fn ranks<V>(slots: &Slots<V>) -> Vec<(u64, u32)> {
        slots.iter().map(|(index, entry)| (entry.mark, index)).collect()
    }

    fn collect<V>(&mut self, slots: &Slots<V>) {
        let mut all = Self::ranks(slots);
        let count = all.len().div_ceil(LOOKED_AT);
        if count < all.len() {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.shrink_to_fit();
        self.oldest = all;
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let published = PUBLISHED.0.load(Ordering::Relaxed);
        let above = published.max(self.latest) + 1;
        let number = LATEST.try_with(|latest| {
            let number = above.max(latest.0.get() + 1);
            latest.0.set(number);
            number
        });
        // While a thread ends, it has no number of its own any more.
        let number = number.unwrap_or(above);
        if number >= published + PUBLISHED_EVERY {
            PUBLISHED.0.fetch_max(number, Ordering::Relaxed);
        }
        self.latest = number;
        number
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> usize {
        let mut marks: Vec<u64> = slots.iter().map(|(_, entry)| entry.mark).collect();
        marks.sort_unstable();
        assert!(marks.is_sorted_by(|one, next| one < next) && marks.last().is_none_or(|mark| *mark <= self.latest));
        marks.len()
    }
}
