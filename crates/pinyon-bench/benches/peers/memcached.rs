//! Memcached, as a program uses it: 100 bytes of text under a key. The peer is the crate `memcache`: its client, by the text
//! protocol, whose pool asks the server for its version before each operation, and its experimental one, by the meta protocol.

use crate::{cache, servers};
use criterion::Criterion;
use memcache::exp::{Memcache, Ttl};
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
    let experimental = Memcache::connect([&address]).expect("an address");
    let (ttl, value) = (Ttl::secs(SECONDS), sample::value());
    // Each has a key of its own: they tell text by other flags.
    let [ours, theirs, meta] = ["page:1", "page:2", "page:3"];

    let mut group = criterion.benchmark_group("memcached set, blocking");
    group.bench_function("pinyon", |bencher| bencher.iter(|| pinyon.set(ours, &value, TIMEOUT).expect("a set")));
    group.bench_function("memcache", |bencher| bencher.iter(|| peer.set(theirs, &value, SECONDS).expect("a set")));
    group.bench_function("memcache::exp", |bencher| {
        bencher.iter(|| experimental.set(meta, &value, ttl).expect("a set"));
    });
    group.finish();

    // Whatever has been chosen from the command line, there is something to get.
    pinyon.set(ours, &value, TIMEOUT).expect("a set");
    peer.set(theirs, &value, SECONDS).expect("a set");
    experimental.set(meta, &value, ttl).expect("a set");
    let mut group = criterion.benchmark_group("memcached get, blocking");
    group.bench_function("pinyon", |bencher| {
        bencher.iter(|| pinyon.get::<String>(ours).expect("a get").expect("a hit"));
    });
    group.bench_function("memcache", |bencher| {
        bencher.iter(|| peer.get::<String>(theirs).expect("a get").expect("a hit"));
    });
    group.bench_function("memcache::exp", |bencher| {
        bencher.iter(|| experimental.get::<String>(meta).expect("a get").expect("a hit"));
    });
}
