//! Memcached, as a program uses it: 100 bytes of text under one key. The peer is the crate `memcache`, by its text protocol.

use crate::{cache, servers};
use criterion::Criterion;
use pinyon::Timeout;
use pinyon_bench::sample;

const TIMEOUT: Timeout = Timeout::secs(300);
/// The same for the peer.
const SECONDS: u32 = 300;

pub(crate) fn bench(criterion: &mut Criterion) {
    let server = servers::memcached().start();
    let address = format!("127.0.0.1:{}", server.port());
    let cache = cache(&format!("memcached://{address}"));
    let pinyon = cache.blocking();
    let peer = memcache::connect(format!("memcache://{address}?protocol=ascii")).expect("a connection");
    let (key, value) = ("page:0", sample::value());
    pinyon.set(key, &value, TIMEOUT).expect("a set");
    peer.set(key, &value, SECONDS).expect("a set");

    let mut group = criterion.benchmark_group("memcached get, blocking");
    group
        .bench_function("pinyon", |bencher| bencher.iter(|| pinyon.get::<String>(key).expect("a get").expect("a hit")));
    group
        .bench_function("memcache", |bencher| bencher.iter(|| peer.get::<String>(key).expect("a get").expect("a hit")));
    group.finish();

    let mut group = criterion.benchmark_group("memcached set, blocking");
    group.bench_function("pinyon", |bencher| bencher.iter(|| pinyon.set(key, &value, TIMEOUT).expect("a set")));
    group.bench_function("memcache", |bencher| bencher.iter(|| peer.set(key, &value, SECONDS).expect("a set")));
}
