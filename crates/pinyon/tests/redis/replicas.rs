//! One server that is written to, others that are read from.

use crate::servers::client::{Client, loopback};
use crate::servers::fake::Fake;
use crate::servers::{self, Server};
use pinyon::ErrorKind;
use pinyon::settings::{RedisServer, RedisSettings};
use std::time::{Duration, Instant};

fn client_of(servers: &[&Server], timeout: Duration) -> Client {
    let servers = servers.iter().map(|server| RedisServer::new(loopback(server.port()))).collect();
    Client::redis(&RedisSettings { servers, timeout, ..RedisSettings::default() })
}

/// How often a command was run, by `INFO commandstats`.
fn calls(server: &Server, command: &str) -> u64 {
    let statistics = server.ask("INFO commandstats").unwrap();
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Two servers that know nothing of each other: which one was asked shows in what they answer.
#[test]
fn writes_go_to_the_first_server_and_reads_to_the_others_in_turn() {
    let [primary, one, two] = [(); 3].map(|()| servers::redis().start());
    let client = client_of(&[&primary, &one, &two], Duration::from_secs(10));
    one.ask("SET key one").unwrap();
    two.ask("SET key two").unwrap();
    assert!(client.set("key", b"primary").unwrap());
    client.store.set_many(&[("many", crate::servers::client::plain(b"primary"))], pinyon::Expiry::Never).unwrap();
    client.store.touch("key", pinyon::Expiry::Never).unwrap();
    client.store.delete("other").unwrap();
    let mut answers: Vec<_> = (0..4).map(|_| client.get("key").unwrap().unwrap()).collect();
    answers.sort();
    assert_eq!(answers, [b"one", b"one", b"two", b"two"]);
    assert!(client.store.has("key").unwrap() && client.get_many(&["many"]).unwrap() == [None]);
    assert_eq!((calls(&primary, "get"), calls(&primary, "exists"), calls(&primary, "mget")), (0, 1, 0));
    assert_eq!(primary.ask("GET key").unwrap(), "$7\r\nprimary\r\n");
}

#[test]
fn a_real_replica_answers_what_was_written_to_its_primary() {
    let primary = servers::redis().start();
    let replica = servers::redis().replica_of(&primary).start();
    let client = client_of(&[&primary, &replica], Duration::from_secs(10));
    client.set("key", b"value").unwrap();
    let start = Instant::now();
    while client.get("key").unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "the value never came to the replica");
    }
    assert_eq!(calls(&primary, "get"), 0);
    // The other way round: a replica cannot be written to.
    let reversed = client_of(&[&replica, &primary], Duration::from_secs(10));
    let error = reversed.set("key", b"other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(error.hint().unwrap().contains("primary first"), "{error}");
}

#[test]
fn a_dead_replica_costs_no_error_and_is_read_again_when_it_is_back() {
    let [primary, mut one, mut two] = [(); 3].map(|()| servers::redis().start());
    let client = client_of(&[&primary, &one, &two], Duration::from_secs(10));
    primary.ask("SET key primary").unwrap();
    two.ask("SET key two").unwrap();
    one.stop();
    for _ in 0..4 {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"two"[..]));
    }
    two.stop();
    for _ in 0..4 {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"primary"[..]));
    }
    one.restart();
    one.ask("SET key one").unwrap();
    let start = Instant::now();
    while client.get("key").unwrap().as_deref() != Some(b"one") {
        assert!(start.elapsed() < Duration::from_secs(30), "the replica was never asked again");
    }
}

#[test]
fn a_replica_that_hangs_is_waited_for_once_and_then_left_alone() {
    let [primary, replica] = [(); 2].map(|()| servers::redis().start());
    let client = client_of(&[&primary, &replica], Duration::from_millis(500));
    primary.ask("SET key primary").unwrap();
    replica.ask("SET key replica").unwrap();
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"replica"[..]));
    replica.pause();
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"primary"[..]));
    let before = calls(&primary, "get");
    for _ in 0..5 {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"primary"[..]));
    }
    assert_eq!(calls(&primary, "get"), before + 5);
    replica.resume();
    let start = Instant::now();
    while client.get("key").unwrap().as_deref() != Some(b"replica") {
        assert!(start.elapsed() < Duration::from_secs(30), "the replica was never asked again");
    }
}

#[test]
fn a_replica_that_never_answers_does_not_cost_every_read_a_timeout() {
    let (primary, replica) = (servers::redis().start(), Fake::silent());
    let servers = [primary.port(), replica.port()].map(|port| RedisServer::new(loopback(port))).to_vec();
    let timeout = Duration::from_millis(300);
    let client = Client::redis(&RedisSettings { servers, timeout, ..RedisSettings::default() });
    primary.ask("SET key primary").unwrap();
    for _ in 0..100 {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"primary"[..]));
    }
    // Once, and perhaps once more if this machine is very slow.
    assert!((1..=2).contains(&replica.connections()), "asked {} times", replica.connections());
}

#[test]
fn without_any_server_the_error_is_that_of_the_primary() {
    let [mut primary, mut replica] = [(); 2].map(|()| servers::redis().start());
    let client = client_of(&[&primary, &replica], Duration::from_secs(2));
    primary.stop();
    replica.stop();
    let error = client.get("key").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.server().unwrap().contains(&primary.port().to_string()), "{error}");
    assert_eq!(client.open_connections(), 0);
}
