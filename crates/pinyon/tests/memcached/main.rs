//! Memcached as a cache, shown with real servers that the tests start.

mod contract;
mod faults;
#[path = "../servers/mod.rs"]
mod servers;
mod several;
mod sizes;
