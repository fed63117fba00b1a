//! The contract of a store, kept by one Memcached server and by several.

use crate::servers::client::{Client, LONG, memcached_at};
use crate::servers::{self, Server};
use pinyon::ErrorKind;
use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::memcached::MemcachedStore;
use pinyon::settings::MemcachedSettings;
use pinyon::store::{Item, Store};
use std::thread;
use std::time::Duration;

const CAPABILITIES: Capabilities = Capabilities {
    integers: IntegerRange::Unsigned64,
    max_item_size: Some(1024 * 1024),
    flags: true,
    serializer: None,
    memcached_keys: true,
};

fn settings(servers: &[Server]) -> MemcachedSettings {
    MemcachedSettings { timeout: Duration::from_secs(30), ..memcached_at(servers.iter().map(Server::address)) }
}

#[test]
fn memcached_keeps_the_contract_with_one_server_three_servers_and_a_unix_socket() {
    keeps_the_contract(|settings| Box::new(MemcachedStore::new(settings)));
}

#[cfg(feature = "tokio")]
#[test]
fn memcached_keeps_the_contract_over_tokio_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    keeps_the_contract(|settings| {
        let store = MemcachedStore::new(settings).into();
        Box::new(crate::over_tokio::OverTokio { store, runtime: runtime.handle().clone() })
    });
}

fn keeps_the_contract(make: impl Fn(&MemcachedSettings) -> Box<dyn Store> + Sync) {
    let make = &make;
    let [one, prefixed] = [(); 2].map(|()| vec![servers::memcached().start()]);
    let three: Vec<_> = (0..3).map(|_| servers::memcached().start()).collect();
    let unix = vec![servers::memcached().unix_socket().start()];
    let ways = [
        ("one server", settings(&one), CAPABILITIES),
        ("three servers", settings(&three), CAPABILITIES),
        ("a unix socket", settings(&unix), CAPABILITIES),
        // The prefix takes part in the length of a key: "Memcached's rules" are those of the key on the wire.
        ("a key_prefix", MemcachedSettings { key_prefix: "p".into(), ..settings(&prefixed) }, CAPABILITIES),
    ];
    thread::scope(|scope| {
        for (name, settings, capabilities) in ways {
            scope.spawn(move || {
                let mut report = conformance::run(&|| make(&settings), &capabilities);
                if !settings.key_prefix.is_empty() {
                    report.failed.retain(|(rule, _)| !USES_THE_LONGEST_KEY.contains(rule));
                }
                assert!(report.failed.is_empty() && report.passed.len() > 40, "{name}: {report}");
            });
        }
    });
}

/// Rules that use a key of 250 bytes, which is too long with a prefix.
const USES_THE_LONGEST_KEY: [&str; 2] =
    ["keys_are_told_apart_by_every_byte", "keys_that_memcached_does_not_take_are_refused"];

#[test]
fn a_key_prefix_is_on_the_wire_and_counts_for_the_length_of_a_key() {
    let memcached = servers::memcached().start();
    let settings = MemcachedSettings { key_prefix: "site1:".into(), ..memcached_at([memcached.address()]) };
    let client = Client::memcached(&settings);
    client.set("key", b"value").unwrap();
    assert_eq!(memcached.ask("mg site1:key v").unwrap(), "VA 5\r\nvalue\r\n");
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(client.get_many(&["none", "key"]).unwrap(), [None, Some(b"value".to_vec())]);
    assert!(client.set(&"k".repeat(244), b"value").unwrap());
    let error = client.set(&"k".repeat(245), b"value").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    client.store.delete_many(&["key"]).unwrap();
    assert_eq!(memcached.ask("mg site1:key v").unwrap(), "EN\r\n");
}

#[test]
fn keys_that_could_be_commands_are_refused_before_anything_is_sent() {
    let memcached = servers::memcached().start();
    let client = Client::memcached(&memcached_at([memcached.address()]));
    for key in ["key\r\nflush_all", "key flush_all", "key\n", "key\t", "\0", "", &"k".repeat(251), &"é".repeat(126)] {
        let store = &client.store;
        let item = Item { bytes: b"value", flags: 0 };
        for error in [
            client.get(key).unwrap_err(),
            client.set(key, b"value").unwrap_err(),
            store.add(key, item, LONG).unwrap_err(),
            store.touch(key, LONG).unwrap_err(),
            store.delete(key).unwrap_err(),
            store.has(key).unwrap_err(),
            store.incr(key, 1).unwrap_err(),
            store.ttl(key).unwrap_err(),
            client.get_many(&["good", key]).unwrap_err(),
            store.set_many(&[("good", item), (key, item)], LONG).unwrap_err(),
            store.delete_many(&["good", key]).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Key, "{error}");
        }
    }
    assert_eq!(client.open_connections(), 0);
    assert!(memcached.ask("stats").unwrap().contains("STAT cmd_set 0\r\n"));
}

#[test]
fn a_check_says_what_every_server_says() {
    let [one, mut two] = [(); 2].map(|()| servers::memcached().argument("-m").argument("32").start());
    let store = MemcachedStore::new(&memcached_at([one.address(), two.address()]));
    two.stop();
    let [first, second] = &store.check()[..] else { panic!("two servers") };
    assert_eq!(first.server, format!("memcached://127.0.0.1:{}", one.port()));
    let info = first.result.as_ref().unwrap();
    assert!(info.version.starts_with("Memcached 1."), "{}", info.version);
    assert_eq!((info.memory_limit, info.entries), (Some(32 * 1024 * 1024), Some(0)));
    let error = second.result.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unreachable, Some("check")));
    let expected = format!("Memcached at 127.0.0.1:{} is not running or not reachable", two.port());
    assert!(error.message().starts_with(&expected), "{error}");
}
