//! The keys that every cache has, and the memory backend.

use super::{cache, complaint, memory};
use crate::key::Version;
use crate::memory::Policy;
use crate::settings::{CacheSettings, Node, OnBadValue, SerializerKind, Settings, Value};
use crate::timeout::Expiry;
use std::time::Duration;

fn timeout(line: &str) -> Expiry {
    cache(&format!("BACKEND = 'memory'\n{line}")).timeout
}

fn seconds(seconds: u64) -> Expiry {
    Expiry::In(Duration::from_secs(seconds))
}

#[test]
fn every_default_is_djangos() {
    let cache = cache("BACKEND = 'memory'");
    assert_eq!(cache.timeout, seconds(300));
    assert_eq!((cache.key_prefix.as_str(), cache.version, cache.key_function), ("", Version::Number(1), None));
    let memory = memory("BACKEND = 'memory'");
    assert_eq!((memory.name.as_str(), memory.max_entries, memory.cull_frequency, memory.max_bytes), ("", 300, 3, None));
}

#[test]
fn timeout_is_a_number_a_numeric_string_or_never() {
    assert_eq!(timeout("TIMEOUT = 60"), seconds(60));
    assert_eq!(timeout("TIMEOUT = ' 60 '"), seconds(60));
    assert_eq!(timeout("TIMEOUT = 60.9"), seconds(60));
    assert_eq!(timeout("TIMEOUT = 0"), Expiry::Now);
    assert_eq!(timeout("TIMEOUT = -1"), Expiry::Now);
    assert_eq!(timeout("TIMEOUT = 'never'"), Expiry::Never);
    assert_eq!(timeout("TIMEOUT = 'None'"), Expiry::Never);
    let node = Node::table([("BACKEND", Node::from("memory")), ("TIMEOUT", Node::new(Value::Null))]);
    assert_eq!(CacheSettings::from_node("default", &node).unwrap().timeout, Expiry::Never);
}

#[test]
fn a_lower_case_timeout_wins_as_in_django() {
    assert_eq!(timeout("TIMEOUT = 60\ntimeout = 5"), seconds(5));
    assert_eq!(timeout("timeout = 5\nTIMEOUT = 60"), seconds(5));
}

#[test]
fn a_cut_fraction_is_a_warning() {
    let cache = cache("BACKEND = 'memory'\nTIMEOUT = 0.5");
    assert_eq!(cache.timeout, Expiry::Now);
    assert_eq!(cache.warnings, ["cache 'default': TIMEOUT is cut to 0 seconds, as in Django (line 3, column 11)"]);
}

#[test]
fn a_timeout_that_django_would_silently_replace_is_an_error() {
    for value in ["'5 minutes'", "true", "[]", "nan", "inf", "1e300", "''"] {
        let text = complaint(&format!("BACKEND = 'memory'\nTIMEOUT = {value}"));
        assert!(text.starts_with("cache 'default': TIMEOUT is "), "{text}");
        assert!(text.contains("must be a number of seconds, or null or 'never' (line 3, column 11)"), "{text}");
    }
}

#[test]
fn prefix_version_and_key_function_are_kept() {
    let cache = cache("BACKEND = 'memory'\nKEY_PREFIX = 'shop'\nVERSION = 'v2'\nKEY_FUNCTION = 'shop.keys.make'");
    assert_eq!(cache.key_prefix, "shop");
    assert_eq!(cache.version, Version::Text("v2".to_owned()));
    assert_eq!(cache.key_function.as_deref(), Some("shop.keys.make"));
    let node = Node::table([
        ("BACKEND", Node::from("memory")),
        ("KEY_FUNCTION", Node::new(Value::Opaque("shop.keys.make".to_owned()))),
        ("VERSION", Node::from(1.5)),
    ]);
    let cache = CacheSettings::from_node("default", &node).unwrap();
    assert_eq!(cache.key_function.as_deref(), Some("shop.keys.make"));
    assert_eq!(cache.version, Version::Text("1.5".to_owned()));
    assert!(complaint("BACKEND = 'memory'\nVERSION = []").contains("VERSION is a list"));
}

#[test]
fn an_unknown_key_names_alias_place_and_the_nearest() {
    assert_eq!(
        complaint("BACKEND = 'memory'\nKEY_PREFX = 'a'"),
        "cache 'default': KEY_PREFX is not a key of a cache (line 3, column 1). Did you mean 'KEY_PREFIX'?"
    );
    assert!(complaint("BACKEND = 'memory'\nMAX_ENTRIES = 5").contains("Write 'MAX_ENTRIES' in OPTIONS."));
    assert!(complaint("BACKEND = 'memory'\ncolour = 5").contains("Allowed: BACKEND, LOCATION, TIMEOUT"));
}

#[test]
fn an_unknown_option_names_alias_place_and_the_nearest() {
    assert_eq!(
        complaint("BACKEND = 'memory'\nOPTIONS = { MAX_ENTRYS = 5 }"),
        "cache 'default': OPTIONS 'MAX_ENTRYS' is not an option of the memory backend (line 3, column 13). \
         Did you mean 'MAX_ENTRIES'?"
    );
}

#[test]
fn memory_options_are_read_and_the_lower_case_ones_beside_them_win() {
    let settings = memory(
        "BACKEND = 'django.core.cache.backends.locmem.LocMemCache'\nLOCATION = 'shop'\nmax_entries = 7\n\
         OPTIONS = { MAX_ENTRIES = 9, CULL_FREQUENCY = '0', MAX_BYTES = '1MiB', SERIALIZER = 'json', ON_BAD_VALUE = 'raise', \
         POLICY = 'TinyLFU' }",
    );
    assert_eq!((settings.policy, memory("BACKEND='memory'").policy), (Policy::TinyLfu, Policy::Lru));
    assert_eq!(settings.name, "shop");
    assert_eq!((settings.max_entries, settings.cull_frequency, settings.max_bytes), (7, 0, Some(1 << 20)));
    assert_eq!((settings.serializer, settings.on_bad_value), (SerializerKind::Json, OnBadValue::Raise));
    assert_eq!(memory("BACKEND='memory'\nOPTIONS={MAX_ENTRIES=-1}").max_entries, -1);
}

#[test]
fn wrong_memory_options_say_what_was_found_and_what_is_allowed() {
    let option = |text: &str| complaint(&format!("BACKEND = 'memory'\nOPTIONS = {{ {text} }}"));
    assert_eq!(
        option("MAX_ENTRIES = 'many'"),
        "cache 'default': OPTIONS 'MAX_ENTRIES' is the string 'many', but must be an integer (line 3, column 27)"
    );
    assert!(option("CULL_FREQUENCY = -1").contains("is -1, but must be an integer, 0 or more"));
    assert!(option("MAX_BYTES = 0").contains("'64MiB'"));
    assert!(option("SERIALIZER = 'yaml'").contains("but must be 'pickle' or 'json' or 'msgpack'"));
    assert!(option("POLICY = 'lfu'").contains("but must be 'lru' or 'tinylfu'"));
    assert!(option("ON_BAD_VALUE = 'ignore'").contains("but must be 'miss' or 'raise'"));
    assert!(option("max_entries = 1").contains("upper case in OPTIONS"));
    assert!(complaint("BACKEND='memory'\nLOCATION = ['a']").contains("LOCATION is a list, but must be a string"));
    assert!(complaint("BACKEND='memory'\nOPTIONS = 'x'").contains("OPTIONS is a string, but must be a table"));
}

#[test]
fn all_errors_of_a_dictionary_are_reported_at_once() {
    let text = "[a]\nBACKEND = 'memory'\nTIMEOUT = 'x'\nVERSION = true\n[b]\nLOCATION = 'y'\n[c]\nBACKEND = 'redis'\n";
    let error = Settings::from_toml(text).unwrap_err().to_string();
    assert!(error.starts_with("4 things are wrong with the settings:\n"), "{error}");
    for part in [
        "cache 'a': TIMEOUT is the string 'x'",
        "cache 'a': VERSION is true",
        "cache 'b': BACKEND is missing (line 5, column 1)",
        "cache 'c': LOCATION is missing",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_missing_default_is_a_warning() {
    let settings = Settings::from_toml("[other]\nBACKEND = 'memory'").unwrap();
    assert_eq!(settings.warnings(), ["there is no cache 'default': Django does not start without one"]);
    assert!(Settings::from_toml("[default]\nBACKEND = 'memory'").unwrap().warnings().is_empty());
}

#[test]
fn the_backend_is_kept_as_it_was_written() {
    assert_eq!(cache("BACKEND = 'pinyon.django.LocMemCache'").backend_path, "pinyon.django.LocMemCache");
    let text = complaint("BACKEND = 'memroy'");
    assert_eq!(text, "cache 'default': BACKEND 'memroy' is not known (line 2, column 11). Did you mean 'memory'?");
    assert!(complaint("BACKEND = 5").contains("BACKEND is 5, but must be a string"));
}

#[test]
fn django_rediss_reverse_key_function_is_accepted_on_redis_whatever_its_class_is_called() {
    for backend in ["django_redis.cache.RedisCache", "pinyon.django.RedisCache", "redis"] {
        let settings =
            cache(&format!("BACKEND = '{backend}'\nLOCATION = 'redis://h'\nREVERSE_KEY_FUNCTION = 'shop.reverse'"));
        assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    }
    assert!(complaint("BACKEND = 'memory'\nREVERSE_KEY_FUNCTION = 'x'").contains("REVERSE_KEY_FUNCTION"));
}
