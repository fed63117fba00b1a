//! Several servers: who has which key, all asked at the same time, and what the death of one means to the others.

use crate::faults::until_asked_again;
use crate::servers::client::{Client, LONG, memcached_at, plain};
use crate::servers::{self, Server};
use pinyon::memcached::Rendezvous;
use pinyon::settings::{Address, MemcachedSettings};
use std::time::{Duration, Instant};

const KEYS: usize = 60;

struct Cluster {
    servers: Vec<Server>,
    client: Client,
    keys: Vec<String>,
    /// The server of each key, as pymemcache places it.
    placed: Vec<usize>,
}

fn cluster(change: impl Fn(&mut MemcachedSettings)) -> Cluster {
    let servers: Vec<Server> = (0..3).map(|_| servers::memcached().start()).collect();
    let addresses: Vec<Address> = servers.iter().map(Server::address).collect();
    let mut settings = memcached_at(addresses.clone());
    change(&mut settings);
    let keys: Vec<String> = (0..KEYS).map(|number| format!(":1:key-{number}")).collect();
    let placement = Rendezvous::new(&addresses);
    let placed = keys.iter().map(|key| placement.server(key)).collect();
    Cluster { servers, client: Client::memcached(&settings), keys, placed }
}

impl Cluster {
    fn names(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }

    fn set_all(&self) {
        let items: Vec<_> = self.keys.iter().map(|key| (key.as_str(), plain(key.as_bytes()))).collect();
        assert!(self.client.store.set_many(&items, LONG).unwrap().is_empty());
    }

    /// Fails unless exactly the keys of the servers that `alive` accepts are found.
    fn assert_found(&self, alive: impl Fn(usize) -> bool) {
        let found = self.client.get_many(&self.names()).unwrap();
        for ((found, key), server) in found.iter().zip(&self.keys).zip(&self.placed) {
            assert_eq!(found.as_deref(), alive(*server).then_some(key.as_bytes()), "{key} of server {server}");
        }
    }
}

#[test]
fn every_key_is_on_the_server_that_the_placement_says_and_on_no_other() {
    let cluster = cluster(|_| {});
    cluster.set_all();
    for (key, placed) in cluster.keys.iter().zip(&cluster.placed) {
        for (index, server) in cluster.servers.iter().enumerate() {
            let expected = if index == *placed { format!("VA {}\r\n{key}\r\n", key.len()) } else { "EN\r\n".into() };
            assert_eq!(server.ask(&format!("mg {key} v")).unwrap(), expected);
        }
        assert_eq!(cluster.client.get(key).unwrap().unwrap(), key.as_bytes());
    }
    assert!((0..3).all(|server| cluster.placed.contains(&server)), "a server without any of {KEYS} keys");
    assert_eq!(cluster.client.open_connections(), 3);
    cluster.client.store.clear().unwrap();
    cluster.assert_found(|_| false);
}

#[test]
fn the_death_of_one_server_is_told_once_and_leaves_the_others_alone() {
    let mut cluster = cluster(|_| {});
    cluster.set_all();
    cluster.servers[1].stop();
    let error = cluster.client.get_many(&cluster.names()).unwrap_err();
    assert_eq!(error.operation(), Some("get_many"));
    assert!(error.server().unwrap().contains(&cluster.servers[1].port().to_string()), "{error}");
    cluster.assert_found(|server| server != 1);
    let items: Vec<_> = cluster.keys.iter().map(|key| (key.as_str(), plain(key.as_bytes()))).collect();
    let mut failed = cluster.client.store.set_many(&items, LONG).unwrap();
    failed.sort_unstable();
    let of_the_dead: Vec<usize> = (0..KEYS).filter(|index| cluster.placed[*index] == 1).collect();
    assert_eq!(failed, of_the_dead);
    cluster.client.store.delete_many(&cluster.names()).unwrap();
    cluster.assert_found(|_| false);
    assert!(cluster.client.store.clear().unwrap_err().message().contains("2 of 3"));

    cluster.servers[1].restart();
    let key = &cluster.keys[of_the_dead[0]];
    until_asked_again(|| cluster.client.set(key, b"1").unwrap().then_some(()));
    cluster.set_all();
    cluster.assert_found(|_| true);
}

/// One operation waits for the slowest server, not for one server after the other.
fn assert_one_timeout(timeout: Duration, operation: impl FnOnce()) {
    let start = Instant::now();
    operation();
    let elapsed = start.elapsed();
    assert!(elapsed >= timeout && elapsed < timeout.mul_f32(1.8), "{elapsed:?} with a timeout of {timeout:?}");
}

#[test]
fn frozen_servers_are_waited_for_at_the_same_time_over_open_connections() {
    let timeout = Duration::from_secs(1);
    let cluster = cluster(|settings| settings.timeout = timeout);
    cluster.set_all();
    for server in &cluster.servers[1..] {
        server.pause();
    }
    assert_one_timeout(timeout, || assert!(cluster.client.get_many(&cluster.names()).unwrap_err().is_timeout()));
    cluster.assert_found(|server| server == 0);
    for server in &cluster.servers[1..] {
        server.resume();
    }
    for server in 1..3 {
        let key = &cluster.keys[cluster.placed.iter().position(|placed| *placed == server).unwrap()];
        until_asked_again(|| cluster.client.get(key).unwrap());
    }
    cluster.assert_found(|_| true);
}

#[test]
fn frozen_servers_are_waited_for_at_the_same_time_when_nothing_is_connected_yet() {
    let timeout = Duration::from_secs(1);
    // Nothing is told, so that what the third server did can be seen.
    let cluster = cluster(|settings| {
        settings.timeout = timeout;
        settings.ignore_exceptions = true;
    });
    for server in &cluster.servers[..2] {
        server.pause();
    }
    let items: Vec<_> = cluster.keys.iter().map(|key| (key.as_str(), plain(key.as_bytes()))).collect();
    assert_one_timeout(timeout, || {
        let failed = cluster.client.store.set_many(&items, LONG).unwrap();
        assert!(failed.iter().all(|index| cluster.placed[*index] < 2));
        assert_eq!(failed.len(), cluster.placed.iter().filter(|server| **server < 2).count());
    });
    cluster.assert_found(|server| server == 2);
    assert_eq!(cluster.client.open_connections(), 1);
    for server in &cluster.servers[..2] {
        server.resume();
    }
}

#[test]
fn servers_that_have_been_restarted_are_connected_to_again_within_the_same_call() {
    let mut cluster = cluster(|_| {});
    cluster.set_all();
    for server in &mut cluster.servers {
        server.restart();
    }
    cluster.assert_found(|_| false);
    cluster.set_all();
    cluster.assert_found(|_| true);
    assert_eq!(cluster.client.open_connections(), 3);
}

#[test]
fn servers_on_unix_sockets_share_keys_as_others_do() {
    let servers: Vec<Server> = (0..2).map(|_| servers::memcached().unix_socket().start()).collect();
    let addresses: Vec<Address> = servers.iter().map(Server::address).collect();
    let client = Client::memcached(&memcached_at(addresses.clone()));
    let placement = Rendezvous::new(&addresses);
    for number in 0..20 {
        let key = format!("key-{number}");
        client.store.set_many(&[(&key, plain(b"1")), ("other", plain(b"2"))], LONG).unwrap();
        assert_eq!(servers[placement.server(&key)].ask(&format!("mg {key} v")).unwrap(), "VA 1\r\n1\r\n");
    }
}
