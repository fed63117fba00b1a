//! When entries expire, and what `touch` and `ttl` say.

use super::{Capabilities, Case, LONG, plain, put, rules, take, take_many};
use crate::store::Store;
use crate::timeout::{Expiry, Ttl};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) fn cases() -> Vec<Case> {
    rules![
        ttl_says_missing_never_or_how_long,
        set_replaces_the_expiry,
        touch_without_an_entry_is_false_and_makes_none,
        touch_gives_a_new_expiry_and_keeps_the_value,
        touch_with_never_persists,
        touch_with_expiry_now_removes,
        a_month_and_a_year_are_not_mistaken_for_the_past,
        an_expired_entry_is_a_miss_for_every_method,
    ]
}

/// Fails unless the entry expires within five minutes, and not within the next three.
fn assert_long(store: &dyn Store, key: &str) {
    let ttl = store.ttl(key).expect("ttl");
    let Ttl::Left(left) = ttl else { panic!("an entry with a timeout of 300 s has the ttl {ttl:?}") };
    assert!((180..=300).contains(&left.as_secs()) && left <= Duration::from_secs(300), "{left:?} of 300 s are left");
}

fn ttl_says_missing_never_or_how_long(store: &dyn Store, _: &Capabilities) {
    assert_eq!(store.ttl("key").expect("ttl"), Ttl::Missing);
    assert!(store.set("key", plain(b"value"), Expiry::Never).expect("set"));
    assert_eq!(store.ttl("key").expect("ttl"), Ttl::Never);
    assert!(store.set("key", plain(b"value"), LONG).expect("set"));
    assert_long(store, "key");
    assert!(store.add("added", plain(b"value"), LONG).expect("add"));
    assert_long(store, "added");
    assert!(store.set_many(&[("many", plain(b"value"))], LONG).expect("set_many").is_empty());
    assert_long(store, "many");
    assert!(store.set_many(&[("many", plain(b"value"))], Expiry::Never).expect("set_many").is_empty());
    assert_eq!(store.ttl("many").expect("ttl"), Ttl::Never);
}

fn set_replaces_the_expiry(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"value");
    assert!(store.set("key", plain(b"value"), Expiry::Never).expect("set"));
    assert_eq!(store.ttl("key").expect("ttl"), Ttl::Never);
}

fn touch_without_an_entry_is_false_and_makes_none(store: &dyn Store, _: &Capabilities) {
    for expiry in [LONG, Expiry::Never, Expiry::Now] {
        assert!(!store.touch("key", expiry).expect("touch"));
        assert_eq!(take(store, "key"), None);
    }
}

fn touch_gives_a_new_expiry_and_keeps_the_value(store: &dyn Store, _: &Capabilities) {
    assert!(store.set("key", plain(b"value"), Expiry::Never).expect("set"));
    assert!(store.touch("key", LONG).expect("touch"));
    assert_long(store, "key");
    assert_eq!(take(store, "key").as_deref(), Some(&b"value"[..]));
}

fn touch_with_never_persists(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"value");
    assert!(store.touch("key", Expiry::Never).expect("touch"));
    assert_eq!(store.ttl("key").expect("ttl"), Ttl::Never);
    assert!(store.touch("key", Expiry::Never).expect("touch"), "an entry that never expires is an entry all the same");
    assert_eq!(take(store, "key").as_deref(), Some(&b"value"[..]));
}

fn touch_with_expiry_now_removes(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"value");
    assert!(store.touch("key", Expiry::Now).expect("touch"));
    assert_eq!(take(store, "key"), None);
    assert!(!store.has("key").expect("has"));
}

fn a_month_and_a_year_are_not_mistaken_for_the_past(store: &dyn Store, _: &Capabilities) {
    const DAY: u64 = 24 * 60 * 60;
    for seconds in [30 * DAY, 30 * DAY + 1, 365 * DAY] {
        let expiry = Expiry::In(Duration::from_secs(seconds));
        assert!(store.set("key", plain(b"value"), expiry).expect("set"));
        assert_eq!(take(store, "key").as_deref(), Some(&b"value"[..]), "with a timeout of {seconds} s");
        let ttl = store.ttl("key").expect("ttl");
        let Ttl::Left(left) = ttl else { panic!("an entry with a timeout of {seconds} s has the ttl {ttl:?}") };
        // A server may round to its own seconds.
        assert!((seconds - 120..=seconds + 1).contains(&left.as_secs()), "{left:?} of {seconds} s are left");
    }
}

fn an_expired_entry_is_a_miss_for_every_method(store: &dyn Store, _: &Capabilities) {
    let short = Expiry::In(Duration::from_secs(1));
    let items = ["get", "touch", "delete", "has", "incr", "ttl", "get_many"].map(|key| (key, plain(b"1")));
    assert!(store.set_many(&items, short).expect("set_many").is_empty());
    assert!(store.set("touched", plain(b"1"), Expiry::Never).expect("set"));
    assert!(store.touch("touched", short).expect("touch"));
    assert!(store.add("add", plain(b"1"), short).expect("add"));
    assert!(store.set("last", plain(b"1"), short).expect("set"));
    put(store, "stays", b"1");

    let start = Instant::now();
    while take(store, "last").is_some() {
        assert!(start.elapsed() < Duration::from_secs(60), "an entry with a timeout of 1 s is still there after 60 s");
        sleep(Duration::from_millis(20));
    }
    // Each server of a cluster counts its own seconds.
    sleep(Duration::from_millis(1500));

    assert_eq!(take(store, "get"), None, "get");
    assert_eq!(take(store, "touched"), None, "get after a touch");
    assert!(!store.touch("touch", LONG).expect("touch"), "touch");
    assert_eq!(take(store, "touch"), None, "get after a failed touch");
    assert!(!store.delete("delete").expect("delete"), "delete");
    assert!(!store.has("has").expect("has"), "has");
    assert_eq!(store.incr("incr", 1).expect("incr"), None, "incr");
    assert_eq!(store.ttl("ttl").expect("ttl"), Ttl::Missing, "ttl");
    assert_eq!(take_many(store, &["get_many", "stays"]), [None, Some(b"1".to_vec())], "get_many");
    assert!(store.add("add", plain(b"2"), LONG).expect("add"), "add");
    assert_eq!(take(store, "add").as_deref(), Some(&b"2"[..]), "get after an add");
}
