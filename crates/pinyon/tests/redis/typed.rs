//! What a cache can do on Redis alone: the same rules on both faces, and the bytes that a Django site writes and reads.

use crate::servers::{self, Server};
use pinyon::conformance::{Report, run_redis};
use pinyon::redis::{AddToSorted, BlockingRedis, Condition, OwnedReply};
use pinyon::{Caches, ErrorKind, Timeout};
use std::time::Duration;

fn caches(redis: &Server, rest: &str) -> Caches {
    let location = format!("redis://127.0.0.1:{}/1", redis.port());
    Caches::from_toml(&format!("[default]\nBACKEND = 'redis'\nLOCATION = '{location}'\n{rest}")).unwrap()
}

fn assert_kept(report: &Report, face: &str, protocol: u8) {
    assert!(report.failed.is_empty() && report.passed.len() > 14, "{face}, RESP{protocol}: {report}");
}

#[test]
fn both_faces_keep_the_rules_in_both_protocols() {
    let redis = servers::redis().start();
    for protocol in [2, 3] {
        let rest = format!("KEY_PREFIX = 'sh*p:[x]'\nOPTIONS = {{ protocol = {protocol}, max_connections = 1 }}");
        let caches = caches(&redis, &rest);
        let cache = caches.get("default").unwrap();
        assert_kept(&run_redis(cache), "blocking", protocol);
        #[cfg(feature = "tokio")]
        {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert_kept(&pinyon::conformance::run_redis_on(cache, &runtime), "tokio", protocol);
        }
    }
}

#[test]
fn where_several_servers_share_the_keys_all_of_them_are_looked_through() {
    let servers = [servers::redis().start(), servers::redis().start()];
    let location = servers.each_ref().map(|server| format!("'redis://127.0.0.1:{}/0'", server.port())).join(", ");
    let settings = format!(
        "[default]\nBACKEND = 'redis'\nLOCATION = [{location}]\n\
         OPTIONS = {{ CLIENT_CLASS = 'django_redis.client.ShardClient', CLEAR = 'prefix' }}"
    );
    let caches = Caches::from_toml(&settings).unwrap();
    let cache = caches.get("default").unwrap();
    let mut names: Vec<String> = (0..60).map(|number| format!("key{number}")).collect();
    names.sort();
    let items = || names.iter().map(|name| (name.as_str(), name));
    let redis = cache.blocking().redis().unwrap().scan_count(7);
    let looked_through = |mut found: Vec<String>| {
        found.sort();
        assert_eq!(found, names);
    };
    cache.blocking().set_many(items(), Timeout::Never).unwrap();
    looked_through(redis.keys("key*").unwrap());
    looked_through(redis.scan("key*").flat_map(Result::unwrap).collect());
    assert_eq!(redis.delete_pattern("key*").unwrap(), 60);
    assert!(redis.keys("*").unwrap().is_empty());
    cache.blocking().set_many(items(), Timeout::Never).unwrap();
    servers[0].ask("SET other 1").unwrap();
    cache.blocking().clear().unwrap();
    assert_eq!(servers.each_ref().map(|server| server.ask("DBSIZE").unwrap()), [":1\r\n", ":0\r\n"]);
}

#[test]
fn a_cache_that_is_not_on_redis_says_so() {
    let caches = Caches::from_toml("[local]\nBACKEND = 'memory'").unwrap();
    let cache = caches.get("local").unwrap();
    let errors = [
        cache.blocking().redis().map(drop).unwrap_err(),
        #[cfg(feature = "tokio")]
        cache.redis().map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("'local'") && text.contains("on memory"), "{text}");
    }
}

fn stored(redis: BlockingRedis<'_>, words: &[&str]) -> Vec<Vec<u8>> {
    match redis.execute(words).unwrap() {
        OwnedReply::Array(elements) => elements.iter().map(|one| one.bytes().unwrap().to_vec()).collect(),
        one => vec![one.bytes().unwrap().to_vec()],
    }
}

/// `pickle.dumps(value, 5)` of CPython 3.11.
const PICKLED_X: &[u8] = b"\x80\x05\x95\x05\0\0\0\0\0\0\0\x8c\x01x\x94.";
const PICKLED_42: &[u8] = b"\x80\x05K*.";
const PICKLED_TRUE: &[u8] = b"\x80\x05\x88.";

#[test]
fn the_bytes_are_those_of_the_python_face() {
    let redis = servers::redis().start();
    let caches = caches(&redis, "KEY_PREFIX = 'shop'\nVERSION = 3");
    let redis = caches.get("default").unwrap().blocking().redis().unwrap();
    redis.sadd("set", ["x"]).unwrap();
    redis.sadd("set", [42]).unwrap();
    redis.sadd("set", [true]).unwrap();
    let mut members = stored(redis, &["SMEMBERS", "shop:3:set"]);
    members.sort();
    assert_eq!(members, [b"42", PICKLED_TRUE, PICKLED_X]);
    redis.hset("hash", "fïeld", &42).unwrap();
    assert_eq!(stored(redis, &["HGETALL", "shop:3:hash"]), ["fïeld".as_bytes(), b"42"]);
    redis.rpush("list", [42]).unwrap();
    redis.rpush("list", ["x"]).unwrap();
    assert_eq!(stored(redis, &["LRANGE", "shop:3:list", "0", "-1"]), [b"42", PICKLED_X]);
    // Members of sorted sets are never digits.
    redis.zadd("sorted", [(42, 1.5)]).unwrap();
    redis.zadd_with("sorted", [("x", 2.0)], AddToSorted::default()).unwrap();
    let members = stored(redis, &["ZRANGE", "shop:3:sorted", "0", "-1", "WITHSCORES"]);
    assert_eq!(members, [PICKLED_42, b"1.5", PICKLED_X, b"2"]);
    redis.set_if("entry", "x", Timeout::Never, Condition::Missing).unwrap();
    assert_eq!(stored(redis, &["GET", "shop:3:entry"]), [PICKLED_X]);
}

#[test]
fn what_the_python_face_and_django_redis_write_is_read() {
    let redis = servers::redis().start();
    let caches = caches(&redis, "");
    let redis = caches.get("default").unwrap().blocking().redis().unwrap();
    let words = |words: &[&[u8]]| redis.execute(words).map(drop).unwrap();
    // django-redis writes protocol 4 by default.
    let x = b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01x\x94.".as_slice();
    words(&[b"SADD", b":1:set", x, PICKLED_X]);
    assert_eq!(redis.smembers::<String>("set").unwrap(), ["x", "x"]);
    words(&[b"HSET", b":1:hash", b"n", b"42", b"t", x]);
    assert_eq!(redis.hget::<i64>("hash", "n").unwrap(), Some(42));
    assert_eq!(redis.hget::<String>("hash", "t").unwrap().as_deref(), Some("x"));
    words(&[b"ZADD", b":1:sorted", b"1", PICKLED_42, b"2", b"7"]);
    assert_eq!(redis.zrange::<i64>("sorted", 0, -1).unwrap(), [(42, 1.0), (7, 2.0)]);
    words(&[b"RPUSH", b":1:list", b"42", b"-7"]);
    assert_eq!(redis.lrange::<i64>("list", 0, -1).unwrap(), [42, -7]);
}

#[test]
fn a_member_that_cannot_be_read_is_left_out_and_counted_or_an_error() {
    let redis = servers::redis().start();
    for (rest, misses) in [("", true), ("OPTIONS = { ON_BAD_VALUE = 'raise' }", false)] {
        let caches = caches(&redis, rest);
        let cache = caches.get("default").unwrap();
        let typed = cache.blocking().redis().unwrap();
        typed.execute(&["DEL", ":1:list", ":1:sorted", ":1:hash"]).unwrap();
        typed.execute(&["RPUSH", ":1:list", "1", "garbage", "2"]).unwrap();
        typed.execute(&["ZADD", ":1:sorted", "1", "garbage"]).unwrap();
        typed.execute(&["HSET", ":1:hash", "a", "garbage", "b", "1"]).unwrap();
        let found = (
            typed.lrange::<i64>("list", 0, -1),
            typed.zrange::<i64>("sorted", 0, -1),
            typed.hmget::<i64>("hash", ["a", "b"]),
        );
        if misses {
            assert_eq!(found.0.unwrap(), [1, 2]);
            assert_eq!(found.1.unwrap(), []);
            assert_eq!(found.2.unwrap(), [None, Some(1)]);
            assert_eq!(cache.stats().bad_values, 3);
        } else {
            for kind in [found.0.unwrap_err().kind(), found.1.unwrap_err().kind(), found.2.unwrap_err().kind()] {
                assert_eq!(kind, ErrorKind::BadValue);
            }
        }
    }
}

#[test]
fn pages_are_an_iterator() {
    let redis = servers::redis().start();
    let caches = caches(&redis, "");
    let cache = caches.get("default").unwrap().blocking();
    let keys: Vec<String> = (0..300).map(|number| format!("key:{number:03}")).collect();
    cache.set_many(keys.iter().map(|key| (key.as_str(), 1)), Timeout::Default).unwrap();
    let typed = cache.redis().unwrap().scan_count(10);
    let pages: Vec<Vec<String>> = typed.scan("key:*").collect::<Result<_, _>>().unwrap();
    assert!(pages.len() > 10, "{} pages", pages.len());
    let mut found = pages.concat();
    found.sort();
    found.dedup();
    assert_eq!(found, keys);
    typed.sadd("set", 1000..1500).unwrap();
    // Large enough to be no list of integers in one page.
    typed.sadd("set", ["x"]).unwrap();
    let members: usize = typed.sscan::<serde_json::Value>("set").unwrap().map(|page| page.unwrap().len()).sum();
    assert!(members >= 501);
    let mut wrong = typed.sscan::<i64>("key:001").unwrap();
    assert_eq!(wrong.next().unwrap().unwrap_err().kind(), ErrorKind::Server);
    assert!(wrong.next().is_none(), "an error ends it");
}

#[test]
fn clear_with_prefix_leaves_the_keys_of_others() {
    let server = servers::redis().start();
    let make = |rest: &str| caches(&server, rest);
    let whole = make("KEY_PREFIX = 'other'");
    let other = whole.get("default").unwrap();
    let mine = make("KEY_PREFIX = 'sh*p'\nOPTIONS = { CLEAR = 'prefix' }");
    let mine = mine.get("default").unwrap();
    for prefix in ["sh*p", "shop"] {
        let caches = make(&format!("KEY_PREFIX = '{prefix}'"));
        caches.get("default").unwrap().blocking().set("key", &1, Timeout::Default).unwrap();
    }
    other.blocking().set("key", &1, Timeout::Default).unwrap();
    mine.with_version(2).blocking().set("key", &1, Timeout::Default).unwrap();
    mine.blocking().clear().unwrap();
    let redis = other.blocking().redis().unwrap();
    let mut left: Vec<_> = stored(redis, &["KEYS", "*"]);
    left.sort();
    assert_eq!(left, [b"other:1:key".as_slice(), b"sh*p:2:key", b"shop:1:key"]);
    mine.with_version(2).blocking().clear().unwrap();
    assert!(!mine.with_version(2).blocking().has_key("key").unwrap());
    other.blocking().clear().unwrap();
    assert!(stored(redis, &["KEYS", "*"]).is_empty());
}

#[test]
fn clear_with_prefix_asks_the_key_function_for_its_pattern() {
    let redis = servers::redis().start();
    let location = format!("redis://127.0.0.1:{}/1", redis.port());
    let toml = format!(
        "[default]\nBACKEND = 'redis'\nLOCATION = '{location}'\nKEY_PREFIX = 'p'\nKEY_FUNCTION = 'shop.keys.reversed'\n\
         OPTIONS = {{ CLEAR = 'prefix' }}"
    );
    let settings = || pinyon::Settings::from_toml(&toml).unwrap();
    let hashed = Caches::builder().key_function("shop.keys.reversed", |key, _, _| format!("{:x}", key.len()));
    let error = hashed.build(settings()).get("default").unwrap().blocking().clear().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Some("clear")));
    let caches = Caches::builder()
        .key_function("shop.keys.reversed", |key, prefix, version| format!("{version}/{prefix}/{key}"))
        .build(settings());
    let cache = caches.get("default").unwrap().blocking();
    cache.set("key", &1, Timeout::Default).unwrap();
    let typed = cache.redis().unwrap();
    typed.execute(&["SET", "p:1:key", "1"]).unwrap();
    assert_eq!(stored(typed, &["KEYS", "1/p/*"]), [b"1/p/key"]);
    cache.clear().unwrap();
    assert_eq!(stored(typed, &["KEYS", "*"]), [b"p:1:key"]);
}

#[test]
fn a_lock_has_one_holder_and_is_given_back_by_it_alone() {
    let redis = servers::redis().start();
    let caches = caches(&redis, "");
    let typed = caches.get("default").unwrap().blocking().redis().unwrap();
    let lock = typed.lock("report").lease(Duration::from_secs(60)).retry_every(Duration::from_millis(5));
    let held = lock.acquire().unwrap();
    assert_eq!(stored(typed, &["GET", ":1:report"]), [held.token().as_bytes()]);
    assert!(held.token().len() == 32 && held.token().bytes().all(|digit| digit.is_ascii_hexdigit()));
    let left = || typed.execute(&["PTTL", ":1:report"]).unwrap().integer().unwrap();
    assert!((30_000..=60_000).contains(&left()), "{}", left());
    assert!(lock.try_acquire().unwrap().is_none());
    assert!(lock.acquire_within(Duration::from_millis(30)).unwrap().is_none());
    assert!(typed.is_locked("report").unwrap() && held.is_ours().unwrap());
    assert!(held.extend(Duration::from_secs(60)).unwrap() && left() > 90_000);
    assert!(held.renew(Duration::from_secs(10)).unwrap() && left() <= 10_000);
    assert!(held.release().unwrap() && !typed.is_locked("report").unwrap());

    let lost = lock.acquire().unwrap();
    // Its lease is over, and another has taken it.
    typed.execute(&["SET", ":1:report", "another"]).unwrap();
    assert!(!lost.is_ours().unwrap() && !lost.extend(Duration::from_secs(1)).unwrap());
    assert!(!lost.release().unwrap());
    assert_eq!(stored(typed, &["GET", ":1:report"]), [b"another"]);

    typed.execute(&["DEL", ":1:report"]).unwrap();
    drop(typed.lock("report").acquire().unwrap());
    assert!(!typed.is_locked("report").unwrap(), "dropping it gives it back");
}

#[test]
fn a_lock_waits_for_the_one_that_holds_it() {
    let redis = servers::redis().start();
    let caches = caches(&redis, "");
    let cache = caches.get("default").unwrap();
    let typed = cache.blocking().redis().unwrap();
    cache.blocking().set("n", &0, Timeout::Never).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let lock = typed.lock("n's lock").lease(Duration::from_secs(60));
                    let held = lock.retry_every(Duration::from_millis(1)).acquire().unwrap();
                    let n = cache.blocking().get::<i64>("n").unwrap().unwrap();
                    cache.blocking().set("n", &(n + 1), Timeout::Never).unwrap();
                    assert!(held.release().unwrap());
                }
            });
        }
    });
    assert_eq!(cache.blocking().get::<i64>("n").unwrap(), Some(40));
}
