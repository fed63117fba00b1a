//! Runtimes that come, go, and run side by side.

use crate::servers::{self};
use crate::{caches, get, open, redis_store, run, runtime, runtimes, set};
use pinyon::{ErrorKind, ServerStore, Timeout};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;

#[test]
fn a_store_outlives_the_runtimes_that_use_it() {
    let redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    for round in 0..10_u8 {
        for runtime in runtimes() {
            run(&runtime, async {
                set(&store, "key", &[round]).await.unwrap();
                assert_eq!(get(&store, "key").await.unwrap(), Some(vec![round]));
            });
            assert_eq!(open(&store), 1);
            drop(runtime);
            assert_eq!(open(&store), 0);
        }
    }
}

#[test]
fn each_runtime_has_a_connection_of_its_own() {
    let redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    let all = std::sync::Barrier::new(4);
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let (store, all) = (&store, &all);
            scope.spawn(move || {
                let runtime = runtime();
                let key = format!("key {number}");
                for round in 0..100 {
                    run(&runtime, set(store, &key, &[round])).unwrap();
                    assert_eq!(run(&runtime, get(store, &key)).unwrap(), Some(vec![round]));
                }
                all.wait();
                assert_eq!(open(store), 4);
                all.wait();
            });
        }
    });
    assert_eq!(open(&store), 0);
}

/// A runtime of one thread moves no bytes while nobody runs it: that must not keep another from its own.
#[test]
fn a_runtime_that_stands_still_keeps_nobody_waiting() {
    let mut redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    let (still, other) = (runtime(), runtime());
    run(&still, set(&store, "key", b"1")).unwrap();
    run(&other, set(&store, "key", b"2")).unwrap();
    redis.restart();
    run(&other, set(&store, "key", b"3")).unwrap();
    assert_eq!(run(&still, store.incr_over(store.servers().tokio(), "key", 1)).unwrap(), Some(4.into()));
}

#[test]
fn what_waits_when_its_runtime_is_dropped_goes_on_in_another() {
    let redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    let [first, second] = runtimes();
    run(&first, set(&store, "key", b"value")).unwrap();
    redis.pause();
    let mut reading = pin!(get(&store, "key"));
    run(&first, async {
        tokio::select! {
            biased;
            _ = &mut reading => panic!("a frozen server answered"),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    });
    drop(first);
    redis.resume();
    assert_eq!(run(&second, reading).unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn outside_a_runtime_there_is_an_error_that_says_what_to_do() {
    let redis = servers::redis().start();
    let directory = tempfile::tempdir().unwrap();
    for url in
        [format!("redis://127.0.0.1:{}/0", redis.port()), format!("file://{}", directory.path().to_str().unwrap())]
    {
        let caches = caches(&url);
        let cache = caches.get("default").unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(outcome) = pin!(cache.get::<i64>("key")).poll(&mut context) else { panic!("it waits") };
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains("Cache::blocking()"), "{error}");
    }
    // Memory asks nobody.
    let caches = caches("memory://outside-a-runtime");
    let cache = caches.get("default").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(cache.set("key", &1, Timeout::Never)).poll(&mut context).is_ready());
    assert_eq!(cache.blocking().get::<i64>("key").unwrap(), Some(1));
}

#[test]
fn a_runtime_without_drivers_is_an_error_that_says_what_to_do() {
    let redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(5));
    let bare = Builder::new_current_thread().build().unwrap();
    let error = bare.block_on(get(&store, "key")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("enable_all"), "{error}");
    run(&runtime(), get(&store, "key")).unwrap();
}

#[test]
fn a_runtime_can_be_shut_down_under_load() {
    let redis = servers::redis().start();
    let store = redis_store(redis.port(), Duration::from_secs(30));
    for _ in 0..10 {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for number in 0..50 {
            let store = store.clone();
            runtime.spawn(async move {
                let key = format!("key {number}");
                while get(&store, &key).await.is_ok() {}
            });
        }
        run(&runtime, set(&store, "key", b"value")).unwrap();
        drop(runtime);
    }
    run(&runtime(), get(&store, "key")).unwrap();
}
