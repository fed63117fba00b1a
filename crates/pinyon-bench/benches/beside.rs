//! Pinyon and its peers in turns of some milliseconds, one after the other, another one first in each round:
//!
//! ```text
//! cargo bench -p pinyon-bench --features peers --bench beside -- bench/results/rust-beside.json
//! cargo bench -p pinyon-bench --features peers --bench beside -- --only "memory get, 1 thread" pinyon 5
//! ```
//!
//! The file is a list with a row a workload: `unit` is `ns` (of one operation) or `ops/s` (of all threads or tasks together),
//! `rounds` has the figure of every round by peer. With `--only`, a peer alone does one workload for so many seconds, for whoever
//! looks at it with a profiler.
#![forbid(unsafe_code)]

#[path = "../../pinyon/tests/servers/mod.rs"]
mod servers;

use pinyon::Caches;
use pinyon_bench::memory_peers::{Moka, Peer, Pinyon, QuickCache, Work, Workload};
use pinyon_bench::tasks::{self, Tasks};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

const ROUNDS: usize = 61;
const TURN: Duration = Duration::from_millis(5);
/// Of tasks, which begin and end together.
const LONG_TURN: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct Row {
    workload: String,
    unit: &'static str,
    rounds: BTreeMap<&'static str, Vec<f64>>,
}

/// Does so many operations of each thread or task, and says how long that took.
type Turn<'a> = Box<dyn FnMut(usize) -> Duration + 'a>;

struct Section<'a> {
    workload: String,
    /// Threads or tasks, of which one alone is told as time and several as throughput.
    workers: usize,
    turn: Duration,
    peers: Vec<(&'static str, Turn<'a>)>,
}

fn memory<'a, P: Peer + 'a>(workload: Workload, threads: usize) -> (&'static str, Turn<'a>) {
    let work = Work::<P>::new(workload, threads);
    let mut first = 0;
    let turn = move |count| {
        let elapsed = work.turn(first, count);
        first += count;
        elapsed
    };
    (P::NAME, Box::new(turn))
}

fn in_memory(workload: Workload, threads: usize) -> Section<'static> {
    Section {
        workload: workload.name(threads),
        workers: threads,
        turn: TURN,
        peers: vec![
            memory::<Pinyon<false>>(workload, threads),
            memory::<Pinyon<true>>(workload, threads),
            memory::<QuickCache>(workload, threads),
            memory::<Moka>(workload, threads),
        ],
    }
}

fn in_tasks(tasks: &Tasks) -> Section<'_> {
    Section {
        workload: tasks::NAME.to_owned(),
        workers: tasks::TASKS,
        turn: LONG_TURN,
        peers: vec![
            ("pinyon", Box::new(|count| tasks.pinyon(count))),
            ("redis-rs", Box::new(|count| tasks.redis_rs(count))),
        ],
    }
}

impl Section<'_> {
    /// The count that takes about as long as a turn. Warms up, too.
    fn fitting(turn: &mut Turn<'_>, wanted: Duration) -> usize {
        let mut count = 16;
        loop {
            // The shortest of three: one of them may have had to make room for much, or to wait for the machine.
            let elapsed = (0..3).map(|_| turn(count)).min().unwrap_or(wanted).max(Duration::from_nanos(1));
            if elapsed > wanted / 2 {
                let share = wanted.as_secs_f64() / elapsed.as_secs_f64();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                return ((count as f64 * share) as usize).max(1);
            }
            count *= 2;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of operations")]
    fn measure(mut self, rounds: usize) -> Row {
        let wanted = self.turn;
        let counts: Vec<usize> = self.peers.iter_mut().map(|(_, turn)| Self::fitting(turn, wanted)).collect();
        let mut figures: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let several = self.peers.len();
        for round in 0..rounds {
            for place in 0..several {
                let number = (round + place) % several;
                let (name, turn) = &mut self.peers[number];
                let nanoseconds = turn(counts[number]).as_nanos() as f64 / counts[number] as f64;
                let figure = if self.workers == 1 { nanoseconds } else { self.workers as f64 * 1e9 / nanoseconds };
                figures.entry(*name).or_default().push((figure * 10.0).round() / 10.0);
            }
        }
        Row { workload: self.workload, unit: if self.workers == 1 { "ns" } else { "ops/s" }, rounds: figures }
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let server = servers::redis().start();
    let url = format!("redis://127.0.0.1:{}/0", server.port());
    let cache = Caches::from_url(&url).expect("settings").get("default").expect("a cache").clone();
    let tasks = Tasks::new(cache, &url);
    let sections = Workload::ALL.into_iter().flat_map(|workload| [1, 2].map(|threads| (workload, threads)));
    let sections = sections.map(|(workload, threads)| in_memory(workload, threads)).chain([in_tasks(&tasks)]);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--only", workload, peer, seconds] => {
            let section = sections.into_iter().find(|section| section.workload == workload).expect("a workload");
            let mut found = section.peers.into_iter().filter(|(name, _)| *name == peer);
            let (_, mut turn) = found.next().expect("a peer of it");
            let end = Instant::now() + Duration::from_secs_f64(seconds.parse().expect("seconds"));
            let count = Section::fitting(&mut turn, LONG_TURN);
            while Instant::now() < end {
                turn(count);
            }
        }
        [results, ref wanted @ ..] => {
            let is_wanted = |section: &Section<'_>| wanted.is_empty() || wanted.contains(&section.workload.as_str());
            let rows: Vec<Row> = sections.filter(is_wanted).map(|section| section.measure(ROUNDS)).collect();
            for row in &rows {
                for (peer, rounds) in &row.rounds {
                    println!("{}: {peer}: {:.4e} {}", row.workload, median(rounds), row.unit);
                }
            }
            fs::write(results, serde_json::to_string(&rows).expect("JSON") + "\n").expect("a file that can be written");
        }
        _ => {
            eprintln!("usage: beside RESULTS [WORKLOAD...] | --only WORKLOAD PEER SECONDS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
