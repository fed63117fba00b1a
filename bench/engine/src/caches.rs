//! What is compared: Pinyon's policies, two well-known crates, and textbook policies in their plainest form.

use pinyon::Expiry;
use pinyon::memory::{Limits, Memory, Policy};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A cache that is asked for a key and given it when it has not got it.
pub(crate) trait Cache {
    /// Whether it had the key.
    fn ask(&mut self, key: u64) -> bool;
}

pub(crate) struct Pinyon {
    memory: Memory<Arc<[u8]>>,
    limits: Limits,
}

impl Pinyon {
    pub(crate) fn new(policy: Policy, room: usize) -> Self {
        let max_entries = i64::try_from(room).unwrap_or(i64::MAX);
        Self { memory: Memory::with_policy(policy, max_entries), limits: Limits { max_entries, ..Limits::default() } }
    }
}

impl Cache for Pinyon {
    fn ask(&mut self, key: u64) -> bool {
        let key = key.to_le_bytes();
        let hit = self.memory.get_with(&key, |_| ()).is_some();
        if !hit {
            self.memory.set(&key, Arc::default(), Expiry::Never, &self.limits);
        }
        hit
    }
}

impl Cache for quick_cache::sync::Cache<u64, ()> {
    fn ask(&mut self, key: u64) -> bool {
        let hit = self.get(&key).is_some();
        if !hit {
            self.insert(key, ());
        }
        hit
    }
}

impl Cache for moka::sync::Cache<u64, ()> {
    fn ask(&mut self, key: u64) -> bool {
        let hit = self.get(&key).is_some();
        if !hit {
            self.insert(key, ());
        }
        hit
    }
}

/// By what the entries of a [`Ranked`] cache are ranked.
#[derive(Clone, Copy)]
pub(crate) enum By {
    LastUse,
    Uses,
}

/// The entry with the lowest rank leaves: LRU, and LFU that forgets what leaves.
pub(crate) struct Ranked {
    by: By,
    room: usize,
    now: u64,
    ranks: HashMap<u64, (u64, u64)>,
    order: BTreeSet<((u64, u64), u64)>,
}

impl Ranked {
    pub(crate) fn new(by: By, room: usize) -> Self {
        Self { by, room, now: 0, ranks: HashMap::new(), order: BTreeSet::new() }
    }
}

impl Cache for Ranked {
    fn ask(&mut self, key: u64) -> bool {
        self.now += 1;
        let before = self.ranks.get(&key).copied();
        match before {
            Some(rank) => _ = self.order.remove(&(rank, key)),
            None if self.ranks.len() == self.room => {
                if let Some((_, victim)) = self.order.pop_first() {
                    self.ranks.remove(&victim);
                }
            }
            None => {}
        }
        let uses = match self.by {
            By::LastUse => 0,
            By::Uses => before.map_or(0, |(uses, _)| uses) + 1,
        };
        self.ranks.insert(key, (uses, self.now));
        self.order.insert(((uses, self.now), key));
        before.is_some()
    }
}

/// The share of requests that a cache answers.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn hit_ratio(trace: &[u64], cache: &mut dyn Cache) -> f64 {
    trace.iter().filter(|key| cache.ask(**key)).count() as f64 / trace.len() as f64
}

/// The same of a cache that knows the future: whatever is asked for again last of all is not kept (Belady).
#[allow(clippy::cast_precision_loss)]
pub(crate) fn best_possible(trace: &[u64], room: usize) -> f64 {
    let mut next_use = vec![usize::MAX; trace.len()];
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for (index, key) in trace.iter().enumerate().rev() {
        next_use[index] = seen.insert(*key, index).unwrap_or(usize::MAX);
    }
    // The moment of an entry's next use names the entry: there is one request a moment.
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut hits = 0_usize;
    for (index, next) in next_use.iter().enumerate() {
        hits += usize::from(kept.remove(&index));
        if *next != usize::MAX {
            kept.insert(*next);
            if kept.len() > room {
                kept.pop_last();
            }
        }
    }
    hits as f64 / trace.len() as f64
}
