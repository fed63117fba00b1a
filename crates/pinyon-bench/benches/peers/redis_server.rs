//! Redis, as a program uses it: 100 bytes of text under one key, and under 100. Pinyon makes keys and pickles; redis-rs does not.

use crate::{cache, servers};
use criterion::{Criterion, Throughput};
use pinyon::Timeout;
use pinyon_bench::sample;
use redis::{AsyncCommands, Commands};
use std::collections::HashMap;
use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const TASKS: usize = 64;
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

/// 64 tasks on a runtime with two threads, each waiting for its answer before it asks again.
fn tasks(criterion: &mut Criterion, url: &str) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let cache = cache(url);
    let client = redis::Client::open(url).expect("a URL");
    let peer = runtime.block_on(client.get_multiplexed_async_connection()).expect("a connection");

    let mut group = criterion.benchmark_group("redis get, 64 tasks on tokio");
    group.throughput(Throughput::Elements(TASKS as u64));
    group.bench_function("pinyon", |bencher| {
        bencher.iter_custom(|iterations| {
            in_tasks(&runtime, || {
                let cache = cache.clone();
                async move {
                    for _ in 0..iterations {
                        black_box(cache.get::<String>("page:0").await.expect("a get").expect("a hit"));
                    }
                }
            })
        });
    });
    group.bench_function("redis-rs", |bencher| {
        bencher.iter_custom(|iterations| {
            in_tasks(&runtime, || {
                let mut connection = peer.clone();
                async move {
                    for _ in 0..iterations {
                        black_box(connection.get::<_, String>("page:0").await.expect("a hit"));
                    }
                }
            })
        });
    });
}

/// How long 64 tasks take.
fn in_tasks<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, task: impl Fn() -> F) -> Duration {
    runtime.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
        for task in tasks {
            task.await.expect("a task");
        }
        start.elapsed()
    })
}
