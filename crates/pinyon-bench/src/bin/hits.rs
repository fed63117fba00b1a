//! Shares of requests that are answered with room for 1,000 entries, as a table, and as JSON where a file is named:
//!
//! ```text
//! hits [bench/results/rust-hits.json]
//! ```
//!
//! The file is a list with a row a trace: `trace`, and `ratios`, by peer, from 0 to 1.

use pinyon::memory::Policy;
use pinyon_bench::hit_ratio::{By, Cache, Pinyon, Ranked, best_possible, hit_ratio};
use pinyon_bench::traces::{self, ROOM};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::{env, fs};

/// Requests a trace.
const LENGTH: u64 = 1_000_000;

type Make = fn() -> Box<dyn Cache>;

const PEERS: [(&str, Make); 6] = [
    ("lru", || Box::new(Pinyon::new(Policy::Lru, ROOM))),
    ("tinylfu", || Box::new(Pinyon::new(Policy::TinyLfu, ROOM))),
    ("exact LRU", || Box::new(Ranked::new(By::LastUse, ROOM))),
    ("LFU", || Box::new(Ranked::new(By::Uses, ROOM))),
    ("quick_cache", || Box::new(quick_cache::sync::Cache::new(ROOM))),
    ("moka", || Box::new(moka::sync::Cache::new(ROOM as u64))),
];
/// The best that a cache can do that knows the future.
const OPTIMUM: &str = "optimum";

fn main() -> ExitCode {
    let rows: Vec<(&str, Vec<(&str, f64)>)> =
        traces::all(LENGTH).into_iter().map(|(name, trace)| (name, ratios(&trace))).collect();
    print!("{:<24}", "");
    for name in PEERS.map(|(name, _)| name).into_iter().chain([OPTIMUM]) {
        print!("{name:>12}");
    }
    for (name, ratios) in &rows {
        print!("\n{name:<24}");
        for (_, ratio) in ratios {
            print!("{ratio:>12.3}");
        }
    }
    println!();
    let Some(path) = env::args_os().nth(1) else { return ExitCode::SUCCESS };
    let rows: Vec<Value> = rows.into_iter().map(|(trace, ratios)| row(trace, ratios)).collect();
    match fs::write(&path, format!("{:#}\n", Value::from(rows))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hits: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn ratios(trace: &[u64]) -> Vec<(&'static str, f64)> {
    let mut found: Vec<_> = PEERS.iter().map(|(name, make)| (*name, hit_ratio(trace, &mut *make()))).collect();
    found.push((OPTIMUM, best_possible(trace, ROOM)));
    found
}

fn row(trace: &str, ratios: Vec<(&str, f64)>) -> Value {
    let rounded = |ratio: f64| (ratio * 1000.0).round() / 1000.0;
    let ratios: Map<String, Value> =
        ratios.into_iter().map(|(name, ratio)| (name.to_owned(), json!(rounded(ratio)))).collect();
    json!({"trace": trace, "ratios": ratios})
}
