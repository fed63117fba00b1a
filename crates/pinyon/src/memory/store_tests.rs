use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: Expiry = Expiry::In(Duration::from_secs(60));

fn strings() -> (Memory<String>, Limits) {
    (Memory::new(), Limits::default())
}

#[test]
fn expiry_now_removes_on_set_and_touch_and_stores_nothing_on_add() {
    let (memory, limits) = strings();
    memory.set(b"k", "v".into(), MINUTE, &limits);
    assert!(memory.set(b"k", "v".into(), Expiry::Now, &limits));
    assert!(!memory.contains(b"k"));

    assert_eq!(memory.add(b"k", "v".into(), Expiry::Now, &limits), Added::Stored);
    assert!(!memory.contains(b"k"));
    memory.set(b"k", "old".into(), MINUTE, &limits);
    assert_eq!(memory.add(b"k", "new".into(), Expiry::Now, &limits), Added::Exists);
    assert_eq!(memory.get(b"k").as_deref(), Some("old"));

    assert!(memory.touch(b"k", Expiry::Now));
    assert!(!memory.contains(b"k") && !memory.touch(b"k", Expiry::Now));
    assert_eq!((memory.len(), memory.bytes()), (0, 0));
}

#[test]
fn ttl_and_deadline_say_missing_never_and_how_long() {
    let (memory, limits) = strings();
    assert_eq!((memory.ttl(b"k"), memory.expiry(b"k")), (Ttl::Missing, None));
    memory.set(b"k", "v".into(), Expiry::Never, &limits);
    assert_eq!((memory.ttl(b"k"), memory.expiry(b"k")), (Ttl::Never, Some(Deadline::Never)));
    memory.touch(b"k", MINUTE);
    let Ttl::Left(left) = memory.ttl(b"k") else { panic!("the entry has an expiry") };
    assert!(left <= Duration::from_secs(60));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let Some(Deadline::At(deadline)) = memory.expiry(b"k") else { panic!("the entry has an expiry") };
    assert!(deadline <= now + 60.001);
    memory.set(b"k", "v".into(), Expiry::In(Duration::MAX), &limits);
    assert_eq!(memory.ttl(b"k"), Ttl::Never);
}

#[test]
fn an_update_keeps_the_expiry_and_counts_no_hit() {
    let (memory, limits) = strings();
    memory.set(b"k", "1".into(), MINUTE, &limits);
    let before = memory.expiry(b"k");
    assert_eq!(memory.update(b"k", &limits, |value| (Some(format!("{value}2")), value.len())), Some(1));
    assert_eq!((memory.get(b"k").as_deref(), memory.expiry(b"k")), (Some("12"), before));
    assert_eq!(memory.update(b"k", &limits, |value| (None, value.clone())).as_deref(), Some("12"));
    assert_eq!(memory.update(b"missing", &limits, |_| (None, ())), None);
    assert_eq!(memory.counters(), Counters { hits: 1, ..Counters::default() });
}

#[test]
fn many_keys_at_once() {
    let (memory, limits) = (Memory::<String>::new(), Limits { max_bytes: Some(1000), ..Limits::default() });
    let items = [("a", "1".to_owned()), ("big", "x".repeat(1000)), ("b", "2".to_owned())];
    assert_eq!(memory.set_many(items, MINUTE, &limits), [1]);
    let mut found = Vec::new();
    memory.get_many_with(&["b", "none", "a", "b"], |index, value| found.push((index, value.clone())));
    assert_eq!(found, [(0, "2".to_owned()), (2, "1".to_owned()), (3, "2".to_owned())]);
    assert_eq!(memory.counters(), Counters { hits: 3, misses: 1, ..Counters::default() });
    assert_eq!(memory.keys().iter().map(|key| &**key).collect::<Vec<_>>(), [b"b", b"a"]);
    assert_eq!(memory.delete_many(&["a", "none", "b"]), 2);
    assert!(memory.is_empty());
}

/// A value that looks at its store while it is dropped: it would wait for ever if the store were locked.
struct Witness {
    memory: Weak<Memory<Witness>>,
    drops: Arc<AtomicUsize>,
}

impl Weigh for Witness {
    fn weight(&self) -> usize {
        10
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.upgrade() {
            assert!(!memory.is_locked());
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_value_is_dropped_under_the_lock() {
    let memory = Arc::new(Memory::new());
    let drops = Arc::new(AtomicUsize::new(0));
    let witness = || Witness { memory: Arc::downgrade(&memory), drops: Arc::clone(&drops) };
    let dropped = || drops.swap(0, Ordering::Relaxed);
    let limits = Limits { max_entries: 6, cull_frequency: 2, max_bytes: Some(1000) };

    memory.set(b"k", witness(), MINUTE, &limits);
    memory.set(b"k", witness(), MINUTE, &limits);
    assert_eq!(dropped(), 1, "overwritten");
    memory.add(b"k", witness(), MINUTE, &limits);
    assert_eq!(dropped(), 1, "not added");
    memory.update(b"k", &limits, |_| (Some(witness()), ()));
    assert_eq!(dropped(), 1, "updated");
    memory.delete(b"k");
    assert_eq!(dropped(), 1, "deleted");
    memory.set_many((0..6_u8).map(|key| ([key], witness())), MINUTE, &limits);
    memory.set(b"k", witness(), MINUTE, &limits);
    assert_eq!(dropped(), 3, "culled");
    memory.set(&[b'x'; 1000], witness(), MINUTE, &limits);
    assert_eq!(dropped(), 1, "refused");
    memory.set(b"k", witness(), Expiry::Now, &limits);
    assert_eq!(dropped(), 2, "expired at once");
    let before = memory.len();
    memory.clear();
    assert_eq!(dropped(), before, "cleared");
}

#[test]
fn a_panic_in_a_closure_leaves_the_store_usable() {
    let (memory, limits) = strings();
    memory.set(b"k", "v".into(), MINUTE, &limits);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        memory.get_with(b"k", |_| panic!("on purpose"));
    }));
    assert!(caught.is_err() && !memory.is_locked());
    assert_eq!(memory.get(b"k").as_deref(), Some("v"));
}

#[test]
fn sixteen_threads_lose_no_update_and_never_exceed_the_limits() {
    const ROUNDS: usize = 500;
    let memory: Memory<String> = Memory::new();
    let counting = Limits { max_entries: i64::MAX, ..Limits::default() };
    memory.set(b"count", "0".into(), Expiry::Never, &counting);
    let limits = Limits { max_entries: 40, ..Limits::default() };
    churn(&memory, &limits, ROUNDS, || {
        // The counter is used all the time, so culling never reaches it.
        let next = |value: &String| (Some((value.parse::<usize>().unwrap() + 1).to_string()), ());
        assert!(memory.update(b"count", &counting, next).is_some());
    });
    assert_eq!(memory.get(b"count"), Some((16 * ROUNDS).to_string()));
}

#[test]
fn sixteen_threads_never_exceed_the_limits_with_any_policy_and_many_engines() {
    for (_, policy) in Policy::NAMES {
        for (max_entries, max_bytes) in [(40, None), (40, Some(3000)), (1000, Some(3000))] {
            let memory = Memory::with_engines(policy, 16, SeedableRandomState::random());
            churn(&memory, &Limits { max_entries, cull_frequency: 3, max_bytes }, 200, || {});
            let sum: usize = memory.shards.each().map(|engine| engine.len()).sum();
            assert_eq!(sum, memory.len());
            assert_eq!(memory.shards.each().map(|engine| engine.bytes()).sum::<u64>(), memory.bytes());
        }
    }
}

/// Sixteen threads set, read and delete a hundred keys, and see that the limits hold and that values belong to their keys.
fn churn(memory: &Memory<String>, limits: &Limits, rounds: usize, also: impl Fn() + Sync) {
    let also = &also;
    std::thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                for round in 0..rounds {
                    let key = format!("{}", (thread * 7 + round) % 100);
                    also();
                    memory.set(key.as_bytes(), key.clone(), MINUTE, limits);
                    assert!(memory.get(key.as_bytes()).is_none_or(|value| value == key));
                    assert!(i64::try_from(memory.len()).unwrap() <= limits.max_entries);
                    assert!(memory.bytes() <= limits.max_bytes.unwrap_or(u64::MAX));
                    if round % 3 == 0 {
                        memory.delete(key.as_bytes());
                    }
                }
            });
        }
    });
}

#[test]
fn the_order_of_uses_goes_on_in_a_thread_that_comes_later() {
    let memory: Memory<String> = Memory::with_engines(Policy::Lru, 16, SeedableRandomState::random());
    let limits = Limits { max_entries: 9, ..Limits::default() };
    // Joined, and not only waited for by the scope: that does not wait for what a thread does when it ends.
    let in_a_thread = |work: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    for key in 0..9_u8 {
        in_a_thread(&|| _ = memory.set(&[key], "v".into(), MINUTE, &limits));
    }
    for key in 0..6_u8 {
        in_a_thread(&|| assert!(memory.get(&[key]).is_some()));
    }
    in_a_thread(&|| _ = memory.set(b"new", "v".into(), MINUTE, &limits));
    assert_eq!((0..9_u8).filter(|key| memory.contains(&[*key])).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}
