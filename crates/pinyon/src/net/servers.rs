//! The servers of one cache, with the connections of every driver to them.

use super::{Blocking, Endpoint, Pool, Protocol, Server};
#[cfg(feature = "tokio")]
use super::{Multiplexed, TokioLinks};
use std::sync::{Arc, Mutex, PoisonError};

/// The servers of one cache, by index. More can be added while it is in use, and none is taken away: an index stands for one
/// server as long as the process runs.
pub struct Servers<P: Protocol> {
    all: boxcar::Vec<Arc<Server<P>>>,
    pools: boxcar::Vec<Pool<P>>,
    #[cfg(feature = "tokio")]
    tokio: Multiplexed<TokioLinks<P>>,
    /// Held by whoever adds one: its index is the same everywhere.
    adding: Mutex<()>,
}

impl<P: Protocol> Servers<P> {
    /// Nothing is connected before the first operation.
    pub fn new(servers: impl IntoIterator<Item = (Endpoint, P)>) -> Self {
        let made = Self {
            all: boxcar::Vec::new(),
            pools: boxcar::Vec::new(),
            #[cfg(feature = "tokio")]
            tokio: Multiplexed(Arc::new(TokioLinks::new())),
            adding: Mutex::new(()),
        };
        for (endpoint, protocol) in servers {
            made.add(endpoint, protocol);
        }
        made
    }

    /// Adds a server; returns its index.
    pub fn add(&self, endpoint: Endpoint, protocol: P) -> usize {
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_locked(endpoint, protocol)
    }

    /// The index of the first server that is `wanted`; if there is none, of the one that `make` makes.
    pub fn find_or_add(&self, wanted: impl Fn(&Endpoint) -> bool, make: impl FnOnce() -> (Endpoint, P)) -> usize {
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        self.iter().position(|server| wanted(&server.endpoint)).unwrap_or_else(|| {
            let (endpoint, protocol) = make();
            self.add_locked(endpoint, protocol)
        })
    }

    fn add_locked(&self, endpoint: Endpoint, protocol: P) -> usize {
        let server = Arc::new(Server::new(endpoint, protocol));
        self.pools.push(Pool::new(server.clone()));
        #[cfg(feature = "tokio")]
        self.tokio.0.add(server.clone());
        self.all.push(server)
    }

    /// Each of them, in the order of their indexes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Server<P>>> {
        self.all.iter().map(|(_, server)| server)
    }

    /// The server with an index.
    pub fn get(&self, server: usize) -> Option<&Arc<Server<P>>> {
        self.all.get(server)
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.all.count()
    }

    /// What an error calls the server.
    pub fn label(&self, server: usize) -> &str {
        self.all.get(server).map_or("", |server| server.label())
    }

    /// The driver for threads that may wait.
    pub fn blocking(&self) -> Blocking<'_, P> {
        Blocking(&self.pools)
    }

    /// The driver for tasks on a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn tokio(&self) -> &Multiplexed<TokioLinks<P>> {
        &self.tokio
    }

    /// Number of open connections of this process, of the blocking driver.
    pub fn open_connections(&self) -> usize {
        self.pools.iter().map(|(_, pool)| pool.open_connections()).sum()
    }
}

impl<P: Protocol> std::fmt::Debug for Servers<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
