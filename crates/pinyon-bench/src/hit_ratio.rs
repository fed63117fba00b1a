//! How many requests a cache answers: Pinyon's policies, two well-known crates, and textbook policies in their plainest form.

use pinyon::Expiry;
use pinyon::memory::{Limits, Memory, Policy};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A cache that is asked for a key and given it when it has not got it.
pub trait Cache {
    /// Whether it had the key.
    fn ask(&mut self, key: u64) -> bool;
}

/// Pinyon's memory engine.
pub struct Pinyon {
    memory: Memory<Arc<[u8]>>,
    limits: Limits,
}

impl Pinyon {
    /// With `room` for so many entries.
    pub fn new(policy: Policy, room: usize) -> Self {
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

#[cfg(feature = "peers")]
impl Cache for quick_cache::sync::Cache<u64, ()> {
    fn ask(&mut self, key: u64) -> bool {
        let hit = self.get(&key).is_some();
        if !hit {
            self.insert(key, ());
        }
        hit
    }
}

#[cfg(feature = "peers")]
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
pub enum By {
    /// The oldest use leaves first.
    LastUse,
    /// The rarest leaves first.
    Uses,
}

/// The entry with the lowest rank leaves: LRU, and LFU that forgets what leaves.
pub struct Ranked {
    by: By,
    room: usize,
    now: u64,
    ranks: HashMap<u64, (u64, u64)>,
    order: BTreeSet<((u64, u64), u64)>,
}

impl Ranked {
    /// With `room` for so many entries.
    pub fn new(by: By, room: usize) -> Self {
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
pub fn hit_ratio(trace: &[u64], cache: &mut dyn Cache) -> f64 {
    trace.iter().filter(|key| cache.ask(**key)).count() as f64 / trace.len() as f64
}

/// The same of a cache that knows the future: whatever is asked for again last of all is not kept (Belady).
#[allow(clippy::cast_precision_loss)]
pub fn best_possible(trace: &[u64], room: usize) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{self, ROOM};

    fn ratios(trace: &str) -> [f64; 3] {
        let trace = &traces::all(300_000)[trace];
        let of = |policy| hit_ratio(trace, &mut Pinyon::new(policy, ROOM));
        [of(Policy::Lru), of(Policy::TinyLfu), best_possible(trace, ROOM)]
    }

    #[test]
    fn tinylfu_comes_close_to_the_best_static_choice() {
        let [lru, tiny_lfu, best] = ratios("Zipf(1.0)");
        // The thousand most popular keys are asked for in 0.765 of all requests.
        assert!(tiny_lfu > 0.728 && tiny_lfu < best && lru < 0.67, "{lru} {tiny_lfu} {best}");
    }

    #[test]
    fn a_scan_takes_little_from_tinylfu() {
        let [lru, tiny_lfu, _] = ratios("Zipf, with scans");
        // Of the four requests in five that are no scan.
        assert!(tiny_lfu / 0.8 > 0.72 && lru / 0.8 < 0.65, "{lru} {tiny_lfu}");
    }

    #[test]
    fn tinylfu_follows_what_is_popular_and_keeps_a_part_of_a_loop() {
        let [lru, tiny_lfu, _] = ratios("Zipf, shifting");
        assert!(tiny_lfu > lru, "{lru} {tiny_lfu}");
        let [lru, tiny_lfu, best] = ratios("a loop over 1,500 keys");
        assert!(lru < 0.01 && tiny_lfu > 0.5 * best, "{lru} {tiny_lfu} {best}");
    }
}
