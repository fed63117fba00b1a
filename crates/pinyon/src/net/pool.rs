//! The connections of this process to one server.
//!
//! A thread in flight has a connection of its own, taken from here and given back with the last reply read. A connection
//! whose operation failed, timed out or was not understood is closed, never given back: its late reply would answer
//! somebody else's question.
//!
//! **Fork.** Every use compares the process id. A child starts with an empty pool; its copies of the parent's sockets are
//! closed without a word on the wire (a `close` of a copy does not end the parent's connection).

use super::connection::Connection;
use super::server::{Endpoint, Failure, Server};
use super::stream::Stream;
use super::{Answered, Parser, Protocol, exchange};
use crate::error::{Error, ErrorKind, Result};
use arc_swap::ArcSwap;
use rustix::event::PollFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A request up to this size fits into the socket's buffers: it can be written whole before its replies are read.
const SMALL_REQUEST: usize = 32 * 1024;

/// The connections of this process to one server.
pub struct Pool<P: Protocol> {
    server: Arc<Server<P>>,
    state: ArcSwap<State<P>>,
}

struct State<P: Protocol> {
    process: u32,
    connections: Mutex<Connections<P>>,
    given_back: Condvar,
}

struct Connections<P: Protocol> {
    idle: Vec<Connection<P>>,
    /// Idle ones and those in use.
    open: usize,
    /// Threads that wait for one. To wake nobody is a system call too.
    waiting: usize,
}

/// A connection with the replies of one operation. It goes back to its pool when it is dropped.
pub struct Lease<P: Protocol> {
    connection: Option<Connection<P>>,
    state: Arc<State<P>>,
    reused: bool,
}

impl<P: Protocol> Pool<P> {
    /// An empty pool; nothing is connected before the first operation.
    pub fn new(server: Arc<Server<P>>) -> Self {
        Self { server, state: ArcSwap::from_pointee(State::new()) }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server<P>> {
        &self.server
    }

    /// Where the server is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.server.endpoint
    }

    /// One operation: `encode` writes the request and returns the number of its replies. With `repeatable`, a request
    /// whose connection is found dead before any byte of a reply is sent once more on a fresh one.
    ///
    /// # Errors
    /// A connection error, or [`ErrorKind::Protocol`] if the bytes make no sense. It is marked ambiguous if the request
    /// had been sent and is not `repeatable`.
    pub fn exchange(&self, repeatable: bool, mut encode: impl FnMut(&mut Vec<u8>) -> usize) -> Result<Lease<P>> {
        let mut deadline = Instant::now() + self.endpoint().timeout;
        let mut lease = self.reserve(!repeatable, deadline)?;
        if lease.connection.is_none() {
            self.open(&mut lease, &mut deadline)?;
        }
        loop {
            let connection = lease.connection();
            connection.prepare(&mut encode);
            let outcome = if connection.out.len() <= SMALL_REQUEST {
                connection.round_trip(deadline)
            } else {
                exchange::round_trip_both_ways(connection, deadline)
            };
            match outcome {
                Ok(()) => return Ok(lease),
                Err(failure) if lease.is_worth_a_fresh_connection(&failure, repeatable) => {
                    lease.forget_dead();
                    self.open(&mut lease, &mut deadline)?;
                }
                Err(failure) => return Err(self.server.describe(failure, repeatable)),
            }
        }
    }

    /// A connection that was open already, or the right to open one: then the lease is empty. With `probe`, an idle one
    /// that the server has closed is not taken: for requests that may not be sent twice.
    pub(super) fn reserve(&self, probe: bool, deadline: Instant) -> Result<Lease<P>> {
        let state = self.state();
        let mut connections = state.lock();
        loop {
            while let Some(mut connection) = connections.idle.pop() {
                if probe && connection.stream.is_stale() {
                    connections.open -= 1;
                    continue;
                }
                drop(connections);
                return Ok(Lease { connection: Some(connection), state, reused: true });
            }
            match self.endpoint().max_connections {
                Some(most) if connections.open >= most => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(self.exhausted(most));
                    }
                    connections.waiting += 1;
                    connections = match state.given_back.wait_timeout(connections, left) {
                        Ok((guard, _)) => guard,
                        Err(poisoned) => poisoned.into_inner().0,
                    };
                    connections.waiting -= 1;
                }
                _ => break,
            }
        }
        connections.open += 1;
        drop(connections);
        Ok(Lease { connection: None, state, reused: false })
    }

    /// Number of open connections of this process, idle or in use.
    pub fn open_connections(&self) -> usize {
        self.state().lock().open
    }

    /// The state of this process. After a fork it is a new one.
    fn state(&self) -> Arc<State<P>> {
        let state = self.state.load_full();
        if state.process == crate::process::id() {
            return state;
        }
        let fresh = Arc::new(State::new());
        let previous = self.state.compare_and_swap(&state, fresh);
        if previous.process != state.process {
            return self.state.load_full();
        }
        // A thread that exists in the parent only may hold the lock for ever: then the copies stay open.
        if let Ok(mut connections) = state.connections.try_lock() {
            connections.idle.clear();
        }
        self.state.load_full()
    }

    /// Connects, and waits for the greeting. Connecting has a timeout of its own, which does not count against the
    /// operation's: `deadline` moves by what it took.
    pub(super) fn open(&self, lease: &mut Lease<P>, deadline: &mut Instant) -> Result<()> {
        let tls = self.server.tls_config()?;
        let begun = Instant::now();
        let stream = Stream::connect(&self.endpoint().address, tls, self.endpoint().connect_timeout)
            .map_err(|error| self.server.unreachable(&error))?;
        *deadline += begun.elapsed();
        let mut connection = self.greet(stream)?;
        connection.round_trip(*deadline).map_err(|failure| self.server.unfriendly(connection.replies(), failure))?;
        self.welcome(&connection)?;
        lease.connection = Some(connection);
        Ok(())
    }

    /// A connection whose greeting is ready to be sent. It does not belong into a lease before it is welcome: what was
    /// refused must never be given back to the pool as one that is logged in.
    pub(super) fn greet(&self, stream: Stream) -> Result<Connection<P>> {
        let mut connection =
            Connection::new(stream, self.endpoint().timeout).map_err(|error| self.server.unreachable(&error))?;
        connection.prepare(|out| self.server.protocol.hello(out));
        Ok(connection)
    }

    /// Judges the answer to the greeting.
    pub(super) fn welcome(&self, connection: &Connection<P>) -> Result<()> {
        let (parser, bytes) = connection.replies();
        self.server.welcome(parser, bytes)
    }

    fn exhausted(&self, most: usize) -> Error {
        Error::new(ErrorKind::Timeout, format!("all {most} connections to {} are in use", P::NAME))
            .with_server(self.server.label())
            .with_hint("Raise max_connections (max_pool_size), or use fewer threads.")
    }
}

impl<P: Protocol> State<P> {
    fn new() -> Self {
        Self {
            process: crate::process::id(),
            connections: Mutex::new(Connections { idle: Vec::new(), open: 0, waiting: 0 }),
            given_back: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections<P>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Protocol> Lease<P> {
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.connection.as_ref().map(Connection::poll_fd)
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// Puts a connection that has been welcomed into a lease that was reserved for it.
    pub(super) fn fill(&mut self, connection: Connection<P>) {
        self.connection = Some(connection);
    }

    /// Closes the connection, which was found dead, and the idle ones: they are as old, and most likely as dead. The lease
    /// keeps its place in the pool.
    pub(super) fn forget_dead(&mut self) {
        self.connection = None;
        self.reused = false;
        let idle = {
            let mut connections = self.state.lock();
            let idle = std::mem::take(&mut connections.idle);
            connections.open -= idle.len();
            idle
        };
        if !idle.is_empty() {
            self.state.given_back.notify_all();
        }
    }

    /// True if the request may be sent once more, because the server has most likely never seen it or may see it twice.
    pub(super) fn is_worth_a_fresh_connection(&self, failure: &Failure, repeatable: bool) -> bool {
        failure.dead && self.reused && repeatable
    }

    pub(super) fn connection(&mut self) -> &mut Connection<P> {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease has its connection until it is dropped"),
        }
    }
}

impl<P: Protocol> Answered<P> for Lease<P> {
    fn replies(&self) -> (&P::Parser, &[u8]) {
        match &self.connection {
            Some(connection) => connection.replies(),
            None => unreachable!("a lease has its connection until it is dropped"),
        }
    }
}

impl<P: Protocol> Drop for Lease<P> {
    fn drop(&mut self) {
        if self.state.process != crate::process::id() {
            return;
        }
        let keep = self.connection.take().filter(Connection::is_clean);
        let mut connections = self.state.lock();
        match keep {
            Some(connection) => connections.idle.push(connection),
            None => connections.open -= 1,
        }
        let is_awaited = connections.waiting > 0;
        drop(connections);
        if is_awaited {
            self.state.given_back.notify_one();
        }
    }
}

impl<P: Protocol> std::fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} {})", P::NAME, self.server.label())
    }
}

// A parser says nothing about values in its Debug; a lease says nothing at all.
impl<P: Protocol> std::fmt::Debug for Lease<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.connection {
            Some(connection) => write!(f, "Lease({} replies)", connection.replies().0.replies()),
            None => f.write_str("Lease(not connected)"),
        }
    }
}
