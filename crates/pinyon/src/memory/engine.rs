//! The algorithm, for one thread: a slab of entries, a hash table over it, a list from the most to the least recently used
//! entry, and an index of what expires when. No clock and no lock: both are the business of [`super::Memory`].
//!
//! Django's LocMemCache is the contract (`django/core/cache/backends/locmem.py`): what moves to the front, when a cache
//! culls and how many entries leave. Beyond it, expired entries leave before live ones do, and bytes are counted.

use super::{Added, Counters, ENTRY_OVERHEAD, Limits, Weigh};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// The moment, in nanoseconds of Unix time, at which an entry without expiry expires.
pub(super) const NEVER: u64 = u64::MAX;

/// No slot: the end of a list.
const NIL: u32 = u32::MAX;

/// Entries whose expiries agree but for the lowest 24 bits, which is 16.8 ms, share a bucket of the expiry index.
/// Only the bucket of the moment holds both entries that have expired and entries that have not.
const BUCKET_BITS: u32 = 24;

/// Values that have left the cache, to be dropped by the caller when it holds the lock no more.
pub(super) struct Removed<V> {
    /// An operation mostly removes one value or none: no allocation for that.
    first: Option<V>,
    rest: Vec<V>,
}

impl<V> Removed<V> {
    pub(super) fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    fn push(&mut self, value: V) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.rest.push(value);
        }
    }
}

struct Slot<V> {
    hash: u64,
    /// [`NEVER`], or nanoseconds of Unix time.
    expires: u64,
    key: Box<[u8]>,
    /// None: the slot is free.
    value: Option<V>,
    newer: u32,
    /// In a free slot: the next free one.
    older: u32,
    bucket_previous: u32,
    bucket_next: u32,
}

pub(super) struct Engine<V> {
    slots: Vec<Slot<V>>,
    free: u32,
    table: HashTable<u32>,
    hasher: RandomState,
    newest: u32,
    oldest: u32,
    /// The first slot of every bucket, by bucket number.
    buckets: BTreeMap<u64, u32>,
    bytes: u64,
    counters: Counters,
}

impl<V: Weigh> Engine<V> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NIL,
            table: HashTable::new(),
            hasher: RandomState::default(),
            newest: NIL,
            oldest: NIL,
            buckets: BTreeMap::new(),
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

    pub(super) fn get(&mut self, key: &[u8], now: u64, removed: &mut Removed<V>) -> Option<&V> {
        let Some(index) = self.find_live(key, now, removed) else {
            self.counters.misses += 1;
            return None;
        };
        self.counters.hits += 1;
        self.move_to_front(index);
        self.slots[index as usize].value.as_ref()
    }

    pub(super) fn contains(&mut self, key: &[u8], now: u64, removed: &mut Removed<V>) -> bool {
        self.find_live(key, now, removed).is_some()
    }

    /// False: the entry is larger than `max_bytes`, and the key has no value now. What is expired already removes the key.
    pub(super) fn set(
        &mut self,
        key: &[u8],
        value: V,
        expires: u64,
        now: u64,
        limits: &Limits,
        removed: &mut Removed<V>,
    ) -> bool {
        if expires <= now {
            self.delete(key, now, removed);
            removed.push(value);
            return true;
        }
        self.cull(now, limits, removed);
        let hash = self.hasher.hash_one(key);
        let mut found = self.find(hash, key);
        if let Some(max_bytes) = limits.max_bytes {
            let weight = entry_weight(key, &value);
            let replaced = found.map_or(0, |index| self.slots[index as usize].weight());
            if weight > max_bytes || self.bytes - replaced + weight > max_bytes {
                if let Some(index) = found.take() {
                    self.remove(index, removed);
                }
                if weight > max_bytes {
                    removed.push(value);
                    return false;
                }
                self.make_room(weight, max_bytes, now, removed);
            }
        }
        match found {
            Some(index) => {
                self.replace_value(index, value, removed);
                self.set_expires(index, expires);
                self.move_to_front(index);
            }
            None => self.insert(hash, key, value, expires, removed),
        }
        true
    }

    pub(super) fn add(
        &mut self,
        key: &[u8],
        value: V,
        expires: u64,
        now: u64,
        limits: &Limits,
        removed: &mut Removed<V>,
    ) -> Added {
        if self.find_live(key, now, removed).is_some() {
            removed.push(value);
            Added::Exists
        } else if self.set(key, value, expires, now, limits, removed) {
            Added::Stored
        } else {
            Added::TooLarge
        }
    }

    pub(super) fn touch(&mut self, key: &[u8], expires: u64, now: u64, removed: &mut Removed<V>) -> bool {
        let Some(index) = self.find_live(key, now, removed) else { return false };
        if expires <= now {
            self.remove(index, removed);
        } else {
            self.set_expires(index, expires);
        }
        true
    }

    pub(super) fn delete(&mut self, key: &[u8], now: u64, removed: &mut Removed<V>) -> bool {
        let Some(index) = self.find_live(key, now, removed) else { return false };
        self.remove(index, removed);
        true
    }

    /// Replaces a value by what `change` makes of it and keeps its expiry. No culling, as in Django's `incr`.
    pub(super) fn update<R>(
        &mut self,
        key: &[u8],
        now: u64,
        limits: &Limits,
        removed: &mut Removed<V>,
        change: impl FnOnce(&V) -> (Option<V>, R),
    ) -> Option<R> {
        let index = self.find_live(key, now, removed)?;
        let (value, result) = change(self.slots[index as usize].value.as_ref()?);
        let Some(value) = value else { return Some(result) };
        self.move_to_front(index);
        if let Some(max_bytes) = limits.max_bytes {
            let slot = &self.slots[index as usize];
            let (before, after) = (slot.weight(), entry_weight(&slot.key, &value));
            if after > max_bytes {
                self.remove(index, removed);
                removed.push(value);
                return Some(result);
            }
            if after > before {
                // This entry is at the front and fits by itself, so it is never the one that leaves.
                self.make_room(after - before, max_bytes, now, removed);
            }
        }
        self.replace_value(index, value, removed);
        Some(result)
    }

    /// When the entry expires; none if there is no live entry. Does not count as a use.
    pub(super) fn expires(&self, key: &[u8], now: u64) -> Option<u64> {
        let index = self.find(self.hasher.hash_one(key), key)?;
        Some(self.slots[index as usize].expires).filter(|expires| *expires > now)
    }

    /// The keys of the live entries, the most recently used first.
    pub(super) fn keys(&self, now: u64) -> Vec<Box<[u8]>> {
        let mut keys = Vec::with_capacity(self.len());
        let mut index = self.newest;
        while index != NIL {
            let slot = &self.slots[index as usize];
            if slot.expires > now {
                keys.push(slot.key.clone());
            }
            index = slot.older;
        }
        keys
    }

    /// Empties the cache; the entries leave with the engine that is returned.
    pub(super) fn clear(&mut self) -> Self {
        let mut fresh = Self::new();
        fresh.counters = self.counters;
        std::mem::replace(self, fresh)
    }

    /// Django's `_cull`, after the expired entries have left.
    fn cull(&mut self, now: u64, limits: &Limits, removed: &mut Removed<V>) {
        let is_full = |engine: &Self| i64::try_from(engine.len()).is_ok_and(|len| len >= limits.max_entries);
        if !is_full(self) {
            return;
        }
        self.remove_expired(now, removed);
        if !is_full(self) {
            return;
        }
        let count = match limits.cull_frequency {
            0 => self.len(),
            // Python's range() of a negative count is empty.
            frequency => usize::try_from(frequency).map_or(0, |frequency| self.len() / frequency),
        };
        for _ in 0..count {
            self.evict_oldest(removed);
        }
    }

    /// Removes entries until `weight` more bytes fit: the expired ones, then the least recently used ones.
    fn make_room(&mut self, weight: u64, max_bytes: u64, now: u64, removed: &mut Removed<V>) {
        if self.bytes + weight > max_bytes {
            self.remove_expired(now, removed);
        }
        while self.bytes + weight > max_bytes && self.oldest != NIL {
            self.evict_oldest(removed);
        }
    }

    fn evict_oldest(&mut self, removed: &mut Removed<V>) {
        self.counters.evictions += 1;
        self.remove(self.oldest, removed);
    }

    /// Removes every entry that has expired: whole buckets, and then what has expired of the bucket of this moment.
    fn remove_expired(&mut self, now: u64, removed: &mut Removed<V>) {
        while let Some(bucket) = self.buckets.first_entry() {
            let is_over = *bucket.key() < now >> BUCKET_BITS;
            if !is_over && *bucket.key() > now >> BUCKET_BITS {
                return;
            }
            let mut index = *bucket.get();
            while index != NIL {
                let slot = &self.slots[index as usize];
                let (next, expires) = (slot.bucket_next, slot.expires);
                if expires <= now {
                    self.counters.expired += 1;
                    self.remove(index, removed);
                }
                index = next;
            }
            if !is_over {
                return;
            }
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.table.find(hash, |index| *self.slots[*index as usize].key == *key).copied()
    }

    /// The slot of a key; an entry that has expired is removed and not found.
    fn find_live(&mut self, key: &[u8], now: u64, removed: &mut Removed<V>) -> Option<u32> {
        let index = self.find(self.hasher.hash_one(key), key)?;
        if self.slots[index as usize].expires <= now {
            self.counters.expired += 1;
            self.remove(index, removed);
            return None;
        }
        Some(index)
    }

    fn insert(&mut self, hash: u64, key: &[u8], value: V, expires: u64, removed: &mut Removed<V>) {
        if self.free == NIL && self.slots.len() == NIL as usize {
            self.evict_oldest(removed);
        }
        self.bytes += entry_weight(key, &value);
        let slot = Slot {
            hash,
            expires: NEVER,
            key: key.into(),
            value: Some(value),
            newer: NIL,
            older: NIL,
            bucket_previous: NIL,
            bucket_next: NIL,
        };
        let index = if let Some(free) = self.slots.get_mut(self.free as usize) {
            let index = std::mem::replace(&mut self.free, free.older);
            *free = slot;
            index
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(NIL)
        };
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |index| slots[*index as usize].hash);
        self.link_front(index);
        self.set_expires(index, expires);
    }

    fn remove(&mut self, index: u32, removed: &mut Removed<V>) {
        self.set_expires(index, NEVER);
        self.unlink(index);
        if let Ok(entry) = self.table.find_entry(self.slots[index as usize].hash, |other| *other == index) {
            entry.remove();
        }
        let slot = &mut self.slots[index as usize];
        self.bytes -= slot.weight();
        slot.older = std::mem::replace(&mut self.free, index);
        slot.key = Box::default();
        if let Some(value) = slot.value.take() {
            removed.push(value);
        }
    }

    fn replace_value(&mut self, index: u32, value: V, removed: &mut Removed<V>) {
        let slot = &mut self.slots[index as usize];
        let before = slot.weight();
        if let Some(old) = slot.value.replace(value) {
            removed.push(old);
        }
        self.bytes = self.bytes - before + slot.weight();
    }

    fn move_to_front(&mut self, index: u32) {
        if self.newest != index {
            self.unlink(index);
            self.link_front(index);
        }
    }

    fn link_front(&mut self, index: u32) {
        let second = std::mem::replace(&mut self.newest, index);
        let slot = &mut self.slots[index as usize];
        slot.newer = NIL;
        slot.older = second;
        match self.slots.get_mut(second as usize) {
            Some(second) => second.newer = index,
            None => self.oldest = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let Slot { newer, older, .. } = self.slots[index as usize];
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Moves an entry to the bucket of its new expiry.
    fn set_expires(&mut self, index: u32, expires: u64) {
        let before = std::mem::replace(&mut self.slots[index as usize].expires, expires);
        let bucket = bucket_of(expires);
        if bucket_of(before) == bucket {
            return;
        }
        if let Some(old_bucket) = bucket_of(before) {
            self.leave_bucket(index, old_bucket);
        }
        if let Some(bucket) = bucket {
            let next = self.buckets.insert(bucket, index).unwrap_or(NIL);
            self.slots[index as usize].bucket_next = next;
            if let Some(next) = self.slots.get_mut(next as usize) {
                next.bucket_previous = index;
            }
        }
    }

    fn leave_bucket(&mut self, index: u32, bucket: u64) {
        let slot = &mut self.slots[index as usize];
        let previous = std::mem::replace(&mut slot.bucket_previous, NIL);
        let next = std::mem::replace(&mut slot.bucket_next, NIL);
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.bucket_previous = previous;
        }
        match self.slots.get_mut(previous as usize) {
            Some(previous) => previous.bucket_next = next,
            None if next == NIL => _ = self.buckets.remove(&bucket),
            None => _ = self.buckets.insert(bucket, next),
        }
    }
}

impl<V: Weigh> Slot<V> {
    fn weight(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| entry_weight(&self.key, value))
    }
}

fn entry_weight<V: Weigh>(key: &[u8], value: &V) -> u64 {
    (key.len() + value.weight() + ENTRY_OVERHEAD) as u64
}

fn bucket_of(expires: u64) -> Option<u64> {
    (expires != NEVER).then_some(expires >> BUCKET_BITS)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
