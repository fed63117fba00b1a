//! The engines of a store, each behind a lock of its own, and the totals that its limits are about.
//!
//! Most operations lock one engine, that of their key. Room that cannot be had there is made with all of them locked, in the
//! order in which they stand, so that no two threads wait for each other.

use super::clock::{Moment, NEVER};
use super::engine::{Engine, Key, Removed};
use super::policy::Policy;
use super::{Limits, Weigh};
use foldhash::fast::SeedableRandomState;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Two threads that use different engines do not write to the same line of the processor's cache.
#[repr(align(128))]
struct Apart<T>(T);

/// What all engines hold together, and what is on its way into one of them.
struct Totals {
    entries: AtomicUsize,
    bytes: AtomicU64,
    /// A moment before which nothing expires in any engine.
    soonest_expiry: AtomicU64,
}

pub(super) struct Shards<V> {
    policy: Policy,
    hasher: SeedableRandomState,
    engines: Box<[Apart<Mutex<Engine<V>>>]>,
    totals: Apart<Totals>,
}

impl<V: Weigh> Shards<V> {
    /// `count` is a power of two.
    pub(super) fn new(policy: Policy, count: usize, hasher: SeedableRandomState) -> Self {
        let engine = |_: usize| Apart(Mutex::new(Engine::new(policy, hasher.clone())));
        Self {
            policy,
            engines: (0..count).map(engine).collect(),
            hasher,
            totals: Apart(Totals {
                entries: AtomicUsize::new(0),
                bytes: AtomicU64::new(0),
                soonest_expiry: AtomicU64::new(NEVER),
            }),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    pub(super) fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key::new(&self.hasher, bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.totals.0.entries.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.totals.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_locked(&self) -> bool {
        self.engines.iter().any(|engine| matches!(engine.0.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Locks the engine of a key.
    pub(super) fn lock(&self, key: Key<'_>) -> Locked<'_, V> {
        self.lock_number(self.number(key))
    }

    /// The same for a `get`, with which an engine neither gains nor loses anything.
    #[inline]
    pub(super) fn lock_to_get(&self, key: Key<'_>) -> MutexGuard<'_, Engine<V>> {
        self.engines[self.number(key)].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which engine a key is in, by bits from the middle of its hash: a hash table uses the lowest and the highest.
    fn number(&self, key: Key<'_>) -> usize {
        usize::try_from(key.hash >> 32).unwrap_or(0) & (self.engines.len() - 1)
    }

    pub(super) fn lock_all(&self) -> AllLocked<'_, V> {
        AllLocked { engines: (0..self.engines.len()).map(|number| self.lock_number(number)).collect(), shards: self }
    }

    /// Locks one engine after the other, and never two.
    pub(super) fn each(&self) -> impl Iterator<Item = Locked<'_, V>> {
        (0..self.engines.len()).map(|number| self.lock_number(number))
    }

    /// Checks everything that must hold between two operations.
    #[cfg(test)]
    pub(super) fn audit(&self) {
        let first_expiry = self.each().map(|engine| engine.audit()).min().unwrap_or(NEVER);
        assert!(self.totals.0.soonest_expiry.load(Ordering::Relaxed) <= first_expiry, "it would not be looked for");
    }

    fn lock_number(&self, number: usize) -> Locked<'_, V> {
        // A panic in a caller's closure leaves the engine whole, so a poisoned lock is taken as any other.
        let engine = self.engines[number].0.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { len: engine.len(), bytes: engine.bytes(), totals: &self.totals.0, engine }
    }
}

/// A locked engine. What it has gained or lost is added to the totals when it is unlocked.
pub(super) struct Locked<'a, V: Weigh> {
    engine: MutexGuard<'a, Engine<V>>,
    totals: &'a Totals,
    /// What the totals have counted of this engine.
    len: usize,
    bytes: u64,
}

impl<V: Weigh> Locked<'_, V> {
    /// Counts what is about to be stored, if it is within the limits; false otherwise.
    pub(super) fn reserve(&mut self, entries: usize, bytes: u64, max_entries: usize, max_bytes: Option<u64>) -> bool {
        let totals = self.totals;
        totals.add(self.settle());
        if entries > 0 {
            let with_more = |total: usize| Some(total + entries).filter(|total| *total <= max_entries);
            if totals.entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more).is_err() {
                return false;
            }
        }
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        let with_more = |total: u64| total.checked_add(bytes).filter(|total| *total <= max_bytes);
        if bytes > 0 && totals.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more).is_err() {
            totals.entries.fetch_sub(entries, Ordering::Relaxed);
            return false;
        }
        self.len += entries;
        self.bytes += bytes;
        true
    }

    /// To be told of every expiry that an entry is given.
    pub(super) fn will_expire(&self, expires: u64) {
        if expires < self.totals.soonest_expiry.load(Ordering::Relaxed) {
            self.totals.soonest_expiry.fetch_min(expires, Ordering::Relaxed);
        }
    }

    /// False: surely nothing in any engine has expired and was not removed.
    pub(super) fn may_have_expired(&self, now: &Moment) -> bool {
        now.has_passed(self.totals.soonest_expiry.load(Ordering::Relaxed))
    }
}

impl<V: Weigh> Deref for Locked<'_, V> {
    type Target = Engine<V>;

    fn deref(&self) -> &Engine<V> {
        &self.engine
    }
}

impl<V: Weigh> DerefMut for Locked<'_, V> {
    fn deref_mut(&mut self) -> &mut Engine<V> {
        &mut self.engine
    }
}

impl<V: Weigh> Locked<'_, V> {
    /// What the engine has gained since the totals were told; to be added to them, with wrapping.
    fn settle(&mut self) -> (usize, u64) {
        let (len, bytes) = (self.engine.len(), self.engine.bytes());
        let gained = (len.wrapping_sub(self.len), bytes.wrapping_sub(self.bytes));
        (self.len, self.bytes) = (len, bytes);
        gained
    }
}

impl Totals {
    fn add(&self, (entries, bytes): (usize, u64)) {
        if entries != 0 {
            self.entries.fetch_add(entries, Ordering::Relaxed);
        }
        if bytes != 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl<V: Weigh> Drop for Locked<'_, V> {
    fn drop(&mut self) {
        self.totals.add(self.settle());
    }
}

/// All engines, locked: nothing is on its way, so their own figures are the totals.
pub(super) struct AllLocked<'a, V: Weigh> {
    shards: &'a Shards<V>,
    engines: Vec<Locked<'a, V>>,
}

impl<V: Weigh> AllLocked<'_, V> {
    pub(super) fn of(&mut self, key: Key<'_>) -> &mut Engine<V> {
        &mut self.engines[self.shards.number(key)]
    }

    pub(super) fn len(&self) -> usize {
        self.engines.iter().map(|engine| engine.len()).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.engines.iter().map(|engine| engine.bytes()).sum()
    }

    /// As [`Engine::store`]. To be used after room was made, which looks for the next expiry without this entry.
    pub(super) fn store(&mut self, key: Key<'_>, found: Option<u32>, value: V, expires: u64, removed: &mut Removed<V>) {
        self.engines[0].will_expire(expires);
        self.of(key).store(key, found, value, expires, removed);
    }

    pub(super) fn remove_expired(&mut self, now: &Moment, removed: &mut Removed<V>) {
        let totals = &self.shards.totals.0;
        if !now.has_passed(totals.soonest_expiry.load(Ordering::Relaxed)) {
            return;
        }
        self.engines.iter_mut().for_each(|engine| engine.remove_expired(now, removed));
        let soonest = self.engines.iter().map(|engine| engine.soonest_expiry()).min().unwrap_or(NEVER);
        totals.soonest_expiry.store(soonest, Ordering::Relaxed);
    }

    /// Django's `_cull`, after the expired entries have left.
    pub(super) fn cull(&mut self, now: &Moment, limits: &Limits, removed: &mut Removed<V>) {
        let is_full = |len: usize| i64::try_from(len).is_ok_and(|len| len >= limits.max_entries);
        if !is_full(self.len()) {
            return;
        }
        self.remove_expired(now, removed);
        let len = self.len();
        if is_full(len) {
            let count = match limits.cull_frequency {
                0 => len,
                // Python's range() of a negative count is empty.
                frequency => usize::try_from(frequency).map_or(0, |frequency| len / frequency),
            };
            self.evict(count, removed);
        }
    }

    /// Removes entries until so many more fit: the expired ones, then those that the policy gives up.
    pub(super) fn make_room(
        &mut self,
        for_entries: usize,
        for_bytes: u64,
        max_entries: usize,
        max_bytes: Option<u64>,
        now: &Moment,
        removed: &mut Removed<V>,
    ) {
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        let fits = |all: &Self| all.len() + for_entries <= max_entries && all.bytes() + for_bytes <= max_bytes;
        if !fits(self) {
            self.remove_expired(now, removed);
        }
        while !fits(self) && self.evict(1, removed) {}
    }

    /// Evicts so many entries: the oldest ones of all, or, by a policy without an age, from the largest engine. False if there
    /// were not as many.
    fn evict(&mut self, count: usize, removed: &mut Removed<V>) -> bool {
        if self.engines.len() == 1 {
            return (0..count).all(|_| self.engines[0].evict(removed));
        }
        let rank = |engine: &mut Engine<V>| match engine.victim_age() {
            Some(age) => age,
            None if engine.len() == 0 => u64::MAX,
            None => u64::MAX - engine.len() as u64,
        };
        let mut ranks: Vec<u64> = self.engines.iter_mut().map(|engine| rank(engine)).collect();
        for _ in 0..count {
            let Some((number, _)) = ranks.iter().enumerate().min_by_key(|(_, rank)| **rank) else { return false };
            if !self.engines[number].evict(removed) {
                return false;
            }
            ranks[number] = rank(&mut self.engines[number]);
        }
        true
    }

    /// Empties all engines; the entries leave with those that are returned.
    pub(super) fn clear(&mut self) -> Vec<Engine<V>> {
        let policy = self.shards.policy;
        self.engines.iter_mut().map(|engine| engine.clear(policy)).collect()
    }
}

impl<V: Weigh> Drop for AllLocked<'_, V> {
    /// All in one step, so that nobody sees what has come without what has left for it.
    fn drop(&mut self) {
        let mut gained = (0_usize, 0_u64);
        for (entries, bytes) in self.engines.iter_mut().map(Locked::settle) {
            gained = (gained.0.wrapping_add(entries), gained.1.wrapping_add(bytes));
        }
        self.shards.totals.0.add(gained);
    }
}
