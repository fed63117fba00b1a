//! Of all that miss a key at the same time, one makes the value.

use crate::servers::{self};
use crate::{caches, run, runtimes};
use pinyon::{Cache, Error, ErrorKind, Timeout};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

fn memory(name: &str) -> Cache {
    caches(&format!("memory://single-flight-{name}")).get("default").unwrap().clone()
}

#[test]
fn a_thousand_tasks_that_miss_a_key_make_its_value_once() {
    let redis = servers::redis().start();
    for (number, runtime) in runtimes().into_iter().enumerate() {
        for cache in
            [memory("tasks"), caches(&format!("redis://127.0.0.1:{}/0", redis.port())).get("default").unwrap().clone()]
        {
            run(&runtime, async {
                let made = Arc::new(AtomicUsize::new(0));
                let mut tasks = JoinSet::new();
                for _ in 0..1000 {
                    let (cache, made) = (cache.clone(), made.clone());
                    tasks.spawn(async move {
                        let make = || async {
                            tokio::task::yield_now().await;
                            made.fetch_add(1, Ordering::Relaxed)
                        };
                        cache.get_or_set(&format!("page {number}"), Timeout::Default, make).await.unwrap()
                    });
                }
                assert!(tasks.join_all().await.iter().all(|value| *value == 0));
                assert_eq!(made.load(Ordering::Relaxed), 1);
            });
        }
    }
}

#[test]
fn threads_that_miss_a_key_make_its_value_once() {
    let cache = memory("threads");
    for round in 0..20 {
        let (made, together, key) = (AtomicUsize::new(0), Barrier::new(8), format!("page {round}"));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let make = || {
                        thread::sleep(Duration::from_millis(5));
                        made.fetch_add(1, Ordering::Relaxed)
                    };
                    assert_eq!(cache.blocking().get_or_set(&key, Timeout::Default, make).unwrap(), 0);
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn tasks_for_other_keys_wait_for_nobody() {
    let cache = memory("other keys");
    for runtime in runtimes() {
        run(&runtime, async {
            let (never, cache) = (Notify::new(), cache.clone());
            let waits = cache.get_or_set("slow", Timeout::Default, || async {
                never.notified().await;
                1
            });
            tokio::select! {
                biased;
                _ = waits => panic!("it was made"),
                value = cache.get_or_set("quick", Timeout::Default, || async { 2 }) => assert_eq!(value.unwrap(), 2),
            }
        });
    }
}

/// Starts a maker that ends without a value, and one that waits for it; the latter's value.
async fn after<F>(cache: &Cache, first: impl FnOnce() -> F + Send + 'static, abort: bool) -> i64
where
    F: Future<Output = Result<i64, Error>> + Send,
{
    cache.clear().await.unwrap();
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.try_get_or_set("key", Timeout::Default, first).await }
    });
    sleep(Duration::from_millis(20)).await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_set("key", Timeout::Default, || async { 2 }).await.unwrap() }
    });
    sleep(Duration::from_millis(20)).await;
    assert!(!follower.is_finished());
    if abort {
        leader.abort();
    }
    let value = follower.await.unwrap();
    assert!(!matches!(leader.await, Ok(Ok(_))));
    value
}

#[test]
fn the_next_one_takes_over_from_a_maker_that_fails_panics_or_is_dropped() {
    let cache = memory("failures");
    let soon = || sleep(Duration::from_millis(60));
    for runtime in runtimes() {
        run(&runtime, async {
            let fails = move || async move {
                soon().await;
                Err(Error::new(ErrorKind::Value, "no value today"))
            };
            assert_eq!(after(&cache, fails, false).await, 2);
            let panics = move || async move {
                soon().await;
                panic!("a bug")
            };
            assert_eq!(after(&cache, panics, false).await, 2);
            assert_eq!(after(&cache, std::future::pending, true).await, 2);
        });
    }
}

#[test]
fn one_that_waits_and_is_dropped_when_its_turn_has_come_passes_it_on() {
    let cache = memory("passed on");
    for runtime in runtimes() {
        run(&runtime, async {
            for _ in 0..50 {
                cache.clear().await.unwrap();
                let mut tasks: Vec<_> = (0..10)
                    .map(|_| {
                        let cache = cache.clone();
                        tokio::spawn(async move {
                            cache.get_or_set("key", Timeout::Default, std::future::pending::<i64>).await
                        })
                    })
                    .collect();
                tokio::task::yield_now().await;
                let last = tokio::spawn({
                    let cache = cache.clone();
                    async move { cache.get_or_set("key", Timeout::Default, || async { 1 }).await }
                });
                tokio::task::yield_now().await;
                tasks.drain(..).for_each(|task| task.abort());
                assert_eq!(last.await.unwrap().unwrap(), 1);
            }
        });
    }
}

#[test]
fn threads_take_over_from_one_that_panics() {
    let cache = memory("a thread panics");
    let entered = Barrier::new(2);
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.blocking().get_or_set("key", Timeout::Default, || -> i64 {
                entered.wait();
                thread::sleep(Duration::from_millis(50));
                panic!("a bug")
            })
        });
        entered.wait();
        assert_eq!(cache.blocking().get_or_set("key", Timeout::Default, || 2).unwrap(), 2);
        assert!(leader.join().is_err());
    });
}

#[test]
fn what_is_not_stored_is_made_by_everybody() {
    let cache = memory("not stored");
    for runtime in runtimes() {
        run(&runtime, async {
            let made = Arc::new(AtomicUsize::new(0));
            let mut tasks = JoinSet::new();
            for _ in 0..20 {
                let (cache, made) = (cache.clone(), made.clone());
                tasks.spawn(async move {
                    let make = || async {
                        tokio::task::yield_now().await;
                        made.fetch_add(1, Ordering::Relaxed)
                    };
                    cache.get_or_set("key", Timeout::secs(0), make).await.unwrap()
                });
            }
            let mut values = tasks.join_all().await;
            values.sort_unstable();
            assert_eq!(values, (0..20).collect::<Vec<_>>());
        });
    }
}

#[test]
fn an_error_of_the_maker_is_the_callers() {
    #[derive(Debug, PartialEq)]
    struct Broken;
    impl From<Error> for Broken {
        fn from(error: Error) -> Self {
            panic!("{error}")
        }
    }
    let cache = memory("errors");
    for runtime in runtimes() {
        let outcome = run(&runtime, cache.try_get_or_set("key", Timeout::Default, || async { Err::<i64, _>(Broken) }));
        assert_eq!(outcome, Err(Broken));
    }
    assert_eq!(cache.blocking().try_get_or_set("key", Timeout::Default, || Err::<i64, _>(Broken)), Err(Broken));
    assert!(!cache.blocking().has_key("key").unwrap());
    assert_eq!(cache.blocking().try_get_or_set("key", Timeout::Default, || Ok::<i64, Broken>(1)), Ok(1));
}
