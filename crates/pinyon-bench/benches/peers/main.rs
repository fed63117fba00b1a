//! Pinyon beside its peers, by criterion, for people: `make bench-rust`, or
//! `cargo bench -p pinyon-bench --features peers -- redis` for some of it.
//!
//! A workload is a group of criterion and a peer a function in it. Where one iteration is one operation, the time of it is the
//! figure; where it is one operation of each of several threads or tasks, the throughput is. Servers are started here, on free
//! loopback ports.
#![forbid(unsafe_code)]

mod memcached;
mod memory;
mod pickle;
mod redis_server;
#[path = "../../../pinyon/tests/servers/mod.rs"]
mod servers;

use criterion::Criterion;
use pinyon::{Cache, Caches};
use std::time::Duration;

fn main() {
    // Less than a minute in all: `make bench-rust` takes several rounds. `--sample-size` and `--measurement-time` after `--` change it.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    memory::bench(&mut criterion);
    redis_server::bench(&mut criterion);
    memcached::bench(&mut criterion);
    pickle::bench(&mut criterion);
    criterion.final_summary();
}

/// A cache as a program gets it.
fn cache(url: &str) -> Cache {
    let caches = Caches::from_url(url).expect("settings");
    caches.get("default").expect("a cache").clone()
}
