//! Pickles of a small struct. Each peer reads what it wrote itself: Pinyon what CPython would write, in which equal names are
//! shared; serde-pickle an older protocol without that.

use criterion::Criterion;
use pinyon::value::pickle;
use pinyon_bench::sample::Product;
use serde_pickle::{DeOptions, SerOptions};

pub(crate) fn bench(criterion: &mut Criterion) {
    let product = Product::example();
    let write = || pickle::to_vec(&product).expect("a pickle");
    let write_by_peer = || serde_pickle::to_vec(&product, SerOptions::new()).expect("a pickle");

    let mut group = criterion.benchmark_group("pickle write");
    group.bench_function("pinyon", |bencher| bencher.iter(write));
    group.bench_function("serde-pickle", |bencher| bencher.iter(write_by_peer));
    group.finish();

    let (ours, theirs) = (write(), write_by_peer());
    let read = || pickle::from_slice::<Product>(&ours).expect("a product");
    let read_by_peer = || serde_pickle::from_slice::<Product>(&theirs, DeOptions::new()).expect("a product");
    assert_eq!(read(), read_by_peer());

    let mut group = criterion.benchmark_group("pickle read");
    group.bench_function("pinyon", |bencher| bencher.iter(read));
    group.bench_function("serde-pickle", |bencher| bencher.iter(read_by_peer));
}
