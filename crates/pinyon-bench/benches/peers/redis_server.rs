//! Redis, as a program uses it: 100 bytes of text under one key, and under 100. Pinyon makes keys and pickles; redis-rs does not.

use crate::{cache, servers};
use criterion::{Criterion, Throughput};
use pinyon::Timeout;
use pinyon_bench::sample;
use pinyon_bench::tasks::{self, Tasks};
use redis::Commands;
use std::collections::HashMap;

/// The same for redis-rs.
const SECONDS: u64 = 300;
const TIMEOUT: Timeout = Timeout::secs(300);

pub(crate) fn bench(criterion: &mut Criterion) {
    let server = servers::redis().start();
    let url = format!("redis://127.0.0.1:{}/0", server.port());
    blocking(criterion, &url);
    tasks(criterion, &url);
}

fn blocking(criterion: &mut Criterion, url: &str) {
    let cache = cache(url);
    let pinyon = cache.blocking();
    let mut peer = redis::Client::open(url).expect("a URL").get_connection().expect("a connection");
    let (keys, value) = (sample::keys(100), sample::value());
    let (borrowed, key) = (sample::borrowed(&keys), keys[0].as_str());
    for key in &keys {
        pinyon.set(key, &value, TIMEOUT).expect("a set");
        peer.set_ex::<_, _, ()>(key, &value, SECONDS).expect("a set");
    }

    let mut group = criterion.benchmark_group("redis get, blocking");
    group
        .bench_function("pinyon", |bencher| bencher.iter(|| pinyon.get::<String>(key).expect("a get").expect("a hit")));
    group.bench_function("redis-rs", |bencher| bencher.iter(|| peer.get::<_, String>(key).expect("a hit")));
    group.finish();

    let mut group = criterion.benchmark_group("redis set, blocking");
    group.bench_function("pinyon", |bencher| bencher.iter(|| pinyon.set(key, &value, TIMEOUT).expect("a set")));
    group.bench_function("redis-rs", |bencher| {
        bencher.iter(|| peer.set_ex::<_, _, ()>(key, &value, SECONDS).expect("a set"));
    });
    group.finish();

    let mut group = criterion.benchmark_group("redis get_many of 100, blocking");
    group.bench_function("pinyon", |bencher| {
        bencher.iter(|| {
            let found: HashMap<String, String> = pinyon.get_many(&borrowed).expect("a get_many");
            assert_eq!(found.len(), borrowed.len());
            found
        });
    });
    group.bench_function("redis-rs", |bencher| {
        bencher.iter(|| {
            let values: Vec<String> = peer.mget(&borrowed).expect("an MGET");
            let found: HashMap<String, String> = borrowed.iter().map(|key| (*key).to_owned()).zip(values).collect();
            assert_eq!(found.len(), borrowed.len());
            found
        });
    });
}

/// See `pinyon_bench::tasks`.
fn tasks(criterion: &mut Criterion, url: &str) {
    let tasks = Tasks::new(cache(url), url);
    let mut group = criterion.benchmark_group(tasks::NAME);
    group.throughput(Throughput::Elements(tasks::TASKS as u64));
    let count = |iterations| usize::try_from(iterations).expect("a number of iterations");
    group.bench_function("pinyon", |bencher| bencher.iter_custom(|iterations| tasks.pinyon(count(iterations))));
    group.bench_function("redis-rs", |bencher| bencher.iter_custom(|iterations| tasks.redis_rs(count(iterations))));
}
