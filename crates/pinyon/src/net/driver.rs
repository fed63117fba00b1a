//! What moves the bytes of an operation: threads that block, or an event loop.
//!
//! An operation is written once, as an `async fn` over a [`Driver`]. The blocking driver never leaves one waiting, so that
//! polling it once runs it to its end ([`now`]): no runtime, no thread, no allocation.

use super::pool::{Lease, Pool};
use super::{Outgoing, Protocol, exchange_many};
use crate::error::{Error, ErrorKind, Result};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Moves bytes between an operation and the servers of a cache. It knows no command.
pub trait Driver<P: Protocol> {
    /// The replies of one server to one request.
    type Answer: Answered<P>;

    /// Sends a request to the server with the index `server` and waits for its replies: `encode` writes it and returns
    /// their number. A `repeatable` request whose connection is found dead before any byte of a reply is sent once more on
    /// a fresh one.
    fn exchange<E>(&self, server: usize, repeatable: bool, encode: E) -> impl Future<Output = Result<Self::Answer>>
    where
        E: Fn(&mut Vec<u8>) -> usize;

    /// Several requests at the same time, each to another server; one result a request, in their order.
    fn exchange_many<E>(
        &self,
        requests: Vec<(usize, E)>,
        repeatable: bool,
    ) -> impl Future<Output = Vec<Result<Self::Answer>>>
    where
        E: Fn(&mut Vec<u8>) -> usize;
}

/// Replies that have come, wherever they are kept.
pub trait Answered<P: Protocol> {
    /// Where they lie, and the bytes they lie in.
    fn replies(&self) -> (&P::Parser, &[u8]);
}

/// The blocking driver: the calling thread writes, waits and reads.
pub struct Blocking<'a, P: Protocol>(pub(super) &'a boxcar::Vec<Pool<P>>);

impl<'a, P: Protocol> Blocking<'a, P> {
    fn pool(&self, server: usize) -> Result<&'a Pool<P>> {
        self.0.get(server).ok_or_else(no_server)
    }
}

impl<P: Protocol> Driver<P> for Blocking<'_, P> {
    type Answer = Lease<P>;

    async fn exchange<E>(&self, server: usize, repeatable: bool, encode: E) -> Result<Lease<P>>
    where
        E: Fn(&mut Vec<u8>) -> usize,
    {
        self.pool(server)?.exchange(repeatable, encode)
    }

    async fn exchange_many<E>(&self, requests: Vec<(usize, E)>, repeatable: bool) -> Vec<Result<Lease<P>>>
    where
        E: Fn(&mut Vec<u8>) -> usize,
    {
        let outgoing: Result<Vec<_>> =
            requests.iter().map(|(server, encode)| self.pool(*server).map(|pool| Outgoing { pool, encode })).collect();
        match outgoing {
            Ok(outgoing) if outgoing.is_empty() => Vec::new(),
            Ok(outgoing) => exchange_many(&outgoing, repeatable),
            Err(_) => requests.iter().map(|_| Err(no_server())).collect(),
        }
    }
}

impl<P: Protocol> std::fmt::Debug for Blocking<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Blocking").field(&self.0).finish()
    }
}

/// The error of a cache that has no server at all.
pub(super) fn no_server() -> Error {
    Error::new(ErrorKind::Config, "the cache has no server")
}

/// Runs an operation on the blocking driver to its end.
pub(crate) fn now<F: Future>(operation: F) -> F::Output {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the blocking driver never leaves an operation waiting"),
    }
}
