//! Process memory: stores for 10,000 entries of 100 bytes, and what threads do with them. The entries of moka and Pinyon expire after
//! 300 s; `quick_cache` has no expiry.

use crate::sample::{self, Numbers};
use pinyon::Expiry;
use pinyon::memory::{Limits, Memory, Policy};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const ENTRIES: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(300);

type Value = Arc<[u8]>;

/// A store for `capacity` entries.
pub trait Peer: Sync {
    /// Its name in the results.
    const NAME: &'static str;

    /// An empty one.
    fn new(capacity: usize) -> Self;

    /// The value of a key.
    fn get(&self, key: &str) -> Option<Value>;

    /// Stores a value.
    fn set(&self, key: &str, value: Value);
}

/// Pinyon's store, with the policy that Django's has or with one that admits by use.
pub struct Pinyon<const TINY_LFU: bool> {
    memory: Memory<Value>,
    limits: Limits,
}

impl<const TINY_LFU: bool> Peer for Pinyon<TINY_LFU> {
    const NAME: &'static str = if TINY_LFU { "pinyon tinylfu" } else { "pinyon" };

    fn new(capacity: usize) -> Self {
        let max_entries = i64::try_from(capacity).unwrap_or(i64::MAX);
        let policy = if TINY_LFU { Policy::TinyLfu } else { Policy::Lru };
        Self { memory: Memory::with_policy(policy, max_entries), limits: Limits { max_entries, ..Limits::default() } }
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.memory.get(key.as_bytes())
    }

    fn set(&self, key: &str, value: Value) {
        self.memory.set(key.as_bytes(), value, Expiry::In(TIMEOUT), &self.limits);
    }
}

/// `quick_cache::sync::Cache`
pub struct QuickCache(quick_cache::sync::Cache<String, Value>);

impl Peer for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.0.get(key)
    }

    fn set(&self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }
}

/// `moka::sync::Cache`
pub struct Moka(moka::sync::Cache<String, Value>);

impl Peer for Moka {
    const NAME: &'static str = "moka";

    fn new(capacity: usize) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(capacity as u64).time_to_live(TIMEOUT).build())
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.0.get(key)
    }

    fn set(&self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }
}

/// What each thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Gets of keys that are all there.
    Get,
    /// Sets of twice as many keys as there is room for.
    Set,
    /// Nine gets and a set of twice as many keys as there is room for, some of them much more popular than others.
    Mixed,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Mixed];

    /// Its name in the results, with that of the number of threads.
    pub fn name(self, threads: usize) -> String {
        let name = match self {
            Self::Get => "memory get",
            Self::Set => "memory set",
            Self::Mixed => "memory 90 % get, 10 % set",
        };
        format!("{name}, {threads} thread{}", if threads == 1 { "" } else { "s" })
    }

    fn order(self, seed: u64) -> Vec<usize> {
        let mut numbers = Numbers::new(seed);
        let next = || match self {
            Self::Get => numbers.below(ENTRIES),
            Self::Set => numbers.below(2 * ENTRIES),
            Self::Mixed => numbers.skewed_below(2 * ENTRIES),
        };
        // Prime, so that the sets of the mix meet every key.
        std::iter::repeat_with(next).take(65_537).collect()
    }
}

/// A store at work.
pub struct Work<P> {
    peer: P,
    workload: Workload,
    value: Value,
    keys: Vec<String>,
    /// Of each thread: which key its operations are about.
    orders: Vec<Vec<usize>>,
}

impl<P: Peer> Work<P> {
    /// With the first half of the keys stored.
    pub fn new(workload: Workload, threads: usize) -> Self {
        // Some stores keep less than they have room for; a get is a hit in all of them.
        let capacity = if workload == Workload::Get { 2 * ENTRIES } else { ENTRIES };
        let (peer, value) = (P::new(capacity), Value::from(sample::value().as_bytes()));
        let keys = sample::made_keys(2 * ENTRIES);
        for key in &keys[..ENTRIES] {
            peer.set(key, value.clone());
        }
        let orders = (1..=threads).map(|thread| workload.order(thread as u64)).collect();
        Self { peer, workload, value, keys, orders }
    }

    /// The `number`-th operation of a thread.
    #[inline]
    pub fn operate(&self, thread: usize, number: usize) {
        let order = &self.orders[thread];
        let key = &self.keys[order[number % order.len()]];
        let is_set = match self.workload {
            Workload::Get => false,
            Workload::Set => true,
            Workload::Mixed => number.is_multiple_of(10),
        };
        if is_set {
            self.peer.set(key, self.value.clone());
        } else {
            black_box(self.peer.get(key));
        }
    }

    /// How long `count` operations of each thread take, all threads at once; from the `first` one on.
    pub fn turn(&self, first: usize, count: usize) -> Duration {
        let operate = |thread| (first..first + count).for_each(|number| self.operate(thread, number));
        if self.orders.len() == 1 {
            let start = Instant::now();
            operate(0);
            return start.elapsed();
        }
        let start = Barrier::new(self.orders.len() + 1);
        thread::scope(|scope| {
            for thread in 0..self.orders.len() {
                let (start, operate) = (&start, &operate);
                scope.spawn(move || {
                    start.wait();
                    operate(thread);
                });
            }
            start.wait();
            Instant::now()
        })
        // The scope ends with the last thread.
        .elapsed()
    }
}
