//! The store for many threads: what each operation does to the engine of its key, within the limits.

use super::clock::{Moment, NEVER};
use super::engine::{Engine, Found, Key, Removed};
use super::policy::Policy;
use super::shards::Shards;
use super::{Added, Counters, Deadline, Limits, Weigh, entry_weight};
use crate::timeout::{Expiry, Ttl};
use foldhash::fast::SeedableRandomState;
use std::fmt;
use std::thread::available_parallelism;
use std::time::Duration;

/// A store for fewer entries has one engine: what a lock costs does not matter there, and the order of uses is exact for all
/// threads together.
const SMALL: i64 = 1000;

/// More of them make little difference to threads, but culling locks them all.
const MOST_ENGINES: usize = 64;

/// A store of any type of value, for any number of threads.
///
/// `get`, `set`, an `add` that stores and `update` use an entry; `contains`, `touch` and an `add` that finds a value do not.
/// What [`Policy`] makes of it decides who leaves a full store. An entry that has expired is a miss for every method, and
/// leaves before live ones do.
///
/// A store that is made for 1,000 entries or more is divided by the hash of the keys, so that threads rarely wait for each
/// other. The limits are exact for the store as a whole. The order of uses is exact within a thread; two threads may disagree
/// about their latest 64.
///
/// Values that leave are dropped after the lock is released. Their bytes are not counted any more from the moment they leave.
///
/// ```
/// use pinyon::memory::{Limits, Memory};
/// use pinyon::Expiry;
/// use std::time::Duration;
///
/// let memory: Memory<String> = Memory::new();
/// let limits = Limits::default();
/// assert!(memory.set(b"greeting", "hello".to_owned(), Expiry::In(Duration::from_secs(60)), &limits));
/// assert_eq!(memory.get(b"greeting").as_deref(), Some("hello"));
/// assert_eq!(memory.get_with(b"greeting", String::len), Some(5));
/// ```
pub struct Memory<V: Weigh> {
    shards: Shards<V>,
    #[cfg(test)]
    pub(super) stopped_at: std::sync::atomic::AtomicU64,
}

impl<V: Weigh> Memory<V> {
    /// An empty store for a few entries, with Django's policy.
    pub fn new() -> Self {
        Self::with_policy(Policy::Lru, Limits::default().max_entries)
    }

    /// An empty store for about so many entries: how many it may really hold, each call says.
    pub fn with_policy(policy: Policy, max_entries: i64) -> Self {
        let engines = if max_entries < SMALL { 1 } else { (16 * processors()).min(max_entries.unsigned_abs() / 32) };
        let engines = usize::try_from(engines).unwrap_or(1).next_power_of_two().min(MOST_ENGINES);
        Self::with_engines(policy, engines, SeedableRandomState::random())
    }

    pub(super) fn with_engines(policy: Policy, engines: usize, hasher: SeedableRandomState) -> Self {
        Self {
            shards: Shards::new(policy, engines, hasher),
            #[cfg(test)]
            stopped_at: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Which entries leave when the store is full.
    pub fn policy(&self) -> Policy {
        self.shards.policy()
    }

    /// Calls `read` with the value, if there is one, and returns what it returns. The key is locked meanwhile: `read`
    /// is meant for a cheap clone, and must not use this store.
    pub fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&V) -> R) -> Option<R> {
        let (now, key) = (self.now(), self.shards.key(key));
        loop {
            match self.shards.lock_to_get(key).get(key, &now) {
                Found::Live(value) => return Some(read(value)),
                Found::Nothing => return None,
                Found::Expired => {}
            }
            let mut removed = Removed::new();
            // Unless another thread was faster and has set it anew.
            if self.shards.lock(key).miss_expired(key, &now, &mut removed) {
                return None;
            }
        }
    }

    /// A clone of the value, made while the key is locked.
    pub fn get(&self, key: &[u8]) -> Option<V>
    where
        V: Clone,
    {
        self.get_with(key, V::clone)
    }

    /// Whether there is an entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.locked(key, |engine, key, now, removed| engine.find_live(key, now, removed).is_some())
    }

    /// Stores a value; [`Expiry::Now`] removes the key. False if the entry alone would exceed `max_bytes`: the key has no
    /// value then.
    pub fn set(&self, key: &[u8], value: V, expiry: Expiry, limits: &Limits) -> bool {
        self.write(key, value, expiry, limits, false) != Added::TooLarge
    }

    /// Stores a value if the key has none. With [`Expiry::Now`] the answer is the same and nothing is stored.
    pub fn add(&self, key: &[u8], value: V, expiry: Expiry, limits: &Limits) -> Added {
        self.write(key, value, expiry, limits, true)
    }

    /// Gives an entry a new expiry; returns whether there was one. [`Expiry::Now`] removes it.
    pub fn touch(&self, key: &[u8], expiry: Expiry) -> bool {
        let (mut removed, now, key) = (Removed::new(), self.now(), self.shards.key(key));
        let mut engine = self.shards.lock(key);
        let Some(index) = engine.find_live(key, &now, &mut removed) else { return false };
        let expires = now.after(expiry);
        if now.has_passed(expires) {
            engine.remove(index, &mut removed);
        } else {
            engine.will_expire(expires);
            engine.set_expires(index, expires);
        }
        true
    }

    /// Removes an entry; returns whether there was one.
    pub fn delete(&self, key: &[u8]) -> bool {
        self.locked(key, |engine, key, now, removed| {
            let found = engine.find_live(key, now, removed);
            found.map(|index| engine.remove(index, removed)).is_some()
        })
    }

    /// Calls `change` with the value, if there is one; stores the value that it returns, if it returns one, and keeps the
    /// expiry. No other thread sees or changes the entry in between. `change` must not use this store.
    ///
    /// If the new entry would alone exceed `max_bytes`, it is removed. Other limits are not looked at, as in Django's `incr`.
    pub fn update<R>(&self, key: &[u8], limits: &Limits, change: impl FnOnce(&V) -> (Option<V>, R)) -> Option<R> {
        if let Some(max_bytes) = limits.max_bytes {
            return self.update_within(key, max_bytes, change);
        }
        self.locked(key, |engine, key, now, removed| {
            let index = engine.find_live(key, now, removed)?;
            let (value, result) = change(engine.value(index));
            if let Some(value) = value {
                engine.replace(index, value, removed);
            }
            Some(result)
        })
    }

    /// Calls `read` with the index in `keys` and the value of every key that has one. A key is locked meanwhile; `read` must
    /// not use this store.
    pub fn get_many_with<K: AsRef<[u8]>>(&self, keys: &[K], mut read: impl FnMut(usize, &V)) {
        for (index, key) in keys.iter().enumerate() {
            self.get_with(key.as_ref(), |value| read(index, value));
        }
    }

    /// Stores all items, one after the other, and returns the indexes of those that `max_bytes` refused.
    pub fn set_many<K: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        expiry: Expiry,
        limits: &Limits,
    ) -> Vec<usize> {
        let items = items.into_iter().enumerate();
        items
            .filter_map(|(index, (key, value))| (!self.set(key.as_ref(), value, expiry, limits)).then_some(index))
            .collect()
    }

    /// Removes all keys, one after the other, and returns how many had an entry.
    pub fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| self.delete(key.as_ref())).count()
    }

    /// How long the entry has left.
    pub fn ttl(&self, key: &[u8]) -> Ttl {
        let now = self.now();
        match self.expires(key, &now) {
            None => Ttl::Missing,
            Some(NEVER) => Ttl::Never,
            Some(expires) => Ttl::Left(Duration::from_nanos(expires.saturating_sub(now.nanoseconds()))),
        }
    }

    /// When the entry expires; none if there is no entry.
    pub fn expiry(&self, key: &[u8]) -> Option<Deadline> {
        Some(match self.expires(key, &self.now())? {
            NEVER => Deadline::Never,
            expires => Deadline::At(Duration::from_nanos(expires).as_secs_f64()),
        })
    }

    /// The keys of all entries. With [`Policy::Lru`] the most recently used first; otherwise in no order that means anything.
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        let now = self.now();
        let mut keys: Vec<_> = self.shards.each().flat_map(|engine| engine.ranked_keys(&now)).collect();
        keys.sort_unstable_by(|one, other| other.cmp(one));
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Removes every entry.
    pub fn clear(&self) {
        let cleared = self.shards.lock_all().clear();
        drop(cleared);
    }

    /// Number of entries, with those that have expired and were not removed yet.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all entries weigh together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.shards.bytes()
    }

    /// What the store has done since it was made; `clear` does not reset it.
    pub fn counters(&self) -> Counters {
        self.shards.each().fold(Counters::default(), |sum, engine| sum + engine.counters())
    }

    /// Whether some thread holds a lock at this moment: for tests that show that a piece of code runs outside of it.
    pub fn is_locked(&self) -> bool {
        self.shards.is_locked()
    }

    /// Runs `operation` with the engine of the key locked, and drops what it removed after the lock is released.
    fn locked<R>(
        &self,
        key: &[u8],
        operation: impl FnOnce(&mut Engine<V>, Key<'_>, &Moment, &mut Removed<V>) -> R,
    ) -> R {
        let (mut removed, now, key) = (Removed::new(), self.now(), self.shards.key(key));
        // The guard is a temporary of this statement; `removed` lives until the end of the function.
        let result = operation(&mut self.shards.lock(key), key, &now, &mut removed);
        drop(removed);
        result
    }

    fn write(&self, key: &[u8], value: V, expiry: Expiry, limits: &Limits, is_add: bool) -> Added {
        // Declared before anything is locked, so dropped after it is unlocked.
        let (mut removed, now, key) = (Removed::new(), self.now(), self.shards.key(key));
        let removed = &mut removed;
        let expires = now.after(expiry);
        let weight = entry_weight(key.bytes, &value);
        let mut engine = self.shards.lock(key);
        let mut found = engine.find_live(key, &now, removed);
        if is_add && found.is_some() {
            removed.push(value);
            return Added::Exists;
        }
        let is_over = now.has_passed(expires);
        if is_over || limits.max_bytes.is_some_and(|max_bytes| weight > max_bytes) {
            if let Some(index) = found {
                engine.remove(index, removed);
            }
            removed.push(value);
            return if is_over { Added::Stored } else { Added::TooLarge };
        }
        let max_entries = self.max_entries(limits);
        let mut may_store = self.policy() == Policy::TinyLfu || self.shards.len() < max_entries;
        while may_store {
            let growth = weight.saturating_sub(found.map_or(0, |index| engine.weight(index)));
            if engine.reserve(usize::from(found.is_none()), growth, max_entries, limits.max_bytes) {
                engine.will_expire(expires);
                engine.store(key, found, value, expires, removed);
                return Added::Stored;
            }
            // What is not LRU gives up one of the same engine, if it has one and nothing else has expired.
            may_store = self.policy() == Policy::TinyLfu
                && !engine.may_have_expired(&now)
                && match found.take() {
                    Some(index) => {
                        engine.remove(index, removed);
                        true
                    }
                    None => engine.evict(removed),
                };
        }
        drop(engine);
        self.write_with_all_locked(key, value, expires, limits, is_add, &now, removed)
    }

    #[allow(clippy::too_many_arguments)]
    fn write_with_all_locked(
        &self,
        key: Key<'_>,
        value: V,
        expires: u64,
        limits: &Limits,
        is_add: bool,
        now: &Moment,
        removed: &mut Removed<V>,
    ) -> Added {
        let weight = entry_weight(key.bytes, &value);
        let mut all = self.shards.lock_all();
        if is_add && all.of(key).find_live(key, now, removed).is_some() {
            removed.push(value);
            return Added::Exists;
        }
        let max_entries = match self.policy() {
            Policy::Lru => {
                all.cull(now, limits, removed);
                usize::MAX
            }
            Policy::TinyLfu => self.max_entries(limits),
        };
        let mut found = all.of(key).find_live(key, now, removed);
        let replaced = found.map_or(0, |index| all.of(key).weight(index));
        if limits.max_bytes.is_some_and(|max_bytes| all.bytes() - replaced + weight > max_bytes)
            && let Some(index) = found.take()
        {
            all.of(key).remove(index, removed);
        }
        if found.is_none() {
            all.make_room(1, weight, max_entries, limits.max_bytes, now, removed);
        }
        all.store(key, found, value, expires, removed);
        Added::Stored
    }

    /// All is locked, because room for what `change` returns may have to be made before anybody else sees the entry.
    fn update_within<R>(&self, key: &[u8], max_bytes: u64, change: impl FnOnce(&V) -> (Option<V>, R)) -> Option<R> {
        let (mut removed, now, key) = (Removed::new(), self.now(), self.shards.key(key));
        let removed = &mut removed;
        let mut all = self.shards.lock_all();
        let engine = all.of(key);
        let index = engine.find_live(key, &now, removed)?;
        let (value, result) = change(engine.value(index));
        let Some(value) = value else { return Some(result) };
        let (before, after) = (engine.weight(index), entry_weight(key.bytes, &value));
        if after <= before {
            engine.replace(index, value, removed);
            return Some(result);
        }
        let expires = engine.expires(index);
        engine.remove(index, removed);
        if after > max_bytes {
            removed.push(value);
        } else {
            all.make_room(1, after, usize::MAX, Some(max_bytes), &now, removed);
            all.store(key, None, value, expires, removed);
        }
        Some(result)
    }

    fn expires(&self, key: &[u8], now: &Moment) -> Option<u64> {
        let key = self.shards.key(key);
        let engine = self.shards.lock(key);
        engine.find(key).map(|index| engine.expires(index)).filter(|expires| !now.has_passed(*expires))
    }

    /// A policy that gives up one entry for another one keeps at least that one.
    fn max_entries(&self, limits: &Limits) -> usize {
        let least = usize::from(self.policy() != Policy::Lru);
        usize::try_from(limits.max_entries.max(0)).unwrap_or(usize::MAX).max(least)
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn now(&self) -> Moment {
        Moment::unread()
    }

    /// With a clock that a test may have stopped.
    #[cfg(test)]
    fn now(&self) -> Moment {
        match self.stopped_at.load(std::sync::atomic::Ordering::Relaxed) {
            0 => Moment::unread(),
            nanoseconds => Moment::fixed(nanoseconds),
        }
    }
}

fn processors() -> u64 {
    available_parallelism().map_or(4, |processors| processors.get() as u64)
}

impl<V: Weigh> Default for Memory<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Without contents: they may be secret.
impl<V: Weigh> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "model_tests.rs"]
mod model_tests;
