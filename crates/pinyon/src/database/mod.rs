//! A table of an SQL database, in the format of Django's `DatabaseCache`: both faces read and write the same rows.
//!
//! SQLite is compiled in (feature `sqlite`, on by default) and needs neither a server nor a runtime. PostgreSQL
//! (feature `postgres`) and MySQL and MariaDB (feature `mysql`) are off by default; their driver is asynchronous, so every
//! connection has a small runtime on the thread that uses it, and no thread of its own.
//!
//! # Format
//! The table is the one that Django's `createcachetable` makes: `cache_key varchar(255)` (primary key), `value` (standard
//! base64 with padding of the serialized value: a pickle unless the settings say otherwise) and `expires`, with an index.
//! Source: Django 6.1, `core/cache/backends/db.py` and `core/management/commands/createcachetable.py`.
//!
//! `expires` is in whole seconds; the fraction is dropped, so that an entry may expire up to a second early, as in Django. An
//! entry that never expires says 9999-12-31 23:59:59. PostgreSQL keeps a moment. SQLite and MySQL keep a date and time without
//! a zone, which Django writes in UTC if `USE_TZ` is on (Django's default) and in local time if not: **what is here is
//! UTC**. A site with `USE_TZ = False`, or a TIME_ZONE in its DATABASES, and another zone than UTC shares its table with Rust on
//! PostgreSQL only.
//!
//! Keys have up to 255 characters and no zero character on PostgreSQL and MySQL; a longer one is refused with
//! [`crate::ErrorKind::Key`]. On MySQL the collation of the database decides whether `a` and `A` may both be there: if not, the
//! later one takes the place of the other, which is then a miss; never the other's value.
//!
//! # What it does better than Django's
//! One statement a write in place of three, an atomic `add` and an atomic `incr` that keeps the timeout, `set_many` in few
//! statements, no `COUNT` with each write (see [`DatabaseStore`]), and an expired row is never brought back by `touch`.
//!
//! # Fork
//! A child opens connections of its own and leaves its parent's alone. SQLite itself must not be used on both sides of a
//! fork, though: a program that forks opens the cache afterwards.
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, unused_imports, reason = "without any database only the error is left that says so")
)]

mod address;
mod connection;
mod cull;
mod pool;
mod row;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use store::DatabaseStore;
