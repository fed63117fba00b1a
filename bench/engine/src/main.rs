//! The memory engine beside quick_cache, moka and textbook policies.
//!
//!     cargo run --release -p pinyon-bench-engine -- hits
//!     cargo run --release -p pinyon-bench-engine -- speed
//!
//! `hits` is the same in every run but for the random seeds of the hash tables. `speed` takes its turns one after the other, round by
//! round, and shows the fastest round and the middle one: other load on the machine makes them differ.

mod caches;
mod speed;
mod traces;

use caches::{By, Cache, Pinyon, Ranked, best_possible, hit_ratio};
use clap::{Parser, Subcommand};
use pinyon::memory::Policy;
use traces::ROOM;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Shares of requests that are answered, with room for 1,000 entries.
    Hits {
        /// Requests a trace.
        #[arg(long, default_value_t = 1_000_000)]
        length: u64,
    },
    /// Nanoseconds an operation: nine in ten get, one in ten set.
    Speed {
        #[arg(long, default_value_t = 15)]
        rounds: usize,
    },
}

fn main() {
    match Arguments::parse().what {
        What::Hits { length } => hits(length),
        What::Speed { rounds } => speed::compare(rounds),
    }
}

type Make = fn() -> Box<dyn Cache>;

const RIVALS: [(&str, Make); 6] = [
    ("lru", || Box::new(Pinyon::new(Policy::Lru, ROOM))),
    ("tinylfu", || Box::new(Pinyon::new(Policy::TinyLfu, ROOM))),
    ("exact LRU", || Box::new(Ranked::new(By::LastUse, ROOM))),
    ("LFU", || Box::new(Ranked::new(By::Uses, ROOM))),
    ("quick_cache", || Box::new(quick_cache::sync::Cache::new(ROOM))),
    ("moka", || Box::new(moka::sync::Cache::new(ROOM as u64))),
];

fn hits(length: u64) {
    print!("{:<24}", "");
    for (name, _) in RIVALS {
        print!("{name:>12}");
    }
    println!("{:>12}", "optimum");
    for (name, trace) in traces::all(length) {
        print!("{name:<24}");
        for (_, make) in RIVALS {
            print!("{:>12.3}", hit_ratio(&trace, &mut *make()));
        }
        println!("{:>12.3}", best_possible(&trace, ROOM));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(trace: &str) -> [f64; 3] {
        let trace = &traces::all(300_000)[trace];
        let of = |policy| hit_ratio(trace, &mut Pinyon::new(policy, ROOM));
        [of(Policy::Lru), of(Policy::TinyLfu), best_possible(trace, ROOM)]
    }

    #[test]
    fn tinylfu_comes_close_to_the_best_static_choice() {
        let [lru, tiny_lfu, best] = ratios("Zipf(1.0)");
        // The thousand most popular keys are asked for in 0.765 of all requests.
        assert!(tiny_lfu > 0.728 && tiny_lfu < best && lru < 0.67, "{lru} {tiny_lfu} {best}");
    }

    #[test]
    fn a_scan_takes_little_from_tinylfu() {
        let [lru, tiny_lfu, _] = ratios("Zipf, with scans");
        // Of the four requests in five that are no scan.
        assert!(tiny_lfu / 0.8 > 0.72 && lru / 0.8 < 0.65, "{lru} {tiny_lfu}");
    }

    #[test]
    fn tinylfu_follows_what_is_popular_and_keeps_a_part_of_a_loop() {
        let [lru, tiny_lfu, _] = ratios("Zipf, shifting");
        assert!(tiny_lfu > lru, "{lru} {tiny_lfu}");
        let [lru, tiny_lfu, best] = ratios("a loop over 1,500 keys");
        assert!(lru < 0.01 && tiny_lfu > 0.5 * best, "{lru} {tiny_lfu} {best}");
    }
}
