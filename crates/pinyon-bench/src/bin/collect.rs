//! Collects what the benchmark `peers` measured in some rounds, each with a CRITERION_HOME of its own:
//!
//! ```text
//! collect bench/results/rust.json ROUND…
//! ```
//!
//! The file is a list with a row a workload and peer: `unit` is `ns` (of one operation) or `ops/s` (of all threads or tasks
//! together); `median` is the median of the rounds' medians, `spread` the distance from their lowest to their highest.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    workload: String,
    peer: String,
    unit: &'static str,
    median: f64,
    spread: f64,
}

/// The figures of all rounds, by workload, peer and unit.
type Figures = BTreeMap<(String, String, &'static str), Vec<f64>>;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [results, rounds @ ..] = &arguments[..] else {
        eprintln!("usage: collect bench/results/rust.json ROUND…");
        return ExitCode::from(2);
    };
    match collect(results, rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("collect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn collect(results: &Path, rounds: &[PathBuf]) -> Result<()> {
    let mut figures = Figures::new();
    for round in rounds {
        for group in directories(round)? {
            for function in directories(&group)? {
                read(&function.join("new"), &mut figures)?;
            }
        }
    }
    if figures.is_empty() {
        return Err("nothing was measured".into());
    }
    let rows: Vec<Row> = figures.into_iter().map(row).collect();
    fs::write(results, serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

fn directories(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

fn read(measurement: &Path, figures: &mut Figures) -> Result<()> {
    let text = |file: &str| {
        let path = measurement.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let benchmark: Benchmark = serde_json::from_str(&text("benchmark.json")?)?;
    let estimates: Estimates = serde_json::from_str(&text("estimates.json")?)?;
    let nanoseconds = estimates.median.point_estimate;
    let (unit, figure) = match benchmark.throughput {
        None => ("ns", nanoseconds),
        Some(Throughput { elements }) => ("ops/s", elements * 1e9 / nanoseconds),
    };
    figures.entry((benchmark.group_id, benchmark.function_id, unit)).or_default().push(figure);
    Ok(())
}

fn row(((workload, peer, unit), mut figures): ((String, String, &'static str), Vec<f64>)) -> Row {
    figures.sort_by(f64::total_cmp);
    let (lowest, highest) = (figures[0], figures[figures.len() - 1]);
    let median = f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
    let rounded = |figure: f64| (figure * 10.0).round() / 10.0;
    Row { workload, peer, unit, median: rounded(median), spread: rounded(highest - lowest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(round: &Path, peer: &str, throughput: &str, nanoseconds: f64) {
        let directory = round.join("get").join(peer).join("new");
        fs::create_dir_all(&directory).unwrap();
        let benchmark = format!(r#"{{"group_id": "get", "function_id": "{peer}", "throughput": {throughput}}}"#);
        fs::write(directory.join("benchmark.json"), benchmark).unwrap();
        let estimates = format!(r#"{{"median": {{"point_estimate": {nanoseconds}}}}}"#);
        fs::write(directory.join("estimates.json"), estimates).unwrap();
    }

    #[test]
    fn a_figure_is_the_median_of_the_rounds_as_time_or_as_throughput() {
        let directory = tempfile::tempdir().unwrap();
        let rounds: Vec<PathBuf> = (1..=3).map(|round| directory.path().join(round.to_string())).collect();
        for (round, nanoseconds) in rounds.iter().zip([100.0, 400.0, 200.0]) {
            measured(round, "alone", "null", nanoseconds);
            measured(round, "many", r#"{"Elements": 2}"#, nanoseconds);
        }
        let results = directory.path().join("rust.json");
        collect(&results, &rounds).unwrap();
        let rows: serde_json::Value = serde_json::from_str(&fs::read_to_string(results).unwrap()).unwrap();
        let expected = serde_json::json!([
            {"workload": "get", "peer": "alone", "unit": "ns", "median": 200.0, "spread": 300.0},
            {"workload": "get", "peer": "many", "unit": "ops/s", "median": 1e7, "spread": 1.5e7},
        ]);
        assert_eq!(rows, expected);
    }
}
