//! One connection to one server: its stream, what is to be sent, and what has come back.

use super::server::{self, Failure};
use super::stream::Stream;
use super::{MAX_REPLY_BYTES, Parser, Protocol, check_interrupt};
use crate::error::Error;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The read buffer of a new connection, and what one read asks for at least.
const READ_CHUNK: usize = 16 * 1024;
/// The most that is set aside for a reply before its bytes come: a server that lies about a length costs no more.
const READ_AHEAD: usize = 1024 * 1024;
/// A buffer that grew beyond this for one large value is given back after it.
const KEPT_BUFFER: usize = 256 * 1024;

/// One connection to one server. Its owner has it alone; it is closed when it is dropped.
pub struct Connection<P: Protocol> {
    pub(super) stream: Stream,
    /// The request.
    pub(super) out: Vec<u8>,
    written: usize,
    buffer: Vec<u8>,
    filled: usize,
    parser: P::Parser,
    timeout: Duration,
    /// The socket's own timeout is shorter than `timeout` since a reply that came in pieces.
    shortened: bool,
    expected: usize,
}

impl<P: Protocol> Connection<P> {
    pub(super) fn new(stream: Stream, timeout: Duration) -> io::Result<Self> {
        stream.set_timeout(timeout)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            written: 0,
            buffer: vec![0; READ_CHUNK],
            filled: 0,
            parser: P::Parser::default(),
            timeout,
            shortened: false,
            expected: 0,
        })
    }

    /// The replies: where they lie, and the bytes they lie in.
    pub fn replies(&self) -> (&P::Parser, &[u8]) {
        (&self.parser, self.buffer.get(..self.filled).unwrap_or_default())
    }

    /// Forgets the last exchange and makes the next request ready: `encode` writes it and returns the number of its
    /// replies.
    pub(super) fn prepare(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> usize) {
        self.parser.clear();
        self.filled = 0;
        self.written = 0;
        if self.buffer.len() > KEPT_BUFFER {
            self.buffer = vec![0; READ_CHUNK];
        }
        if self.out.capacity() > KEPT_BUFFER {
            self.out = Vec::new();
        }
        self.out.clear();
        self.expected = encode(&mut self.out);
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> Result<(), Failure> {
        self.stream.set_nonblocking(nonblocking).map_err(|error| self.failure(&error))
    }

    /// The failure of this connection when a signal ended the operation with `error`.
    pub(super) fn interrupted(&self, error: Error) -> Failure {
        Failure { error, sent: self.written > 0, dead: false }
    }

    /// True if every byte of the last exchange has been understood, so that the next reply answers the next request.
    pub(super) fn is_clean(&self) -> bool {
        self.is_complete() && self.parser.replies() == self.expected && self.parser.consumed() == self.filled
    }

    fn is_complete(&self) -> bool {
        self.written == self.out.len() && self.parser.replies() >= self.expected
    }

    fn is_sent(&self) -> bool {
        self.written == self.out.len() && !self.stream.has_unsent()
    }

    /// Sends the request and waits for its replies.
    pub(super) fn round_trip(&mut self, deadline: Instant) -> Result<(), Failure> {
        if self.shortened {
            self.stream.set_timeout(self.timeout).map_err(|error| self.failure(&error))?;
            self.shortened = false;
        }
        // Part of the time may have gone into waiting for a connection, or into opening one.
        self.limit_wait(deadline)?;
        while !self.is_sent() {
            let sent = match self.out.get(self.written..) {
                Some(rest) if !rest.is_empty() => self.stream.write(rest).map(|written| self.written += written),
                _ => self.stream.flush(),
            };
            match sent {
                Ok(()) if self.is_sent() => {}
                Ok(()) => self.limit_wait(deadline)?,
                Err(error) => self.waited(&error, deadline)?,
            }
        }
        loop {
            match self.read_once(Stream::read) {
                Ok(()) if self.is_complete() => return Ok(()),
                Ok(()) => self.limit_wait(deadline)?,
                Err(Read::Io(error)) => self.waited(&error, deadline)?,
                Err(Read::Failed(failure)) => return Err(failure),
            }
        }
    }

    /// Sends and receives what is possible without waiting. True if all replies are complete.
    pub(super) fn move_bytes(&mut self) -> Result<bool, Failure> {
        self.send_without_waiting()?;
        self.receive_without_waiting()
    }

    /// What to wait for before [`Connection::move_bytes`] can go on. Replies are read while there is something to write.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        let events = if self.is_sent() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        PollFd::from_borrowed_fd(self.stream.as_fd(), events)
    }

    /// Writes as much as the socket takes without waiting.
    fn send_without_waiting(&mut self) -> Result<(), Failure> {
        while !self.is_sent() {
            let sent = match self.out.get(self.written..) {
                Some(rest) if !rest.is_empty() => self.stream.try_write(rest).map(|written| self.written += written),
                _ => self.stream.flush(),
            };
            match sent {
                Ok(()) => {}
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(self.failure(&error)),
            }
        }
        Ok(())
    }

    /// Reads what has come without waiting. True if all replies are complete.
    fn receive_without_waiting(&mut self) -> Result<bool, Failure> {
        while !self.is_complete() {
            match self.read_once(Stream::try_read) {
                Ok(()) => {}
                Err(Read::Io(error)) if is_transient(&error) => return Ok(false),
                Err(Read::Io(error)) => return Err(self.failure(&error)),
                Err(Read::Failed(failure)) => return Err(failure),
            }
        }
        Ok(true)
    }

    pub(super) fn timed_out(&self) -> Failure {
        let error = server::timed_out::<P>(self.timeout);
        Failure { error, sent: self.written > 0, dead: false }
    }

    fn read_once(&mut self, read: fn(&mut Stream, &mut [u8]) -> io::Result<usize>) -> Result<(), Read> {
        let wanted = self.filled + self.parser.missing().clamp(1, READ_AHEAD);
        if wanted > self.buffer.len() || self.filled == self.buffer.len() {
            let size = wanted.max(self.buffer.len() + READ_CHUNK).next_power_of_two();
            self.buffer.resize(size.min(MAX_REPLY_BYTES + READ_CHUNK), 0);
        }
        match read(&mut self.stream, self.buffer.get_mut(self.filled..).unwrap_or_default()).map_err(Read::Io)? {
            0 => Err(Read::Failed(self.closed())),
            count => {
                self.filled += count;
                let bytes = self.buffer.get(..self.filled).unwrap_or_default();
                let parsed = self.parser.advance(bytes, usize::MAX).map_err(|malformed| P::foreign(malformed, bytes));
                let parsed = parsed.and_then(|()| match self.filled {
                    0..=MAX_REPLY_BYTES => Ok(()),
                    _ => Err(server::too_long::<P>()),
                });
                let parsed = parsed.and_then(|()| match self.parser.replies() {
                    more if more > self.expected => Err(server::unasked::<P>()),
                    _ => Ok(()),
                });
                parsed.map_err(|error| Read::Failed(Failure { error, sent: true, dead: false }))
            }
        }
    }

    /// After a call that returned early: goes on if a signal came and its handler agrees, fails otherwise.
    fn waited(&mut self, error: &io::Error, deadline: Instant) -> Result<(), Failure> {
        match error.kind() {
            io::ErrorKind::Interrupted => {
                check_interrupt().map_err(|error| self.interrupted(error))?;
                self.limit_wait(deadline)
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(self.timed_out()),
            _ => Err(self.failure(error)),
        }
    }

    /// Makes sure that the next wait ends at the deadline; a reply that comes in one piece never pays for it.
    fn limit_wait(&mut self, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        if left < self.timeout.mul_f32(0.95) {
            self.shortened = true;
            self.stream.set_timeout(left).map_err(|error| self.failure(&error))?;
        }
        Ok(())
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure { error: server::lost::<P>(error), sent: self.written > 0, dead: self.filled == 0 }
    }

    fn closed(&self) -> Failure {
        let amid = self.filled > 0;
        Failure { error: server::closed::<P>(amid), sent: self.written > 0, dead: !amid }
    }
}

enum Read {
    Io(io::Error),
    Failed(Failure),
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
