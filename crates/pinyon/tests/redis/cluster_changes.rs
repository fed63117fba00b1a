//! A Redis Cluster that changes under load: slots move, primaries die.
//!
//! Every writer has keys of its own and knows what it wrote: whatever is read is that, or what it tried to write last.

use crate::servers::client::{Client, LONG, plain};
use crate::servers::cluster::{Cluster, slot, wait_for};
use pinyon::ServerStore;
use pinyon::redis::{Commands, RedisStore, Reply};
use pinyon::settings::RedisSettings;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// An operation that takes longer hangs.
const HANGING: Duration = Duration::from_secs(15);

/// Keys that share a slot, and some that do not.
fn keys(writer: usize) -> Vec<String> {
    let moving = (0..6).map(|number| format!(":1:{{moving}}:{writer}:{number}"));
    moving.chain((0..6).map(|number| format!(":1:{writer}:{number}"))).collect()
}

/// Everything that a writer may do in a round, with what it must find.
fn one_round(client: &Client, store: &RedisStore, writer: usize, round: usize) {
    let keys = keys(writer);
    let value = format!("{writer} {round}");
    let counter = format!(":1:{{moving}}:counter {writer}");
    for key in &keys[..3] {
        assert!(client.set(key, value.as_bytes()).unwrap());
    }
    let items: Vec<_> = keys[3..].iter().map(|key| (key.as_str(), plain(value.as_bytes()))).collect();
    assert!(client.store.set_many(&items, LONG).unwrap().is_empty());
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    for (key, found) in keys.iter().zip(client.get_many(&names).unwrap()) {
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{key}");
        assert_eq!(client.get(key).unwrap().as_deref(), Some(value.as_bytes()), "{key}");
    }
    let number = i64::try_from(round).unwrap();
    if round == 0 {
        assert!(client.store.add(&counter, plain(b"0"), LONG).unwrap());
    }
    assert_eq!(client.store.incr(&counter, 1).unwrap(), Some((2 * number + 1).into()));
    assert!(client.store.touch(&counter, pinyon::Expiry::Never).unwrap());
    let mut pipeline = Commands::new("test");
    pipeline.push(&["INCR", &counter]).unwrap();
    for key in &keys {
        pipeline.push(&["GET", key]).unwrap();
    }
    let results = store.command(&pipeline).unwrap();
    let mut replies = results.replies();
    assert_eq!(replies.next(), Some(Reply::Integer(2 * number + 2)));
    assert!(replies.all(|reply| reply == Reply::Bytes(value.as_bytes())));
    client.store.delete_many(&names[4..8]).unwrap();
    assert!(!client.store.has(names[4]).unwrap() && !client.store.has(names[7]).unwrap());
}

#[test]
fn slots_that_are_moved_cost_no_error_and_no_wrong_value() {
    let cluster = Cluster::start();
    let done = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    let moved = slot(&cluster.servers[0], "{moving}");
    let home = (0..3).find(|index| (index * 16384 / 3..(index + 1) * 16384 / 3).contains(&moved)).unwrap();
    for number in 0..500 {
        cluster.servers[home].ask(&format!("SET :1:{{moving}}:filler:{number} 1")).unwrap();
    }
    thread::scope(|scope| {
        for writer in 0..4 {
            let (cluster, done, rounds) = (&cluster, &done, &rounds);
            scope.spawn(move || {
                let settings = cluster.settings(false);
                let (client, store) = (Client::redis(&settings), RedisStore::new(&settings));
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    one_round(&client, &store, writer, round);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        #[cfg(feature = "tokio")]
        scope.spawn(|| tasks_in_a_loop(&cluster, &done));
        let stop = StopAtTheEnd(&done);
        let mut place = home;
        for _ in 0..4 {
            let (before, next) = (rounds.load(Ordering::Relaxed), (place + 1) % 3);
            cluster.move_slot(moved, place, next);
            place = next;
            wait_for("rounds after the slot was moved", || rounds.load(Ordering::Relaxed) > before + 8);
        }
        drop(stop);
    });
    let found = cluster.servers[(home + 4) % 3].ask("EXISTS :1:{moving}:filler:0 :1:{moving}:filler:499").unwrap();
    assert_eq!(found, ":2\r\n");
}

/// Lets the others end, also if this thread fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tasks that share one connection a server.
#[cfg(feature = "tokio")]
fn tasks_in_a_loop(cluster: &Cluster, done: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store: Arc<RedisStore> = RedisStore::new(&cluster.settings(false)).into();
    runtime.block_on(async {
        for round in 0_u32.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..8 {
                let store = store.clone();
                tasks.spawn(async move {
                    let tokio = store.servers().tokio();
                    let key = format!(":1:{{moving}}:task {task}");
                    let value = format!("{task} {round}");
                    assert!(store.set_over(tokio, &key, plain(value.as_bytes()), LONG).await.unwrap());
                    let found = store.get_over(tokio, &key).await.unwrap();
                    assert_eq!(found.item(|item| item.bytes.to_vec()).as_deref(), Some(value.as_bytes()));
                    let found = store.get_many_over(tokio, &[":1:none", &key]).await.unwrap();
                    let mut seen = Vec::new();
                    found.visit(&mut |index, item| seen.push((index, item.bytes.to_vec())));
                    assert_eq!(seen, [(1, value.into_bytes())]);
                });
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
        }
    });
}

#[test]
fn a_replica_takes_over_for_a_primary_that_was_killed() {
    let mut cluster = Cluster::start();
    let settings = RedisSettings { timeout: Duration::from_secs(2), ..cluster.settings(false) };
    let homes: Vec<String> = (0..3).map(|index| key_on(&cluster, index)).collect();
    let (done, killed) = (AtomicBool::new(false), AtomicBool::new(false));
    let rounds: [AtomicUsize; 3] = Default::default();
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (home, key) in homes.iter().enumerate() {
            let (settings, done, rounds) = (&settings, &done, &rounds);
            let (killed, failed) = (&killed, &failed);
            scope.spawn(move || {
                let client = Client::redis(settings);
                let mut tried = Vec::new();
                for round in 0_u32.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let start = Instant::now();
                    tried.push(format!("{home} {round}").into_bytes());
                    let (stored, found) = (client.set(key, tried.last().unwrap()), client.get(key));
                    assert!(start.elapsed() < HANGING, "an operation hangs");
                    if home == 0 && (stored.is_err() || found.is_err()) {
                        assert!(killed.load(Ordering::Relaxed), "{stored:?} {found:?}");
                        failed.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    assert!(stored.unwrap());
                    assert_eq!(found.unwrap().as_ref(), tried.last(), "{key}");
                    tried.clear();
                    rounds[home].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| many_keys_meanwhile(&settings, &homes, &done));
        let stop = StopAtTheEnd(&done);
        let all = |more: usize| {
            let before: Vec<_> = rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect();
            wait_for("everybody to read and write", || {
                rounds.iter().zip(&before).all(|(rounds, before)| rounds.load(Ordering::Relaxed) > before + more)
            });
        };
        all(20);
        killed.store(true, Ordering::Relaxed);
        cluster.servers[0].stop();
        // The others have what they need, whatever becomes of the first.
        all(20);
        drop(stop);
    });
    assert!(failed.load(Ordering::Relaxed) > 0, "nobody noticed");
    assert!(cluster.replicas()[0].ask("INFO replication").unwrap().contains("role:master"));
    // The topology is what it was, but for one server.
    let store = RedisStore::new(&settings);
    assert_eq!(store.count_groups().unwrap(), 3);
    cluster.servers[0].restart();
    let client = Client::redis(&settings);
    for key in &homes {
        assert!(client.set(key, b"after").unwrap());
    }
}

/// Reads and writes of keys on all servers: an error while one is away, never a value that was not written.
fn many_keys_meanwhile(settings: &RedisSettings, homes: &[String], done: &AtomicBool) {
    let client = Client::redis(settings);
    let keys: Vec<_> = homes.iter().map(|key| format!("{key} many")).collect();
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    for round in 0_u32.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        let value = round.to_string().into_bytes();
        let items: Vec<_> = names.iter().map(|key| (*key, plain(&value))).collect();
        let stored = client.store.set_many(&items, LONG);
        let found = client.get_many(&names);
        assert!(start.elapsed() < HANGING, "an operation hangs");
        match (stored, found) {
            (Ok(_), Ok(found)) => assert!(found.iter().all(|found| found.as_ref() == Some(&value)), "{found:?}"),
            (Err(error), _) | (_, Err(error)) => {
                assert!(error.is_connection(), "{error}");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A key that the primary with an index has.
fn key_on(cluster: &Cluster, index: usize) -> String {
    let has = |key: &String| (index * 16384 / 3..(index + 1) * 16384 / 3).contains(&slot(&cluster.servers[0], key));
    (0..1000).map(|number| format!("{{home{number}}}")).find(has).unwrap()
}

#[test]
fn a_cluster_without_any_server_is_an_error_in_time_and_is_found_again() {
    let mut cluster = Cluster::of(2, false, |server| server);
    let client = Client::redis(&RedisSettings { timeout: Duration::from_secs(2), ..cluster.settings(false) });
    client.set("key", b"1").unwrap();
    cluster.servers.iter_mut().for_each(crate::servers::Server::stop);
    for client in [&client, &Client::redis(&cluster.settings(false))] {
        let start = Instant::now();
        for _ in 0..5 {
            assert!(client.get("key").unwrap_err().is_connection());
            assert!(client.get_many(&["key", "other"]).unwrap_err().is_connection());
            assert!(client.store.clear().unwrap_err().is_connection());
        }
        assert!(start.elapsed() < HANGING);
    }
    // They have kept what they know of the cluster.
    cluster.servers.iter_mut().for_each(crate::servers::Server::restart);
    wait_for("the cluster to be found again", || client.set("key", b"2").is_ok() && client.set("other", b"2").is_ok());
    assert_eq!(client.get_many(&["key", "other"]).unwrap(), [Some(b"2".to_vec()), Some(b"2".to_vec())]);
}
