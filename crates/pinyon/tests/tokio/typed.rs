//! What a cache can do on Redis alone, awaited: what is not the same as on a thread.

use crate::servers::{self, Server};
use crate::{caches, run, runtime, runtimes};
use pinyon::redis::{AddToSorted, Condition, Place, Script};
use pinyon::{Caches, ErrorKind, Timeout};
use std::future::Future;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

fn on(redis: &Server) -> Caches {
    caches(&format!("redis://127.0.0.1:{}/1", redis.port()))
}

#[test]
fn commands_that_let_the_server_wait_are_refused() {
    let redis = servers::redis().start();
    let caches = on(&redis);
    let typed = caches.get("default").unwrap().redis().unwrap();
    run(&runtime(), async {
        let error = typed.execute(&["BLPOP", "list", "0"]).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Some("execute")));
        assert!(error.hint().is_some() && error.alias() == Some("default"), "{error}");
        // The connection is as good as before.
        assert_eq!(typed.execute(&["PING"]).await.unwrap().text(), Some("PONG"));
    });
    let waited = typed_blocking(&caches).execute(&["BLPOP", "list", "0.01"]).unwrap();
    assert!(matches!(waited, pinyon::redis::OwnedReply::Nil));
}

fn typed_blocking(caches: &Caches) -> pinyon::redis::BlockingRedis<'_> {
    caches.get("default").unwrap().blocking().redis().unwrap()
}

#[test]
fn a_lock_has_one_holder_among_all_tasks() {
    let redis = servers::redis().start();
    for runtime in runtimes() {
        let caches = on(&redis);
        let cache = caches.get("default").unwrap().clone();
        run(&runtime, async {
            cache.set("n", &0, Timeout::Never).await.unwrap();
            let tasks = (0..4).map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        let lock = cache.redis()?.lock("n's lock").lease(Duration::from_secs(60));
                        let held = lock.retry_every(Duration::from_millis(1)).acquire().await?;
                        let n: i64 = cache.get("n").await?.expect("the number");
                        cache.set("n", &(n + 1), Timeout::Never).await?;
                        assert!(held.release().await?);
                    }
                    Ok::<(), pinyon::Error>(())
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap().unwrap();
            }
            assert_eq!(cache.get::<i64>("n").await.unwrap(), Some(40));
        });
    }
}

#[test]
fn a_lock_of_one_face_is_held_against_the_other() {
    let redis = servers::redis().start();
    let caches = on(&redis);
    let (typed, blocking) = (caches.get("default").unwrap().redis().unwrap(), typed_blocking(&caches));
    run(&runtime(), async {
        let held = typed.lock("key").lease(Duration::from_secs(60)).acquire().await.unwrap();
        assert!(blocking.lock("key").try_acquire().unwrap().is_none());
        assert!(held.is_ours().await.unwrap() && held.extend(Duration::from_secs(1)).await.unwrap());
        assert!(held.renew(Duration::from_secs(9)).await.unwrap() && typed.is_locked("key").await.unwrap());
        typed.execute(&["SET", ":1:key", "another"]).await.unwrap();
        assert!(!held.is_ours().await.unwrap() && !held.release().await.unwrap());
        assert!(typed.lock("key").acquire_within(Duration::from_millis(20)).await.unwrap().is_none());
    });
}

#[test]
fn a_guard_that_is_dropped_gives_the_lock_back_without_waiting() {
    let redis = servers::redis().start();
    let caches = on(&redis);
    let typed = caches.get("default").unwrap().redis().unwrap();
    run(&runtime(), async {
        drop(typed.lock("key").acquire().await.unwrap());
        // As soon as its task has had its turn.
        drop(typed.lock("key").acquire_within(Duration::from_secs(30)).await.unwrap().expect("the lock"));
    });
    // Outside a runtime nobody can be told.
    let held = run(&runtime(), typed.lock("outside").acquire()).unwrap();
    drop(held);
    assert!(typed_blocking(&caches).is_locked("outside").unwrap());
}

#[test]
fn a_lock_that_the_server_gave_to_a_dropped_future_is_given_back() {
    let redis = servers::redis().start();
    let caches = on(&redis);
    let typed = caches.get("default").unwrap().redis().unwrap();
    run(&runtime(), async {
        typed.execute(&["PING"]).await.unwrap();
        redis.pause();
        // The request has been sent, and the server will carry it out.
        timeout(Duration::from_millis(50), typed.lock("key").acquire()).await.unwrap_err();
        redis.resume();
        let after = typed.lock("key").acquire_within(Duration::from_secs(30)).await.unwrap();
        assert!(after.expect("the lock").release().await.unwrap());
    });
}

#[test]
fn keys_and_members_come_in_pages() {
    let redis = servers::redis().start();
    let caches = on(&redis);
    let cache = caches.get("default").unwrap();
    run(&runtime(), async {
        let keys: Vec<String> = (0..300).map(|number| format!("key:{number:03}")).collect();
        cache.set_many(keys.iter().map(|key| (key.as_str(), 1)), Timeout::Default).await.unwrap();
        let typed = cache.redis().unwrap().scan_count(10);
        let (mut pages, mut found, mut count) = (typed.scan("key:*"), Vec::new(), 0);
        while let Some(page) = pages.next_page().await.unwrap() {
            found.extend(page);
            count += 1;
        }
        found.sort();
        found.dedup();
        assert!(found == keys && count > 10, "{count} pages");
        assert!(pages.next_page().await.unwrap().is_none(), "the end stays the end");
        typed.sadd("set", ["a", "b"]).await.unwrap();
        let mut page = typed.sscan::<String>("set").unwrap().next_page().await.unwrap().unwrap();
        page.sort();
        assert_eq!(page, ["a", "b"]);
    });
}

#[test]
fn clear_with_prefix_leaves_the_keys_of_others() {
    let redis = servers::redis().start();
    let toml = format!(
        "[default]\nBACKEND = 'redis'\nLOCATION = 'redis://127.0.0.1:{}'\nOPTIONS = {{ CLEAR = 'prefix' }}",
        redis.port()
    );
    let caches = Caches::from_toml(&toml).unwrap();
    let cache = caches.get("default").unwrap();
    run(&runtime(), async {
        cache.set("key", &1, Timeout::Default).await.unwrap();
        cache.redis().unwrap().execute(&["SET", "stranger", "1"]).await.unwrap();
        cache.clear().await.unwrap();
        assert_eq!(cache.redis().unwrap().execute(&["DBSIZE"]).await.unwrap().integer(), Some(1));
    });
    redis.ask("SHUTDOWN NOSAVE").unwrap_or_default();
    let error = run(&runtime(), cache.clear()).unwrap_err();
    assert!(error.is_connection() && error.operation() == Some("clear"), "{error}");
}

/// `tokio::spawn` and axum's handlers take no other futures.
#[test]
fn every_future_is_send() {
    fn is_send<F: Future + Send>(_: F) {}
    let caches = caches("redis://127.0.0.1:1");
    let typed = caches.get("default").unwrap().redis().unwrap();
    is_send(typed.set_if("key", "value", Timeout::Default, Condition::Missing));
    is_send(typed.set_and_get::<String>("key", "value", Timeout::Default));
    is_send(typed.incr_or_create("key", 1));
    is_send(typed.expire_at("key", SystemTime::now()));
    is_send(typed.keys("*"));
    is_send(typed.delete_pattern("*"));
    is_send(async move { typed.scan("*").next_page().await });
    is_send(typed.sadd("key", ["a"]));
    is_send(typed.sunion::<String>(["a", "b"]));
    is_send(typed.hset_many("key", [("field", 1)]));
    is_send(typed.hgetall::<String>("key"));
    is_send(typed.linsert("key", Place::Before, "pivot", "value"));
    is_send(typed.lpop_many::<String>("key", 1));
    is_send(typed.zadd_with("key", [("member", 1.0)], AddToSorted::default()));
    is_send(typed.zrangebyscore::<String>("key", 1.0.., None));
    is_send(typed.execute(&["PING"]));
    is_send(async move { typed.script(&Script::new("return 1"), &["key"], &[]).await });
    is_send(async move { typed.lock("key").acquire().await?.release().await });
}
