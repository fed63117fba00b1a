//! One connection that many tasks share.

use crate::servers::fake::Fake;
use crate::servers::{self};
use crate::{get, open, redis_store, run, runtime, runtimes, set};
use pinyon::net::Driver;
use pinyon::{ErrorKind, ServerStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// A key's own value, so that a reply to another question is seen.
fn value_of(key: &str) -> Vec<u8> {
    format!("value of {key}").repeat(1 + key.len() % 7).into_bytes()
}

#[test]
fn a_thousand_concurrent_gets_use_one_connection() {
    for runtime in runtimes() {
        let redis = servers::redis().start();
        let store = redis_store(redis.port(), Duration::from_secs(30));
        run(&runtime, async {
            let mut tasks = JoinSet::new();
            for number in 0..1000 {
                let store = store.clone();
                tasks.spawn(async move {
                    let key = format!("key {number}");
                    assert_eq!(get(&store, &key).await.unwrap(), None);
                    set(&store, &key, &value_of(&key)).await.unwrap();
                    assert_eq!(get(&store, &key).await.unwrap(), Some(value_of(&key)));
                });
            }
            tasks.join_all().await;
        });
        assert_eq!(open(&store), 1);
        // Ours, and the one that asks.
        assert_eq!(redis.ask("CLIENT LIST").unwrap().matches(" addr=").count(), 2);
    }
}

#[test]
fn after_tasks_are_aborted_every_reply_is_still_for_the_key_that_was_asked() {
    for runtime in runtimes() {
        let redis = servers::redis().start();
        let store = redis_store(redis.port(), Duration::from_secs(30));
        run(&runtime, async {
            let keys: Arc<Vec<String>> = Arc::new((0..50).map(|number| format!("{number:0>0$}", number + 1)).collect());
            for key in keys.iter() {
                set(&store, key, &value_of(key)).await.unwrap();
            }
            let mut tasks = Vec::new();
            for task in 0..600 {
                let (store, keys) = (store.clone(), keys.clone());
                tasks.push(tokio::spawn(async move {
                    for round in 0..20 {
                        let key = &keys[(task * 7 + round * 13) % keys.len()];
                        assert_eq!(get(&store, key).await.unwrap(), Some(value_of(key)));
                    }
                }));
            }
            // Every other one, each in the middle of something else.
            for task in tasks.iter().step_by(2) {
                task.abort();
                tokio::task::yield_now().await;
            }
            for (number, task) in tasks.into_iter().enumerate() {
                let outcome = task.await;
                assert!(outcome.is_ok() || (number % 2 == 0 && outcome.unwrap_err().is_cancelled()));
            }
            for key in keys.iter() {
                assert_eq!(get(&store, key).await.unwrap(), Some(value_of(key)));
            }
        });
        assert_eq!(open(&store), 1);
    }
}

#[test]
fn a_server_that_stops_reading_does_not_fill_the_memory_and_is_a_timeout() {
    const TASKS: usize = 400;
    const SIZE: usize = 100_000;
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        std::thread::sleep(Duration::from_secs(10));
    });
    let store = redis_store(fake.port(), Duration::from_secs(1));
    let encoded = Arc::new(AtomicUsize::new(0));
    run(&runtime(), async {
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (store, encoded) = (store.clone(), encoded.clone());
            tasks.spawn(async move {
                let request = |out: &mut Vec<u8>| {
                    encoded.fetch_add(1, Ordering::Relaxed);
                    out.resize(out.len() + SIZE, b'x');
                    1
                };
                store.servers().tokio().exchange(0, true, request).await.map(drop).unwrap_err().kind()
            });
        }
        assert!(tasks.join_all().await.iter().all(|kind| *kind == ErrorKind::Timeout));
    });
    // 1 MB of ours, and what the system takes for a socket.
    let waiting = encoded.load(Ordering::Relaxed) * SIZE;
    assert!(waiting < TASKS * SIZE / 2, "{waiting} bytes were encoded for a server that does not read");
}

#[test]
fn large_and_small_values_share_a_connection() {
    let redis = servers::redis().unix_socket().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    for runtime in runtimes() {
        run(&runtime, async {
            let large = vec![b'l'; 20_000_000];
            let mut tasks = JoinSet::new();
            set(&store, "large", &large).await.unwrap();
            set(&store, "small", b"s").await.unwrap();
            for number in 0..40 {
                let store = store.clone();
                tasks.spawn(async move {
                    if number % 10 == 0 {
                        assert_eq!(get(&store, "large").await.unwrap().map(|bytes| bytes.len()), Some(20_000_000));
                    } else {
                        assert_eq!(get(&store, "small").await.unwrap().as_deref(), Some(&b"s"[..]));
                    }
                });
            }
            tasks.join_all().await;
        });
    }
}
