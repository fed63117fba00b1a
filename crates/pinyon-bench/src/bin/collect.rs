//! Collects the medians of a run of the benchmark `peers`:
//!
//! ```text
//! collect target/criterion bench/results/rust.json
//! ```
//!
//! The file is a list with a row a workload and peer: `unit` is `ns` (of one operation) or `ops/s` (of all threads or tasks together),
//! `spread` the median absolute deviation, in that unit.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// criterion's `benchmark.json`, as far as it matters.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: f64,
}

/// criterion's `estimates.json`, in nanoseconds of one iteration.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
    median_abs_dev: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

#[derive(Serialize)]
struct Row {
    workload: String,
    peer: String,
    unit: &'static str,
    median: f64,
    spread: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [measured, results] = &arguments[..] else {
        eprintln!("usage: collect target/criterion bench/results/rust.json");
        return ExitCode::from(2);
    };
    match collect(measured, results) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("collect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn collect(measured: &Path, results: &Path) -> Result<()> {
    let mut rows = Vec::new();
    for group in directories(measured)? {
        for function in directories(&group)? {
            rows.push(row(&function.join("new"))?);
        }
    }
    if rows.is_empty() {
        return Err(format!("{} has no measurements", measured.display()).into());
    }
    rows.sort_by(|one, other| (&one.workload, &one.peer).cmp(&(&other.workload, &other.peer)));
    fs::write(results, serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

fn directories(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

fn row(measurement: &Path) -> Result<Row> {
    let read = |file: &str| {
        let path = measurement.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let benchmark: Benchmark = serde_json::from_str(&read("benchmark.json")?)?;
    let estimates: Estimates = serde_json::from_str(&read("estimates.json")?)?;
    let (median, spread) = (estimates.median.point_estimate, estimates.median_abs_dev.point_estimate);
    let (unit, median, spread) = match benchmark.throughput {
        None => ("ns", median, spread),
        Some(Throughput { elements }) => {
            let throughput = elements * 1e9 / median;
            ("ops/s", throughput, throughput * spread / median)
        }
    };
    let rounded = |figure: f64| (figure * 10.0).round() / 10.0;
    let (median, spread) = (rounded(median), rounded(spread));
    Ok(Row { workload: benchmark.group_id, peer: benchmark.function_id, unit, median, spread })
}
