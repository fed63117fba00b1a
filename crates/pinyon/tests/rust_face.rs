//! Every method of the typed, blocking face on memory, Redis and Memcached.

mod backends;

use backends::{ALIASES, Backends, servers};
use pinyon::{Cache, Caches, ErrorKind, Expiry, Timeout, Ttl, Version};
use std::collections::HashMap;
use std::time::Duration;

/// Runs `test` on a cache of each backend.
fn on_each(keys: &str, test: impl Fn(&str, &Cache)) {
    let backends = Backends::start();
    let caches = backends.caches(keys, "");
    for alias in ALIASES {
        test(alias, caches.get(alias).unwrap());
    }
}

fn seconds_left(cache: &Cache, key: &str) -> u64 {
    match cache.blocking().ttl(key).unwrap() {
        Ttl::Left(left) => left.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_is_there_until_it_is_deleted() {
    on_each("", |alias, cache| {
        let cache = cache.blocking();
        assert_eq!(cache.get::<String>("key").unwrap(), None, "{alias}");
        assert!(!cache.has_key("key").unwrap());
        assert!(cache.set("key", "value", Timeout::Default).unwrap());
        assert_eq!(cache.get::<String>("key").unwrap().as_deref(), Some("value"), "{alias}");
        assert!(cache.has_key("key").unwrap());
        assert!(cache.set("key", "other", Timeout::Default).unwrap());
        assert_eq!(cache.get::<String>("key").unwrap().as_deref(), Some("other"), "{alias}");
        assert!(cache.delete("key").unwrap());
        assert!(!cache.delete("key").unwrap());
        assert_eq!(cache.get::<String>("key").unwrap(), None, "{alias}");
    });
}

#[test]
fn add_stores_only_where_nothing_is() {
    on_each("", |alias, cache| {
        let cache = cache.blocking();
        assert!(cache.add("key", &1, Timeout::Default).unwrap());
        assert!(!cache.add("key", &2, Timeout::Default).unwrap());
        assert_eq!(cache.get("key").unwrap(), Some(1), "{alias}");
        assert!(cache.add("gone", &1, Timeout::secs(0)).unwrap(), "{alias}");
        assert_eq!(cache.get::<i32>("gone").unwrap(), None, "{alias}");
    });
}

#[test]
fn get_or_set_makes_a_value_once() {
    on_each("", |alias, cache| {
        let cache = cache.blocking();
        assert_eq!(cache.get_or_set("key", Timeout::secs(500), || "made".to_owned()).unwrap(), "made");
        let again = cache.get_or_set("key", Timeout::Default, || -> String { panic!("{alias}: it is there") });
        assert_eq!(again.unwrap(), "made");
        // None is a value.
        assert_eq!(cache.get_or_set("none", Timeout::Default, || None::<i32>).unwrap(), None);
        let again = cache.get_or_set("none", Timeout::Default, || -> Option<i32> { panic!("{alias}: it is there") });
        assert_eq!(again.unwrap(), None);
        assert_eq!(cache.get::<Option<i32>>("none").unwrap(), Some(None), "{alias}");
        // Whoever was faster wins.
        let theirs = cache.get_or_set("race", Timeout::Default, || {
            cache.set("race", &1, Timeout::Default).unwrap();
            2
        });
        assert_eq!(theirs.unwrap(), 1, "{alias}");
        // Expired at once: the caller gets the value all the same.
        assert_eq!(cache.get_or_set("now", Timeout::secs(0), || 5).unwrap(), 5);
        assert!(!cache.has_key("now").unwrap(), "{alias}");
    });
}

#[test]
fn timeouts_are_those_of_the_call_or_of_the_settings() {
    on_each("TIMEOUT = 500", |alias, cache| {
        let blocking = cache.blocking();
        blocking.set("default", &1, Timeout::Default).unwrap();
        assert!((400..=500).contains(&seconds_left(cache, "default")), "{alias}");
        blocking.set("own", &1, Timeout::secs(1000)).unwrap();
        assert!((900..=1000).contains(&seconds_left(cache, "own")), "{alias}");
        blocking.set("never", &1, Timeout::Never).unwrap();
        assert_eq!(blocking.ttl("never").unwrap(), Ttl::Never, "{alias}");
        assert_eq!(blocking.ttl("missing").unwrap(), Ttl::Missing, "{alias}");
        for timeout in [Timeout::secs(0), Timeout::secs(-1), Duration::ZERO.into()] {
            blocking.set("never", &1, Timeout::Never).unwrap();
            blocking.set("never", &2, timeout).unwrap();
            assert_eq!(blocking.get::<i32>("never").unwrap(), None, "{alias}: the old value is gone too");
        }
        // Beyond the 30 days at which Memcached takes seconds for a date.
        blocking.set("long", &1, Timeout::secs(40 * 86400)).unwrap();
        let days = seconds_left(cache, "long") / 86400;
        assert!((39..=40).contains(&days), "{alias}: {days}");

        assert!(blocking.touch("long", Timeout::Default).unwrap());
        assert!((400..=500).contains(&seconds_left(cache, "long")), "{alias}");
        assert!(blocking.touch("long", Timeout::Never).unwrap());
        assert_eq!(blocking.ttl("long").unwrap(), Ttl::Never, "{alias}");
        assert!(blocking.touch("long", Timeout::secs(0)).unwrap(), "{alias}");
        assert!(!blocking.touch("long", Timeout::Never).unwrap(), "{alias}: it is expired");
        assert!(!blocking.touch("missing", Timeout::Default).unwrap(), "{alias}");
    });
    on_each("TIMEOUT = 'never'", |alias, cache| {
        cache.blocking().set("key", &1, Timeout::Default).unwrap();
        assert_eq!(cache.blocking().ttl("key").unwrap(), Ttl::Never, "{alias}");
    });
    on_each("TIMEOUT = 0", |alias, cache| {
        cache.blocking().set("key", &1, Timeout::Default).unwrap();
        assert!(!cache.blocking().has_key("key").unwrap(), "{alias}");
    });
}

#[test]
fn prefix_and_version_make_the_key_that_the_server_sees() {
    on_each("KEY_PREFIX = 'shop'\nVERSION = 2", |alias, cache| {
        cache.blocking().set("key", "two", Timeout::Default).unwrap();
        assert!(cache.store().has("shop:2:key").unwrap(), "{alias}");
        assert!(!cache.store().has("key").unwrap(), "{alias}");

        let three = cache.with_version(3);
        assert_eq!(three.blocking().get::<String>("key").unwrap(), None, "{alias}");
        three.blocking().set("key", "three", Timeout::Default).unwrap();
        assert!(cache.store().has("shop:3:key").unwrap(), "{alias}");
        assert_eq!(cache.blocking().get::<String>("key").unwrap().as_deref(), Some("two"), "{alias}");
        cache.with_version(Version::Text("v4".to_owned())).blocking().set("key", "four", Timeout::Default).unwrap();
        assert!(cache.store().has("shop:v4:key").unwrap(), "{alias}");
    });
}

#[test]
fn incr_version_moves_value_and_timeout() {
    on_each("", |alias, cache| {
        let blocking = cache.blocking();
        blocking.set("key", &vec!["a", "b"], Timeout::secs(1000)).unwrap();
        assert_eq!(blocking.incr_version("key", 1).unwrap(), 2);
        assert!(!blocking.has_key("key").unwrap(), "{alias}");
        let two = cache.with_version(2);
        assert_eq!(two.blocking().get::<Vec<String>>("key").unwrap().unwrap(), ["a", "b"], "{alias}");
        assert!((900..=1000).contains(&seconds_left(&two, "key")), "{alias}");
        assert_eq!(two.blocking().incr_version("key", -1).unwrap(), 1);
        assert!(blocking.has_key("key").unwrap(), "{alias}");

        let error = blocking.incr_version("missing", 1).unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::KeyNotFound, Some(alias)));
        let text = cache.with_version(Version::Text("v1".to_owned()));
        assert_eq!(text.blocking().incr_version("key", 1).unwrap_err().kind(), ErrorKind::Unsupported, "{alias}");
    });
}

#[test]
fn numbers_are_counted_and_keep_their_timeout() {
    on_each("", |alias, cache| {
        let blocking = cache.blocking();
        blocking.set("n", &40, Timeout::secs(1000)).unwrap();
        assert_eq!(blocking.incr("n", 2).unwrap(), 42, "{alias}");
        assert_eq!(blocking.decr("n", 12).unwrap(), 30, "{alias}");
        assert_eq!(blocking.incr("n", -5).unwrap(), 25, "{alias}");
        assert_eq!(blocking.get::<u8>("n").unwrap(), Some(25), "{alias}");
        assert!((900..=1000).contains(&seconds_left(cache, "n")), "{alias}");
        let below = blocking.decr("n", 30).unwrap();
        assert_eq!(below, if alias == "memcached" { 0 } else { -5 }, "{alias}");

        for (operation, error) in [("incr", blocking.incr("missing", 1)), ("decr", blocking.decr("missing", 1))] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyNotFound, "{alias}");
            assert_eq!(error.to_string(), format!("cache '{alias}', {operation}: Key 'missing' not found"));
        }
        assert!(!blocking.has_key("missing").unwrap(), "{alias}: incr makes no entry");
        blocking.set("text", "forty", Timeout::Default).unwrap();
        let error = blocking.incr("text", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAnInteger, "{alias}: {error}");
        assert!(!error.to_string().contains("forty"), "{error}");
        assert_eq!(blocking.decr("n", i64::MIN).unwrap_err().kind(), ErrorKind::OutOfRange, "{alias}");
    });
}

#[test]
fn a_sum_beyond_64_bits_is_stored_where_the_server_can_and_is_no_i64() {
    on_each("", |alias, cache| {
        let cache = cache.blocking();
        cache.set("n", &i64::MAX, Timeout::Default).unwrap();
        assert_eq!(cache.incr("n", 1).unwrap_err().kind(), ErrorKind::OutOfRange, "{alias}");
        if alias != "memcached" {
            assert_eq!(cache.get::<i128>("n").unwrap(), Some(i128::from(i64::MAX) + 1), "{alias}");
            assert_eq!(cache.get::<i64>("n").unwrap_err().kind(), ErrorKind::OutOfRange, "{alias}");
            assert_eq!(cache.incr("n", -1).unwrap(), i64::MAX, "{alias}");
        }
    });
}

#[test]
fn many_keys_at_once() {
    on_each("", |alias, cache| {
        let blocking = cache.blocking();
        assert_eq!(blocking.set_many([("a", 1), ("b", 2), ("c", 3)], Timeout::secs(1000)).unwrap(), [""; 0]);
        assert!((900..=1000).contains(&seconds_left(cache, "b")), "{alias}");
        let found = blocking.get_many::<i32>(&["a", "missing", "c", "b"]).unwrap();
        assert_eq!(found, HashMap::from([("a", 1), ("b", 2), ("c", 3)].map(|(key, n)| (key.to_owned(), n))), "{alias}");
        blocking.delete_many(&["a", "missing", "b"]).unwrap();
        assert_eq!(blocking.get_many::<i32>(&["a", "b", "c"]).unwrap().len(), 1, "{alias}");
        assert_eq!(blocking.set_many([("c", 4)], Timeout::secs(0)).unwrap(), [""; 0]);
        assert!(!blocking.has_key("c").unwrap(), "{alias}");
        // Nothing is something too.
        assert!(blocking.get_many::<i32>(&[]).unwrap().is_empty());
        assert!(blocking.set_many::<i32>([], Timeout::Default).unwrap().is_empty());
        blocking.delete_many(&[]).unwrap();
        // Fewer than MAX_ENTRIES, so that memory keeps them all.
        let keys: Vec<String> = (0..250).map(|number| format!("many-{number}")).collect();
        let items = keys.iter().enumerate().map(|(number, key)| (key.as_str(), number));
        assert_eq!(blocking.set_many(items, Timeout::Default).unwrap(), [""; 0]);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = blocking.get_many::<usize>(&keys).unwrap();
        assert!(found.len() == 250 && found["many-249"] == 249, "{alias}");
    });
}

#[test]
fn a_value_that_the_store_refuses_is_named_and_leaves_no_old_one() {
    let memcached = servers::memcached().start();
    let toml = format!(
        "[memcached]\nBACKEND = 'memcached'\nLOCATION = '127.0.0.1:{}'\n\
         [memory]\nBACKEND = 'memory'\nLOCATION = 'refusal'\nOPTIONS = {{ MAX_BYTES = '1MiB' }}\n",
        memcached.port()
    );
    let caches = Caches::from_toml(&toml).unwrap();
    let large = "x".repeat(2 << 20);
    for alias in ["memcached", "memory"] {
        let cache = caches.get(alias).unwrap().blocking();
        cache.set("large", "old", Timeout::Default).unwrap();
        let failed = cache.set_many([("small", "x"), ("large", &large), ("last", "y")], Timeout::Default).unwrap();
        assert_eq!(failed, ["large"], "{alias}");
        assert_eq!(cache.get::<String>("large").unwrap(), None, "{alias}");
        assert_eq!(cache.get::<String>("last").unwrap().as_deref(), Some("y"), "{alias}");
        cache.set("large", "old", Timeout::Default).unwrap();
        assert!(!cache.set("large", &large, Timeout::Default).unwrap(), "{alias}");
        assert!(!cache.has_key("large").unwrap(), "{alias}");
        assert!(!cache.add("large", &large, Timeout::Default).unwrap(), "{alias}");
        assert_eq!(cache.get_or_set("large", Timeout::Default, || large.clone()).unwrap().len(), large.len());
    }
}

#[test]
fn clear_leaves_nothing() {
    on_each("KEY_PREFIX = 'mine'", |alias, cache| {
        cache.blocking().set("key", &1, Timeout::Default).unwrap();
        cache.store().set("theirs", pinyon::Item { bytes: b"1", flags: 0 }, Expiry::Never).unwrap();
        cache.blocking().clear().unwrap();
        assert!(!cache.blocking().has_key("key").unwrap(), "{alias}");
        assert!(!cache.store().has("theirs").unwrap(), "{alias}: Django clears the whole store");
    });
}

#[test]
fn hits_and_misses_are_counted_over_all_clones() {
    on_each("", |alias, cache| {
        let other = cache.with_version(2);
        cache.blocking().set("key", &1, Timeout::Default).unwrap();
        cache.blocking().get::<i32>("key").unwrap();
        other.blocking().get::<i32>("key").unwrap();
        cache.clone().blocking().get_many::<i32>(&["key", "a", "b"]).unwrap();
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.bad_values), (2, 3, 0), "{alias}");
    });
}

#[test]
fn every_cache_says_how_it_is() {
    on_each("", |alias, cache| {
        cache.blocking().set("key", &1, Timeout::Default).unwrap();
        let reports = cache.blocking().check();
        assert_eq!(reports.len(), 1, "{alias}");
        let info = reports[0].result.as_ref().unwrap();
        assert!(info.entries == Some(1) && info.memory_used.is_some() && !info.version.is_empty(), "{alias}: {info:?}");
    });
}

#[test]
fn keys_that_memcached_cannot_take_are_djangos_error_there_and_fine_elsewhere() {
    let long = "k".repeat(250);
    // 252 bytes with `:1:`, but only 128 characters.
    let wide = "é".repeat(125);
    on_each("", |alias, cache| {
        let cache = cache.blocking();
        let contains = "Cache key contains characters that will cause errors if used with memcached: ";
        for (key, text) in [
            ("two words", format!("{contains}':1:two words'")),
            ("tab\t", format!("{contains}':1:tab\\t'")),
            ("delete\u{7f}", format!("{contains}':1:delete\\x7f'")),
            (
                long.as_str(),
                format!("Cache key will cause errors if used with memcached: ':1:{long}' (longer than 250)"),
            ),
            (
                wide.as_str(),
                format!(
                    "Cache key will cause errors if used with memcached: ':1:{wide}' (longer than 250 bytes in UTF-8)"
                ),
            ),
        ] {
            if alias != "memcached" {
                assert!(cache.set(key, &1, Timeout::Default).unwrap(), "{alias}");
                assert_eq!(cache.get(key).unwrap(), Some(1), "{alias}");
                continue;
            }
            let errors = [
                cache.get::<i32>(key).unwrap_err(),
                cache.set(key, &1, Timeout::Default).unwrap_err(),
                cache.add(key, &1, Timeout::Default).unwrap_err(),
                cache.get_or_set(key, Timeout::Default, || 1).unwrap_err(),
                cache.touch(key, Timeout::Default).unwrap_err(),
                cache.delete(key).unwrap_err(),
                cache.has_key(key).unwrap_err(),
                cache.incr(key, 1).unwrap_err(),
                cache.incr_version(key, 1).unwrap_err(),
                cache.ttl(key).unwrap_err(),
                cache.show(key).unwrap_err(),
                cache.get_many::<i32>(&["fine", key]).unwrap_err(),
                cache.set_many([("fine", 1), (key, 1)], Timeout::Default).unwrap_err(),
                cache.delete_many(&["fine", key]).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(
                    (error.kind(), error.message(), error.alias()),
                    (ErrorKind::Key, text.as_str(), Some(alias))
                );
            }
            assert!(!cache.has_key("fine").unwrap(), "nothing is sent if one key is wrong");
        }
    });
}

#[test]
fn sixteen_threads_share_one_cache() {
    on_each("", |alias, cache| {
        cache.blocking().set("n", &0, Timeout::Default).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..16 {
                scope.spawn(move || {
                    let key = format!("thread-{thread}");
                    for number in 0..50 {
                        cache.blocking().set(&key, &number, Timeout::Default).unwrap();
                        assert_eq!(cache.blocking().get(&key).unwrap(), Some(number), "{alias}");
                        cache.blocking().incr("n", 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(cache.blocking().get("n").unwrap(), Some(16 * 50), "{alias}");
    });
}
