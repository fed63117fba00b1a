//! W-TinyLFU: a small window for what is new, and a main part that an entry enters if it was used more often than the one that
//! would have to leave. How often is what a [`Sketch`] remembers, also of keys that are not there. The main part is
//! segmented: what was used again in it is protected from what was not.
//!
//! A use moves nothing, since that would write to the neighbours with every hit: it leaves a mark, and an entry that has it
//! is moved when its turn to leave has come.

use super::sketch::Sketch;
use crate::memory::slots::{List, Slots};

/// One entry in this many is in the window.
const WINDOW: usize = 20;
/// The protected part of what is not in the window: four fifths.
const PROTECTED: (usize, usize) = (4, 5);

/// Where an entry is: the low bits of its mark.
const WHERE: u64 = 3;
/// It was used since it came there.
const USED: u64 = 4;
/// The rest of the mark is the hash, for the sketch.
const HASH: u64 = !(WHERE | USED);
const IN_WINDOW: u64 = 0;
const ON_PROBATION: u64 = 1;
const IN_PROTECTED: u64 = 2;

pub(in crate::memory) struct TinyLfu {
    window: List,
    probation: List,
    protected: List,
    sketch: Sketch,
}

impl TinyLfu {
    pub(super) fn new() -> Self {
        Self { window: List::new(), probation: List::new(), protected: List::new(), sketch: Sketch::new() }
    }

    pub(super) fn insert<V>(&mut self, slots: &mut Slots<V>, index: u32, hash: u64) {
        slots[index].mark = hash & HASH;
        put(&mut self.window, slots, index, IN_WINDOW);
        self.sketch.grow(self.len());
        self.sketch.record(hash & HASH);
        // While the cache fills, what leaves the window needs nobody else to leave.
        while self.window.len > self.window_size()
            && let Some(oldest) = oldest_unused(&mut self.window, slots)
        {
            self.admit(slots, oldest);
        }
    }

    #[inline]
    pub(super) fn used<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        let mark = slots[index].mark;
        // Counted once on each way from the front of a list to its end, since that is where counts are compared; and not
        // written where it stands already, since a write takes the line away from all other processors.
        if mark & USED == 0 {
            self.sketch.record(mark & HASH);
            slots[index].mark = mark | USED;
        }
    }

    pub(super) fn remove<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        match slots[index].mark & WHERE {
            IN_WINDOW => self.window.unlink(slots, index),
            IN_PROTECTED => self.protected.unlink(slots, index),
            _ => self.probation.unlink(slots, index),
        }
    }

    /// Makes room in the window for one more.
    pub(super) fn victim<V>(&mut self, slots: &mut Slots<V>) -> Option<u32> {
        let weakest = self.weakest(slots);
        let candidate = oldest_unused(&mut self.window, slots);
        let (Some(candidate), Some(weakest)) = (candidate, weakest) else { return weakest.or(candidate) };
        if self.window.len < self.window_size() {
            return Some(weakest);
        }
        let uses = |index: u32| self.sketch.count(slots[index].mark & HASH);
        if uses(candidate) <= uses(weakest) {
            return Some(candidate);
        }
        self.admit(slots, candidate);
        Some(weakest)
    }

    pub(super) fn ranks<V>(&self, slots: &Slots<V>) -> Vec<(u64, u32)> {
        let oldest_first = |list: &List| list.indexes(slots).collect::<Vec<_>>().into_iter().rev();
        let all = oldest_first(&self.probation).chain(oldest_first(&self.protected)).chain(oldest_first(&self.window));
        (0..).zip(all).collect()
    }

    fn len(&self) -> usize {
        self.window.len + self.probation.len + self.protected.len
    }

    fn window_size(&self) -> usize {
        (self.len() / WINDOW).max(1)
    }

    /// From the window to the main part.
    fn admit<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        self.window.unlink(slots, index);
        put(&mut self.probation, slots, index, ON_PROBATION);
    }

    /// Of the main part, the entry to leave next. On the way to it, what was used on probation is protected, and what was not
    /// used where it is protected goes on probation for it.
    fn weakest<V>(&mut self, slots: &mut Slots<V>) -> Option<u32> {
        while let Some(index) = self.probation.oldest() {
            if slots[index].mark & USED == 0 {
                return Some(index);
            }
            self.probation.unlink(slots, index);
            put(&mut self.protected, slots, index, IN_PROTECTED);
            let size = (self.probation.len + self.protected.len) * PROTECTED.0 / PROTECTED.1;
            if self.protected.len > size
                && let Some(oldest) = oldest_unused(&mut self.protected, slots)
            {
                self.protected.unlink(slots, oldest);
                put(&mut self.probation, slots, oldest, ON_PROBATION);
            }
        }
        oldest_unused(&mut self.protected, slots)
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> usize {
        let mut len = 0;
        for (list, place) in
            [(&self.window, IN_WINDOW), (&self.probation, ON_PROBATION), (&self.protected, IN_PROTECTED)]
        {
            let found = list.audit(slots);
            assert!(found.iter().all(|index| slots[*index].mark & WHERE == place));
            len += found.len();
        }
        len
    }
}

/// To the front of a list, as an entry that was not used there yet.
fn put<V>(list: &mut List, slots: &mut Slots<V>, index: u32, place: u64) {
    slots[index].mark = (slots[index].mark & HASH) | place;
    list.push(slots, index);
}

/// The oldest entry that was not used since it came to the front; those that were come there again.
fn oldest_unused<V>(list: &mut List, slots: &mut Slots<V>) -> Option<u32> {
    loop {
        let index = list.oldest()?;
        let mark = slots[index].mark;
        if mark & USED == 0 {
            return Some(index);
        }
        list.unlink(slots, index);
        put(list, slots, index, mark & WHERE);
    }
}
