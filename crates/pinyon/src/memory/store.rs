//! The store for many threads: [`Engine`] behind a lock, with the clock.

use super::engine::{Engine, NEVER, Removed};
use super::{Added, Counters, Deadline, Limits, Weigh};
use crate::timeout::{Expiry, Ttl};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A store of any type of value, for any number of threads.
///
/// `get`, `set`, an `add` that stores and `update` make an entry the most recently used one; `contains`, `touch` and an
/// `add` that finds a value do not. An entry that has expired is a miss for every method.
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
pub struct Memory<V> {
    engine: Mutex<Engine<V>>,
}

impl<V: Weigh> Memory<V> {
    /// An empty store.
    pub fn new() -> Self {
        Self { engine: Mutex::new(Engine::new()) }
    }

    /// Calls `read` with the value, if there is one, and returns what it returns. The store is locked meanwhile: `read`
    /// is meant for a cheap clone, and must not use this store.
    pub fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&V) -> R) -> Option<R> {
        self.locked(|engine, now, removed| engine.get(key, now, removed).map(read))
    }

    /// A clone of the value, made while the store is locked.
    pub fn get(&self, key: &[u8]) -> Option<V>
    where
        V: Clone,
    {
        self.get_with(key, V::clone)
    }

    /// Whether there is an entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.locked(|engine, now, removed| engine.contains(key, now, removed))
    }

    /// Stores a value; [`Expiry::Now`] removes the key. False if the entry alone would exceed `max_bytes`: the key has no
    /// value then.
    pub fn set(&self, key: &[u8], value: V, expiry: Expiry, limits: &Limits) -> bool {
        self.locked(|engine, now, removed| engine.set(key, value, moment(now, expiry), now, limits, removed))
    }

    /// Stores a value if the key has none. With [`Expiry::Now`] the answer is the same and nothing is stored.
    pub fn add(&self, key: &[u8], value: V, expiry: Expiry, limits: &Limits) -> Added {
        self.locked(|engine, now, removed| engine.add(key, value, moment(now, expiry), now, limits, removed))
    }

    /// Gives an entry a new expiry; returns whether there was one. [`Expiry::Now`] removes it.
    pub fn touch(&self, key: &[u8], expiry: Expiry) -> bool {
        self.locked(|engine, now, removed| engine.touch(key, moment(now, expiry), now, removed))
    }

    /// Removes an entry; returns whether there was one.
    pub fn delete(&self, key: &[u8]) -> bool {
        self.locked(|engine, now, removed| engine.delete(key, now, removed))
    }

    /// Calls `change` with the value, if there is one; stores the value that it returns, if it returns one, and keeps the
    /// expiry. No other thread sees or changes the store in between. `change` must not use this store.
    ///
    /// If the new entry would alone exceed `max_bytes`, it is removed. Other limits are not looked at, as in Django's `incr`.
    pub fn update<R>(&self, key: &[u8], limits: &Limits, change: impl FnOnce(&V) -> (Option<V>, R)) -> Option<R> {
        self.locked(|engine, now, removed| engine.update(key, now, limits, removed, change))
    }

    /// Calls `read` with the index in `keys` and the value of every key that has one. The store is locked once, for all
    /// keys; `read` must not use it.
    pub fn get_many_with<K: AsRef<[u8]>>(&self, keys: &[K], mut read: impl FnMut(usize, &V)) {
        self.locked(|engine, now, removed| {
            for (index, key) in keys.iter().enumerate() {
                if let Some(value) = engine.get(key.as_ref(), now, removed) {
                    read(index, value);
                }
            }
        });
    }

    /// Stores all items and returns the indexes of those that `max_bytes` refused. The store is locked once, and stays
    /// locked while the iterator runs.
    pub fn set_many<K: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        expiry: Expiry,
        limits: &Limits,
    ) -> Vec<usize> {
        self.locked(|engine, now, removed| {
            let expires = moment(now, expiry);
            let items = items.into_iter().enumerate();
            items
                .filter_map(|(index, (key, value))| {
                    (!engine.set(key.as_ref(), value, expires, now, limits, removed)).then_some(index)
                })
                .collect()
        })
    }

    /// Removes all keys and returns how many had an entry. The store is locked once.
    pub fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> usize {
        self.locked(|engine, now, removed| keys.iter().filter(|key| engine.delete(key.as_ref(), now, removed)).count())
    }

    /// How long the entry has left.
    pub fn ttl(&self, key: &[u8]) -> Ttl {
        let now = unix_nanoseconds();
        match self.lock().expires(key, now) {
            None => Ttl::Missing,
            Some(NEVER) => Ttl::Never,
            Some(expires) => Ttl::Left(Duration::from_nanos(expires - now)),
        }
    }

    /// When the entry expires; none if there is no entry.
    pub fn expiry(&self, key: &[u8]) -> Option<Deadline> {
        let now = unix_nanoseconds();
        Some(match self.lock().expires(key, now)? {
            NEVER => Deadline::Never,
            expires => Deadline::At(Duration::from_nanos(expires).as_secs_f64()),
        })
    }

    /// The keys of all entries, the most recently used first.
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        let now = unix_nanoseconds();
        self.lock().keys(now)
    }

    /// Removes every entry.
    pub fn clear(&self) {
        let cleared = self.lock().clear();
        drop(cleared);
    }

    /// Number of entries, with those that have expired and were not removed yet.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all entries weigh together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// What the store has done since it was made; `clear` does not reset it.
    pub fn counters(&self) -> Counters {
        self.lock().counters()
    }

    /// Whether some thread holds the lock at this moment: for tests that show that a piece of code runs outside of it.
    pub fn is_locked(&self) -> bool {
        matches!(self.engine.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Runs `operation` under the lock, and drops what it removed after the lock is released.
    fn locked<R>(&self, operation: impl FnOnce(&mut Engine<V>, u64, &mut Removed<V>) -> R) -> R {
        let mut removed = Removed::new();
        let now = unix_nanoseconds();
        // The guard is a temporary of this statement; `removed` lives until the end of the function.
        let result = operation(&mut self.lock(), now, &mut removed);
        drop(removed);
        result
    }

    /// A panic in a caller's closure leaves the engine whole, so a poisoned lock is taken as any other.
    fn lock(&self) -> MutexGuard<'_, Engine<V>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Weigh> Default for Memory<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Without contents: they may be secret.
impl<V: Weigh> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = {
            let engine = self.lock();
            (engine.len(), engine.bytes())
        };
        f.debug_struct("Memory").field("entries", &entries).field("bytes", &bytes).finish()
    }
}

fn unix_nanoseconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(NEVER - 1)
}

/// The moment of an expiry. [`Expiry::Now`] is one that has always passed; one beyond the year 2554 is never.
fn moment(now: u64, expiry: Expiry) -> u64 {
    match expiry {
        Expiry::Never => NEVER,
        Expiry::Now => 0,
        Expiry::In(duration) => now.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(NEVER)),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
