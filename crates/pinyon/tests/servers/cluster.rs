//! A Redis Cluster of real servers: primaries, each with a replica, that the test puts together by itself.

use super::{Builder, PATIENCE, Server, redis};
use pinyon::settings::{ClusterSettings, RedisPlacement, RedisServer, RedisSettings};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SLOTS: usize = 16384;

/// How long a server is silent before the others hold it for dead, in milliseconds.
const NODE_TIMEOUT: &str = "1000";

/// A cluster; dropping it stops its servers.
#[derive(Debug)]
pub struct Cluster {
    /// The primaries, and behind them the replica of each, in the same order.
    pub servers: Vec<Server>,
    primaries: usize,
}

impl Cluster {
    /// Three primaries that share the slots evenly, with a replica each.
    pub fn start() -> Self {
        Self::of(3, true, |server| server)
    }

    /// As many primaries as are wanted, perhaps with replicas; `change` changes each server before it is started.
    pub fn of(primaries: usize, with_replicas: bool, change: impl Fn(Builder) -> Builder) -> Self {
        let count = if with_replicas { 2 * primaries } else { primaries };
        let servers: Vec<Server> = (0..count).map(|_| change(node()).start()).collect();
        let cluster = Self { servers, primaries };
        for (index, server) in cluster.primaries().iter().enumerate() {
            let (first, last) = (index * SLOTS / primaries, (index + 1) * SLOTS / primaries - 1);
            ok(server, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            ok(server, &format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
        }
        for server in cluster.servers.iter().skip(1) {
            let first = &cluster.servers[0];
            // The port of the protocol that the bus speaks.
            let port = if first.with_tls { first.tls_port } else { first.port };
            let bus = bus_port(first);
            ok(server, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
        }
        cluster.wait_for("everybody to know everybody", |server| {
            let nodes = server.ask("CLUSTER NODES").unwrap();
            nodes.matches(" connected").count() == count && !nodes.contains("handshake")
        });
        for index in primaries..count {
            ok(&cluster.servers[index], &format!("CLUSTER REPLICATE {}", id(&cluster.servers[index - primaries])));
        }
        cluster.wait_for("the cluster to be complete", |server| {
            let slots = server.ask("CLUSTER SLOTS").unwrap();
            let told = slots.matches("127.0.0.1").count();
            // One that has met nobody does not know its own address.
            server.ask("CLUSTER INFO").unwrap().contains("cluster_state:ok") && (told == count || count == 1)
        });
        for server in &cluster.servers[primaries..] {
            wait_for("a replica to have its copy", || {
                server.ask("INFO replication").unwrap().contains("master_link_status:up")
            });
        }
        cluster
    }

    /// The servers that had the slots at the beginning.
    pub fn primaries(&self) -> &[Server] {
        &self.servers[..self.primaries]
    }

    /// The replicas at the beginning, in the order of their primaries.
    pub fn replicas(&self) -> &[Server] {
        &self.servers[self.primaries..]
    }

    /// Settings whose LOCATION names the first two servers.
    pub fn settings(&self, read_from_replicas: bool) -> RedisSettings {
        let servers = self.servers.iter().take(2).map(|server| RedisServer::new(server.address())).collect();
        let placement = RedisPlacement::Cluster(ClusterSettings { read_from_replicas });
        RedisSettings { servers, placement, timeout: Duration::from_secs(20), ..RedisSettings::default() }
    }

    /// Moves a slot with everything in it from the primary with one index to that with another one, key after key.
    pub fn move_slot(&self, slot: usize, from: usize, to: usize) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (source_id, target_id) = (id(source), id(target));
        ok(target, &format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
        ok(source, &format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
        loop {
            let answer = source.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 1")).unwrap();
            let Some(key) = answer.lines().nth(2) else { break };
            let done = source.ask(&format!("MIGRATE 127.0.0.1 {} \"{key}\" 0 10000", target.port())).unwrap();
            assert!(done.starts_with("+OK") || done.starts_with("+NOKEY"), "{done}");
        }
        for server in [target, source] {
            ok(server, &format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
        }
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Server) -> bool) {
        for server in &self.servers {
            wait_for(what, || condition(server));
        }
    }
}

/// The slot of a key, as a server says.
pub fn slot(server: &Server, key: &str) -> usize {
    let answer = server.ask(&format!("CLUSTER KEYSLOT {key}")).unwrap();
    answer.trim_start_matches(':').trim_end().parse().expect("a slot")
}

/// Waits until something is true.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "gave up waiting for {what}");
        sleep(Duration::from_millis(10));
    }
}

fn node() -> Builder {
    // The usual one, 10000 above the other, may not exist.
    let bus =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("its address").port();
    redis().arguments([
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus.to_string(),
        "--cluster-node-timeout",
        NODE_TIMEOUT,
        // The other primaries go on while one is away.
        "--cluster-require-full-coverage",
        "no",
        // A replica takes over even if it is not up to date.
        "--cluster-replica-validity-factor",
        "0",
    ])
}

fn bus_port(server: &Server) -> String {
    let answer = server.ask("CONFIG GET cluster-port").unwrap();
    answer.lines().nth(4).expect("the port of the cluster bus").to_owned()
}

fn id(server: &Server) -> String {
    server.ask("CLUSTER MYID").unwrap().lines().nth(1).expect("an identifier").to_owned()
}

fn ok(server: &Server, line: &str) {
    assert_eq!(server.ask(line).unwrap(), "+OK\r\n", "{line}");
}
