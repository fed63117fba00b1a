//! The methods that a cache has on Redis alone, as test cases: each is written once and runs on either face.

use super::{Report, message_of};
use crate::cache::Cache;
use crate::cache::redis::{AddToSorted, Condition, Over, OwnedReply, Place, Script, Threads, Wire};
use crate::error::{ErrorKind, Result};
use crate::net::now;
use crate::redis::Commands;
use crate::timeout::{Timeout, Ttl};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

#[cfg(feature = "tokio")]
use crate::cache::redis::Tasks;
#[cfg(feature = "tokio")]
use tokio::runtime::Runtime;

struct Case {
    name: &'static str,
    on_this_thread: fn(&Over<'_, Threads<'_>>) -> Result<()>,
    #[cfg(feature = "tokio")]
    on_tokio: fn(&Runtime, &Over<'_, Tasks<'_>>) -> Result<()>,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        [$(Case {
            name: stringify!($name),
            on_this_thread: |redis| now($name(redis)),
            #[cfg(feature = "tokio")]
            on_tokio: |runtime, redis| runtime.block_on($name(redis)),
        }),*]
    };
}

fn cases() -> [Case; 16] {
    cases![
        set_if_stores_only_where_the_condition_holds,
        set_and_get_returns_what_was_there,
        incr_or_create_counts_from_nothing,
        lifetimes_are_given_and_taken,
        patterns_are_for_the_keys_of_this_cache,
        delete_pattern_removes_what_fits_and_nothing_else,
        sets_hold_each_member_once,
        sets_are_combined_and_stored,
        hashes_have_fields_of_text,
        integers_in_a_hash_are_counted,
        lists_are_pushed_and_popped_at_both_ends,
        lists_are_read_and_changed_in_place,
        sorted_sets_are_in_the_order_of_their_scores,
        ranges_of_scores_include_what_they_say,
        commands_go_to_the_server_as_they_are,
        a_wrong_type_is_an_error_of_the_server,
    ]
}

/// Runs every rule of the methods of [`BlockingRedis`](crate::redis::BlockingRedis) on `cache`, which must be on Redis.
///
/// Its database is **emptied**: nothing else may use it meanwhile.
pub fn run_redis(cache: &Cache) -> Report {
    report(cache, |case| {
        let redis = cache.blocking().redis().expect("a cache on Redis");
        (case.on_this_thread)(&redis.over("conformance"))
    })
}

/// [`run_redis`] for the methods of [`Redis`](crate::redis::Redis), on `runtime`.
#[cfg(feature = "tokio")]
pub fn run_redis_on(cache: &Cache, runtime: &Runtime) -> Report {
    report(cache, |case| {
        let redis = cache.redis().expect("a cache on Redis");
        (case.on_tokio)(runtime, &redis.over("conformance"))
    })
}

fn report(cache: &Cache, run: impl Fn(&Case) -> Result<()>) -> Report {
    let mut report = Report::default();
    for case in &cases() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            cache.store().clear().expect("clear before the case");
            run(case).expect("a call that succeeds");
        }));
        match outcome {
            Ok(()) => report.passed.push(case.name),
            Err(panic) => report.failed.push((case.name, message_of(&*panic))),
        }
    }
    report
}

const LONG: Timeout = Timeout::secs(300);

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn set_if_stores_only_where_the_condition_holds<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    let cache = redis.cache().blocking();
    assert!(!redis.set_if("key", "one", LONG, Condition::Exists).await?);
    assert!(redis.set_if("key", "one", LONG, Condition::Missing).await?);
    assert!(!redis.set_if("key", "two", Timeout::Never, Condition::Missing).await?);
    assert!(matches!(cache.ttl("key")?, Ttl::Left(_)) && cache.get::<String>("key")?.as_deref() == Some("one"));
    assert!(redis.set_if("key", &2, Timeout::Never, Condition::Exists).await?);
    assert_eq!((cache.ttl("key")?, cache.incr("key", 1)?), (Ttl::Never, 3));
    assert!(!redis.set_if("key", &4, Timeout::secs(0), Condition::Missing).await? && cache.has_key("key")?);
    assert!(redis.set_if("key", &4, Timeout::secs(0), Condition::Exists).await? && !cache.has_key("key")?);
    assert!(redis.set_if("key", &4, Timeout::secs(0), Condition::Missing).await? && !cache.has_key("key")?);
    Ok(())
}

async fn set_and_get_returns_what_was_there<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    let cache = redis.cache().blocking();
    assert_eq!(redis.set_and_get::<String>("key", "one", LONG).await?, None);
    assert_eq!(redis.set_and_get::<String>("key", &2, Timeout::Never).await?.as_deref(), Some("one"));
    assert_eq!(
        (cache.ttl("key")?, redis.set_and_get::<i64>("key", &[3], Timeout::secs(0)).await?),
        (Ttl::Never, Some(2))
    );
    assert!(!cache.has_key("key")?);
    Ok(())
}

async fn incr_or_create_counts_from_nothing<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    let cache = redis.cache().blocking();
    assert_eq!((redis.incr_or_create("n", 3).await?, redis.incr_or_create("n", -5).await?), (3, -2));
    assert_eq!(cache.ttl("n")?, Ttl::Never);
    cache.set("n", &1, LONG)?;
    assert_eq!(redis.incr_or_create("n", 1).await?, 2);
    assert!(matches!(cache.ttl("n")?, Ttl::Left(_)), "it keeps its timeout");
    cache.set("text", "one", LONG)?;
    assert_eq!(redis.incr_or_create("text", 1).await.unwrap_err().kind(), ErrorKind::NotAnInteger);
    redis.incr_or_create("large", i64::MAX).await?;
    assert_eq!(redis.incr_or_create("large", 1).await.unwrap_err().kind(), ErrorKind::OutOfRange);
    Ok(())
}

async fn lifetimes_are_given_and_taken<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    let cache = redis.cache().blocking();
    let minute = Duration::from_secs(60);
    let within = |ttl: Ttl| matches!(ttl, Ttl::Left(left) if left > minute / 2 && left <= minute);
    for key in ["a", "b"] {
        cache.set(key, &1, Timeout::Never)?;
    }
    assert!(redis.expire("a", minute).await? && within(cache.ttl("a")?));
    assert!(redis.expire_at("b", SystemTime::now() + minute).await? && within(cache.ttl("b")?));
    assert!(redis.persist("a").await? && !redis.persist("a").await?);
    assert_eq!(cache.ttl("a")?, Ttl::Never);
    assert!(redis.expire("a", Duration::MAX).await? && matches!(cache.ttl("a")?, Ttl::Left(_)));
    assert!(redis.expire("a", Duration::ZERO).await? && !cache.has_key("a")?);
    assert!(redis.expire_at("b", SystemTime::UNIX_EPOCH - minute).await? && !cache.has_key("b")?);
    for outcome in [
        redis.persist("missing").await,
        redis.expire("missing", minute).await,
        redis.expire_at("missing", SystemTime::now()).await,
    ] {
        assert!(!outcome?);
    }
    Ok(())
}

/// Keys with everything in them that means something in a pattern, and the same ones in another version.
fn make_keys(cache: &Cache) -> Result<()> {
    for version in [1, 2] {
        let cache = cache.with_version(version);
        for key in ["one", "two", "br[ck]t", "q?", "st*r", "a:b"] {
            cache.blocking().set(key, &1, LONG)?;
        }
    }
    Ok(())
}

async fn patterns_are_for_the_keys_of_this_cache<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    make_keys(redis.cache())?;
    let all = texts(&["a:b", "br[ck]t", "one", "q?", "st*r", "two"]);
    assert_eq!(sorted(redis.keys("*").await?), all);
    assert_eq!(sorted(redis.keys("?*o*").await?), texts(&["two"]));
    assert_eq!(sorted(redis.keys("[oq]*").await?), texts(&["one", "q?"]));
    assert_eq!(redis.keys(r"st\*r").await?, texts(&["st*r"]));
    assert!(redis.keys("none*").await?.is_empty());
    Ok(())
}

async fn delete_pattern_removes_what_fits_and_nothing_else<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    make_keys(redis.cache())?;
    let cache = redis.cache();
    let strangers: Vec<String> = (0..500).map(|number| format!("many:{number}")).collect();
    cache.blocking().set_many(strangers.iter().map(|key| (key.as_str(), 1)), LONG)?;
    // More than one page, in which the keys of the page before are removed.
    let paged = redis.counting(7);
    assert_eq!((paged.delete_pattern("many:*").await?, paged.delete_pattern("many:*").await?), (500, 0));
    assert_eq!(redis.delete_pattern("o*").await?, 1);
    assert_eq!(sorted(redis.keys("*").await?), texts(&["a:b", "br[ck]t", "q?", "st*r", "two"]));
    assert_eq!(redis.delete_pattern("*").await?, 5);
    let other = cache.with_version(2);
    assert!(other.blocking().has_key("one")? && !cache.blocking().has_key("two")?);
    Ok(())
}

async fn sets_hold_each_member_once<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    assert_eq!((redis.sadd("n", [1, 2, 2, 3]).await?, redis.sadd("n", [3, 4]).await?), (3, 1));
    assert_eq!(redis.sadd("t", ["x", "y"]).await?, 2);
    assert_eq!(redis.sadd("t", Vec::<i64>::new()).await?, 0);
    assert_eq!((redis.scard("n").await?, redis.scard("missing").await?), (4, 0));
    assert_eq!(sorted(redis.smembers::<i64>("n").await?), [1, 2, 3, 4]);
    assert_eq!(sorted(redis.smembers::<String>("t").await?), texts(&["x", "y"]));
    assert!(redis.smembers::<i64>("missing").await?.is_empty());
    assert!(redis.sismember("n", &1).await? && !redis.sismember("n", &9).await? && redis.sismember("t", "x").await?);
    assert_eq!(redis.smismember("t", ["x", "z", "y"]).await?, [true, false, true]);
    assert_eq!(redis.srem("n", [1, 9]).await?, 1);
    assert!(redis.smove("n", "other", &2).await? && !redis.smove("n", "other", &9).await?);
    assert_eq!(redis.smembers::<i64>("other").await?, [2]);
    let chosen = redis.srandmember::<i64>("n").await?.expect("a member");
    assert!([3, 4].contains(&chosen) && redis.srandmember::<i64>("missing").await?.is_none());
    assert_eq!(redis.srandmember_many::<i64>("n", -5).await?.len(), 5);
    assert_eq!(sorted(redis.srandmember_many::<i64>("n", 5).await?), [3, 4]);
    let popped = redis.spop::<i64>("n").await?.expect("a member");
    assert_eq!(redis.spop_many::<i64>("n", 9).await?, [7 - popped]);
    assert_eq!((redis.spop::<i64>("n").await?, redis.spop_many::<i64>("n", 1).await?), (None, vec![]));
    Ok(())
}

async fn sets_are_combined_and_stored<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    redis.sadd("a", [1, 2, 3]).await?;
    redis.sadd("b", [3, 4]).await?;
    assert_eq!(sorted(redis.sdiff::<i64>(["a", "b"]).await?), [1, 2]);
    assert_eq!(redis.sinter::<i64>(["a", "b"]).await?, [3]);
    assert_eq!(sorted(redis.sunion::<i64>(["a", "b", "missing"]).await?), [1, 2, 3, 4]);
    assert_eq!((redis.sdiffstore("d", ["a", "b"]).await?, redis.sinterstore("i", ["a", "b"]).await?), (2, 1));
    assert_eq!((redis.sunionstore("u", ["a", "b"]).await?, redis.scard("u").await?), (4, 4));
    assert_eq!((redis.sinterstore("u", ["a", "missing"]).await?, redis.scard("u").await?), (0, 0));
    Ok(())
}

async fn hashes_have_fields_of_text<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    assert!(redis.hset("h", "a", &1).await? && !redis.hset("h", "a", &2).await?);
    assert_eq!(redis.hset_many("h", [("b", 3), ("a", 4)]).await?, 1);
    assert_eq!(redis.hset_many("h", [("x", 1); 0]).await?, 0);
    assert_eq!((redis.hget::<i64>("h", "a").await?, redis.hget::<i64>("h", "none").await?), (Some(4), None));
    assert_eq!(redis.hmget::<i64>("h", ["b", "none", "a"]).await?, [Some(3), None, Some(4)]);
    assert_eq!(redis.hgetall::<i64>("h").await?, HashMap::from([("a".to_owned(), 4), ("b".to_owned(), 3)]));
    assert!(redis.hgetall::<i64>("missing").await?.is_empty());
    assert_eq!((redis.hlen("h").await?, sorted(redis.hkeys("h").await?)), (2, texts(&["a", "b"])));
    assert!(redis.hexists("h", "a").await? && !redis.hexists("h", "none").await?);
    assert_eq!((redis.hdel("h", ["a", "none"]).await?, redis.hdel("h", ["a"]).await?), (1, 0));
    redis.hset("h", "feld", "wert").await?;
    assert_eq!(redis.hget::<String>("h", "feld").await?.as_deref(), Some("wert"));
    assert_eq!(redis.hget::<i64>("h", "feld").await.unwrap_err().kind(), ErrorKind::Value);
    Ok(())
}

async fn integers_in_a_hash_are_counted<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    redis.hset("h", "n", &40).await?;
    assert_eq!((redis.hincrby("h", "n", 2).await?, redis.hincrby("h", "new", -1).await?), (42, -1));
    redis.hset("h", "text", "one").await?;
    assert_eq!(redis.hincrby("h", "text", 1).await.unwrap_err().kind(), ErrorKind::Server);
    Ok(())
}

async fn lists_are_pushed_and_popped_at_both_ends<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    assert_eq!((redis.rpush("l", [3, 4]).await?, redis.lpush("l", [2, 1]).await?), (2, 4));
    assert_eq!(redis.rpush("l", Vec::<i64>::new()).await?, 4);
    assert_eq!(redis.lrange::<i64>("l", 0, -1).await?, [1, 2, 3, 4]);
    assert_eq!((redis.lpop::<i64>("l").await?, redis.rpop::<i64>("l").await?), (Some(1), Some(4)));
    redis.rpush("l", [5]).await?;
    assert_eq!(redis.rpop_many::<i64>("l", 2).await?, [5, 3]);
    assert_eq!(redis.lpop_many::<i64>("l", 2).await?, [2]);
    assert_eq!((redis.lpop::<i64>("l").await?, redis.lpop_many::<i64>("l", 2).await?), (None, vec![]));
    Ok(())
}

async fn lists_are_read_and_changed_in_place<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    redis.rpush("l", ["a", "b", "a", "c"]).await?;
    assert_eq!((redis.llen("l").await?, redis.llen("missing").await?), (4, 0));
    assert_eq!(redis.lindex::<String>("l", -1).await?.as_deref(), Some("c"));
    assert_eq!(redis.lindex::<String>("l", 9).await?, None);
    assert_eq!((redis.lpos("l", "b").await?, redis.lpos("l", "x").await?), (Some(1), None));
    redis.lset("l", 1, "d").await?;
    assert_eq!(redis.lset("l", 9, "d").await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(redis.linsert("l", Place::Before, "c", "e").await?, Some(5));
    assert_eq!(redis.linsert("l", Place::After, "c", "f").await?, Some(6));
    assert_eq!(redis.linsert("l", Place::After, "x", "f").await?, None);
    assert_eq!(redis.linsert("missing", Place::After, "x", "f").await?, None);
    assert_eq!(redis.lrange::<String>("l", 0, -1).await?, texts(&["a", "d", "a", "e", "c", "f"]));
    assert_eq!(redis.lrem("l", -1, "a").await?, 1);
    redis.ltrim("l", 1, 2).await?;
    assert_eq!(redis.lrange::<String>("l", 0, -1).await?, texts(&["d", "e"]));
    Ok(())
}

async fn sorted_sets_are_in_the_order_of_their_scores<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    assert_eq!(redis.zadd("z", [(1, 3.0), (2, 1.5), (3, 2.0)]).await?, 3);
    assert_eq!((redis.zadd("z", [(1, 4.0)]).await?, redis.zadd("z", [(0, 0.0); 0]).await?), (0, 0));
    let changed = AddToSorted { only_greater: true, count_changed: true, ..AddToSorted::default() };
    assert_eq!(redis.zadd_with("z", [(1, 5.0), (2, 1.0)], changed).await?, 1);
    let new = AddToSorted { condition: Some(Condition::Missing), ..AddToSorted::default() };
    assert_eq!(redis.zadd_with("z", [(1, 9.0), (4, f64::INFINITY)], new).await?, 1);
    assert_eq!(redis.zrange::<i64>("z", 0, -1).await?, [(2, 1.5), (3, 2.0), (1, 5.0), (4, f64::INFINITY)]);
    assert_eq!(redis.zrevrange::<i64>("z", 1, 2).await?, [(1, 5.0), (3, 2.0)]);
    assert_eq!((redis.zcard("z").await?, redis.zcard("missing").await?), (4, 0));
    assert_eq!((redis.zrank("z", &3).await?, redis.zrank("z", &9).await?), (Some(1), None));
    assert_eq!((redis.zscore("z", &2).await?, redis.zscore("z", &9).await?), (Some(1.5), None));
    assert_eq!((redis.zincrby("z", 0.25, &2).await?, redis.zincrby("z", -1.0, "new").await?), (1.75, -1.0));
    assert_eq!(redis.zpopmin::<String>("z", 1).await?, [("new".to_owned(), -1.0)]);
    assert_eq!(redis.zpopmax::<i64>("z", 2).await?, [(4, f64::INFINITY), (1, 5.0)]);
    assert!(redis.zpopmax::<i64>("missing", 1).await?.is_empty());
    assert_eq!(redis.zrem("z", [3, 9]).await?, 1);
    Ok(())
}

async fn ranges_of_scores_include_what_they_say<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    redis.zadd("z", [("a", 1.0), ("b", 2.0), ("c", 3.0)]).await?;
    assert_eq!((redis.zcount("z", ..).await?, redis.zcount("z", 1.0..3.0).await?), (3, 2));
    assert_eq!((redis.zcount("z", 2.0..=3.0).await?, redis.zcount("z", ..2.0).await?), (2, 1));
    let names = |found: Vec<(String, f64)>| found.into_iter().map(|(name, _)| name).collect::<String>();
    assert_eq!(names(redis.zrangebyscore("z", 1.0..=2.0, None).await?), "ab");
    assert_eq!(names(redis.zrangebyscore("z", .., Some((1, 1))).await?), "b");
    assert_eq!(names(redis.zrevrangebyscore("z", 2.0.., None).await?), "cb");
    assert_eq!((redis.zremrangebyscore("z", ..=1.0).await?, redis.zcard("z").await?), (1, 2));
    Ok(())
}

async fn commands_go_to_the_server_as_they_are<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    assert_eq!(redis.execute(&["SET", "raw", "1"]).await?.text(), Some("OK"));
    assert_eq!(redis.execute(&["INCR", "raw"]).await?.integer(), Some(2));
    assert!(matches!(redis.execute(&["GET", "none"]).await?, OwnedReply::Nil));
    assert_eq!(redis.execute(&["LPUSH", "raw", "1"]).await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(redis.execute(&["SELECT", "1"]).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let mut commands = Commands::new("pipeline").transaction(true);
    for command in [&["INCR", "raw"][..], &["LPUSH", "raw", "1"], &["MGET", "raw", "none"]] {
        commands.push(command)?;
    }
    let replies = redis.pipeline(&commands).await?;
    assert!(matches!(&replies[..], [OwnedReply::Integer(3), OwnedReply::Error(_), OwnedReply::Array(found)]
        if found[0].bytes() == Some(b"3") && matches!(found[1], OwnedReply::Nil)));
    assert!(redis.pipeline(&Commands::new("pipeline")).await?.is_empty());
    // The server does not know it yet, and then it does.
    let script = Script::new("return {KEYS[1], ARGV[1], #ARGV}");
    redis.execute(&["SCRIPT", "FLUSH"]).await?;
    for _ in 0..2 {
        let reply = redis.script(&script, &["key"], &["one", "two"]).await?;
        let elements = reply.elements().expect("an array");
        assert_eq!(
            (elements[0].text(), elements[1].text(), elements[2].integer()),
            (Some("key"), Some("one"), Some(2))
        );
    }
    let failed = redis.script(&Script::new("return redis.call('LPUSH', 'raw', 1)"), &[] as &[&str], &[]).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Server);
    Ok(())
}

async fn a_wrong_type_is_an_error_of_the_server<W: Wire>(redis: &Over<'_, W>) -> Result<()> {
    redis.rpush("list", [1]).await?;
    assert_eq!(redis.sadd("list", [1]).await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(redis.hgetall::<i64>("list").await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(redis.zrange::<i64>("list", 0, -1).await.unwrap_err().kind(), ErrorKind::Server);
    Ok(())
}
