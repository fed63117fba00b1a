//! One store, many threads.

use super::{Capabilities, Case, LONG, plain, put, rules, take, take_many};
use crate::store::{Integer, Item, Store};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const THREADS: u8 = 8;

pub(super) fn cases() -> Vec<Case> {
    rules![
        no_incr_is_lost,
        one_add_wins,
        no_value_is_torn,
        no_thread_gets_the_value_of_another_key,
        a_visit_may_use_the_store,
    ]
}

fn no_incr_is_lost(store: &dyn Store, capabilities: &Capabilities) {
    put(store, "key", &capabilities.integer("0"));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..100).for_each(|_| assert!(store.incr("key", 1).expect("incr").is_some())));
        }
    });
    assert_eq!(store.incr("key", 0).expect("incr"), Some(Integer::Small(i64::from(THREADS) * 100)));
}

fn one_add_wins(store: &dyn Store, _: &Capabilities) {
    for round in 0..20 {
        let (key, winners) = (format!("key-{round}"), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (key, winners) = (&key, &winners);
                scope.spawn(move || {
                    if store.add(key, plain(&[number]), LONG).expect("add") {
                        winners.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1, "how many adds of one key succeeded");
    }
}

fn no_value_is_torn(store: &dyn Store, _: &Capabilities) {
    // A value is one byte over and over, and its length follows from the byte.
    let value = |byte: u8| vec![byte; 1 + usize::from(byte) * 8 * 1024];
    put(store, "key", &value(0));
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                for _ in 0..40 {
                    if number < THREADS / 2 {
                        put(store, "key", &value(number));
                    } else if let Some(found) = take(store, "key") {
                        assert!(found.first().is_some_and(|byte| found == value(*byte)), "a torn value");
                    }
                }
            });
        }
    });
}

fn no_thread_gets_the_value_of_another_key(store: &dyn Store, _: &Capabilities) {
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                for round in 0..50 {
                    let keys = [0, 1, 2].map(|part| format!("key-{number}-{part}"));
                    let keys = keys.each_ref().map(String::as_str);
                    let values = keys.map(|key| format!("{key} in round {round}").into_bytes());
                    let items = [0, 1].map(|part| (keys[part], plain(&values[part])));
                    assert!(store.set_many(&items, LONG).expect("set_many").is_empty());
                    assert_eq!(take(store, keys[1]).as_ref(), Some(&values[1]));
                    assert_eq!(take_many(store, &keys), [Some(values[0].clone()), Some(values[1].clone()), None]);
                    store.delete_many(&keys).expect("delete_many");
                    assert_eq!(take(store, keys[0]), None);
                }
            });
        }
    });
}

fn a_visit_may_use_the_store(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"value");
    put(store, "other", b"other value");
    let mut inner = None;
    store.get("key", &mut |_| inner = take(store, "other")).expect("get");
    assert_eq!(inner.as_deref(), Some(&b"other value"[..]), "a get within the visit of a get");
    let mut inner = Vec::new();
    let set = |item: Item<'_>| store.set("copy", item, LONG).expect("set");
    store.get_many(&["key", "other"], &mut |_, item| inner.push(set(item))).expect("get_many");
    assert_eq!(inner, [true, true], "a set within the visit of a get_many");
}
