//! Several exchanges at once: every request is sent before the first reply is waited for, and replies are read as they come.
//!
//! One thread serves all connections of an operation with `poll`. Reading while there is still something to write matters
//! for one server too: a server whose replies nobody reads stops reading requests.

use super::connection::{Connection, Failure};
use super::pool::{Lease, Pool};
use super::{Protocol, check_interrupt};
use crate::error::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::time::Instant;

/// A request to one server.
pub struct Outgoing<'a, P: Protocol> {
    /// The server's pool.
    pub pool: &'a Pool<P>,
    /// Writes the request; returns the number of its replies.
    pub encode: &'a dyn Fn(&mut Vec<u8>) -> usize,
}

/// Sends every request and collects the replies, servers in parallel. One result a request, in their order; each server
/// has its own timeout, and they all run at the same time. `repeatable` as in [`Pool::exchange`].
pub fn exchange_many<P: Protocol>(outgoing: &[Outgoing<'_, P>], repeatable: bool) -> Vec<Result<Lease<P>>> {
    if let [only] = outgoing {
        return vec![only.pool.exchange(repeatable, |out| (only.encode)(out))];
    }
    let longest = outgoing.iter().map(|request| request.pool.endpoint().timeout).max().unwrap_or_default();
    let deadline = Instant::now() + longest;
    let mut results: Vec<Result<Lease<P>>> = outgoing
        .iter()
        .map(|request| {
            let mut lease = request.pool.checkout(!repeatable, deadline)?;
            prepare(&mut lease, request.encode);
            Ok(lease)
        })
        .collect();
    let failures = pump(
        &mut results.iter_mut().map(|result| result.as_mut().ok().map(Lease::connection)).collect::<Vec<_>>(),
        deadline,
    );
    for ((result, failure), request) in results.iter_mut().zip(failures).zip(outgoing) {
        let Some(failure) = failure else { continue };
        let reused = result.as_ref().is_ok_and(Lease::is_reused);
        *result = if failure.dead && reused && repeatable {
            request.pool.exchange_fresh(deadline, request.encode)
        } else {
            Err(request.pool.describe(failure, repeatable))
        };
    }
    results
}

/// The same for one connection and a large request.
pub(super) fn pump_one<P: Protocol>(connection: &mut Connection<P>, deadline: Instant) -> Result<(), Failure> {
    pump(&mut [Some(connection)], deadline).pop().flatten().map_or(Ok(()), Err)
}

fn prepare<P: Protocol>(lease: &mut Lease<P>, encode: &dyn Fn(&mut Vec<u8>) -> usize) {
    let connection = lease.connection();
    connection.start();
    let expected = encode(&mut connection.out);
    connection.expect(expected);
}

impl<P: Protocol> Pool<P> {
    fn exchange_fresh(&self, deadline: Instant, encode: &dyn Fn(&mut Vec<u8>) -> usize) -> Result<Lease<P>> {
        let mut lease = self.connect_instead_of_idle(deadline)?;
        prepare(&mut lease, encode);
        pump_one(lease.connection(), deadline).map_err(|failure| self.describe(failure, true))?;
        Ok(lease)
    }
}

/// Moves bytes until every connection has its replies, has failed, or the time is over.
fn pump<P: Protocol>(connections: &mut [Option<&mut Connection<P>>], deadline: Instant) -> Vec<Option<Failure>> {
    let mut failures: Vec<Option<Failure>> = connections.iter().map(|_| None).collect();
    for (connection, failure) in connections.iter_mut().zip(&mut failures) {
        let Some(connection) = connection else { continue };
        *failure = connection.set_nonblocking(true).and_then(|()| connection.send_without_waiting()).err();
    }
    while let Some(outcome) = wait(connections, &failures, deadline) {
        let late = Instant::now() >= deadline;
        let interrupted = outcome.is_err();
        let mut cause = outcome.err();
        for (connection, failure) in connections.iter_mut().zip(&mut failures) {
            let Some(connection) =
                connection.as_mut().filter(|connection| failure.is_none() && !connection.is_complete())
            else {
                continue;
            };
            *failure = if interrupted {
                Some(connection.interrupted(cause.take()))
            } else {
                connection
                    .send_without_waiting()
                    .and_then(|_| connection.receive_without_waiting())
                    .and_then(|complete| if late && !complete { Err(connection.timed_out()) } else { Ok(()) })
                    .err()
            };
        }
    }
    for (connection, failure) in connections.iter_mut().zip(&mut failures) {
        let Some(connection) = connection else { continue };
        if failure.is_none() {
            *failure = connection.set_nonblocking(false).err();
        }
    }
    failures
}

/// Waits until a connection can go on. None if there is nothing left to wait for.
fn wait<P: Protocol>(
    connections: &[Option<&mut Connection<P>>],
    failures: &[Option<Failure>],
    deadline: Instant,
) -> Option<Result<()>> {
    let mut waiting: Vec<PollFd<'_>> = connections
        .iter()
        .zip(failures)
        .filter_map(|(connection, failure)| connection.as_ref().filter(|_| failure.is_none()))
        .filter(|connection| !connection.is_complete())
        .map(|connection| {
            let events = if connection.is_sent() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            PollFd::from_borrowed_fd(connection.stream.as_fd(), events)
        })
        .collect();
    if waiting.is_empty() {
        return None;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut waiting, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => Some(check_interrupt()),
        // Any other error shows again, with its name, at the read that follows.
        _ => Some(Ok(())),
    }
}
