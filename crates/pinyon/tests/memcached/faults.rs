//! One server that is killed, restarted and frozen.

use crate::servers;
use crate::servers::client::{Client, LONG, memcached_at, plain};
use pinyon::settings::MemcachedSettings;
use pinyon::{ErrorKind, Expiry};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Repeats until the server is asked again, which it is on a schedule.
pub(crate) fn until_asked_again<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the server was never asked again");
        sleep(Duration::from_millis(5));
    }
}

type Operation = fn(&Client);

#[test]
fn after_a_restart_every_operation_succeeds_at_once() {
    let operations: [Operation; 8] = [
        |client| assert!(client.store.add("key", plain(b"1"), LONG).unwrap()),
        |client| assert_eq!(client.store.incr("key", 1).unwrap(), None),
        |client| assert!(!client.store.delete("key").unwrap()),
        |client| assert_eq!(client.get("key").unwrap(), None),
        |client| assert!(client.set("key", b"1").unwrap()),
        |client| assert!(!client.store.touch("key", Expiry::Now).unwrap()),
        |client| assert!(client.store.set_many(&[("a", plain(b"1")), ("b", plain(b"2"))], LONG).unwrap().is_empty()),
        |client| assert_eq!(client.get_many(&["a", "b"]).unwrap(), [None, None]),
    ];
    for mut memcached in [servers::memcached().start(), servers::memcached().unix_socket().start()] {
        let client = Client::memcached(&memcached_at([memcached.address()]));
        for operation in operations {
            client.get("warm").unwrap();
            memcached.restart();
            operation(&client);
            assert_eq!(client.open_connections(), 1);
        }
    }
}

#[test]
fn an_operation_whose_server_is_killed_ends_with_an_error_and_then_recovers() {
    let mut memcached = servers::memcached().start();
    let settings = MemcachedSettings { timeout: Duration::from_secs(30), ..memcached_at([memcached.address()]) };
    let client = Client::memcached(&settings);
    for repeatable in [false, true] {
        client.set("key", b"1").unwrap();
        memcached.pause();
        let error = thread::scope(|scope| {
            let waiting = scope
                .spawn(|| if repeatable { client.get("key").map(drop) } else { client.store.incr("key", 1).map(drop) });
            sleep(Duration::from_millis(200));
            memcached.stop();
            waiting.join().unwrap().unwrap_err()
        });
        assert!(error.is_connection() && !error.is_timeout(), "{error}");
        assert_eq!(client.open_connections(), 0);
        memcached.restart();
        until_asked_again(|| client.set("key", b"1").unwrap().then_some(()));
        assert_eq!(client.store.incr("key", 1).unwrap(), Some(2.into()));
    }
}

#[test]
fn a_frozen_server_is_a_timeout_and_its_late_answers_reach_nobody() {
    let memcached = servers::memcached().start();
    let settings = MemcachedSettings {
        timeout: Duration::from_millis(400),
        retry_timeout: Duration::from_millis(20),
        ..memcached_at([memcached.address()])
    };
    let client = Client::memcached(&settings);
    let names: Vec<String> = (0..4).map(|number| format!("key-{number}")).collect();
    for name in &names {
        client.set(name, format!("value of {name}").as_bytes()).unwrap();
    }
    for name in &names[..2] {
        memcached.pause();
        let error = client.get(name).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false), "{error}");
        assert_eq!(client.open_connections(), 0);
        memcached.resume();
        until_asked_again(|| client.get(name).unwrap());
        for name in names.iter().rev() {
            assert_eq!(client.get(name).unwrap().unwrap(), format!("value of {name}").into_bytes());
        }
    }
}

#[test]
fn a_dead_server_is_one_error_and_then_misses_until_it_is_back() {
    let mut memcached = servers::memcached().start();
    let client = Client::memcached(&memcached_at([memcached.address()]));
    client.set("key", b"1").unwrap();
    memcached.stop();
    let error = client.get("key").unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unreachable, Some("get")), "{error}");
    for _ in 0..3 {
        assert_eq!(client.get("key").unwrap(), None);
        assert!(!client.set("key", b"2").unwrap());
        assert!(!client.store.add("key", plain(b"2"), LONG).unwrap());
        assert!(!client.store.touch("key", LONG).unwrap() && !client.store.delete("key").unwrap());
        assert_eq!(client.store.incr("key", 1).unwrap(), None);
        assert_eq!(client.get_many(&["key", "other"]).unwrap(), [None, None]);
        assert_eq!(client.store.set_many(&[("key", plain(b"2")), ("b", plain(b"2"))], LONG).unwrap(), [0, 1]);
        client.store.delete_many(&["key"]).unwrap();
        let error = client.store.clear().unwrap_err();
        assert!(
            error.is_connection() && error.message().contains("0 of 1"),
            "what is not cleared may come back: {error}"
        );
    }
    memcached.restart();
    until_asked_again(|| client.set("key", b"3").unwrap().then_some(()));
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"3"[..]));
    client.store.clear().unwrap();
    memcached.stop();
    assert!(client.get("key").is_err(), "a new failure is told again");
}

#[test]
fn with_ignore_exc_no_failure_is_an_error() {
    let mut memcached = servers::memcached().start();
    let settings = MemcachedSettings { ignore_exceptions: true, ..memcached_at([memcached.address()]) };
    let client = Client::memcached(&settings);
    client.set("key", b"1").unwrap();
    memcached.stop();
    assert_eq!(client.get("key").unwrap(), None);
    assert_eq!(client.store.set_many(&[("key", plain(b"2"))], LONG).unwrap(), [0]);
    client.store.clear().unwrap();
}
