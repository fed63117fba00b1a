//! How connections are opened, kept, shared, given up and counted.

use crate::servers::client::{Client, both, loopback, memcached_at, plain, redis_at};
use crate::servers::fake::Fake;
use pinyon::ErrorKind;
use pinyon::ServerStore;
use pinyon::redis::RedisStore;
use pinyon::settings::{Address, MemcachedSettings, RedisServer, RedisSettings};
use pinyon::store::Store;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A port that nobody listens at. It is held, so that nobody else gets it meanwhile.
fn closed_port() -> (u16, impl Drop) {
    // A bound socket that does not listen refuses connections.
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    let holder = TcpListener::from(socket);
    (holder.local_addr().unwrap().port(), Holder(holder))
}

struct Holder(#[expect(dead_code, reason = "held, not used")] TcpListener);

impl Drop for Holder {
    fn drop(&mut self) {}
}

#[test]
fn a_server_that_is_not_running_is_named_with_a_hint() {
    let (port, _held) = closed_port();
    for client in both(&loopback(port), Duration::from_secs(2)) {
        let error = client.store.incr("key", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        let expected = format!("{} at 127.0.0.1:{port} is not running or not reachable", client.name);
        assert!(error.message().starts_with(&expected), "{error}");
        assert!(error.hint().unwrap().contains("LOCATION"), "{error}");
        assert!(error.is_retryable() && !error.is_ambiguous(), "{error}");
        assert_eq!(client.open_connections(), 0);
    }
}

#[test]
fn a_host_without_an_address_and_a_socket_that_is_not_there_are_unreachable() {
    let host = Address::Tcp { host: "no-such-host.invalid".into(), port: 6379 };
    let socket = Address::Unix("/nonexistent/pinyon.socket".into());
    for (address, name) in [(host, "no-such-host.invalid:6379"), (socket, "/nonexistent/pinyon.socket")] {
        for client in both(&address, Duration::from_secs(2)) {
            let error = client.get("key").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
            let expected = format!("{} at {name} is not running or not reachable", client.name);
            assert!(error.message().starts_with(&expected), "{error}");
            assert_eq!(client.open_connections(), 0);
        }
    }
}

#[test]
fn a_refused_login_is_never_taken_for_an_open_connection() {
    // It would answer the next call of somebody who is not logged in, or from another database.
    let fake = Fake::start(|peer| {
        while peer.read_until(concat!(env!("CARGO_PKG_VERSION"), "\r\n").as_bytes()) {
            peer.send(b"+PONG\r\n-ERR DB index is out of range\r\n+OK\r\n+OK\r\n");
        }
    });
    let server = RedisServer { database: 99, ..RedisServer::new(loopback(fake.port())) };
    let client = Client::redis(&RedisSettings { servers: vec![server], ..RedisSettings::default() });
    for attempt in 1..=3 {
        let error = client.set("key", b"value").unwrap_err();
        assert!(error.message().contains("DB index is out of range"), "{error}");
        assert!(error.hint().unwrap().contains("99"), "{error}");
        assert_eq!((client.open_connections(), fake.connections()), (0, attempt));
    }
    assert!(!fake.was_sent(b"SET\r\n"));
}

#[test]
fn a_server_that_closes_at_once_is_quoted_with_its_reason() {
    let redis = Fake::start(|peer| {
        peer.read_until(concat!(env!("CARGO_PKG_VERSION"), "\r\n").as_bytes());
        peer.send(b"-ERR max number of clients reached\r\n");
    });
    let client = Client::redis(&redis_at(loopback(redis.port())));
    let error = client.get("key").unwrap_err();
    assert!(error.message().contains("max number of clients reached"), "{error}");

    let memcached = Fake::start(|peer| {
        peer.read_some();
        peer.send(b"ERROR Too many open connections\r\n");
    });
    let client = Client::memcached(&memcached_at([loopback(memcached.port())]));
    let error = client.get("key").unwrap_err();
    assert!(error.message().contains("Too many open connections"), "{error}");
}

#[test]
fn a_repeatable_operation_is_sent_again_once_and_any_other_is_not() {
    // The first connection answers one get, reads the next request and closes without a word.
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_some();
        peer.send(b"$1\r\n1\r\n");
        if peer.number == 0 {
            peer.read_some();
            return;
        }
        peer.wait_for_the_end();
    });
    let client = Client::redis(&redis_at(loopback(fake.port())));
    client.get("key").unwrap();
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"1"[..]), "repeated on a fresh connection");
    assert_eq!((fake.connections(), client.open_connections()), (2, 1));

    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_some();
        peer.send(b"$1\r\n1\r\n");
        peer.read_some();
    });
    let client = Client::redis(&redis_at(loopback(fake.port())));
    client.get("key").unwrap();
    let error = client.store.incr("key", 1).unwrap_err();
    assert!(error.kind() == ErrorKind::Disconnected && error.is_ambiguous(), "{error}");
    assert_eq!((fake.connections(), client.open_connections()), (1, 0));
}

#[test]
fn a_connection_that_closes_every_time_is_given_up_after_one_more_attempt() {
    let fake = Fake::start(|peer| {
        peer.greet_as_memcached();
        peer.read_some();
        if peer.number == 0 {
            peer.send(b"EN\r\n");
            peer.read_some();
        }
    });
    let client = Client::memcached(&memcached_at([loopback(fake.port())]));
    assert_eq!(client.get("key").unwrap(), None);
    let error = client.get("key").unwrap_err();
    assert_eq!((error.kind(), fake.connections()), (ErrorKind::Disconnected, 2), "{error}");
    assert_eq!(client.open_connections(), 0);
}

#[test]
fn a_half_answer_is_not_repeated_and_not_returned() {
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_some();
        peer.send(b"$100\r\nhalf");
    });
    let client = Client::redis(&redis_at(loopback(fake.port())));
    let error = client.get("key").unwrap_err();
    assert_eq!((error.kind(), fake.connections()), (ErrorKind::Disconnected, 1));
    assert!(error.message().contains("in the middle of an answer"), "{error}");
}

/// A Redis server that has the value `1` for every key, and counts how many connections it has at the same time.
fn always_one() -> Fake {
    Fake::start(|peer| {
        peer.greet_as_redis();
        while peer.read_until(b"key\r\n") {
            peer.send(b"$1\r\n1\r\n");
        }
    })
}

#[test]
fn one_thread_uses_one_connection() {
    let fake = always_one();
    let client = Client::redis(&redis_at(loopback(fake.port())));
    assert_eq!(client.open_connections(), 0, "nothing is connected before the first operation");
    for _ in 0..100 {
        client.get("key").unwrap();
    }
    assert_eq!((client.open_connections(), fake.connections()), (1, 1));
}

#[test]
fn sixteen_threads_use_sixteen_connections_at_most() {
    let fake = always_one();
    let client = Client::redis(&redis_at(loopback(fake.port())));
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"1"[..]));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 1600);
    assert!(client.open_connections() <= 16 && fake.connections() == client.open_connections());
}

#[test]
fn threads_wait_for_one_of_max_connections() {
    let fake = always_one();
    let settings =
        RedisSettings { max_connections: Some(2), timeout: Duration::from_secs(30), ..redis_at(loopback(fake.port())) };
    let client = Client::redis(&settings);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| assert!(client.get("key").unwrap().is_some())));
        }
    });
    assert!(fake.connections() <= 2 && client.open_connections() == fake.connections());
}

#[test]
fn an_operation_that_gets_none_of_max_connections_is_an_error_and_takes_none() {
    let fake = always_one();
    let settings = RedisSettings {
        max_connections: Some(1),
        timeout: Duration::from_millis(200),
        ..redis_at(loopback(fake.port()))
    };
    let store = RedisStore::new(&settings);
    let held = store.fetch("key").unwrap();
    let error = store.fetch("key").unwrap_err();
    assert!(error.is_timeout() && error.message().contains("all 1 connections to Redis are in use"), "{error}");
    assert_eq!(store.open_connections(), 1);
    assert_eq!(held.item(|item| item == plain(b"1")), Some(true));
    drop(held);
    assert!(store.fetch("key").unwrap().item(|_| ()).is_some());
    assert_eq!((store.open_connections(), fake.connections()), (1, 1));
}

#[test]
fn a_failed_connection_makes_room_for_the_next() {
    let (port, _held) = closed_port();
    let redis = RedisSettings { max_connections: Some(1), ..redis_at(loopback(port)) };
    let memcached = MemcachedSettings { max_connections: Some(1), ..memcached_at([loopback(port)]) };
    for client in [Client::redis(&redis), Client::memcached(&memcached)] {
        for _ in 0..3 {
            // Memcached tells the first failure only.
            if let Err(error) = client.get("key") {
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
            }
            assert_eq!(client.open_connections(), 0);
        }
    }
}

#[test]
fn incr_that_has_to_send_its_script_needs_one_connection_only() {
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_until(b"EVALSHA");
        peer.send(b"-NOSCRIPT No matching script. Please use EVAL.\r\n");
        peer.read_until(b"EVAL\r\n");
        peer.send(b"$1\r\n2\r\n");
        peer.wait_for_the_end();
    });
    let client = Client::redis(&RedisSettings {
        max_connections: Some(1),
        timeout: Duration::from_secs(5),
        ..redis_at(loopback(fake.port()))
    });
    assert_eq!(client.store.incr("key", 1).unwrap(), Some(2.into()));
    assert_eq!(fake.connections(), 1);
}

#[test]
fn stores_of_equal_settings_are_one_store_and_others_are_not() {
    let settings = redis_at(loopback(1));
    assert!(std::sync::Arc::ptr_eq(&RedisStore::shared(&settings), &RedisStore::shared(&settings)));
    let other = RedisSettings { timeout: Duration::from_secs(9), ..settings.clone() };
    assert!(!std::sync::Arc::ptr_eq(&RedisStore::shared(&settings), &RedisStore::shared(&other)));
}

#[test]
fn an_error_never_holds_a_password_or_a_value() {
    let fake = Fake::answering("-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n+OK\r\n");
    let server = RedisServer {
        username: Some("someone".into()),
        password: Some("a secret password".into()),
        ..RedisServer::new(loopback(fake.port()))
    };
    let settings = RedisSettings { servers: vec![server], ..RedisSettings::default() };
    let store = RedisStore::new(&settings);
    let error = store.set("key", plain(b"a secret value"), pinyon::Expiry::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    for text in [format!("{error} {error:?}"), format!("{store:?}"), format!("{settings:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(!fake.was_sent(b"a secret value"));
}
