//! `incr` beyond 64 bits, by a script that the server keeps.

use crate::servers::client::{Client, LONG, loopback, plain, redis_at};
use crate::servers::{self, Server};
use num_bigint::BigInt;
use pinyon::ErrorKind;
use pinyon::timeout::Ttl;
use proptest::prelude::*;

/// A server of its own for each test: `SCRIPT FLUSH` must not meet another one.
fn redis() -> (Server, Client) {
    let redis = servers::redis().start();
    let client = Client::redis(&redis_at(loopback(redis.port())));
    (redis, client)
}

const SCRIPT: &str = include_str!("../../src/redis/incr.lua");

#[test]
fn incr_adds_as_big_integers_do() {
    let (_redis, client) = redis();
    let cases = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let deltas = prop_oneof![any::<i64>(), -20..20_i64];
    proptest!(cases, |(digits in "-?[0-9]{1,40}", delta in deltas)| {
        client.set("key", digits.as_bytes()).unwrap();
        let expected = digits.parse::<BigInt>().unwrap() + delta;
        let sum = client.store.incr("key", delta).unwrap().expect("the entry");
        prop_assert_eq!(sum.to_string(), expected.to_string(), "{} + {}", digits, delta);
        prop_assert_eq!(client.get("key").unwrap().unwrap(), expected.to_string().into_bytes());
    });
}

/// Runs one `incr` and says how often the server was asked by EVALSHA, by EVAL, and refused.
fn calls_of_one_incr(redis: &Server, client: &Client, expected: i64) -> [bool; 3] {
    redis.ask("CONFIG RESETSTAT").unwrap();
    assert_eq!(client.store.incr("key", 1).unwrap(), Some(expected.into()));
    let statistics = redis.ask("INFO commandstats").unwrap();
    ["cmdstat_evalsha:calls=1", "cmdstat_eval:calls=1", "failed_calls=1"].map(|part| statistics.contains(part))
}

#[test]
fn the_script_is_sent_once_and_then_known_by_its_hash() {
    let (redis, client) = redis();
    client.set("key", b"1").unwrap();
    assert_eq!(redis.ask("SCRIPT FLUSH SYNC").unwrap(), "+OK\r\n");
    assert_eq!(calls_of_one_incr(&redis, &client, 2), [true, true, true]);
    assert_eq!(calls_of_one_incr(&redis, &client, 3), [true, false, false]);
}

#[test]
fn the_hash_that_is_sent_is_the_hash_of_the_script() {
    let (redis, client) = redis();
    client.set("key", b"1").unwrap();
    redis.ask("SCRIPT FLUSH SYNC").unwrap();
    // One line in quotes, as the server reads it from a terminal.
    let quoted = SCRIPT.bytes().fold(String::new(), |quoted, byte| quoted + &format!("\\x{byte:02x}"));
    assert!(redis.ask(&format!("SCRIPT LOAD \"{quoted}\"")).unwrap().starts_with("$40\r\n"));
    assert_eq!(calls_of_one_incr(&redis, &client, 2), [true, false, false]);
}

#[test]
fn incr_keeps_the_expiry_beyond_64_bits() {
    let (_redis, client) = redis();
    for digits in [&b"9223372036854775807"[..], b"-170141183460469231731687303715884105728"] {
        client.store.set("key", plain(digits), LONG).unwrap();
        client.store.incr("key", 1).unwrap();
        assert!(matches!(client.store.ttl("key").unwrap(), Ttl::Left(left) if left.as_secs() > 200));
    }
}

#[test]
fn what_is_not_an_integer_is_an_error_and_stays() {
    let (redis, client) = redis();
    for value in [&b""[..], b" ", b"-", b"+", b"1.5", b"99999999999999999999x", b"1e30", b"--99999999999999999999"] {
        client.set("key", value).unwrap();
        let error = client.store.incr("key", 1).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::NotAnInteger, Some("incr")));
        assert_eq!(client.get("key").unwrap().as_deref(), Some(value));
    }
    redis.ask("DEL list").unwrap();
    redis.ask("RPUSH list 1").unwrap();
    assert_eq!(client.store.incr("list", 1).unwrap_err().kind(), ErrorKind::NotAnInteger);
    assert_eq!(redis.ask("LLEN list").unwrap(), ":1\r\n");
    let error = client.get("list").unwrap_err();
    assert!(error.kind() == ErrorKind::Server && error.hint().is_some(), "{error}");
}
