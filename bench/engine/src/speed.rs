//! Time an operation, for one thread and for two.

use crate::traces::Zipf;
use pinyon::Expiry;
use pinyon::memory::{Limits, Memory, Policy};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

type Key = Box<[u8]>;
type Value = Arc<[u8]>;

const KEYS: u64 = 10_000;
/// Requests of a thread in a round.
const REQUESTS: usize = 400_000;

trait Shared: Sync {
    fn get(&self, key: &[u8]) -> bool;
    fn set(&self, key: &Key, value: Value);
}

struct Pinyon {
    memory: Memory<Value>,
    limits: Limits,
    expiry: Expiry,
}

impl Shared for Pinyon {
    fn get(&self, key: &[u8]) -> bool {
        std::hint::black_box(self.memory.get(key)).is_some()
    }

    fn set(&self, key: &Key, value: Value) {
        self.memory.set(key, value, self.expiry, &self.limits);
    }
}

impl Shared for quick_cache::sync::Cache<Key, Value> {
    fn get(&self, key: &[u8]) -> bool {
        std::hint::black_box(self.get(key)).is_some()
    }

    fn set(&self, key: &Key, value: Value) {
        self.insert(key.clone(), value);
    }
}

impl Shared for moka::sync::Cache<Key, Value> {
    fn get(&self, key: &[u8]) -> bool {
        std::hint::black_box(self.get(key)).is_some()
    }

    fn set(&self, key: &Key, value: Value) {
        self.insert(key.clone(), value);
    }
}

fn pinyon(policy: Policy, room: usize, expiry: Expiry) -> Box<dyn Shared> {
    let max_entries = i64::try_from(room).unwrap_or(i64::MAX);
    let limits = Limits { max_entries, ..Limits::default() };
    Box::new(Pinyon { memory: Memory::with_policy(policy, max_entries), limits, expiry })
}

/// Prints a table: with room for everything, and with room for a tenth.
pub(crate) fn compare(rounds: usize) {
    let five_minutes = Expiry::In(Duration::from_secs(300));
    for (what, room) in [("room for all: every get hits", 20_000), ("room for one key in ten", 1000)] {
        let caches: [(&str, Box<dyn Shared>); 6] = [
            ("lru", pinyon(Policy::Lru, room, Expiry::Never)),
            ("lru, with expiries", pinyon(Policy::Lru, room, five_minutes)),
            ("tinylfu", pinyon(Policy::TinyLfu, room, Expiry::Never)),
            ("tinylfu, with expiries", pinyon(Policy::TinyLfu, room, five_minutes)),
            ("quick_cache", Box::new(quick_cache::sync::Cache::<Key, Value>::new(room))),
            ("moka", Box::new(moka::sync::Cache::<Key, Value>::new(room as u64))),
        ];
        println!("{what:<32}{:>24}{:>32}", "1 thread: ns", "2 threads: million a second");
        let mut times = vec![[Vec::new(), Vec::new()]; caches.len()];
        for round in 0..=rounds {
            for ((_, cache), times) in caches.iter().zip(&mut times) {
                for (threads, times) in (1_u64..).zip(times) {
                    let time = run(&**cache, threads);
                    // The first round fills the caches.
                    if round > 0 {
                        times.push(time);
                    }
                }
            }
        }
        for ((name, _), mut times) in caches.iter().zip(times) {
            for times in &mut times {
                times.sort_unstable_by(f64::total_cmp);
            }
            let [one, two] = &times;
            let a_second = |nanoseconds: f64| 2000.0 / nanoseconds;
            println!(
                "{name:<32}{:>12.1} ({:>5.1}){:>22.1} ({:>5.1})",
                one[0],
                one[rounds / 2],
                a_second(two[0]),
                a_second(two[rounds / 2])
            );
        }
    }
}

/// Nanoseconds that one operation takes a thread.
#[allow(clippy::cast_precision_loss)]
fn run(cache: &dyn Shared, threads: u64) -> f64 {
    let keys: Vec<Key> = (0..KEYS).map(|key| format!(":1:key-number-{key:07}").into_bytes().into()).collect();
    // A value for each key: a count of references that all threads write to would be all that is measured.
    let values: Vec<Value> = keys.iter().map(|_| vec![b'v'; 100].into()).collect();
    let barrier = Barrier::new(usize::try_from(threads).unwrap_or(1));
    let longest = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (keys, values, barrier) = (&keys, &values, &barrier);
                scope.spawn(move || {
                    let mut zipf = Zipf::new(KEYS, thread);
                    let mut rank = || usize::try_from(zipf.rank()).unwrap_or(0);
                    let asked: Vec<usize> = (0..REQUESTS).map(|_| rank()).collect();
                    barrier.wait();
                    let start = Instant::now();
                    for (number, key) in asked.iter().enumerate() {
                        if number % 10 == 0 {
                            cache.set(&keys[*key], Arc::clone(&values[*key]));
                        } else {
                            cache.get(&keys[*key]);
                        }
                    }
                    start.elapsed()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_default()).max().unwrap_or_default()
    });
    longest.as_nanos() as f64 / REQUESTS as f64
}
