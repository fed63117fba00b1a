//! `incr` beyond 64 bits, by a script that the server keeps.

use crate::servers::client::{Client, LONG, loopback, plain, redis_at};
use crate::servers::{self, Server};
use num_bigint::BigInt;
use pinyon::ErrorKind;
use pinyon::timeout::Ttl;
use proptest::prelude::*;
use std::sync::{LazyLock, Mutex};

/// One server for all cases; `SCRIPT FLUSH` must not meet another test.
static REDIS: LazyLock<Mutex<(Server, Client)>> = LazyLock::new(|| {
    let redis = servers::redis().start();
    let client = Client::redis(&redis_at(loopback(redis.port())));
    Mutex::new((redis, client))
});

const SCRIPT: &str = include_str!("../../src/redis/incr.lua");

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incr_adds_as_big_integers_do(digits in "-?[0-9]{1,40}", delta in prop_oneof![any::<i64>(), -20..20_i64]) {
        let guard = REDIS.lock().unwrap();
        let client = &guard.1;
        client.set("key", digits.as_bytes()).unwrap();
        let expected = digits.parse::<BigInt>().unwrap() + delta;
        let sum = client.store.incr("key", delta).unwrap().expect("the entry");
        prop_assert_eq!(sum.to_string(), expected.to_string(), "{} + {}", digits, delta);
        prop_assert_eq!(client.get("key").unwrap().unwrap(), expected.to_string().into_bytes());
    }
}

#[test]
fn the_server_knows_the_script_by_the_hash_that_is_sent() {
    let guard = REDIS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (redis, client) = &*guard;
    assert_eq!(redis.ask("SCRIPT FLUSH SYNC").unwrap(), "+OK\r\n");
    client.set("key", b"1").unwrap();
    assert_eq!(client.store.incr("key", 1).unwrap(), Some(2.into()), "right after SCRIPT FLUSH");
    // Only EVAL has put the script there; from now on its hash is enough.
    redis.ask("CONFIG RESETSTAT").unwrap();
    assert_eq!(client.store.incr("key", 1).unwrap(), Some(3.into()));
    let statistics = redis.ask("INFO commandstats").unwrap();
    assert!(statistics.contains("cmdstat_evalsha:calls=1") && !statistics.contains("cmdstat_eval:"), "{statistics}");
    assert!(!statistics.contains("failed_calls=1"), "{statistics}");
}

#[test]
fn incr_keeps_the_expiry_beyond_64_bits() {
    let guard = REDIS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let client = &guard.1;
    for digits in [&b"9223372036854775807"[..], b"-170141183460469231731687303715884105728"] {
        client.store.set("key", plain(digits), LONG).unwrap();
        client.store.incr("key", 1).unwrap();
        assert!(matches!(client.store.ttl("key").unwrap(), Ttl::Left(left) if left.as_secs() > 200));
    }
}

#[test]
fn what_is_not_an_integer_is_an_error_and_stays() {
    let guard = REDIS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (redis, client) = &*guard;
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

#[test]
fn the_script_is_the_one_that_is_tested() {
    let guard = REDIS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (redis, client) = &*guard;
    client.set("key", b"1").unwrap();
    client.store.incr("key", 1).unwrap();
    // SCRIPT LOAD takes one line here, so the server is asked for the hash of the script by redis.sha1hex.
    let quoted: String = SCRIPT.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let answer = redis.ask(&format!("SCRIPT LOAD \"{quoted}\"")).unwrap();
    let hash = answer.lines().nth(1).expect("a hash");
    assert_eq!(redis.ask(&format!("SCRIPT EXISTS {hash}")).unwrap(), "*1\r\n:1\r\n");
    assert_eq!(redis.ask(&format!("EVALSHA {hash} 1 key 5")).unwrap(), "$1\r\n7\r\n");
}
