//! Counts the instructions of the hot paths, and compares them with `baseline.json`.
//!
//! ```text
//! instructions check         counts and compares; fails if a workload takes 3 % more than its baseline
//! instructions renew         counts and writes the baseline
//! instructions run WORKLOAD  what is counted
//! ```
//!
//! Each workload runs in a process of its own under `valgrind --tool=callgrind`, which counts what happens in one function of
//! ours (`--toggle-collect`) and says the sum when it ends. The crate gungraun does the same by way of a second program that has
//! to be compiled, in exactly its version, before the first count: minutes of every CI run, for its reports of caches and
//! branches, which are not looked at here. What is left of it is this file.

use pinyon_bench::baseline::{Baseline, Tools, Verdict, change};
use pinyon_bench::workloads::{ALL, MEASURED, Workload};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::{env, fs, io, thread};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["check"] => check(),
        ["renew"] => renew(),
        ["run", name] => run(name).map(|()| true),
        _ => Err("usage: instructions check | renew | run WORKLOAD".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(name: &str) -> Result<()> {
    let workload = ALL.iter().find(|workload| workload.name == name);
    workload.ok_or_else(|| format!("there is no workload '{name}'"))?.run();
    Ok(())
}

fn renew() -> Result<bool> {
    let baseline = Baseline { made_with: tools()?, instructions: count_all()? };
    fs::write(BASELINE, serde_json::to_string_pretty(&baseline)? + "\n")?;
    for workload in ALL {
        println!("{:<36}{:>8}", workload.name, baseline.instructions[workload.name]);
    }
    println!("Written to {BASELINE}");
    Ok(true)
}

/// False if a count fails.
fn check() -> Result<bool> {
    let text = fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let baseline: Baseline = serde_json::from_str(&text)?;
    let tools = tools()?;
    let is_comparable = tools == baseline.made_with;
    let counts = count_all()?;

    println!("{:<36}{:>8}{:>8}{:>8}", "instructions of one operation", "stored", "now", "change");
    let mut passes = true;
    // In the order of the workloads, and then what the baseline alone has.
    let gone = baseline.instructions.keys().map(String::as_str).filter(|name| !counts.contains_key(*name));
    for name in ALL.iter().map(|workload| workload.name).chain(gone.collect::<BTreeSet<_>>()) {
        let (stored, counted) = (baseline.instructions.get(name).copied(), counts.get(name).copied());
        let verdict = Verdict::of(stored, counted);
        passes &= !verdict.fails();
        let shown = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let change = stored
            .zip(counted)
            .map_or_else(String::new, |(stored, counted)| format!("{:+.1} %", 100.0 * change(stored, counted)));
        println!("{}", format!("{name:<36}{:>8}{:>8}{change:>8}  {verdict}", shown(stored), shown(counted)).trim_end());
    }
    if !is_comparable {
        println!("Not judged: the baseline was made with {}; this is {tools}.", baseline.made_with);
        return Ok(true);
    }
    if !passes {
        println!("If this is meant, renew the baseline: make bench-instructions-renew. CONTRIBUTING.md says when.");
    }
    Ok(passes)
}

/// The instructions of one operation of every workload, by name. As many are counted at a time as there are processors.
fn count_all() -> Result<BTreeMap<String, u64>> {
    let waiting = Mutex::new(ALL.iter());
    let take = || waiting.lock().ok()?.next();
    let count = || -> Result<Vec<(String, u64)>> {
        let mut counts = Vec::new();
        while let Some(workload) = take() {
            counts.push((workload.name.to_owned(), count_one(workload)?));
        }
        Ok(counts)
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let counters: Vec<_> = (0..processors).map(|_| scope.spawn(count)).collect();
        let mut counts = BTreeMap::new();
        for counter in counters {
            counts.extend(counter.join().map_err(|_| "a count panicked")??);
        }
        Ok(counts)
    })
}

fn count_one(workload: &Workload) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(env::current_exe()?)
        .args(["run", workload.name])
        // The environment lies on the stack, and its size moves what lies behind it.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "valgrind is not installed (make servers installs it)".to_owned(),
            _ => format!("valgrind cannot be started: {error}"),
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    // `==123== Collected : 456`
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(instructions) if output.status.success() && instructions > 0 => {
            let rounds = u64::from(workload.rounds);
            Ok((instructions + rounds / 2) / rounds)
        }
        _ => Err(format!("'{}' was not counted. valgrind said:\n{said}", workload.name).into()),
    }
}

fn tools() -> Result<Tools> {
    let rustc = output_of("rustc", &["-vV"])?;
    let field = |name: &str| {
        let value = rustc.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned).ok_or_else(|| format!("rustc -vV does not say '{name}'"))
    };
    let libc =
        output_of("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(|_| "another C library than glibc".to_owned());
    Ok(Tools { rustc: field("release")?, target: field("host")?, libc: libc.trim().to_owned() })
}

fn output_of(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
