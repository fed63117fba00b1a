//! Servers that are killed, frozen, silent, or something else.

use crate::servers::fake::Fake;
use crate::servers::{self};
use crate::{get, open, redis_store, run, runtime, runtimes, set};
use pinyon::net::Driver;
use pinyon::redis::RedisStore;
use pinyon::settings::{Address, RedisServer, RedisSettings};
use pinyon::{ErrorKind, ServerStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

#[test]
fn a_server_that_is_killed_and_restarted_under_load_gives_errors_and_then_values_again() {
    for runtime in runtimes() {
        let mut redis = servers::redis().start();
        let store = redis_store(redis.port(), Duration::from_secs(30));
        let (stop, right) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        run(&runtime, async {
            let mut tasks = JoinSet::new();
            for number in 0..50 {
                let (store, stop, right) = (store.clone(), stop.clone(), right.clone());
                tasks.spawn(async move {
                    let (key, value) = (format!("key {number}"), format!("value {number}").into_bytes());
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = async {
                            set(&store, &key, &value).await?;
                            get(&store, &key).await
                        };
                        match outcome.await {
                            // The server may have been emptied between the two.
                            Ok(found) => assert!(found.is_none_or(|found| found == value)),
                            Err(error) => assert!(error.is_connection() && !error.is_timeout(), "{error}"),
                        }
                        right.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                });
            }
            for _ in 0..5 {
                redis = tokio::task::spawn_blocking(move || {
                    redis.restart();
                    redis
                })
                .await
                .unwrap();
                let before = right.load(Ordering::Relaxed);
                while right.load(Ordering::Relaxed) < before + 500 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            stop.store(true, Ordering::Relaxed);
            tasks.join_all().await;
            // The circuit breaker may be open for a moment.
            while set(&store, "key", b"value").await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(get(&store, "key").await.unwrap().as_deref(), Some(&b"value"[..]));
            assert_eq!(open(&store), 1);
        });
    }
}

#[test]
fn after_a_restart_even_what_may_not_be_sent_twice_succeeds_at_once() {
    for runtime in runtimes() {
        let mut redis = servers::redis().start();
        let store = redis_store(redis.port(), Duration::from_secs(30));
        for _ in 0..3 {
            run(&runtime, set(&store, "key", b"1")).unwrap();
            redis.restart();
            assert_eq!(run(&runtime, store.incr_over(store.servers().tokio(), "key", 1)).unwrap(), None);
        }
    }
}

#[test]
fn a_frozen_server_is_a_timeout_and_its_late_answers_reach_nobody() {
    for runtime in runtimes() {
        let redis = servers::redis().start();
        let store = redis_store(redis.port(), Duration::from_millis(300));
        run(&runtime, async {
            for name in ["a", "b", "c"] {
                set(&store, name, format!("value of {name}").as_bytes()).await.unwrap();
            }
            for _ in 0..2 {
                redis.pause();
                let error = get(&store, "a").await.unwrap_err();
                assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false), "{error}");
                let error = store.incr_over(store.servers().tokio(), "n", 1).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Timeout);
                redis.resume();
                for name in ["c", "b", "a"] {
                    let value = get(&store, name).await.unwrap().unwrap();
                    assert_eq!(value, format!("value of {name}").into_bytes());
                }
            }
        });
    }
}

#[test]
fn a_late_answer_on_a_connection_that_still_answers_is_dropped_in_its_place() {
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        // It answers the first after its time is up, and the others at once.
        peer.read_until(b"first");
        peer.read_until(b"second");
        std::thread::sleep(Duration::from_millis(1500));
        peer.send(b"$5\r\nfirst\r\n$6\r\nsecond\r\n");
        peer.wait_for_the_end();
    });
    let store = redis_store(fake.port(), Duration::from_secs(2));
    run(&runtime(), async {
        let one = tokio::spawn({
            let store = store.clone();
            async move { get(&store, "first").await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let two = get(&store, "second").await;
        assert_eq!(one.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(two.unwrap().as_deref(), Some(&b"second"[..]));
    });
}

#[test]
fn a_server_that_accepts_and_never_answers_is_a_timeout_for_every_task() {
    let fake = Fake::silent();
    let store = redis_store(fake.port(), Duration::from_millis(200));
    for runtime in runtimes() {
        run(&runtime, async {
            let mut tasks = JoinSet::new();
            for _ in 0..50 {
                let store = store.clone();
                tasks.spawn(async move { get(&store, "key").await.unwrap_err() });
            }
            for error in tasks.join_all().await {
                assert!(error.is_timeout() && error.is_retryable(), "{error}");
            }
        });
    }
}

#[test]
fn nobody_at_the_address_is_unreachable_whatever_the_address_is() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses = [
        Address::Tcp { host: "127.0.0.1".into(), port: free },
        Address::Tcp { host: "localhost".into(), port: free },
        Address::Tcp { host: "no-such-host.invalid".into(), port: 6379 },
        Address::Unix("/no/such/socket".into()),
    ];
    for runtime in runtimes() {
        for address in &addresses {
            let servers = vec![RedisServer::new(address.clone())];
            let store = RedisStore::new(&RedisSettings { servers, ..RedisSettings::default() });
            for _ in 0..3 {
                let error = run(&runtime, get(&store, "key")).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
                assert!(!error.is_ambiguous() && error.server().is_some() && error.hint().is_some(), "{error}");
            }
            assert_eq!(open(&store), 0);
        }
    }
}

#[test]
fn what_is_no_redis_gets_no_value_and_garbage_ends_the_connection() {
    let web = Fake::answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    let store = redis_store(web.port(), Duration::from_secs(5));
    let error = run(&runtime(), set(&store, "key", b"secret value")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(!web.was_sent(b"secret value"));

    let broken = Fake::start(|peer| {
        peer.greet_as_redis();
        while peer.read_until(b"key\r\n") {
            peer.send(if peer.number == 0 { b"!!garbage\r\n" } else { b"$5\r\nvalue\r\n" });
        }
    });
    let store = redis_store(broken.port(), Duration::from_secs(5));
    run(&runtime(), async {
        assert_eq!(get(&store, "key").await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(get(&store, "key").await.unwrap().as_deref(), Some(&b"value"[..]));
    });
    assert_eq!(broken.connections(), 2);
}

#[test]
fn a_replica_that_is_gone_is_replaced_by_the_primary() {
    let (primary, mut replica) = (servers::redis().start(), servers::redis().start());
    let servers =
        [&primary, &replica].map(|server| RedisServer::new(servers::client::loopback(server.port()))).to_vec();
    let store = RedisStore::new(&RedisSettings { servers, ..RedisSettings::default() });
    replica.ask("SET key replica").unwrap();
    run(&runtime(), async {
        set(&store, "key", b"primary").await.unwrap();
        assert_eq!(get(&store, "key").await.unwrap().as_deref(), Some(&b"replica"[..]));
        replica.stop();
        assert_eq!(get(&store, "key").await.unwrap().as_deref(), Some(&b"primary"[..]));
    });
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        while peer.read_until(b"key\r\n") {
            peer.send(b"$5\r\nvalue\r\n$5\r\nother\r\n");
        }
    });
    let store = redis_store(fake.port(), Duration::from_secs(5));
    run(&runtime(), async {
        for _ in 0..5 {
            // It comes with the answer, or a moment later: never as the answer to the next question.
            let ask = |out: &mut Vec<u8>| {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
                1
            };
            if let Ok(reply) = store.servers().tokio().exchange(0, true, ask).await {
                use pinyon::net::Answered;
                assert_eq!(reply.replies().1, b"$5\r\nvalue\r\n");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(fake.connections() > 1);
}
