//! The four steps in which a site adds its caches, as a Rust program takes them, from the files that the documentation shows.

mod servers;

use pinyon::{Caches, ErrorKind, Timeout};
use serde::{Deserialize, Serialize};
use servers::Server;

const STEPS: [&str; 4] = [
    include_str!("../../../examples/settings/step1.toml"),
    include_str!("../../../examples/settings/step2.toml"),
    include_str!("../../../examples/settings/step3.toml"),
    include_str!("../../../examples/settings/step4.toml"),
];

/// The caches of a step, with the ports of the test's servers in place of the usual ones.
fn step(number: usize, redis: &Server, memcached: &Server) -> Caches {
    let toml = STEPS[number - 1]
        .replace(":6379", &format!(":{}", redis.port()))
        .replace(":11211", &format!(":{}", memcached.port()));
    Caches::from_toml(&toml).unwrap()
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Book {
    title: String,
    pages: u32,
}

#[test]
fn each_of_the_four_steps_works() {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());

    let one = step(1, &redis, &memcached);
    one.get("default").unwrap().blocking().set("greeting", "hello", Timeout::Default).unwrap();
    assert_eq!(one.get("default").unwrap().blocking().get::<String>("greeting").unwrap().unwrap(), "hello");

    let two = step(2, &redis, &memcached);
    two.get("redis_cache").unwrap().blocking().set("greeting", "from redis", Timeout::Default).unwrap();
    assert_eq!(redis.ask("SELECT 1\r\nEXISTS :1:greeting").unwrap(), "+OK\r\n:1\r\n");

    let three = step(3, &redis, &memcached);
    let book = Book { title: "Emma".to_owned(), pages: 474 };
    let cache = three.get("memcached_cache").unwrap().blocking();
    assert!(cache.set("book", &book, Timeout::Default).unwrap());
    assert_eq!(cache.get::<Book>("book").unwrap(), Some(book));
    assert_eq!(cache.show("book").unwrap().unwrap(), "{'title': 'Emma', 'pages': 474}");

    let four = step(4, &redis, &memcached);
    let default = four.get("default").unwrap().blocking();
    assert_eq!(default.get::<String>("greeting").unwrap().unwrap(), "from redis");
    default.set("visits", &1, Timeout::Never).unwrap();
    assert_eq!(four.get("redis_cache").unwrap().blocking().incr("visits", 1).unwrap(), 2);
    assert_eq!(default.get::<i32>("visits").unwrap(), Some(2));
}

#[test]
fn with_redis_stopped_an_operation_fails_with_what_a_beginner_needs_and_works_again_after_a_restart() {
    let (mut redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let four = step(4, &redis, &memcached);
    let cache = four.get("default").unwrap().blocking();
    cache.set("key", "value", Timeout::Default).unwrap();
    redis.stop();
    for _ in 0..2 {
        let error = cache.get::<String>("key").unwrap_err();
        let address = format!("127.0.0.1:{}", redis.port());
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.is_connection() && error.is_retryable());
        assert_eq!((error.alias(), error.operation()), (Some("default"), Some("get")));
        assert!(error.message().contains(&format!("Redis at {address} is not running or not reachable")), "{error}");
        assert!(error.hint().unwrap().starts_with("Start redis-server there"), "{error}");
    }
    // The other aliases are not disturbed.
    let other = four.get("memcached_cache").unwrap().blocking();
    assert!(other.set("key", "value", Timeout::Default).unwrap());
    redis.restart();
    cache.set("key", "again", Timeout::Default).unwrap();
    assert_eq!(cache.get::<String>("key").unwrap().as_deref(), Some("again"));
}

#[test]
fn with_redis_frozen_an_operation_ends_by_its_timeout() {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let toml =
        STEPS[3].replace(":6379", &format!(":{}", redis.port())).replace(":11211", &format!(":{}", memcached.port()));
    let toml = toml.replace("/1\"", "/1\"\nOPTIONS = { SOCKET_TIMEOUT = 0.2 }");
    let caches = Caches::from_toml(&toml).unwrap();
    let cache = caches.get("default").unwrap().blocking();
    cache.set("key", "value", Timeout::Default).unwrap();
    redis.pause();
    let error = cache.get::<String>("key").unwrap_err();
    assert!(error.is_timeout(), "{error}");
    redis.resume();
    assert_eq!(cache.get::<String>("key").unwrap().as_deref(), Some("value"));
}
