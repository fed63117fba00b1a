//! Redis as a cache, shown with real servers that the tests start.

mod breaker;
mod cluster;
mod cluster_changes;
mod contract;
mod faults;
mod incr;
mod logins;
#[cfg(feature = "tokio")]
#[path = "../servers/over_tokio.rs"]
mod over_tokio;
mod replicas;
mod ring;
mod sentinel;
#[path = "../servers/mod.rs"]
mod servers;
mod sizes;
mod typed;
