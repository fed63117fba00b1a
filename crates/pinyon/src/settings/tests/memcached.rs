//! Memcached: LOCATION and OPTIONS.

use super::{cache, complaint, into_memcached, memcached};
use crate::settings::{CacheSettings, Node, OnBadValue, SerializerKind, Value};
use std::time::Duration;

const PYLIBMC: &str = "django.core.cache.backends.memcached.PyLibMCCache";

fn options(text: &str) -> String {
    format!("BACKEND = 'memcached'\nLOCATION = 'h'\nOPTIONS = {{ {text} }}")
}

fn pylibmc(text: &str) -> String {
    format!("BACKEND = '{PYLIBMC}'\nLOCATION = 'h'\nOPTIONS = {{ {text} }}")
}

fn servers(location: &str) -> Vec<String> {
    memcached(&format!("BACKEND = 'memcached'\nLOCATION = {location}"))
        .servers
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn location_is_a_string_of_servers_or_a_list() {
    assert_eq!(servers("'a:1;b, [::1]:3'"), ["a:1", "b:11211", "[::1]:3"]);
    assert_eq!(
        servers("['a', 'unix:/run/m.sock', '/run/n.sock', '::1']"),
        ["a:11211", "/run/m.sock", "/run/n.sock", "[::1]:11211"]
    );
}

#[test]
fn a_pair_of_host_and_port_is_a_server_as_in_pymemcache() {
    let node = Node::table([
        ("BACKEND", Node::from("memcached")),
        ("LOCATION", Node::list([Node::list([Node::from("::1"), Node::from(5)]), Node::from("b")])),
    ]);
    let settings = into_memcached(CacheSettings::from_node("a", &node).unwrap());
    assert_eq!(settings.servers[0].to_string(), "[::1]:5");
}

#[test]
fn a_server_that_is_there_twice_counts_once_and_is_a_warning() {
    let cache = cache("BACKEND = 'memcached'\nLOCATION = 'a,a:11211'");
    assert_eq!(cache.warnings.len(), 1);
    assert!(cache.warnings[0].contains("LOCATION names a:11211 twice"), "{:?}", cache.warnings);
    assert_eq!(into_memcached(cache).servers.len(), 1);
}

#[test]
fn a_location_of_another_server_is_an_error_with_an_example() {
    for location in ["'redis://h:6379'", "'h:x'", "''", "[[1]]", "7"] {
        let text = complaint(&format!("BACKEND = 'memcached'\nLOCATION = {location}"));
        assert!(text.contains("LOCATION") && text.contains("(line 3, column "), "{text}");
    }
    assert!(
        complaint("BACKEND = 'memcached'")
            .contains("LOCATION is missing (line 1, column 1). Write it as 127.0.0.1:11211")
    );
}

#[test]
fn pymemcaches_options_arrive() {
    let settings = memcached(&options(
        "timeout = 0.5, connect_timeout = 0.25, no_delay = true, max_pool_size = 4, retry_timeout = 2, dead_timeout = 30, \
         ignore_exc = true, key_prefix = 'p:', SERIALIZER = 'msgpack', ON_BAD_VALUE = 'raise', use_pooling = true, \
         allow_unicode_keys = true, default_noreply = false",
    ));
    assert_eq!((settings.timeout, settings.connect_timeout), (Duration::from_millis(500), Duration::from_millis(250)));
    assert_eq!(settings.max_connections, Some(4));
    assert_eq!((settings.retry_timeout, settings.dead_timeout), (Duration::from_secs(2), Duration::from_secs(30)));
    assert_eq!((settings.ignore_exceptions, settings.key_prefix.as_str()), (true, "p:"));
    assert_eq!((settings.serializer, settings.on_bad_value), (SerializerKind::Msgpack, OnBadValue::Raise));
}

#[test]
fn what_has_no_meaning_here_is_a_warning() {
    for option in [
        "retry_attempts = 3",
        "pool_idle_timeout = 30",
        "use_pooling = false",
        "default_noreply = true",
        "encoding = 'latin1'",
    ] {
        let warnings = cache(&options(option)).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("has no effect"), "{option}: {warnings:?}");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (option, reason) in [
        ("hasher = 'x'", "cannot be set here: keys are placed as pymemcache's RendezvousHash"),
        ("serde = 'x'", "Write 'SERIALIZER'"),
        ("serializer = 'json'", "Write 'SERIALIZER'"),
        ("socket_module = 'x'", "sockets and locks are Pinyon's own"),
        ("tls_context = 'x'", "TLS to Memcached is not available yet"),
        ("MAX_ENTRIES = 5", "has no meaning for Memcached"),
        ("behaviors = {}", "is an option of pylibmc"),
        ("timeout = -1", "more than 0"),
        ("retry_timeout = -1", "0 or more"),
        ("key_prefix = 'a b'", "without blanks"),
        ("max_pool_sise = 5", "Did you mean 'max_pool_size'?"),
    ] {
        let text = complaint(&options(option));
        assert!(text.starts_with("cache 'default': OPTIONS '") && text.contains(reason), "{option}: {text}");
        assert!(text.contains("(line 4, column "), "{text}");
    }
}

#[test]
fn pylibmcs_behaviors_are_honoured_in_its_units_or_refused() {
    let settings = memcached(&pylibmc(
        "binary = true, behaviors = { tcp_nodelay = true, connect_timeout = 500, receive_timeout = 750000, \
         retry_timeout = 2, dead_timeout = 30 }",
    ));
    assert_eq!((settings.connect_timeout, settings.timeout), (Duration::from_millis(500), Duration::from_millis(750)));
    assert_eq!((settings.retry_timeout, settings.dead_timeout), (Duration::from_secs(2), Duration::from_secs(30)));
    for behavior in ["ketama = true", "hash = 'md5'", "distribution = 'consistent'", "ketama_weighted = true"] {
        let one_server = pylibmc(&format!("behaviors = {{ {behavior} }}"));
        // A ring of one server has no say.
        assert_eq!(memcached(&one_server).servers.len(), 1);
        let text = complaint(&one_server.replace("'h'", "'h;i'"));
        assert!(text.contains("OPTIONS 'behaviors' '") && text.contains("not available yet"), "{text}");
    }
    let text = complaint(&pylibmc("behaviors = { tcp_nodely = 1 }"));
    assert!(text.contains("Did you mean 'tcp_nodelay'?"), "{text}");
    let text = complaint(&pylibmc("username = 'u', password = 'hunter2'"));
    assert!(text.contains("SASL is not available yet") && !text.contains("hunter2"), "{text}");
    assert!(complaint(&pylibmc("no_delay = true")).contains("is not an option of"));
}

#[test]
fn several_servers_of_pylibmc_are_a_warning_since_placement_differs() {
    let of = |location: &str| cache(&format!("BACKEND = '{PYLIBMC}'\nLOCATION = '{location}'")).warnings;
    assert!(of("a").is_empty());
    assert!(of("a,b")[0].contains("not as pylibmc"));
}

#[test]
fn null_limits_keep_the_default_and_say_so() {
    let node = Node::table([
        ("BACKEND", Node::from("memcached")),
        ("LOCATION", Node::from("h")),
        ("OPTIONS", Node::table([("timeout", Value::Null)])),
    ]);
    let cache = CacheSettings::from_node("a", &node).unwrap();
    assert_eq!(cache.warnings.len(), 1);
    assert_eq!(into_memcached(cache).timeout, Duration::from_secs(2));
}
