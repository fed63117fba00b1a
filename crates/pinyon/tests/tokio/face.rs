//! The methods of a cache, awaited: on every backend the same as the blocking ones.

use crate::servers::{self};
use crate::{caches, run, runtimes};
use pinyon::{Cache, ErrorKind, Result, Timeout, Ttl};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::future::Future;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Book {
    title: String,
    prices: Vec<f64>,
}

fn walden() -> Book {
    Book { title: "Walden".into(), prices: vec![12.0, 15.5] }
}

async fn story(cache: &Cache) -> Result<()> {
    cache.clear().await?;
    assert_eq!(cache.get::<Book>("book").await?, None);
    assert!(cache.set("book", &walden(), Timeout::secs(300)).await?);
    assert_eq!(cache.get::<Book>("book").await?, Some(walden()));
    assert!(!cache.add("book", "other", Timeout::Default).await? && cache.add("n", &41, Timeout::Never).await?);
    assert_eq!((cache.incr("n", 2).await?, cache.decr("n", 1).await?), (43, 42));
    assert_eq!(cache.incr("none", 1).await.unwrap_err().kind(), ErrorKind::KeyNotFound);
    assert_eq!(cache.incr("book", 1).await.unwrap_err().kind(), ErrorKind::NotAnInteger);
    assert!(matches!(cache.ttl("book").await?, Ttl::Left(_)) && cache.ttl("n").await? == Ttl::Never);
    assert!(cache.touch("n", Timeout::secs(300)).await? && !cache.touch("none", Timeout::Never).await?);
    assert!(matches!(cache.ttl("n").await?, Ttl::Left(_)) && cache.ttl("none").await? == Ttl::Missing);
    assert!(cache.set_many([("a", 1), ("b", 2)], Timeout::Default).await?.is_empty());
    let found = cache.get_many::<i64>(&["a", "b", "none"]).await?;
    assert_eq!(found, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!(cache.incr_version("a", 1).await?, 2);
    assert_eq!((cache.has_key("a").await?, cache.with_version(2).get::<i64>("a").await?), (false, Some(1)));
    cache.delete_many(&["b", "none"]).await?;
    assert!(!cache.has_key("b").await? && cache.delete("n").await? && !cache.delete("n").await?);
    assert_eq!(cache.get_or_set("made", Timeout::Default, || async { 7 }).await?, 7);
    assert_eq!(cache.get_or_set("made", Timeout::Default, || async { 8 }).await?, 7);
    assert!(cache.show("book").await?.unwrap().contains("Walden"));
    assert!(cache.check().await.iter().all(|report| report.result.is_ok()));
    // One cache, two faces.
    assert_eq!(cache.blocking().get::<Book>("book")?, Some(walden()));
    cache.blocking().set("from_a_thread", &1, Timeout::Default)?;
    assert_eq!(cache.get::<i64>("from_a_thread").await?, Some(1));
    assert_eq!(cache.get::<i64>("book").await.unwrap_err().kind(), ErrorKind::Value);
    Ok(())
}

#[test]
fn every_backend_tells_the_same_story() {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let urls = [
        "memory://async-story".to_owned(),
        format!("redis://127.0.0.1:{}/1", redis.port()),
        format!("memcached://127.0.0.1:{}", memcached.port()),
        format!("file://{path}/files"),
        #[cfg(feature = "sqlite")]
        format!("database+sqlite://{path}/cache.sqlite3"),
    ];
    for runtime in runtimes() {
        for url in &urls {
            let caches = caches(url);
            let cache = caches.get("default").unwrap().clone();
            #[cfg(feature = "sqlite")]
            if url.starts_with("database") {
                create_table(&caches);
            }
            // A task that may move to another thread while it waits.
            let told = runtime.spawn(async move { story(&cache).await });
            run(&runtime, told).unwrap().unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }
}

#[cfg(feature = "sqlite")]
fn create_table(caches: &pinyon::Caches) {
    use pinyon::settings::BackendSettings;
    let BackendSettings::Database(settings) = &caches.settings("default").unwrap().backend else {
        panic!("{caches:?}")
    };
    pinyon::database::DatabaseStore::shared(settings).unwrap().create_table().unwrap();
}

/// `tokio::spawn` and axum's handlers take no other futures.
#[test]
fn every_future_is_send() {
    fn is_send<F: Future + Send>(_: F) {}
    let caches = caches("memory://send");
    let cache = caches.get("default").unwrap();
    is_send(cache.get::<Book>("key"));
    is_send(cache.set("key", &walden(), Timeout::Default));
    is_send(cache.add("key", "value", Timeout::Default));
    is_send(cache.get_or_set("key", Timeout::Default, || async { walden() }));
    is_send(cache.try_get_or_set("key", Timeout::Default, || async { Ok::<i64, pinyon::Error>(1) }));
    is_send(cache.touch("key", Timeout::Default));
    is_send(cache.delete("key"));
    is_send(cache.has_key("key"));
    is_send(cache.incr("key", 1));
    is_send(cache.decr("key", 1));
    is_send(cache.get_many::<Book>(&["key"]));
    is_send(cache.set_many([("key", walden())], Timeout::Default));
    is_send(cache.delete_many(&["key"]));
    is_send(cache.incr_version("key", 1));
    is_send(cache.clear());
    is_send(cache.ttl("key"));
    is_send(cache.show("key"));
    is_send(cache.check());
}
