//! The servers of one cache, with the connections of every driver to them.

use super::{Blocking, Endpoint, Pool, Protocol, Server};
#[cfg(feature = "tokio")]
use super::{Multiplexed, TokioLinks};
use std::sync::Arc;

/// The servers of one cache, by index.
pub struct Servers<P: Protocol> {
    all: Vec<Arc<Server<P>>>,
    pools: Vec<Pool<P>>,
    #[cfg(feature = "tokio")]
    tokio: Multiplexed<TokioLinks<P>>,
}

impl<P: Protocol> Servers<P> {
    /// Nothing is connected before the first operation.
    pub fn new(servers: impl IntoIterator<Item = (Endpoint, P)>) -> Self {
        let all: Vec<_> =
            servers.into_iter().map(|(endpoint, protocol)| Arc::new(Server::new(endpoint, protocol))).collect();
        Self {
            pools: all.iter().cloned().map(Pool::new).collect(),
            #[cfg(feature = "tokio")]
            tokio: Multiplexed(Arc::new(TokioLinks::new(&all))),
            all,
        }
    }

    /// Each of them.
    pub fn all(&self) -> &[Arc<Server<P>>] {
        &self.all
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
        self.pools.iter().map(Pool::open_connections).sum()
    }
}

impl<P: Protocol> std::fmt::Debug for Servers<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.all).finish()
    }
}
