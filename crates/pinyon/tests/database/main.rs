//! A database server as a cache, shown with real servers that the tests start.
#![cfg(any(feature = "postgres", feature = "mysql"))]

mod contract;
#[cfg(feature = "mysql")]
mod mariadb;
#[cfg(feature = "postgres")]
mod postgres;
#[path = "../servers/mod.rs"]
mod servers;
