//! The open connections of this process to one database.

use super::address::{Address, Engine};
use super::connection::{Connection, Failure};
use crate::process;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most connections that wait for work: a server has a process or a thread for each.
const MAX_IDLE: usize = 8;

/// A connection that has rested this long is asked whether it still lives before it does what must not be done twice.
const FRESH: Duration = Duration::from_secs(1);

/// Connections that wait, last used first; as many as threads need them are made.
pub(super) struct Pool {
    address: Address,
    idle: Mutex<Idle>,
}

struct Idle {
    /// The process that opened them.
    process: u32,
    connections: Vec<(Box<dyn Connection>, Instant)>,
}

/// A connection on loan.
pub(super) struct Lease {
    pub(super) connection: Box<dyn Connection>,
    /// It has served before, so that it may have died meanwhile.
    pub(super) is_used: bool,
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        Self { address, idle: Mutex::new(Idle { process: process::id(), connections: Vec::new() }) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// A connection; `certain` if it must be one that is alive. `own`: the database is the cache's own, see [`open`].
    pub(super) fn take(&self, certain: bool, own: bool) -> Result<Lease, Failure> {
        // Taken out first: nobody waits for the lock while a connection is being tried.
        while let Some((mut connection, since)) = self.pop() {
            if !certain || since.elapsed() < FRESH || connection.is_alive(crate::settings::DEFAULT_CONNECT_TIMEOUT) {
                return Ok(Lease { connection, is_used: true });
            }
        }
        Ok(Lease { connection: open(&self.address, own)?, is_used: false })
    }

    pub(super) fn put(&self, lease: Lease) {
        let mut idle = self.idle();
        if idle.connections.len() < MAX_IDLE {
            idle.connections.push((lease.connection, Instant::now()));
            return;
        }
        drop(idle);
        drop(lease);
    }

    /// Closes what waits: a server that closed one connection has closed the others too.
    pub(super) fn close_idle(&self) {
        let connections = std::mem::take(&mut self.idle().connections);
        drop(connections);
    }

    fn pop(&self) -> Option<(Box<dyn Connection>, Instant)> {
        self.idle().connections.pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let process = process::id();
        if idle.process != process {
            // They are the parent's. To close one here would end its session, or remove files that it works with.
            std::mem::forget(std::mem::take(&mut idle.connections));
            idle.process = process;
        }
        idle
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.address.label)
    }
}

/// Opens a connection. `own`: an SQLite file that is not there is made, and set up as suits a cache.
fn open(address: &Address, own: bool) -> Result<Box<dyn Connection>, Failure> {
    match address.engine {
        #[cfg(feature = "sqlite")]
        Engine::Sqlite => Ok(Box::new(super::sqlite::File::open(&address.path, own)?)),
        #[cfg(feature = "postgres")]
        Engine::Postgres => Ok(Box::new(super::server::Postgres::open(&address.url)?)),
        #[cfg(feature = "mysql")]
        Engine::MySql => Ok(Box::new(super::server::MySql::open(&address.url)?)),
        // `Address::read` refuses what is not compiled in.
        #[allow(unreachable_patterns, reason = "reachable unless every feature is on")]
        engine => {
            let _ = own;
            let message = format!("{engine:?} is not compiled into this program");
            Err(Failure::new(crate::error::ErrorKind::Config, message))
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::super::connection::Statement;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it was closed.
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Connection for Counted {
        fn run(&mut self, _: &Statement<'_>, _: Duration, _: &mut dyn FnMut(&[&str])) -> Result<u64, Failure> {
            Ok(0)
        }

        fn run_together(&mut self, _: &[Statement<'_>], _: Duration) -> Result<(), Failure> {
            Ok(())
        }

        fn is_alive(&mut self, _: Duration) -> bool {
            true
        }
    }

    fn pool_with(count: usize) -> (Pool, Arc<AtomicUsize>) {
        // Nobody can make a file there: to open a connection fails.
        let pool = Pool::new(Address::read("sqlite:///dev/null/none").unwrap());
        let closed = Arc::new(AtomicUsize::new(0));
        for _ in 0..count {
            pool.put(Lease { connection: Box::new(Counted(closed.clone())), is_used: true });
        }
        (pool, closed)
    }

    #[test]
    fn a_child_leaves_the_connections_of_its_parent_alone() {
        let (pool, closed) = pool_with(2);
        pool.idle.lock().unwrap().process = process::id().wrapping_add(1);
        assert!(pool.take(false, false).is_err(), "a connection of the parent was taken");
        drop(pool);
        assert_eq!(closed.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn connections_are_used_again_and_few_are_kept() {
        let (pool, closed) = pool_with(MAX_IDLE + 3);
        assert_eq!(closed.load(Ordering::Relaxed), 3);
        let lease = pool.take(true, false).ok().unwrap();
        assert!(lease.is_used);
        pool.put(lease);
        pool.close_idle();
        assert_eq!(closed.load(Ordering::Relaxed), MAX_IDLE + 3);
    }
}
