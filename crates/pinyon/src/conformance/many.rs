//! Many keys at once.

use super::{Capabilities, Case, LONG, plain, put, rules, take, take_many};
use crate::store::{Item, Store};
use crate::timeout::Expiry;

pub(super) fn cases() -> Vec<Case> {
    rules![
        no_keys_are_no_work,
        get_many_finds_none_some_and_all,
        get_many_answers_every_duplicate,
        a_thousand_keys_keep_their_values,
        two_megabytes_in_one_call,
        set_many_overwrites,
        set_many_with_expiry_now_removes,
        delete_many_removes_those_and_no_others,
    ]
}

fn no_keys_are_no_work(store: &dyn Store, _: &Capabilities) {
    put(store, "key", b"value");
    assert!(take_many(store, &[]).is_empty());
    for expiry in [LONG, Expiry::Never, Expiry::Now] {
        assert!(store.set_many(&[], expiry).expect("set_many").is_empty());
    }
    store.delete_many(&[]).expect("delete_many");
    assert_eq!(take(store, "key").as_deref(), Some(&b"value"[..]));
}

fn get_many_finds_none_some_and_all(store: &dyn Store, _: &Capabilities) {
    assert_eq!(take_many(store, &["a", "b", "c"]), [None, None, None]);
    put(store, "a", b"1");
    put(store, "c", b"");
    assert_eq!(take_many(store, &["a", "b", "c"]), [Some(b"1".to_vec()), None, Some(Vec::new())]);
    put(store, "b", b"END\r\n");
    assert_eq!(take_many(store, &["c", "b", "a"]), [Some(Vec::new()), Some(b"END\r\n".to_vec()), Some(b"1".to_vec())]);
    assert_eq!(take_many(store, &["b"]), [Some(b"END\r\n".to_vec())]);
}

fn get_many_answers_every_duplicate(store: &dyn Store, _: &Capabilities) {
    put(store, "a", b"1");
    let one = Some(b"1".to_vec());
    assert_eq!(take_many(store, &["a", "none", "a", "none", "a"]), [one.clone(), None, one.clone(), None, one]);
}

fn a_thousand_keys_keep_their_values(store: &dyn Store, _: &Capabilities) {
    let keys: Vec<String> = (0..1000).map(|number| format!(":1:key-{number}")).collect();
    let stored: Vec<&String> = keys.iter().filter(|key| !key.ends_with('7')).collect();
    let items: Vec<(&str, Item<'_>)> = stored.iter().map(|key| (key.as_str(), plain(key.as_bytes()))).collect();
    assert!(store.set_many(&items, LONG).expect("set_many").is_empty());
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (key, found) in asked.iter().zip(take_many(store, &asked)) {
        let expected = (!key.ends_with('7')).then(|| key.as_bytes().to_vec());
        assert_eq!(found, expected, "the value of {key}");
    }
    store.delete_many(&asked).expect("delete_many");
    assert!(take_many(store, &asked).iter().all(Option::is_none));
}

fn two_megabytes_in_one_call(store: &dyn Store, _: &Capabilities) {
    // More than fits the buffers of a socket: whoever writes everything before reading anything must not wait for ever.
    let values: Vec<(String, Vec<u8>)> =
        (0..200_u8).map(|number| (format!("key-{number}"), vec![number; 10 * 1024])).collect();
    let items: Vec<(&str, Item<'_>)> = values.iter().map(|(key, value)| (key.as_str(), plain(value))).collect();
    assert!(store.set_many(&items, LONG).expect("set_many").is_empty());
    let keys: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
    for (found, (key, value)) in take_many(store, &keys).iter().zip(&values) {
        assert!(found.as_ref() == Some(value), "the value of {key} is another one");
    }
}

fn set_many_overwrites(store: &dyn Store, _: &Capabilities) {
    put(store, "a", b"old");
    let items = [("a", plain(b"new")), ("b", plain(b"2"))];
    assert!(store.set_many(&items, Expiry::Never).expect("set_many").is_empty());
    assert_eq!(take_many(store, &["a", "b"]), [Some(b"new".to_vec()), Some(b"2".to_vec())]);
}

fn set_many_with_expiry_now_removes(store: &dyn Store, _: &Capabilities) {
    put(store, "a", b"old");
    put(store, "c", b"old");
    let items = [("a", plain(b"new")), ("b", plain(b"new"))];
    assert!(store.set_many(&items, Expiry::Now).expect("set_many").is_empty());
    assert_eq!(take_many(store, &["a", "b", "c"]), [None, None, Some(b"old".to_vec())]);
}

fn delete_many_removes_those_and_no_others(store: &dyn Store, _: &Capabilities) {
    for key in ["a", "b", "c", "d"] {
        put(store, key, b"value");
    }
    store.delete_many(&["a", "none", "c", "a"]).expect("delete_many");
    let value = Some(b"value".to_vec());
    assert_eq!(take_many(store, &["a", "b", "c", "d"]), [None, value.clone(), None, value]);
}
