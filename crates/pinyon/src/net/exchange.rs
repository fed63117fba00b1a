//! Several exchanges at once: every server is connected to, asked and read from at the same time.
//!
//! One thread serves all connections of an operation with `poll`. Reading while there is still something to write matters
//! for one server too: a server whose replies nobody reads stops reading requests.

use super::connection::Connection;
use super::pool::{Lease, Pool};
use super::server::Failure;
use super::stream::Opening;
use super::{Protocol, check_interrupt};
use crate::error::{Error, ErrorKind, Result};
use rustix::event::{PollFd, Timespec, poll};
use std::time::Instant;

/// A request to one server.
pub struct Outgoing<'a, P: Protocol> {
    /// The server's pool.
    pub pool: &'a Pool<P>,
    /// Writes the request; returns the number of its replies.
    pub encode: &'a dyn Fn(&mut Vec<u8>) -> usize,
}

/// Sends every request and collects the replies, servers in parallel. One result a request, in their order; each server
/// has its own timeouts, and they all run at the same time. `repeatable` as in [`Pool::exchange`].
///
/// Only host names are looked up one after the other.
pub fn exchange_many<P: Protocol>(outgoing: &[Outgoing<'_, P>], repeatable: bool) -> Vec<Result<Lease<P>>> {
    if let [only] = outgoing {
        return vec![only.pool.exchange(repeatable, |out| (only.encode)(out))];
    }
    let mut parts: Vec<Part<'_, P>> = outgoing.iter().map(|request| Part::start(request, repeatable)).collect();
    loop {
        for part in &mut parts {
            part.go_on();
        }
        let mut waiting: Vec<PollFd<'_>> = parts.iter().filter_map(Part::poll_fd).collect();
        let Some(next) = parts.iter().filter(|part| part.is_running()).map(Part::limit).min() else { break };
        if let Err(mut cause) = wait(&mut waiting, next) {
            for part in parts.iter_mut().filter(|part| part.is_running()) {
                let rest = Error::new(ErrorKind::Interrupted, "interrupted while waiting for the server");
                part.interrupt(std::mem::replace(&mut cause, rest));
            }
        }
    }
    parts.into_iter().map(Part::into_result).collect()
}

/// Sends a large request and reads its replies while it is being sent.
pub(super) fn round_trip_both_ways<P: Protocol>(
    connection: &mut Connection<P>,
    deadline: Instant,
) -> Result<(), Failure> {
    connection.set_nonblocking(true)?;
    while !connection.move_bytes()? {
        if Instant::now() >= deadline {
            return Err(connection.timed_out());
        }
        wait(&mut [connection.poll_fd()], deadline).map_err(|error| connection.interrupted(error))?;
    }
    connection.set_nonblocking(false)
}

/// One server's part in an operation.
struct Part<'a, P: Protocol> {
    request: &'a Outgoing<'a, P>,
    repeatable: bool,
    stage: Stage<P>,
    /// When the operation must be over, not counting what connecting takes.
    deadline: Instant,
}

enum Stage<P: Protocol> {
    /// The socket is being connected, since when; the lease is still empty.
    Connecting(Opening, Instant, Lease<P>),
    /// The connection waits for the answer to its greeting; the lease is still empty.
    Greeting(Connection<P>, Lease<P>),
    /// The request is under way.
    Asking(Lease<P>),
    Done(Result<Lease<P>>),
    /// Between two stages.
    Moving,
}

impl<'a, P: Protocol> Part<'a, P> {
    fn start(request: &'a Outgoing<'a, P>, repeatable: bool) -> Self {
        let deadline = Instant::now() + request.pool.endpoint().timeout;
        let mut part = Self { request, repeatable, stage: Stage::Moving, deadline };
        part.stage = match request.pool.reserve(!repeatable, deadline) {
            Ok(lease) if lease.is_open() => part.ask(lease),
            Ok(lease) => part.connect(lease),
            Err(error) => Stage::Done(Err(error)),
        };
        part
    }

    fn connect(&mut self, lease: Lease<P>) -> Stage<P> {
        let (server, begun) = (self.request.pool.server(), Instant::now());
        let opening = server.look_up().and_then(|addresses| {
            Opening::start(&server.endpoint.address, addresses, server.tls_config()?)
                .map_err(|error| server.unreachable(&error))
        });
        match opening {
            Ok(opening) => Stage::Connecting(opening, begun, lease),
            Err(error) => Stage::Done(Err(error)),
        }
    }

    fn ask(&self, mut lease: Lease<P>) -> Stage<P> {
        let connection = lease.connection();
        connection.prepare(self.request.encode);
        match connection.set_nonblocking(true) {
            Ok(()) => Stage::Asking(lease),
            Err(failure) => Stage::Done(Err(self.describe(failure))),
        }
    }

    /// Goes as far as it can without waiting.
    fn go_on(&mut self) {
        loop {
            let (stage, moved) = match std::mem::replace(&mut self.stage, Stage::Moving) {
                Stage::Connecting(opening, begun, lease) => self.finish_connecting(opening, begun, lease),
                Stage::Greeting(connection, lease) => self.finish_greeting(connection, lease),
                Stage::Asking(lease) => self.finish_asking(lease),
                other => (other, false),
            };
            self.stage = stage;
            if !moved {
                return;
            }
        }
    }

    fn finish_connecting(&mut self, mut opening: Opening, begun: Instant, lease: Lease<P>) -> (Stage<P>, bool) {
        let pool = self.request.pool;
        let stream = match opening.finish() {
            Ok(None) if begun.elapsed() < pool.endpoint().connect_timeout => {
                return (Stage::Connecting(opening, begun, lease), false);
            }
            Ok(None) => Err(opening.timed_out()),
            Ok(Some(stream)) => Ok(stream),
            Err(error) => Err(error),
        };
        self.deadline += begun.elapsed();
        match stream.map_err(|error| pool.server().unreachable(&error)).and_then(|stream| pool.greet(stream)) {
            Ok(connection) => (Stage::Greeting(connection, lease), true),
            Err(error) => (Stage::Done(Err(error)), false),
        }
    }

    fn finish_greeting(&self, mut connection: Connection<P>, mut lease: Lease<P>) -> (Stage<P>, bool) {
        let pool = self.request.pool;
        let failure = match connection.move_bytes() {
            Ok(true) => match pool.welcome(&connection) {
                Ok(()) => {
                    lease.fill(connection);
                    return (self.ask(lease), true);
                }
                Err(error) => return (Stage::Done(Err(error)), false),
            },
            Ok(false) if self.is_late() => connection.timed_out(),
            Ok(false) => return (Stage::Greeting(connection, lease), false),
            Err(failure) => failure,
        };
        (Stage::Done(Err(pool.server().unfriendly(connection.replies(), failure))), false)
    }

    fn finish_asking(&mut self, mut lease: Lease<P>) -> (Stage<P>, bool) {
        let connection = lease.connection();
        let outcome = match connection.move_bytes() {
            Ok(true) => connection.set_nonblocking(false),
            Ok(false) if self.is_late() => Err(connection.timed_out()),
            Ok(false) => return (Stage::Asking(lease), false),
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => (Stage::Done(Ok(lease)), false),
            Err(failure) if lease.is_worth_a_fresh_connection(&failure, self.repeatable) => {
                lease.forget_dead();
                (self.connect(lease), true)
            }
            Err(failure) => (Stage::Done(Err(self.describe(failure))), false),
        }
    }

    fn interrupt(&mut self, error: Error) {
        let pool = self.request.pool;
        let error = match &mut self.stage {
            Stage::Asking(lease) => pool.server().describe(lease.connection().interrupted(error), self.repeatable),
            _ => error.with_server(pool.server().label()),
        };
        self.stage = Stage::Done(Err(error));
    }

    fn describe(&self, failure: Failure) -> Error {
        self.request.pool.server().describe(failure, self.repeatable)
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// When the present stage must be over, or be tried again.
    fn limit(&self) -> Instant {
        match &self.stage {
            Stage::Connecting(opening, begun, _) => {
                let limit = *begun + self.request.pool.endpoint().connect_timeout;
                opening.again_at().map_or(limit, |again| again.min(limit))
            }
            _ => self.deadline,
        }
    }

    fn is_running(&self) -> bool {
        !matches!(self.stage, Stage::Done(_))
    }

    fn poll_fd(&self) -> Option<PollFd<'_>> {
        match &self.stage {
            Stage::Connecting(opening, ..) => opening.poll_fd(),
            Stage::Greeting(connection, _) => Some(connection.poll_fd()),
            Stage::Asking(lease) => lease.poll_fd(),
            Stage::Done(_) | Stage::Moving => None,
        }
    }

    fn into_result(self) -> Result<Lease<P>> {
        match self.stage {
            Stage::Done(result) => result,
            _ => unreachable!("every part is done when the operation ends"),
        }
    }
}

/// Waits until one of them can go on, at most until `deadline`.
fn wait(waiting: &mut [PollFd<'_>], deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(waiting, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => check_interrupt(),
        // Any other error shows again, with its name, at the read that follows.
        _ => Ok(()),
    }
}
