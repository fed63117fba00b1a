//! Items that are too large for a store.

use super::{Capabilities, Case, LONG, plain, put, rules, take, take_many};
use crate::store::Store;

pub(super) fn cases() -> Vec<Case> {
    fn limited(capabilities: &Capabilities) -> bool {
        capabilities.max_item_size.is_some()
    }
    rules![
        set_of_too_large_an_item_is_false_and_removes_the_old_value if limited,
        add_of_too_large_an_item_is_false_and_stores_nothing if limited,
        set_many_names_the_items_that_are_too_large_and_stores_the_others if limited,
    ]
}

fn too_large(capabilities: &Capabilities) -> Vec<u8> {
    vec![b'x'; capabilities.max_item_size.map_or(0, |size| size + 1)]
}

fn set_of_too_large_an_item_is_false_and_removes_the_old_value(store: &dyn Store, capabilities: &Capabilities) {
    put(store, "key", b"old");
    let value = too_large(capabilities);
    assert!(!store.set("key", plain(&value), LONG).expect("set"));
    assert_eq!(take(store, "key"), None);
    put(store, "key", b"new");
    assert_eq!(take(store, "key").as_deref(), Some(&b"new"[..]), "after a refusal");
}

fn add_of_too_large_an_item_is_false_and_stores_nothing(store: &dyn Store, capabilities: &Capabilities) {
    let value = too_large(capabilities);
    assert!(!store.add("key", plain(&value), LONG).expect("add"));
    assert_eq!(take(store, "key"), None);
}

fn set_many_names_the_items_that_are_too_large_and_stores_the_others(store: &dyn Store, capabilities: &Capabilities) {
    put(store, "b", b"old");
    let value = too_large(capabilities);
    let items =
        [("a", plain(b"1")), ("b", plain(&value)), ("c", plain(b"3")), ("d", plain(&value)), ("e", plain(b"5"))];
    let mut refused = store.set_many(&items, LONG).expect("set_many");
    refused.sort_unstable();
    assert_eq!(refused, [1, 3]);
    assert_eq!(
        take_many(store, &["a", "b", "c", "d", "e"]),
        [Some(b"1".to_vec()), None, Some(b"3".to_vec()), None, Some(b"5".to_vec())]
    );
}
