//! Redis as a cache, shown with real servers that the tests start.

mod contract;
mod faults;
mod incr;
mod logins;
mod replicas;
#[path = "../servers/mod.rs"]
mod servers;
mod sizes;
