//! The algorithm, for one thread: slots of entries, a hash table over them, an order in which they leave, and an index of what
//! expires when. No lock and no limits: both are the business of [`super::shards`].

use super::clock::{Moment, NEVER};
use super::expiry_index::ExpiryIndex;
use super::policy::{Order, Policy};
use super::slots::{Entry, NIL, Slots};
use super::{Counters, Weigh};
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Values that have left the cache, to be dropped by the caller when it holds the lock no more.
pub(super) struct Removed<V> {
    /// An operation mostly removes one value or none: no allocation for that.
    first: Option<V>,
    rest: Vec<V>,
}

impl<V> Removed<V> {
    pub(super) const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    pub(super) fn push(&mut self, value: V) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.rest.push(value);
        }
    }
}

/// A key with its hash, which is also what chooses the engine.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub hash: u64,
    pub bytes: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn new(hasher: &SeedableRandomState, bytes: &'a [u8]) -> Self {
        Self { hash: hasher.hash_one(bytes), bytes }
    }
}

/// In this order, so that what a hit writes is in the line of the lock, which stands before it.
#[repr(C)]
pub(super) struct Engine<V> {
    counters: Counters,
    order: Order,
    /// Slots by hash. The hashes are not kept: they are made again where the table grows and where an entry leaves.
    table: HashTable<u32>,
    slots: Slots<V>,
    hasher: SeedableRandomState,
    expiries: ExpiryIndex,
    bytes: u64,
}

/// What there is under a key.
pub(super) enum Found<'a, V> {
    Live(&'a V),
    /// Still there, and to be removed.
    Expired,
    Nothing,
}

impl<V: Weigh> Engine<V> {
    /// All engines of a store have the same `hasher`, which has made the hashes of all keys.
    pub(super) fn new(policy: Policy, hasher: SeedableRandomState) -> Self {
        Self {
            slots: Slots::new(),
            table: HashTable::new(),
            hasher,
            order: Order::new(policy),
            expiries: ExpiryIndex::new(),
            bytes: 0,
            counters: Counters::default(),
        }
    }

    /// Number of entries, with those that have expired and were not removed yet.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// A moment before which nothing expires.
    pub(super) fn soonest_expiry(&self) -> u64 {
        self.expiries.soonest()
    }

    /// Uses an entry. One that has expired stays: the caller can do this with less than removing takes.
    #[inline]
    pub(super) fn get(&mut self, key: Key<'_>, now: &Moment) -> Found<'_, V> {
        let Some(index) = self.find(key) else {
            self.counters.misses += 1;
            return Found::Nothing;
        };
        if now.has_passed(self.slots[index].expires) {
            return Found::Expired;
        }
        self.counters.hits += 1;
        self.order.used(&mut self.slots, index);
        Found::Live(&self.slots[index].value)
    }

    /// Removes an entry that has expired, for a `get` that has found it.
    pub(super) fn miss_expired(&mut self, key: Key<'_>, now: &Moment, removed: &mut Removed<V>) -> bool {
        let is_missing = self.find_live(key, now, removed).is_none();
        self.counters.misses += u64::from(is_missing);
        is_missing
    }

    /// The slot of a key; an entry that has expired is removed and not found.
    pub(super) fn find_live(&mut self, key: Key<'_>, now: &Moment, removed: &mut Removed<V>) -> Option<u32> {
        let index = self.find(key)?;
        if now.has_passed(self.slots[index].expires) {
            self.counters.expired += 1;
            self.remove(index, removed);
            return None;
        }
        Some(index)
    }

    /// The slot of a key, whether its entry has expired or not.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<u32> {
        self.table.find(key.hash, |index| *self.slots[*index].key == *key.bytes).copied()
    }

    pub(super) fn value(&self, index: u32) -> &V {
        &self.slots[index].value
    }

    pub(super) fn weight(&self, index: u32) -> u64 {
        self.slots[index].weight()
    }

    pub(super) fn expires(&self, index: u32) -> u64 {
        self.slots[index].expires
    }

    /// Puts a value in the place of another one, or in a new place. There must be room for it.
    pub(super) fn store(&mut self, key: Key<'_>, found: Option<u32>, value: V, expires: u64, removed: &mut Removed<V>) {
        match found {
            Some(index) => {
                self.replace(index, value, removed);
                self.set_expires(index, expires);
            }
            None => self.insert(key, value, expires),
        }
    }

    /// Gives an entry a new value and keeps its expiry. Counts as a use.
    pub(super) fn replace(&mut self, index: u32, value: V, removed: &mut Removed<V>) {
        let entry = &mut self.slots[index];
        let before = entry.weight();
        removed.push(std::mem::replace(&mut entry.value, value));
        self.bytes = self.bytes - before + entry.weight();
        self.used(index);
    }

    pub(super) fn used(&mut self, index: u32) {
        self.order.used(&mut self.slots, index);
    }

    pub(super) fn set_expires(&mut self, index: u32, expires: u64) {
        self.expiries.set(&mut self.slots, index, expires);
    }

    pub(super) fn remove(&mut self, index: u32, removed: &mut Removed<V>) {
        self.set_expires(index, NEVER);
        self.order.remove(&mut self.slots, index);
        let hash = self.hasher.hash_one(&*self.slots[index].key);
        if let Ok(occupied) = self.table.find_entry(hash, |other| *other == index) {
            occupied.remove();
        }
        if let Some(entry) = self.slots.take(index) {
            self.bytes -= entry.weight();
            removed.push(entry.value);
        }
    }

    /// Removes the entry that the policy gives up first; false if there is none.
    pub(super) fn evict(&mut self, removed: &mut Removed<V>) -> bool {
        let Some(index) = self.order.victim(&mut self.slots) else { return false };
        self.counters.evictions += 1;
        self.remove(index, removed);
        true
    }

    /// For LRU: when the entry that is evicted next was last used, comparable with those of other engines.
    pub(super) fn victim_age(&mut self) -> Option<u64> {
        self.order.victim_age(&self.slots)
    }

    /// Removes every entry that has expired.
    pub(super) fn remove_expired(&mut self, now: &Moment, removed: &mut Removed<V>) {
        for index in self.expiries.expired(&self.slots, now) {
            self.counters.expired += 1;
            self.remove(index, removed);
        }
    }

    /// The keys of the live entries, with numbers that are higher for those that leave later.
    pub(super) fn ranked_keys(&self, now: &Moment) -> Vec<(u64, Box<[u8]>)> {
        let ranks = self.order.ranks(&self.slots).into_iter();
        let live = ranks.filter(|(_, index)| !now.has_passed(self.slots[*index].expires));
        live.map(|(rank, index)| (rank, self.slots[index].key.clone())).collect()
    }

    /// Empties the engine; the entries leave with the one that is returned.
    pub(super) fn clear(&mut self, policy: Policy) -> Self {
        let mut fresh = Self::new(policy, self.hasher.clone());
        fresh.counters = self.counters;
        std::mem::replace(self, fresh)
    }

    fn insert(&mut self, key: Key<'_>, value: V, expires: u64) {
        let entry = Entry {
            expires: NEVER,
            key: key.bytes.into(),
            value,
            mark: 0,
            newer: NIL,
            older: NIL,
            bucket_previous: NIL,
            bucket_next: NIL,
        };
        self.bytes += entry.weight();
        let index = self.slots.insert(entry);
        let Self { slots, hasher, .. } = self;
        self.table.insert_unique(key.hash, index, |index| hasher.hash_one(&*slots[*index].key));
        self.order.insert(&mut self.slots, index, key.hash);
        self.set_expires(index, expires);
    }

    /// Checks everything that must hold between two operations, and returns when the first entry expires.
    #[cfg(test)]
    pub(super) fn audit(&self) -> u64 {
        assert_eq!(self.order.audit(&self.slots), self.len());
        self.slots.audit(self.len());
        let (mut bytes, mut expiring) = (0, 0);
        for index in &self.table {
            let entry = &self.slots[*index];
            assert_eq!(self.find(Key::new(&self.hasher, &entry.key)), Some(*index));
            bytes += entry.weight();
            expiring += usize::from(entry.expires != NEVER);
        }
        assert_eq!((bytes, expiring), (self.bytes, self.expiries.audit(&self.slots)));
        self.slots.iter().map(|(_, entry)| entry.expires).min().unwrap_or(NEVER)
    }
}
