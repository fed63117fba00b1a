//! Process memory: see `pinyon_bench::memory_peers`.

use criterion::{Criterion, Throughput};
use pinyon_bench::memory_peers::{Moka, Peer, Pinyon, QuickCache, Work, Workload};

/// Measures a store with one thread and with two.
fn measure<P: Peer>(criterion: &mut Criterion, workload: Workload, threads: usize) {
    let work = Work::<P>::new(workload, threads);
    let mut group = criterion.benchmark_group(workload.name(threads));
    if threads == 1 {
        let mut number = 0;
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                work.operate(0, number);
                number += 1;
            });
        });
        return;
    }
    group.throughput(Throughput::Elements(threads as u64));
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|iterations| work.turn(0, usize::try_from(iterations).expect("a number of iterations")));
    });
}

/// Every workload with one and with two threads.
pub(crate) fn bench(criterion: &mut Criterion) {
    for workload in Workload::ALL {
        for threads in [1, 2] {
            measure::<Pinyon<false>>(criterion, workload, threads);
            measure::<Pinyon<true>>(criterion, workload, threads);
            measure::<QuickCache>(criterion, workload, threads);
            measure::<Moka>(criterion, workload, threads);
        }
    }
}
