//! A Redis Cluster at rest: who has a key, what goes where, and what is refused.

use crate::servers::client::{Client, LONG, plain};
use crate::servers::cluster::{Cluster, slot};
use crate::servers::{self, Server};
use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::redis::{Commands, RedisStore, Reply};
use pinyon::settings::{ClusterSettings, RedisPlacement, RedisServer, RedisSettings};
use pinyon::store::Store;
use pinyon::{ErrorKind, Expiry};
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

const CAPABILITIES: Capabilities = Capabilities {
    integers: IntegerRange::Unbounded,
    max_item_size: None,
    flags: false,
    serializer: None,
    memcached_keys: false,
};

/// How often a command was run, by `INFO commandstats`.
fn calls(server: &Server, command: &str) -> u64 {
    let statistics = server.ask("INFO commandstats").unwrap();
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!(":1:key {number}")).collect()
}

fn send(store: &RedisStore, commands: &Commands) -> Vec<String> {
    shown(store.command(commands).unwrap().replies())
}

fn shown<'a>(replies: impl Iterator<Item = Reply<'a>>) -> Vec<String> {
    let one = |reply: Reply<'_>| match reply {
        Reply::Bytes(bytes) | Reply::Status(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Error(text) => format!("error {}", String::from_utf8_lossy(text)),
        Reply::Integer(number) => number.to_string(),
        Reply::Array(elements) => shown(elements).join(" "),
        Reply::Nil => "nil".to_owned(),
    };
    replies.map(one).collect()
}

fn commands(lines: &[&str]) -> Commands {
    let mut commands = Commands::new("test");
    for line in lines {
        commands.push(&line.split(' ').collect::<Vec<_>>()).unwrap();
    }
    commands
}

#[test]
fn a_cluster_keeps_the_contract_sync_and_over_tokio() {
    let clusters = [Cluster::start(), Cluster::start()];
    thread::scope(|scope| {
        // Each in a cluster of its own: there is one database, which the suite empties.
        scope.spawn(|| {
            let settings = RedisSettings { protocol: 3, ..clusters[0].settings(false) };
            let report = conformance::run(&|| Box::new(RedisStore::new(&settings)), &CAPABILITIES);
            assert!(report.failed.is_empty() && report.passed.len() > 40, "{report}");
        });
        #[cfg(feature = "tokio")]
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let settings = clusters[1].settings(false);
            let make = || -> Box<dyn Store> {
                let store = RedisStore::new(&settings).into();
                Box::new(crate::over_tokio::OverTokio { store, runtime: runtime.handle().clone() })
            };
            let report = conformance::run(&make, &CAPABILITIES);
            assert!(report.failed.is_empty() && report.passed.len() > 40, "{report}");
        });
    });
}

#[test]
fn keys_and_commands_go_to_the_servers_that_have_them() {
    let cluster = Cluster::start();
    let store = RedisStore::new(&cluster.settings(false));
    many_keys_are_on_all_primaries(&cluster, &store);
    commands_are_answered_in_their_order(&cluster, &store);
    what_no_server_can_do_is_refused(&cluster, &store);
    one_connection_a_server_is_enough(&cluster);
    a_check_names_every_server(&cluster, &store);
}

fn many_keys_are_on_all_primaries(cluster: &Cluster, store: &RedisStore) {
    let keys = keys(300);
    let items: Vec<_> = keys.iter().map(|key| (key.as_str(), plain(key.as_bytes()))).collect();
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    assert!(store.set_many(&items, LONG).unwrap().is_empty());
    for primary in cluster.primaries() {
        let count: usize = primary.ask("DBSIZE").unwrap()[1..].trim_end().parse().unwrap();
        assert!((50..150).contains(&count), "{count} keys on one server");
    }
    let mut found = vec![None; keys.len()];
    store.get_many(&names, &mut |index, item| found[index] = Some(item.bytes.to_vec())).unwrap();
    assert!(found.iter().zip(&keys).all(|(found, key)| found.as_deref() == Some(key.as_bytes())));
    for key in &names[..30] {
        let server =
            cluster.primaries().iter().find(|server| server.ask(&format!("EXISTS \"{key}\"")).unwrap() == ":1\r\n");
        assert!(server.is_some() && store.has(key).unwrap(), "{key}");
    }
    store.delete_many(&names[..299]).unwrap();
    assert_eq!(names.iter().filter(|key| store.has(key).unwrap()).count(), 1);
    store.clear().unwrap();
    assert!(cluster.primaries().iter().all(|server| server.ask("DBSIZE").unwrap() == ":0\r\n"));
    assert_eq!(store.incr("none", 1).unwrap(), None);
    store.set("number", plain(b"9223372036854775807"), Expiry::Never).unwrap();
    assert_eq!(store.incr("number", 1).unwrap().unwrap().to_string(), "9223372036854775808");
}

fn commands_are_answered_in_their_order(cluster: &Cluster, store: &RedisStore) {
    let mut set = Commands::new("test").repeatable(true);
    let keys = keys(50);
    for key in &keys {
        set.push(&["SET", key, &format!("of {key}")]).unwrap();
    }
    assert!(send(store, &set).iter().all(|reply| reply == "OK"));
    let mut get = Commands::new("test").reading(true);
    for key in &keys {
        get.push(&["GET", key]).unwrap();
        get.push(&["LRANGE", key, "0", "1"]).unwrap();
    }
    let answers = send(store, &get);
    for (key, pair) in keys.iter().zip(answers.chunks(2)) {
        assert_eq!(pair[0], format!("of {key}"));
        assert!(pair[1].starts_with("error WRONGTYPE"), "{}", pair[1]);
    }
    // Without a key: to the server that is named by its number.
    assert_eq!(store.count_groups().unwrap(), 3);
    let mut sizes = 0;
    for group in 0..3 {
        let answers = send(store, &commands(&["DBSIZE", "GET number", "ECHO hello"]).on_group(group));
        assert_eq!((answers[1].as_str(), answers[2].as_str()), ("9223372036854775808", "hello"));
        sizes += answers[0].parse::<usize>().unwrap();
    }
    assert_eq!(sizes, 51);
    let error = store.command(&commands(&["DBSIZE"]).on_group(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    // A tag puts keys together, whatever stands before it.
    assert_eq!(slot(&cluster.servers[0], ":1:{u}:a"), slot(&cluster.servers[0], ":2:{u}:b"));
    let together = commands(&["SADD :1:{u}:a x y", "SADD :1:{u}:b y z", "SINTERSTORE :1:{u}:c :1:{u}:a :1:{u}:b"]);
    assert_eq!(send(store, &together.transaction(true)), ["2", "2", "1"]);
    assert_eq!(send(store, &commands(&["SMEMBERS :1:{u}:c"]).reading(true)), ["y"]);
}

fn what_no_server_can_do_is_refused(cluster: &Cluster, store: &RedisStore) {
    let transaction = commands(&["SET one 1", "SET two 2"]).transaction(true);
    let before: u64 = cluster.primaries().iter().map(|server| calls(server, "multi")).sum();
    for refused in [transaction, commands(&["SINTER one two"]), commands(&["PING", "RENAME one two"])] {
        let error = store.command(&refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.hint().unwrap().contains("hash tag"), "{error}");
    }
    assert_eq!(cluster.primaries().iter().map(|server| calls(server, "multi")).sum::<u64>(), before);
    assert!(!store.has("one").unwrap());
    // What only the server knows: a command whose keys are not known here.
    let unknown = commands(&["SORT one STORE two"]);
    assert!(send(store, &unknown)[0].starts_with("error CROSSSLOT"));
    // A server that is in no cluster.
    let alone = crate::servers::redis().start();
    let servers = vec![RedisServer::new(alone.address())];
    let settings = RedisSettings { servers, ..cluster.settings(false) };
    let error = RedisStore::new(&settings).has("key").unwrap_err();
    assert!(error.hint().unwrap().contains("CLUSTER"), "{error}");
    // A cluster's server without the option.
    let settings = RedisSettings { placement: RedisPlacement::Replicated, ..cluster.settings(false) };
    let store = RedisStore::new(&settings);
    let error = keys(20).iter().find_map(|key| store.touch(key, LONG).err()).expect("a key of another server");
    assert!(error.hint().unwrap().contains("CLUSTER"), "{error}");
}

/// With one connection a server, also where the topology is learnt from redirects.
fn one_connection_a_server_is_enough(cluster: &Cluster) {
    let timeout = Duration::from_secs(20);
    let client = Client::redis(&RedisSettings { max_connections: Some(1), timeout, ..cluster.settings(false) });
    let keys = keys(100);
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    for key in &keys {
        client.set(key, key.as_bytes()).unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let found = client.get_many(&names).unwrap();
                    assert!(found.iter().zip(&keys).all(|(found, key)| found.as_deref() == Some(key.as_bytes())));
                }
            });
        }
    });
    assert_eq!(client.open_connections(), 3);
}

#[test]
fn a_check_says_of_a_server_alone_that_it_is_no_cluster() {
    let alone = servers::redis().start();
    let placement = RedisPlacement::Cluster(ClusterSettings { read_from_replicas: false });
    let servers = vec![RedisServer::new(alone.address())];
    let store = RedisStore::new(&RedisSettings { servers, placement, ..RedisSettings::default() });
    let error = store.check().remove(0).result.unwrap_err();
    assert!(error.to_string().contains("not part of a Redis Cluster"), "{error}");
}

fn a_check_names_every_server(cluster: &Cluster, store: &RedisStore) {
    let reports = store.check();
    let found: BTreeSet<_> = reports.iter().map(|report| report.server.clone()).collect();
    let expected = cluster.primaries().iter().map(|server| format!("redis://127.0.0.1:{}/0", server.port()));
    assert_eq!(found, expected.collect());
    assert!(reports.iter().all(|report| report.result.is_ok()), "{reports:?}");
}

#[test]
fn replicas_are_read_from_if_that_is_wanted() {
    let cluster = Cluster::start();
    let client = Client::redis(&cluster.settings(true));
    let keys = keys(40);
    for key in &keys {
        client.set(key, key.as_bytes()).unwrap();
    }
    for (primary, replica) in cluster.primaries().iter().zip(cluster.replicas()) {
        crate::servers::cluster::wait_for("the replica to have everything", || {
            primary.ask("DBSIZE").unwrap() == replica.ask("DBSIZE").unwrap()
        });
    }
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    for key in &keys {
        assert_eq!(client.get(key).unwrap().as_deref(), Some(key.as_bytes()));
    }
    assert!(client.get_many(&names).unwrap().iter().all(Option::is_some));
    assert!(cluster.primaries().iter().all(|server| calls(server, "get") == 0));
    assert_eq!(cluster.replicas().iter().map(|server| calls(server, "get")).sum::<u64>(), 80);
}

#[test]
fn a_slot_that_nobody_has_is_an_error_and_found_when_somebody_has_it() {
    let cluster = Cluster::of(1, false, |server| server);
    let client = Client::redis(&cluster.settings(false));
    let server = &cluster.servers[0];
    let missing = slot(server, "gone");
    server.ask(&format!("CLUSTER DELSLOTS {missing}")).unwrap();
    client.set("here", b"1").unwrap();
    let error = client.get("gone").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.hint().unwrap().contains("CLUSTER INFO"), "{error}");
    let error = client.get_many(&["here", "gone"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    server.ask(&format!("CLUSTER ADDSLOTS {missing}")).unwrap();
    crate::servers::cluster::wait_for("the slot to be found", || client.get("gone").is_ok());
    assert_eq!(client.get_many(&["here", "gone"]).unwrap(), [Some(b"1".to_vec()), None]);
}

#[test]
fn a_cluster_is_reached_over_tls_with_a_password() {
    use crate::servers::certificates::Certificates;
    use pinyon::settings::TlsSettings;
    let certificates = Certificates::for_loopback();
    let cluster = Cluster::of(2, false, |server| {
        // Only servers whose bus speaks TLS tell each other's ports for TLS.
        server.tls(&certificates, false).password("secret").argument("--tls-cluster").argument("yes")
    });
    let tls = TlsSettings { ca_certs: Some(certificates.authority()), ..TlsSettings::default() };
    let seed = RedisServer {
        tls: Some(tls),
        password: Some("secret".into()),
        ..RedisServer::new(crate::servers::client::loopback(cluster.servers[1].tls_port()))
    };
    let client = Client::redis(&RedisSettings { servers: vec![seed], ..cluster.settings(false) });
    for key in keys(20) {
        assert!(client.set(&key, b"1").unwrap());
    }
    let ports: BTreeSet<_> = client.store.check().into_iter().map(|report| report.server).collect();
    let expected = cluster.servers.iter().map(|server| format!("rediss://127.0.0.1:{}/0", server.tls_port()));
    assert_eq!(ports, expected.collect());
}
