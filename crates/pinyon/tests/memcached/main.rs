//! Memcached as a cache, shown with real servers that the tests start.

mod contract;
mod faults;
#[cfg(feature = "tokio")]
#[path = "../servers/over_tokio.rs"]
mod over_tokio;
#[path = "../servers/mod.rs"]
mod servers;
mod several;
mod sizes;
