//! Process memory: 10,000 entries of 100 bytes, of which moka's and Pinyon's expire after 300 s; `quick_cache` has no expiry.

use criterion::{Criterion, Throughput};
use pinyon::Expiry;
use pinyon::memory::{Limits, Memory, Policy};
use pinyon_bench::sample::{self, Numbers};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const ENTRIES: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(300);

type Value = Arc<[u8]>;

/// A store for `capacity` entries.
trait Peer: Sync {
    const NAME: &'static str;

    fn new(capacity: usize) -> Self;
    fn get(&self, key: &str) -> Option<Value>;
    fn set(&self, key: &str, value: Value);
}

struct Pinyon<const TINY_LFU: bool> {
    memory: Memory<Value>,
    limits: Limits,
}

impl<const TINY_LFU: bool> Peer for Pinyon<TINY_LFU> {
    const NAME: &'static str = if TINY_LFU { "pinyon tinylfu" } else { "pinyon" };

    fn new(capacity: usize) -> Self {
        let max_entries = i64::try_from(capacity).expect("a small number");
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

struct QuickCache(quick_cache::sync::Cache<String, Value>);

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

struct Moka(moka::sync::Cache<String, Value>);

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
#[derive(Clone, Copy)]
enum Workload {
    /// Gets of keys that are all there.
    Get,
    /// Sets of twice as many keys as there is room for.
    Set,
    /// Nine gets and a set of twice as many keys as there is room for, some of them much more popular than others.
    Mixed,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "memory get",
            Self::Set => "memory set",
            Self::Mixed => "memory 90 % get, 10 % set",
        }
    }
}

/// The `number`-th operation of a thread; `order` says which key it is about.
fn operate<P: Peer>(peer: &P, workload: Workload, keys: &[String], order: &[usize], value: &Value, number: usize) {
    let key = &keys[order[number % order.len()]];
    let is_set = match workload {
        Workload::Get => false,
        Workload::Set => true,
        Workload::Mixed => number.is_multiple_of(10),
    };
    if is_set {
        peer.set(key, value.clone());
    } else {
        black_box(peer.get(key));
    }
}

fn order(workload: Workload, seed: u64) -> Vec<usize> {
    let mut numbers = Numbers::new(seed);
    let next = || match workload {
        Workload::Get => numbers.below(ENTRIES),
        Workload::Set => numbers.below(2 * ENTRIES),
        Workload::Mixed => numbers.skewed_below(2 * ENTRIES),
    };
    // Prime, so that the sets of the mix meet every key.
    std::iter::repeat_with(next).take(65_537).collect()
}

/// Measures a store with one thread and with two.
fn measure<P: Peer>(criterion: &mut Criterion, workload: Workload, threads: usize) {
    // Some stores keep less than they have room for; a get is a hit in all of them.
    let capacity = if matches!(workload, Workload::Get) { 2 * ENTRIES } else { ENTRIES };
    let peer = P::new(capacity);
    let value: Value = sample::value().as_bytes().into();
    let keys = sample::made_keys(2 * ENTRIES);
    for key in &keys[..ENTRIES] {
        peer.set(key, value.clone());
    }
    let orders: Vec<Vec<usize>> = (1..=threads).map(|thread| order(workload, thread as u64)).collect();
    let plural = if threads == 1 { "" } else { "s" };
    let mut group = criterion.benchmark_group(format!("{}, {threads} thread{plural}", workload.name()));
    if threads == 1 {
        let mut number = 0;
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                operate(&peer, workload, &keys, &orders[0], &value, number);
                number += 1;
            });
        });
        return;
    }
    group.throughput(Throughput::Elements(threads as u64));
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Barrier::new(threads + 1);
            thread::scope(|scope| {
                for order in &orders {
                    scope.spawn(|| {
                        start.wait();
                        for number in 0..usize::try_from(iterations).expect("a number of iterations") {
                            operate(&peer, workload, &keys, order, &value, number);
                        }
                    });
                }
                start.wait();
                Instant::now()
            })
            // The scope ends with the last thread.
            .elapsed()
        });
    });
}

/// Every workload with one and with two threads.
pub(crate) fn bench(criterion: &mut Criterion) {
    for workload in [Workload::Get, Workload::Set, Workload::Mixed] {
        for threads in [1, 2] {
            measure::<Pinyon<false>>(criterion, workload, threads);
            measure::<Pinyon<true>>(criterion, workload, threads);
            measure::<QuickCache>(criterion, workload, threads);
            measure::<Moka>(criterion, workload, threads);
        }
    }
}
