//! The contract of a store, kept over every way to reach a Redis server.

use crate::servers::certificates::Certificates;
use crate::servers::client::{loopback, redis_at};
use crate::servers::fake::Fake;
use crate::servers::{self, Server};
use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::redis::RedisStore;
use pinyon::settings::{Address, RedisServer, RedisSettings, TimeoutUnit, TlsSettings};
use pinyon::store::{Item, Store};
use pinyon::timeout::Expiry;
use std::thread;
use std::time::Duration;

const CAPABILITIES: Capabilities = Capabilities {
    integers: IntegerRange::Unbounded,
    max_item_size: None,
    flags: false,
    serializer: None,
    memcached_keys: false,
};

fn tls(certificates: &Certificates) -> TlsSettings {
    TlsSettings {
        ca_certs: Some(certificates.authority()),
        certfile: Some(certificates.client_certificate()),
        keyfile: Some(certificates.client_key()),
        insecure: false,
        check_hostname: true,
    }
}

/// Every way to reach `server`, each in a database of its own.
fn ways(server: &Server, certificates: &Certificates) -> Vec<(&'static str, RedisSettings)> {
    let plain = RedisServer { password: Some("secret".into()), ..RedisServer::new(loopback(server.port())) };
    let user = RedisServer {
        username: Some("cache".into()),
        password: Some("user secret".into()),
        ..RedisServer::new(loopback(server.port()))
    };
    let unix = RedisServer { address: Address::Unix(server.unix_socket()), ..plain.clone() };
    let encrypted = RedisServer { address: loopback(server.tls_port()), tls: Some(tls(certificates)), ..plain.clone() };
    [
        ("RESP2 over TCP with a password", plain.clone(), 2, TimeoutUnit::Seconds),
        ("RESP3 over TCP as a user, in milliseconds", user.clone(), 3, TimeoutUnit::Milliseconds),
        ("RESP2 over TCP as a user", user, 2, TimeoutUnit::Seconds),
        ("RESP2 over a unix socket, in milliseconds", unix.clone(), 2, TimeoutUnit::Milliseconds),
        ("RESP3 over a unix socket", unix, 3, TimeoutUnit::Seconds),
        ("RESP2 over TLS", encrypted.clone(), 2, TimeoutUnit::Seconds),
        ("RESP3 over TLS, in milliseconds", encrypted, 3, TimeoutUnit::Milliseconds),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (name, way, protocol, timeout_unit))| {
        let database = u32::try_from(index).unwrap() + 3;
        let servers = vec![RedisServer { database, ..way }];
        let client_name = Some(format!("test-{database}"));
        let timeout = Duration::from_secs(30);
        (name, RedisSettings { servers, protocol, timeout_unit, client_name, timeout, ..RedisSettings::default() })
    })
    .collect()
}

#[test]
fn redis_keeps_the_contract_over_every_way_to_reach_it() {
    keeps_the_contract(|settings| Box::new(RedisStore::new(settings)));
}

#[cfg(feature = "tokio")]
#[test]
fn redis_keeps_the_contract_over_tokio_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    keeps_the_contract(|settings| {
        let store = RedisStore::new(settings).into();
        Box::new(crate::over_tokio::OverTokio { store, runtime: runtime.handle().clone() })
    });
}

fn keeps_the_contract(make: impl Fn(&RedisSettings) -> Box<dyn Store> + Sync) {
    let make = &make;
    let certificates = Certificates::for_loopback();
    let server = servers::redis().password("secret").unix_socket().tls(&certificates, true).start();
    assert_eq!(server.ask("ACL SETUSER cache on \">user secret\" ~* &* +@all").unwrap(), "+OK\r\n");
    // Side by side: most of the time is spent waiting for entries to expire.
    thread::scope(|scope| {
        for (name, settings) in ways(&server, &certificates) {
            scope.spawn(move || {
                let report = conformance::run(&|| make(&settings), &CAPABILITIES);
                assert!(report.failed.is_empty() && report.passed.len() > 40, "{name}: {report}");
            });
        }
    });
}

#[test]
fn values_are_in_the_database_that_was_asked_for() {
    let redis = servers::redis().start();
    let server = RedisServer { database: 3, ..RedisServer::new(loopback(redis.port())) };
    let settings =
        RedisSettings { servers: vec![server], client_name: Some("shop".into()), ..RedisSettings::default() };
    let store = RedisStore::new(&settings);
    store.set("key", Item { bytes: b"value", flags: 7 }, Expiry::Never).unwrap();
    assert_eq!(redis.ask("DBSIZE").unwrap(), ":0\r\n");
    assert_eq!(redis.ask("INFO keyspace").unwrap().matches("db3:keys=1").count(), 1);
    assert!(redis.ask("CLIENT LIST").unwrap().contains(" name=shop "));
    store.clear().unwrap();
    assert!(!redis.ask("INFO keyspace").unwrap().contains("db3"));
}

type Operation = fn(&RedisStore) -> pinyon::Result<()>;

const ITEM: Item<'_> = Item { bytes: b"value", flags: 0 };
const EXPIRY: Expiry = Expiry::In(Duration::from_millis(100_700));

#[test]
fn timeouts_are_sent_in_the_unit_of_the_settings() {
    for (unit, set, touch) in [
        (TimeoutUnit::Seconds, "$2\r\nEX\r\n$3\r\n100\r\n", "$6\r\n100000\r\n"),
        (TimeoutUnit::Milliseconds, "$2\r\nPX\r\n$6\r\n100700\r\n", "$6\r\n100700\r\n"),
    ] {
        let operations: [(Operation, &str); 4] = [
            (|store| store.set("key", ITEM, EXPIRY).map(drop), set),
            (|store| store.add("key", ITEM, EXPIRY).map(drop), set),
            (|store| store.set_many(&[("key", ITEM)], EXPIRY).map(drop), set),
            (|store| store.touch("key", EXPIRY).map(drop), touch),
        ];
        for (operation, sent) in operations {
            // Only what it is asked matters here: it closes instead of answering.
            let fake = Fake::start(|peer| {
                peer.greet_as_redis();
                peer.read_some();
            });
            let settings = RedisSettings { timeout_unit: unit, ..redis_at(loopback(fake.port())) };
            operation(&RedisStore::new(&settings)).unwrap_err();
            assert!(fake.was_sent(sent.as_bytes()), "{unit:?}: {sent}");
        }
    }
}

#[test]
fn less_time_than_the_unit_is_no_time_at_all() {
    let redis = servers::redis().start();
    let store = RedisStore::new(&redis_at(loopback(redis.port())));
    let item = Item { bytes: b"value", flags: 0 };
    store.set("key", item, Expiry::Never).unwrap();
    store.set("key", item, Expiry::In(Duration::from_millis(999))).unwrap();
    assert!(!store.has("key").unwrap());
    assert!(store.add("key", item, Expiry::In(Duration::from_millis(999))).unwrap());
    assert!(!store.has("key").unwrap());
}

#[test]
fn a_check_says_what_the_server_says() {
    let redis = servers::redis().argument("--maxmemory").argument("100mb").start();
    let store = RedisStore::new(&redis_at(loopback(redis.port())));
    store.set("key", Item { bytes: b"value", flags: 0 }, Expiry::Never).unwrap();
    let [report] = &store.check()[..] else { panic!("one server") };
    assert_eq!(report.server, format!("redis://127.0.0.1:{}/0", redis.port()));
    let info = report.result.as_ref().unwrap();
    assert!(info.version.starts_with("Redis ") && info.version.contains('.'), "{}", info.version);
    assert_eq!((info.entries, info.memory_limit), (Some(1), Some(100 * 1024 * 1024)));
    assert!(info.memory_used.is_some() && info.round_trip > Duration::ZERO);
}
