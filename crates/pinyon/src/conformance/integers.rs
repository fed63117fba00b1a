//! `incr`, and `decr`, which is `incr` with a negative delta.

use super::{Capabilities, Case, IntegerRange, plain, put, rules, take};
use crate::error::ErrorKind;
use crate::store::{Integer, Store};
use crate::timeout::{Expiry, Ttl};

pub(super) fn cases() -> Vec<Case> {
    fn signed(capabilities: &Capabilities) -> bool {
        !unsigned(capabilities)
    }
    fn unsigned(capabilities: &Capabilities) -> bool {
        capabilities.integers == IntegerRange::Unsigned64
    }
    fn signed_64(capabilities: &Capabilities) -> bool {
        capabilities.integers == IntegerRange::Signed64
    }
    fn unbounded(capabilities: &Capabilities) -> bool {
        capabilities.integers == IntegerRange::Unbounded
    }
    rules![
        incr_adds_and_what_it_stores_is_read_back,
        incr_without_an_entry_is_none_and_makes_none,
        incr_keeps_the_expiry,
        incr_of_something_else_is_an_error_and_changes_nothing,
        integers_may_be_negative if signed,
        integers_without_a_sign_stop_at_zero if unsigned,
        integers_reach_the_bounds_of_64_bits_with_a_sign if signed,
        integers_may_have_any_size if unbounded,
        what_has_more_than_64_bits_is_an_error_and_changes_nothing if signed_64,
        integers_without_a_sign_have_64_bits if unsigned,
    ]
}

/// A store, and how it keeps integers.
struct Integers<'a>(&'a dyn Store, &'a Capabilities);

impl Integers<'_> {
    fn put(&self, digits: &str) {
        put(self.0, "key", &self.1.integer(digits));
    }

    fn incr(&self, delta: i64) -> Option<Integer> {
        let sum = self.0.incr("key", delta).expect("incr");
        let stored = take(self.0, "key").map(|bytes| self.1.read_integer(&bytes).expect("an integer in the cache"));
        assert_eq!(sum, stored, "the result of incr and what is stored");
        sum
    }
}

fn incr_adds_and_what_it_stores_is_read_back(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put("41");
    assert_eq!(integers.incr(1), Some(Integer::Small(42)));
    assert_eq!(integers.incr(0), Some(Integer::Small(42)));
    assert_eq!(integers.incr(58), Some(Integer::Small(100)));
    assert_eq!(integers.incr(-1), Some(Integer::Small(99)), "one digit less");
    assert_eq!(integers.incr(-90), Some(Integer::Small(9)));
    assert_eq!(integers.incr(1), Some(Integer::Small(10)));
    assert_eq!(integers.incr(-10), Some(Integer::Small(0)));
}

fn incr_without_an_entry_is_none_and_makes_none(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    assert_eq!(integers.incr(1), None);
    assert_eq!(integers.incr(-1), None);
    assert!(!store.has("key").expect("has"));
}

fn incr_keeps_the_expiry(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put("1");
    for delta in [1, -1] {
        integers.incr(delta);
        let ttl = store.ttl("key").expect("ttl");
        assert!(matches!(ttl, Ttl::Left(left) if left.as_secs() <= 300), "the ttl is {ttl:?}");
    }
    assert!(store.set("key", plain(&capabilities.integer("1")), Expiry::Never).expect("set"));
    integers.incr(1);
    assert_eq!(store.ttl("key").expect("ttl"), Ttl::Never);
}

fn incr_of_something_else_is_an_error_and_changes_nothing(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    // A pickled 1 where integers are digits, and a pickled None where they are pickled.
    let pickle: &[u8] = if capabilities.serializer.is_none() { b"\x80\x05K\x01." } else { b"\x80\x05N." };
    for value in [&b"value"[..], b"1.5", b"0x10", b"1_0", pickle] {
        put(store, "key", value);
        for delta in [1, -1] {
            let error = store.incr("key", delta).expect_err("incr of something that is not an integer");
            assert_eq!(error.kind(), ErrorKind::NotAnInteger);
        }
        assert_eq!(take(store, "key").as_deref(), Some(value));
    }
    integers.put("1");
    assert_eq!(integers.incr(1), Some(Integer::Small(2)), "after an error");
}

fn integers_may_be_negative(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put("5");
    assert_eq!(integers.incr(-7), Some(Integer::Small(-2)));
    assert_eq!(integers.incr(-10), Some(Integer::Small(-12)));
    assert_eq!(integers.incr(13), Some(Integer::Small(1)));
}

fn integers_without_a_sign_stop_at_zero(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    for delta in [-7, i64::MIN] {
        integers.put("5");
        assert_eq!(integers.incr(delta), Some(Integer::Small(0)));
    }
}

fn integers_reach_the_bounds_of_64_bits_with_a_sign(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put("0");
    assert_eq!(integers.incr(i64::MAX), Some(Integer::Small(i64::MAX)));
    integers.put("0");
    assert_eq!(integers.incr(i64::MIN), Some(Integer::Small(i64::MIN)));
    assert_eq!(integers.incr(i64::MAX), Some(Integer::Small(-1)));
}

fn integers_may_have_any_size(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put(&i64::MAX.to_string());
    let beyond = integers.incr(1).expect("the entry");
    assert_eq!(beyond.to_string(), "9223372036854775808");
    assert_eq!(integers.incr(-1), Some(Integer::Small(i64::MAX)));
    integers.put("-100000000000000000000000000000000");
    assert_eq!(integers.incr(-1).expect("the entry").to_string(), "-100000000000000000000000000000001");
}

fn what_has_more_than_64_bits_is_an_error_and_changes_nothing(store: &dyn Store, capabilities: &Capabilities) {
    for (value, delta) in [("9223372036854775807", 1), ("-9223372036854775808", -1)] {
        let value = capabilities.integer(value);
        put(store, "key", &value);
        let error = store.incr("key", delta).expect_err("a sum of more than 64 bits");
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert_eq!(take(store, "key"), Some(value));
    }
    let beyond = capabilities.integer("100000000000000000000000000000000");
    put(store, "key", &beyond);
    let error = store.incr("key", 1).expect_err("an integer of more than 64 bits");
    assert!(matches!(error.kind(), ErrorKind::OutOfRange | ErrorKind::NotAnInteger));
    assert_eq!(take(store, "key"), Some(beyond));
}

fn integers_without_a_sign_have_64_bits(store: &dyn Store, capabilities: &Capabilities) {
    let integers = Integers(store, capabilities);
    integers.put("1");
    assert_eq!(integers.incr(i64::MAX).expect("the entry").to_string(), "9223372036854775808");
    assert_eq!(integers.incr(i64::MAX).expect("the entry").to_string(), "18446744073709551615");
}
