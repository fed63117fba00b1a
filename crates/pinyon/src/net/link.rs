//! One connection that all requests of an event loop to one server share: requests leave in the order in which they were
//! made, many of them in one write, and their replies come back in that order.
//!
//! A link does no waiting. Whoever drives it (tokio, asyncio) watches its descriptor and its deadline, and calls
//! [`Link::send`], [`Link::receive`] and [`Link::expire`].
//!
//! A request that nobody waits for any more, because its task was cancelled or its time is up, keeps its place: its reply
//! is read and dropped. After a time-out in which the server said nothing at all, the link takes no new requests (a fresh
//! one does) and ends with the last of its own.

use super::room::Room;
use super::server::{self, Failure, Server};
use super::slot::{Reply, Slot};
use super::stream::{Opening, Stream};
use super::{MAX_REPLY_BYTES, Parser, Protocol};
use crate::error::Error;
use bytes::Bytes;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// What one read asks for at most.
const READ_CHUNK: usize = 64 * 1024;
/// With this many bytes waiting to be sent, further requests wait before they are even encoded. Those who wait go on one by one,
/// a tick of the event loop each: enough for a page of 16 KiB from each of several hundred tasks, or they would time out.
const ROOM: usize = 8 * 1024 * 1024;
/// With so many requests made, they are sent without waiting for the end of the tick, so that the server works on them while others
/// are made: half of those that were in flight, but not fewer and not more than these.
const BATCH: (usize, usize) = (4, 64);
/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BUFFER: usize = 256 * 1024;
/// The most that is set aside for a reply before its bytes come.
const READ_AHEAD: usize = 1024 * 1024;

/// One shared connection to one server.
pub struct Link<P: Protocol> {
    server: Arc<Server<P>>,
    stage: Stage,
    /// What is to be sent: the greeting, then requests.
    out: Vec<u8>,
    /// How much of `out` the system has taken.
    sent: usize,
    /// Requests made since something was sent.
    unsent: usize,
    /// How many of them are sent before the end of the tick.
    batch: usize,
    /// Where `out` begins in everything that was ever to be sent.
    base: u64,
    /// Requests made before the server has answered the greeting. No value is sent to what may be another kind of server.
    held: Vec<u8>,
    pending: VecDeque<Pending<P>>,
    /// How many of the first in `pending` nobody waits for any more, because their time is up.
    late: usize,
    room: Room,
    /// Bytes of a reply that is not complete.
    incoming: Vec<u8>,
    parser: P::Parser,
    scratch: Box<[u8]>,
    complete: Vec<Complete<P>>,
    received: Vec<(Arc<Slot<P>>, Reply<P>)>,
    last_received: Instant,
    retired: bool,
}

enum Stage {
    /// The host name is being looked up, since the link was made.
    LookingUp(Instant),
    Connecting(Opening, Instant),
    /// Waiting for so many replies to the greeting, until then.
    Greeting(Stream, usize, Instant),
    Open(Stream),
    /// Its socket lives as long as the link, so that whoever watches the descriptor can stop first.
    Closed(#[expect(dead_code, reason = "kept open, see above")] Option<Stream>),
}

struct Pending<P: Protocol> {
    expected: usize,
    slot: Arc<Slot<P>>,
    /// Where the request begins in everything that was ever to be sent, once it has left `held`.
    start: u64,
    made: Instant,
    deadline: Instant,
}

/// Replies that are complete, and where they lie in what was read.
type Complete<P> = (Arc<Slot<P>>, <P as Protocol>::Parser, Range<usize>);

/// What became of a request that was to be made.
pub(super) enum Made<P: Protocol> {
    /// The replies will be in the slot. The second is true if the server had been greeted before.
    Pending(Arc<Slot<P>>, bool),
    /// There is no room for it now; the waker has been noted.
    NoRoom,
    /// The link is closed, or will be.
    Unusable,
}

impl<P: Protocol> Link<P> {
    /// A link that is not connected yet: [`Link::connect`] does that, or for an address without a host name
    /// [`Link::connect_without_name`].
    pub fn new(server: Arc<Server<P>>) -> Self {
        let now = Instant::now();
        let until = now + server.endpoint.connect_timeout;
        Self {
            server,
            stage: Stage::LookingUp(until),
            out: Vec::new(),
            sent: 0,
            unsent: 0,
            batch: BATCH.1,
            base: 0,
            held: Vec::new(),
            pending: VecDeque::new(),
            late: 0,
            room: Room::default(),
            incoming: Vec::new(),
            parser: P::Parser::default(),
            scratch: vec![0; READ_CHUNK].into_boxed_slice(),
            complete: Vec::new(),
            received: Vec::new(),
            last_received: now,
            retired: false,
        }
    }

    /// The server at the other end.
    pub fn server(&self) -> &Arc<Server<P>> {
        &self.server
    }

    /// Connects to the first of `addresses` that takes the connection; none for a unix socket. The error says why the host
    /// name could not be looked up.
    pub fn connect(&mut self, addresses: io::Result<Vec<SocketAddr>>) {
        let Stage::LookingUp(until) = self.stage else { return };
        let opening = addresses.map_err(|error| self.server.unreachable(&error)).and_then(|addresses| {
            Opening::start(&self.server.endpoint.address, addresses, self.server.tls_config()?)
                .map_err(|error| self.server.unreachable(&error))
        });
        match opening {
            Ok(opening) => {
                self.stage = Stage::Connecting(opening, until);
                self.go_on_connecting();
            }
            Err(error) => self.close(&error, None),
        }
    }

    /// Makes a request at the moment `made`; waits for room until `wait_until`. `encode` writes it and returns the number of its
    /// replies.
    pub(super) fn request(
        &mut self,
        encode: impl Fn(&mut Vec<u8>) -> usize,
        waker: &Waker,
        made: Instant,
        wait_until: Instant,
    ) -> Made<P> {
        self.probe();
        if !self.is_usable() {
            return Made::Unusable;
        }
        if !self.has_room() {
            self.room.wait(waker, wait_until);
            return Made::NoRoom;
        }
        let greeted = self.is_open();
        let out = if greeted { &mut self.out } else { &mut self.held };
        let start = out.len() as u64 + if greeted { self.base } else { 0 };
        let expected = encode(out);
        let slot = Arc::new(Slot::new());
        let deadline = made + self.server.endpoint.timeout;
        self.pending.push_back(Pending { expected, slot: slot.clone(), start, made, deadline });
        self.unsent += 1;
        if greeted && self.unsent >= self.batch {
            self.send();
        }
        // The next in the queue may have room too.
        self.wake_next();
        Made::Pending(slot, greeted)
    }

    /// True if new requests may be made here.
    pub fn is_usable(&self) -> bool {
        !self.retired && !self.is_closed()
    }

    /// True if the connection has come to its end and nobody waits for anything from it.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }

    /// Looks whether the server has closed a connection on which nothing is awaited, before a request is made that it may
    /// never see.
    pub(super) fn probe(&mut self) {
        if self.pending.is_empty() && self.is_open() {
            drop(self.receive());
        }
    }

    /// True if several requests are awaited, so that more may be about to be made.
    #[cfg(feature = "tokio")]
    pub(super) fn is_crowded(&self) -> bool {
        self.pending.len() > 1
    }

    /// True if a request may be made without waiting for room.
    pub fn has_room(&self) -> bool {
        self.out.len() - self.sent + self.held.len() < ROOM
    }

    /// True if a request may be made without waiting for room, and without going before somebody who does.
    pub fn has_room_for_more(&self) -> bool {
        self.has_room() && self.room.is_empty()
    }

    /// Notes somebody who waits for room, until they are woken or `until` comes. False if there is some: then they are
    /// invited, and nobody else before they have called [`Link::invite`]. What is invited is not encoded yet, so that nobody
    /// knows how much room it needs.
    pub(super) fn wait_for_room(&mut self, waker: &Waker, until: Instant) -> bool {
        self.room.invite_or_wait(self.has_room(), waker, until)
    }

    /// Lets the next that waits for room go on: called by whoever was invited, when it has made its request or will make none.
    pub fn invite(&mut self) {
        self.room.end_invitation();
        self.wake_next();
    }

    /// Wakes the next that waits for room, if there is some.
    pub(super) fn wake_next(&mut self) {
        if self.has_room() {
            self.room.wake_next();
        }
    }

    /// Number of requests whose replies have not come.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// True if the server has been greeted, so that a request can be sent at once.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// True if there is something to send.
    pub fn wants_to_send(&self) -> bool {
        match &self.stage {
            Stage::Greeting(stream, ..) | Stage::Open(stream) => self.sent < self.out.len() || stream.has_unsent(),
            _ => false,
        }
    }

    /// The descriptor to watch, and for what. While the link exists, a number stands for one connection only.
    pub fn interest(&self) -> Option<(RawFd, Interest)> {
        self.watch().map(|(socket, interest)| (socket.as_raw_fd(), interest))
    }

    /// The same for who makes a copy of the descriptor.
    pub(super) fn watch(&self) -> Option<(BorrowedFd<'_>, Interest)> {
        match &self.stage {
            Stage::Connecting(opening, _) => {
                let (socket, events) = opening.watch()?;
                let interest =
                    Interest { read: events.contains(PollFlags::IN), write: events.contains(PollFlags::OUT) };
                Some((socket, interest))
            }
            Stage::Greeting(stream, ..) | Stage::Open(stream) => {
                Some((stream.as_fd(), Interest { read: true, write: self.wants_to_send() }))
            }
            Stage::LookingUp(_) | Stage::Closed(_) => None,
        }
    }

    /// When [`Link::expire`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::LookingUp(until) | Stage::Greeting(_, _, until) => Some(*until),
            Stage::Connecting(opening, until) => Some(opening.again_at().map_or(*until, |again| again.min(*until))),
            Stage::Open(_) => self.pending.get(self.late).map(|pending| pending.deadline),
            Stage::Closed(_) => None,
        };
        stage.into_iter().chain(self.room.deadline()).min()
    }

    /// Goes on when the descriptor can be written to: connects, greets, sends what is to be sent.
    pub fn send(&mut self) {
        self.unsent = 0;
        if matches!(self.stage, Stage::Connecting(..)) {
            self.go_on_connecting();
        }
        loop {
            let (Stage::Greeting(stream, ..) | Stage::Open(stream)) = &mut self.stage else { return };
            let outcome = match self.out.get(self.sent..) {
                Some(rest) if !rest.is_empty() => stream.try_write(rest),
                _ if stream.has_unsent() => stream.flush().map(|()| 0),
                _ => break,
            };
            match outcome {
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.lose(&error),
            }
        }
        if self.sent == self.out.len() {
            self.base += self.sent as u64;
            self.sent = 0;
            self.out.clear();
            if self.out.capacity() > KEPT_BUFFER {
                self.out = Vec::new();
            }
        } else if self.sent > KEPT_BUFFER.max(self.out.len() / 2) {
            self.base += self.sent as u64;
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        self.wake_next();
    }

    /// Goes on when the descriptor can be read: takes everything that has come. The replies are delivered when what is returned
    /// is dropped.
    pub fn receive(&mut self) -> Received<P> {
        self.receive_all();
        Received(std::mem::take(&mut self.received))
    }

    fn receive_all(&mut self) {
        if matches!(self.stage, Stage::Connecting(..)) {
            return self.go_on_connecting();
        }
        loop {
            let (Stage::Greeting(stream, ..) | Stage::Open(stream)) = &mut self.stage else { return };
            // TLS may hold decrypted bytes that no descriptor tells of.
            let tells = !matches!(stream, Stream::Tls(_));
            match stream.try_read(&mut self.scratch) {
                Ok(0) => return self.end(),
                Ok(count) => {
                    self.take(count);
                    if tells && count < READ_CHUNK {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.lose(&error),
            }
        }
    }

    /// Ends what has come to its deadline.
    pub fn expire(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::LookingUp(until) if now >= *until => {
                let error = self.server.unreachable(&io::ErrorKind::TimedOut.into());
                self.close(&error, None);
            }
            Stage::Connecting(opening, until) => {
                if now >= *until {
                    let error = self.server.unreachable(&opening.timed_out());
                    self.close(&error, None);
                } else {
                    self.go_on_connecting();
                }
            }
            Stage::Greeting(_, _, until) if now >= *until => {
                self.fail_greeting(server::timed_out::<P>(self.server.endpoint.timeout));
            }
            Stage::Open(_) => self.expire_requests(now),
            _ => {}
        }
        self.room.expire(now);
    }

    /// Ends the link at once: what is pending fails with `error`.
    pub fn abandon(&mut self, error: &Error) {
        self.close(error, None);
    }

    /// Closes the socket of a link that has ended, once its descriptor is not watched any more.
    pub fn release(&mut self) {
        if self.is_closed() {
            self.stage = Stage::Closed(None);
        }
    }

    /// Connects to an address that need not be looked up: a number, or a unix socket.
    pub fn connect_without_name(&mut self) {
        let addresses = super::stream::look_up(&self.server.endpoint.address);
        self.connect(addresses);
    }

    /// True if [`Link::connect`] was not called yet.
    pub fn is_new(&self) -> bool {
        matches!(self.stage, Stage::LookingUp(_))
    }

    fn expire_requests(&mut self, now: Instant) {
        let sent = self.base + self.sent as u64;
        while let Some(pending) = self.pending.get(self.late).filter(|pending| now >= pending.deadline) {
            let error = server::timed_out::<P>(self.server.endpoint.timeout);
            pending.slot.fill(Err(Failure { error, sent: pending.start < sent, dead: false }));
            // Nothing came since it was made: the server, or the way to it, may be dead.
            self.retired |= self.last_received <= pending.made;
            self.late += 1;
        }
        if self.retired {
            self.room.dismiss();
            if self.late == self.pending.len() {
                self.close_quietly();
            }
        }
    }

    fn go_on_connecting(&mut self) {
        let Stage::Connecting(opening, _) = &mut self.stage else { return };
        match opening.finish() {
            Ok(None) => {}
            Ok(Some(stream)) => {
                if let Err(error) = stream.set_nonblocking(true) {
                    let error = self.server.unreachable(&error);
                    return self.close(&error, Some(stream));
                }
                let expected = self.server.protocol.hello(&mut self.out);
                let until = Instant::now() + self.server.endpoint.timeout;
                // Connecting has a time of its own.
                self.pending.iter_mut().for_each(|pending| pending.deadline = until);
                self.stage = Stage::Greeting(stream, expected, until);
                self.send();
            }
            Err(error) => {
                let error = self.server.unreachable(&error);
                self.close(&error, None);
            }
        }
    }

    /// Takes the first `count` bytes of `scratch`.
    fn take(&mut self, count: usize) {
        self.last_received = Instant::now();
        if self.incoming.is_empty() && self.incoming.capacity() == 0 {
            self.incoming.reserve_exact(count);
        } else {
            self.incoming.reserve(self.parser.missing().min(READ_AHEAD));
        }
        self.incoming.extend_from_slice(self.scratch.get(..count).unwrap_or_default());
        if let Stage::Greeting(_, expected, _) = self.stage {
            self.take_greeting(expected);
        }
        if self.is_open() {
            self.take_replies();
        }
    }

    fn take_greeting(&mut self, expected: usize) {
        if let Err(malformed) = self.parser.advance(&self.incoming, expected) {
            let error = P::foreign(malformed, &self.incoming);
            return self.fail_greeting(error);
        }
        if self.parser.replies() < expected {
            return;
        }
        if let Err(error) = self.server.welcome(&self.parser, &self.incoming) {
            return self.close(&error, None);
        }
        let used = self.parser.consumed();
        self.parser.clear();
        self.incoming.drain(..used);
        let Stage::Greeting(stream, ..) = std::mem::replace(&mut self.stage, Stage::Closed(None)) else { return };
        self.stage = Stage::Open(stream);
        let end = self.base + self.out.len() as u64;
        self.pending.iter_mut().for_each(|pending| pending.start += end);
        self.out.append(&mut self.held);
        self.send();
    }

    fn take_replies(&mut self) {
        self.batch = (self.pending.len() / 2).clamp(BATCH.0, BATCH.1);
        let mut start = 0;
        let mut broken = None;
        loop {
            let rest = self.incoming.get(start..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let expected = self.pending.front().map_or(1, |pending| pending.expected);
            if let Err(malformed) = self.parser.advance(rest, expected) {
                broken = Some(P::foreign(malformed, rest));
                break;
            }
            if self.parser.replies() < expected {
                if rest.len() > MAX_REPLY_BYTES {
                    broken = Some(server::too_long::<P>());
                }
                break;
            }
            let Some(pending) = self.pending.pop_front() else {
                broken = Some(server::unasked::<P>());
                break;
            };
            self.late = self.late.saturating_sub(1);
            let end = start + self.parser.consumed();
            self.complete.push((pending.slot, std::mem::take(&mut self.parser), start..end));
            start = end;
        }
        if start > 0 {
            let rest = self.incoming.get(start..).unwrap_or_default().to_vec();
            let bytes = Bytes::from(std::mem::replace(&mut self.incoming, rest));
            for (slot, parser, range) in self.complete.drain(..) {
                self.received.push((slot, Reply { parser, bytes: bytes.slice(range) }));
            }
        }
        if let Some(error) = broken {
            self.close(&error, None);
        } else if self.retired && self.late == self.pending.len() {
            self.close_quietly();
        }
    }

    /// The server has closed the connection.
    fn end(&mut self) {
        let error = server::closed::<P>(!self.incoming.is_empty());
        if matches!(self.stage, Stage::Greeting(..)) {
            return self.fail_greeting(error);
        }
        self.close(&error, None);
    }

    /// Reading or writing has failed.
    fn lose(&mut self, error: &io::Error) {
        let error = server::lost::<P>(error);
        if matches!(self.stage, Stage::Greeting(..)) {
            return self.fail_greeting(error);
        }
        self.close(&error, None);
    }

    fn fail_greeting(&mut self, error: Error) {
        let failure = Failure { error, sent: false, dead: false };
        let error = self.server.unfriendly((&self.parser, &self.incoming), failure);
        self.close(&error, None);
    }

    fn close_quietly(&mut self) {
        let error = server::closed::<P>(false);
        self.close(&error, None);
    }

    /// Ends the link: everything that is pending fails with `error`.
    fn close(&mut self, error: &Error, stream: Option<Stream>) {
        let was_open = self.is_open();
        let stage = std::mem::replace(&mut self.stage, Stage::Closed(None));
        self.stage = Stage::Closed(match stage {
            Stage::Greeting(stream, ..) | Stage::Open(stream) => Some(stream),
            Stage::Connecting(opening, _) => opening.into_stream(),
            _ => stream,
        });
        let sent = self.base + self.sent as u64;
        let mut untouched = self.incoming.is_empty();
        for pending in self.pending.drain(..) {
            let failure = Failure {
                error: error.clone(),
                sent: was_open && pending.start < sent,
                // Only the first can have had a part of its reply.
                dead: was_open && untouched && error.is_connection(),
            };
            pending.slot.fill(Err(failure));
            untouched = true;
        }
        self.late = 0;
        (self.out, self.held, self.incoming) = (Vec::new(), Vec::new(), Vec::new());
        self.sent = 0;
        self.room.dismiss();
    }
}

/// Replies that have come, and that reach their requests when this is dropped: without the lock of the link, because whoever is
/// woken may want it for the next request at once.
#[must_use = "to be dropped when the link is not locked any more"]
pub struct Received<P: Protocol>(Vec<(Arc<Slot<P>>, Reply<P>)>);

impl<P: Protocol> Drop for Received<P> {
    fn drop(&mut self) {
        for (slot, reply) in self.0.drain(..) {
            slot.fill(Ok(reply));
        }
    }
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Bytes have come.
    pub read: bool,
    /// Bytes can be sent.
    pub write: bool,
}

impl<P: Protocol> std::fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} {}, {} pending)", P::NAME, self.server.label(), self.pending.len())
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
