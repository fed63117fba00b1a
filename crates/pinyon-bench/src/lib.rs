//! What the benchmarks of Pinyon share.
//!
//! - The benchmark `peers` is for people: criterion measures Pinyon and its peers in several rounds, and `collect` writes the
//!   medians to `bench/results/rust.json` (`make bench-rust`).
//! - The benchmark `beside` lets Pinyon and its peers take short turns, one after the other, in many rounds, and writes what each
//!   got in each round to `bench/results/rust-beside.json` (`make bench-rust`): what a noisy machine does meanwhile, it does to all.
//! - The program `instructions` counts the instructions of the [`workloads`] and compares them with the stored [`baseline`]: a
//!   slow-down shows on a noisy machine too (`make bench-instructions`, part of `make test`).
//! - The program `hits` compares shares of requests that are answered, on [`traces`], and writes them to
//!   `bench/results/rust-hits.json` (`make bench-rust`). These are the same on every machine.
#![forbid(unsafe_code)]

pub mod baseline;
pub mod canned;
pub mod hit_ratio;
#[cfg(feature = "peers")]
pub mod memory_peers;
pub mod sample;
#[cfg(feature = "peers")]
pub mod tasks;
pub mod traces;
pub mod workloads;
