//! One item: get, set, add, delete, has, clear, keys and health.

use super::{Capabilities, Case, LONG, plain, put, rules, take};
use crate::error::ErrorKind;
use crate::store::{Item, Store};
use crate::timeout::Expiry;

pub(super) fn cases() -> Vec<Case> {
    fn keeps_flags(capabilities: &Capabilities) -> bool {
        capabilities.flags
    }
    fn drops_flags(capabilities: &Capabilities) -> bool {
        !capabilities.flags
    }
    fn takes_any_key(capabilities: &Capabilities) -> bool {
        !capabilities.memcached_keys
    }
    fn has_memcached_keys(capabilities: &Capabilities) -> bool {
        capabilities.memcached_keys
    }
    rules![
        get_finds_what_was_set_and_nothing_else,
        an_empty_value_is_a_hit,
        any_byte_may_be_in_a_value,
        a_value_may_have_100_kib,
        a_key_may_have_characters_beyond_ascii,
        keys_are_told_apart_by_every_byte,
        set_overwrites,
        set_with_expiry_now_removes,
        add_stores_once,
        add_with_expiry_now_answers_the_same_and_stores_nothing,
        delete_says_whether_there_was_an_entry,
        has_says_whether_there_is_an_entry,
        clear_removes_everything,
        flags_come_back if keeps_flags,
        flags_are_zero_where_they_are_not_kept if drops_flags,
        every_key_is_allowed if takes_any_key,
        keys_that_memcached_does_not_take_are_refused if has_memcached_keys,
        every_server_answers_a_check,
    ]
}

fn get_finds_what_was_set_and_nothing_else(store: &dyn Store, _: &Capabilities) {
    assert_eq!(take(store, "key"), None);
    put(store, "key", b"value");
    assert_eq!(take(store, "key").as_deref(), Some(&b"value"[..]));
    assert_eq!(take(store, "other"), None);
}

fn an_empty_value_is_a_hit(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"");
    assert_eq!(take(store, "key").as_deref(), Some(&b""[..]));
    assert!(store.has("key").expect("has"));
}

fn any_byte_may_be_in_a_value(store: &dyn Store, _: &Capabilities) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for value in [&every_byte[..], b"\r\n", b"\0", b"END\r\n", b"VA 3\r\nabc\r\n", b"$-1\r\n", b"+OK\r\nMN\r\n"] {
        put(store, "key", value);
        assert_eq!(take(store, "key").as_deref(), Some(value));
    }
}

fn a_value_may_have_100_kib(store: &dyn Store, _: &Capabilities) {
    let value: Vec<u8> = (0..=u8::MAX).cycle().take(100 * 1024).collect();
    put(store, "key", &value);
    assert!(take(store, "key").is_some_and(|found| found == value));
}

fn a_key_may_have_characters_beyond_ascii(store: &dyn Store, _: &Capabilities) {
    put(store, ":1:clé-ключ-鍵-🔑", b"value");
    assert_eq!(take(store, ":1:clé-ключ-鍵-🔑").as_deref(), Some(&b"value"[..]));
    assert!(store.delete(":1:clé-ключ-鍵-🔑").expect("delete"));
}

fn keys_are_told_apart_by_every_byte(store: &dyn Store, _: &Capabilities) {
    let longest = "k".repeat(250);
    let keys = ["k", "K", "kk", "k.", ":1:k", ":2:k", &longest[1..], &longest];
    for key in keys {
        put(store, key, key.as_bytes());
    }
    for key in keys {
        assert_eq!(take(store, key).as_deref(), Some(key.as_bytes()));
    }
}

fn set_overwrites(store: &dyn Store, _: &Capabilities) {
    for value in [&b"one"[..], b"a longer one", b""] {
        put(store, "key", value);
        assert_eq!(take(store, "key").as_deref(), Some(value));
    }
}

fn set_with_expiry_now_removes(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"old");
    assert!(store.set("key", plain(b"new"), Expiry::Now).expect("set"));
    assert_eq!(take(store, "key"), None);
    assert!(store.set("key", plain(b"new"), Expiry::Now).expect("set"), "the key had no value");
    assert_eq!(take(store, "key"), None);
}

fn add_stores_once(store: &dyn Store, _: &Capabilities) {
    assert!(store.add("key", plain(b"first"), LONG).expect("add"));
    assert!(!store.add("key", plain(b"second"), LONG).expect("add"));
    assert_eq!(take(store, "key").as_deref(), Some(&b"first"[..]));
    assert!(store.add("forever", plain(b"first"), Expiry::Never).expect("add"));
    assert_eq!(take(store, "forever").as_deref(), Some(&b"first"[..]));
    store.delete("key").expect("delete");
    assert!(store.add("key", plain(b"third"), LONG).expect("add"));
}

fn add_with_expiry_now_answers_the_same_and_stores_nothing(store: &dyn Store, _: &Capabilities) {
    assert!(store.add("key", plain(b"new"), Expiry::Now).expect("add"));
    assert_eq!(take(store, "key"), None);
    put(store, "key", b"old");
    assert!(!store.add("key", plain(b"new"), Expiry::Now).expect("add"));
    assert_eq!(take(store, "key").as_deref(), Some(&b"old"[..]));
}

fn delete_says_whether_there_was_an_entry(store: &dyn Store, _: &Capabilities) {
    assert!(!store.delete("key").expect("delete"));
    put(store, "key", b"value");
    assert!(store.delete("key").expect("delete"));
    assert_eq!(take(store, "key"), None);
    assert!(!store.delete("key").expect("delete"));
}

fn has_says_whether_there_is_an_entry(store: &dyn Store, _: &Capabilities) {
    assert!(!store.has("key").expect("has"));
    put(store, "key", b"value");
    assert!(store.has("key").expect("has"));
    assert!(!store.has("other").expect("has"));
}

fn clear_removes_everything(store: &dyn Store, _: &Capabilities) {
    let keys = ["a", "b", "c", "d", "e"];
    for key in keys {
        put(store, key, b"value");
    }
    store.clear().expect("clear");
    for key in keys {
        assert_eq!(take(store, key), None);
    }
    put(store, "a", b"after");
    assert_eq!(take(store, "a").as_deref(), Some(&b"after"[..]), "what is set after a clear stays");
}

fn flags_of(store: &dyn Store, key: &str) -> Vec<u32> {
    let mut flags = Vec::new();
    store.get(key, &mut |item| flags.push(item.flags)).expect("get");
    store.get_many(&[key], &mut |_, item| flags.push(item.flags)).expect("get_many");
    flags
}

fn flags_come_back(store: &dyn Store, _: &Capabilities) {
    for flags in [0, 2, 16, u32::from(u16::MAX), u32::MAX] {
        let item = Item { bytes: b"value", flags };
        assert!(store.set("set", item, LONG).expect("set"));
        assert_eq!(flags_of(store, "set"), [flags, flags]);
        store.delete("add").expect("delete");
        assert!(store.add("add", item, LONG).expect("add"));
        assert_eq!(flags_of(store, "add"), [flags, flags]);
        assert!(store.set_many(&[("many", item)], LONG).expect("set_many").is_empty());
        assert_eq!(flags_of(store, "many"), [flags, flags]);
    }
}

fn flags_are_zero_where_they_are_not_kept(store: &dyn Store, _: &Capabilities) {
    assert!(store.set("key", Item { bytes: b"value", flags: 16 }, LONG).expect("set"));
    assert_eq!(flags_of(store, "key"), [0, 0]);
}

fn every_key_is_allowed(store: &dyn Store, _: &Capabilities) {
    let long = "k".repeat(2000);
    for key in ["", "with spaces", "with\r\nlines", "with\0zero", "\u{7f}", &long] {
        store.check_key(key).expect("check_key");
        put(store, key, b"value");
        assert_eq!(take(store, key).as_deref(), Some(&b"value"[..]), "the key {key:?}");
        assert!(store.delete(key).expect("delete"), "the key {key:?}");
    }
}

fn keys_that_memcached_does_not_take_are_refused(store: &dyn Store, _: &Capabilities) {
    store.check_key(&"k".repeat(250)).expect("a key of 250 bytes");
    store.check_key(":1:clé-ключ-鍵-🔑").expect("a key beyond ASCII");
    for key in ["", "with spaces", "with\r\nlines", "with\0zero", "\u{7f}", &"k".repeat(251), &"é".repeat(126)] {
        let error = store.check_key(key).expect_err("a key that Memcached does not take");
        assert_eq!(error.kind(), ErrorKind::Key, "the key {key:?}");
    }
}

fn every_server_answers_a_check(store: &dyn Store, _: &Capabilities) {
    assert!(!store.backend().is_empty());
    let reports = store.check();
    assert!(!reports.is_empty(), "a check reports one server at least");
    for report in reports {
        assert!(!report.server.is_empty());
        let info = report.result.expect("the answer to a check");
        assert!(!info.version.is_empty());
    }
}
