//! Much at once: many keys, large values, many threads.

use crate::servers::certificates::Certificates;
use crate::servers::client::{Client, LONG, loopback, plain};
use crate::servers::{self, Server};
use pinyon::settings::{Address, RedisServer, RedisSettings, TlsSettings};
use std::thread;
use std::time::Duration;

/// A server, and clients over TCP, a unix socket and TLS.
fn redis() -> (Server, [Client; 3]) {
    let certificates = Certificates::for_loopback();
    let server = servers::redis().unix_socket().tls(&certificates, false).start();
    let tls = TlsSettings { ca_certs: Some(certificates.authority()), check_hostname: true, ..TlsSettings::default() };
    let tcp = RedisServer::new(loopback(server.port()));
    let unix = RedisServer { address: Address::Unix(server.unix_socket()), ..tcp.clone() };
    let encrypted = RedisServer { address: loopback(server.tls_port()), tls: Some(tls), ..tcp.clone() };
    let clients = [tcp, unix, encrypted].map(|server| {
        let timeout = Duration::from_secs(60);
        let client = Client::redis(&RedisSettings { servers: vec![server], timeout, ..RedisSettings::default() });
        client.get("warm").unwrap();
        client
    });
    (server, clients)
}

#[test]
fn twenty_thousand_values_in_one_call() {
    let keys: Vec<String> = (0..20_000).map(|number| format!("key-{number}")).collect();
    let value = |key: &str| key.bytes().cycle().take(1024).collect::<Vec<u8>>();
    let values: Vec<Vec<u8>> = keys.iter().map(|key| value(key)).collect();
    let items: Vec<_> = keys.iter().zip(&values).map(|(key, value)| (key.as_str(), plain(value))).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (_server, clients) = redis();
    for client in clients {
        assert!(client.store.set_many(&items, LONG).unwrap().is_empty());
        let found = client.get_many(&names).unwrap();
        assert!(found.iter().zip(&values).all(|(found, value)| found.as_ref() == Some(value)));
        client.store.delete_many(&names).unwrap();
        assert!(client.get_many(&names).unwrap().iter().all(Option::is_none));
        assert_eq!(client.open_connections(), 1);
    }
}

#[test]
fn a_value_of_64_mib() {
    let value: Vec<u8> = (0..=255_u8).cycle().take(64 * 1024 * 1024).collect();
    let (_server, clients) = redis();
    for client in clients {
        assert!(client.set("key", &value).unwrap());
        assert!(client.get("key").unwrap().is_some_and(|found| found == value));
        client.store.clear().unwrap();
        assert_eq!(client.open_connections(), 1);
    }
}

#[test]
fn sixteen_threads_on_one_store_get_their_own_answers() {
    let (_server, clients) = redis();
    for client in clients {
        thread::scope(|scope| {
            for number in 0..16 {
                let client = &client;
                scope.spawn(move || {
                    for round in 0..50 {
                        let (key, value) = (format!("key-{number}"), format!("value {round} of {number}"));
                        client.set(&key, value.as_bytes()).unwrap();
                        assert_eq!(client.get(&key).unwrap().unwrap(), value.as_bytes());
                        client.store.incr("counter", 1).unwrap();
                    }
                });
            }
        });
        assert!((1..=16).contains(&client.open_connections()));
    }
}
