//! Which entry leaves a full cache: one policy per file, all behind [`Order`].

mod lru;
mod sketch;
mod tiny_lfu;

use super::slots::Slots;
use lru::Lru;
use std::fmt;
use tiny_lfu::TinyLfu;

/// POLICY: which entries leave a full memory cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// `"lru"`, Django's: the least recently used one in CULL_FREQUENCY leave together, when a `set` finds MAX_ENTRIES.
    #[default]
    Lru,
    /// `"tinylfu"` (W-TinyLFU): one leaves for one that comes. New entries stay for a while in any case, and then if they
    /// have been used more often, lately, than what would have to leave for them. A scan does not empty the cache.
    TinyLfu,
}

impl Policy {
    /// All policies, by the names that POLICY has for them.
    pub const NAMES: [(&str, Self); 2] = [("lru", Self::Lru), ("tinylfu", Self::TinyLfu)];
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lru => "lru",
            Self::TinyLfu => "tinylfu",
        })
    }
}

/// The order in which entries leave. Knows slots by their index, and has [`super::slots::Entry::mark`] for itself.
pub(super) enum Order {
    Lru(Lru),
    TinyLfu(TinyLfu),
}

impl Order {
    pub(super) fn new(policy: Policy) -> Self {
        match policy {
            Policy::Lru => Self::Lru(Lru::new()),
            Policy::TinyLfu => Self::TinyLfu(TinyLfu::new()),
        }
    }

    /// A new entry.
    pub(super) fn insert<V>(&mut self, slots: &mut Slots<V>, index: u32, hash: u64) {
        match self {
            Self::Lru(lru) => lru.used(slots, index),
            Self::TinyLfu(tiny_lfu) => tiny_lfu.insert(slots, index, hash),
        }
    }

    /// An entry was read or written.
    #[inline]
    pub(super) fn used<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        match self {
            Self::Lru(lru) => lru.used(slots, index),
            Self::TinyLfu(tiny_lfu) => tiny_lfu.used(slots, index),
        }
    }

    pub(super) fn remove<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        match self {
            Self::Lru(_) => {}
            Self::TinyLfu(tiny_lfu) => tiny_lfu.remove(slots, index),
        }
    }

    /// The entry that has to leave so that another one can come; the caller removes it.
    pub(super) fn victim<V>(&mut self, slots: &mut Slots<V>) -> Option<u32> {
        match self {
            Self::Lru(lru) => lru.victim(slots),
            Self::TinyLfu(tiny_lfu) => tiny_lfu.victim(slots),
        }
    }

    /// For LRU, when the next victim was last used: comparable among all engines of a process.
    pub(super) fn victim_age<V>(&mut self, slots: &Slots<V>) -> Option<u64> {
        match self {
            Self::Lru(lru) => lru.victim(slots).map(|index| slots[index].mark),
            Self::TinyLfu(_) => None,
        }
    }

    /// Every entry with a number by which they can be sorted: those that leave last have the highest ones.
    pub(super) fn ranks<V>(&self, slots: &Slots<V>) -> Vec<(u64, u32)> {
        match self {
            Self::Lru(_) => Lru::ranks(slots),
            Self::TinyLfu(tiny_lfu) => tiny_lfu.ranks(slots),
        }
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> usize {
        match self {
            Self::Lru(lru) => lru.audit(slots),
            Self::TinyLfu(tiny_lfu) => tiny_lfu.audit(slots),
        }
    }
}
