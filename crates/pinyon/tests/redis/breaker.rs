//! The circuit breaker: a server that fails again and again is left alone for a while.

use crate::servers::client::{Client, loopback, redis_at};
use crate::servers::fake::Fake;
use crate::servers::{self};
use pinyon::redis::RedisStore;
use pinyon::settings::RedisSettings;
use pinyon::{ErrorKind, ServerStore};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

fn impatient(port: u16) -> RedisSettings {
    RedisSettings { timeout: Duration::from_millis(50), ..redis_at(loopback(port)) }
}

#[test]
fn a_server_that_never_answers_is_asked_three_times_and_then_left_alone() {
    let hole = Fake::silent();
    let client = Client::redis(&impatient(hole.port()));
    for _ in 0..3 {
        assert_eq!(client.get("key").unwrap_err().kind(), ErrorKind::Timeout);
    }
    let asked = hole.connections();
    for _ in 0..1000 {
        let error = client.get("key").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.is_retryable() && error.to_string().contains("failed 3 times in a row"), "{error}");
    }
    assert_eq!(hole.connections(), asked);
}

#[test]
fn without_a_breaker_every_call_asks() {
    let hole = Fake::silent();
    let client = Client::redis(&RedisSettings { breaker_failures: 0, ..impatient(hole.port()) });
    for _ in 0..6 {
        assert_eq!(client.get("key").unwrap_err().kind(), ErrorKind::Timeout);
    }
}

#[test]
fn after_the_pause_one_call_finds_out_and_the_server_that_is_back_is_used_again() {
    let redis = servers::redis().start();
    let store = RedisStore::new(&impatient(redis.port()));
    let client = Client::redis(&impatient(redis.port()));
    client.set("key", b"1").unwrap();
    redis.pause();
    while store.breaker().1.is_zero() {
        store.fetch("key").unwrap_err();
    }
    assert!(store.breaker().0 >= 3);
    // While it hangs, only one of many threads waits for it after each pause.
    let waited = AtomicUsize::new(0);
    sleep(store.breaker().1);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                if store.fetch("key").unwrap_err().kind() == ErrorKind::Timeout {
                    waited.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(waited.load(Ordering::Relaxed), 1);
    redis.resume();
    while store.fetch("key").is_err() {
        sleep(Duration::from_millis(5));
    }
    assert_eq!(store.breaker(), (0, Duration::ZERO));
}

#[test]
fn an_error_that_the_server_tells_is_no_failure_of_it() {
    let redis = servers::redis().start();
    let store = RedisStore::new(&redis_at(loopback(redis.port())));
    redis.ask("RPUSH :1:list 1").unwrap();
    for _ in 0..10 {
        assert_eq!(store.fetch(":1:list").unwrap_err().kind(), ErrorKind::Server);
    }
    assert_eq!(store.breaker(), (0, Duration::ZERO));
}

#[test]
fn a_check_asks_a_server_that_is_left_alone_and_ends_that() {
    let redis = servers::redis().start();
    let store = RedisStore::new(&impatient(redis.port()));
    redis.pause();
    while store.breaker().1.is_zero() {
        store.fetch("key").unwrap_err();
    }
    redis.resume();
    let mut reports = pinyon::Store::check(&store);
    reports.remove(0).result.unwrap();
    assert_eq!(store.breaker(), (0, Duration::ZERO));
    assert!(store.fetch("key").unwrap().item(|_| ()).is_none());
}
