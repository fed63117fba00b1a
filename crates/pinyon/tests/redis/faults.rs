//! Servers that are killed, restarted and frozen, and other servers in their place.

use crate::servers::client::{Client, LONG, loopback, memcached_at, plain, redis_at};
use crate::servers::{self, certificates::Certificates};
use pinyon::ErrorKind;
use pinyon::settings::{Address, RedisServer, RedisSettings, TlsSettings};
use std::thread::{self, sleep};
use std::time::Duration;

type Operation = fn(&Client);

#[test]
fn after_a_restart_every_operation_succeeds_at_once() {
    let certificates = Certificates::for_loopback();
    let mut redis = servers::redis().unix_socket().tls(&certificates, false).start();
    let tls = TlsSettings { ca_certs: Some(certificates.authority()), check_hostname: true, ..TlsSettings::default() };
    let tcp = RedisServer::new(loopback(redis.port()));
    let unix = RedisServer::new(Address::Unix(redis.unix_socket()));
    let encrypted = RedisServer { tls: Some(tls), ..RedisServer::new(loopback(redis.tls_port())) };
    let clients = [tcp, unix, encrypted]
        .map(|server| Client::redis(&RedisSettings { servers: vec![server], ..RedisSettings::default() }));
    let operations: [Operation; 6] = [
        |client| assert!(client.store.add("key", plain(b"1"), LONG).unwrap()),
        |client| assert_eq!(client.store.incr("key", 1).unwrap(), None),
        |client| assert!(!client.store.delete("key").unwrap()),
        |client| assert_eq!(client.get("key").unwrap(), None),
        |client| assert!(client.set("key", b"1").unwrap()),
        |client| assert!(!client.store.touch("key", pinyon::Expiry::Now).unwrap()),
    ];
    for operation in operations {
        for client in &clients {
            client.get("warm").unwrap();
            redis.restart();
            operation(client);
            assert_eq!(client.open_connections(), 1);
        }
    }
}

#[test]
fn a_connection_that_the_server_has_ended_politely_is_not_used_over_tls_either() {
    let certificates = Certificates::for_loopback();
    let redis = servers::redis().tls(&certificates, false).start();
    let tls = TlsSettings { ca_certs: Some(certificates.authority()), check_hostname: true, ..TlsSettings::default() };
    let server = RedisServer { tls: Some(tls), ..RedisServer::new(loopback(redis.tls_port())) };
    let client = Client::redis(&RedisSettings { servers: vec![server], ..RedisSettings::default() });
    client.set("key", b"1").unwrap();
    for expected in 2..5 {
        assert!(redis.ask("CLIENT KILL TYPE normal SKIPME yes").unwrap().starts_with(":1"));
        assert_eq!(client.store.incr("key", 1).unwrap(), Some(expected.into()));
    }
}

#[test]
fn an_operation_whose_server_is_killed_ends_with_an_error_and_the_next_one_succeeds() {
    let mut redis = servers::redis().start();
    let client = Client::redis(&RedisSettings { timeout: Duration::from_secs(30), ..redis_at(loopback(redis.port())) });
    client.set("key", b"1").unwrap();
    for repeatable in [false, true] {
        redis.pause();
        let error = thread::scope(|scope| {
            let waiting = scope
                .spawn(|| if repeatable { client.get("key").map(drop) } else { client.store.incr("key", 1).map(drop) });
            // The request is on its way, or will be in a moment: the result is the same.
            sleep(Duration::from_millis(200));
            redis.stop();
            waiting.join().unwrap().unwrap_err()
        });
        assert!(error.is_connection() && !error.is_timeout(), "{error}");
        assert_eq!(error.is_ambiguous(), !repeatable, "{error}");
        assert_eq!(client.open_connections(), 0);
        redis.restart();
        assert!(client.set("key", b"1").unwrap());
        assert_eq!(client.store.incr("key", 1).unwrap(), Some(2.into()));
    }
}

#[test]
fn a_frozen_server_is_a_timeout_and_its_late_answers_reach_nobody() {
    let redis = servers::redis().start();
    let settings = RedisSettings { timeout: Duration::from_millis(400), ..redis_at(loopback(redis.port())) };
    let client = Client::redis(&settings);
    let names: Vec<String> = (0..4).map(|number| format!("key-{number}")).collect();
    for name in &names {
        client.set(name, format!("value of {name}").as_bytes()).unwrap();
    }
    for name in &names[..2] {
        redis.pause();
        let error = client.get(name).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false), "{error}");
        let error = client.store.incr(name, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(client.open_connections(), 0);
        redis.resume();
        for name in names.iter().rev() {
            assert_eq!(client.get(name).unwrap().unwrap(), format!("value of {name}").into_bytes());
        }
    }
}

#[test]
fn redis_at_the_address_of_memcached_and_the_reverse_get_no_value() {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());
    // Commands of the other server, should the value ever be taken for one.
    let value = b"\r\nSET stolen 1\r\nset stolen 0 0 1\r\n1\r\n";
    let client = Client::redis(&redis_at(memcached.address()));
    let error = client.set("key", value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("a Memcached server answered"), "{error}");
    assert!(memcached.ask("stats").unwrap().contains("STAT cmd_set 0\r\n"));

    let client = Client::memcached(&memcached_at([redis.address()]));
    let error = client.set("key", value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("a Redis server answered"), "{error}");
    assert_eq!(redis.ask("DBSIZE").unwrap(), ":0\r\n");
    assert!(!redis.ask("INFO commandstats").unwrap().contains("cmdstat_set:"));
}

#[test]
fn a_full_server_says_what_to_do() {
    let redis = servers::redis().argument("--maxmemory").argument("1mb").start();
    let client = Client::redis(&redis_at(loopback(redis.port())));
    let error = client.set("key", &vec![0; 100_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(error.hint().unwrap().contains("maxmemory"), "{error}");
    let error = client.store.set_many(&[("key", plain(b"value"))], LONG).unwrap_err();
    assert!(error.hint().unwrap().contains("maxmemory"), "{error}");
    assert_eq!(client.get("key").unwrap(), None);
}
