//! What the network backends share: addresses, TLS, connections, health and the drivers.
//!
//! Nothing here knows a command. A [`Protocol`] says how a connection is opened and how replies are told apart; a driver
//! moves the bytes. The blocking driver starts no thread and no runtime: the calling thread writes, waits and reads. The
//! others share one connection a server ([`Link`]), whose bytes an event loop moves.

mod connection;
mod driver;
mod exchange;
mod health;
mod link;
mod multiplexed;
mod number;
mod pool;
mod room;
mod server;
mod servers;
mod slot;
mod stream;
mod tls;
#[cfg(feature = "tokio")]
mod tokio;

pub use connection::Connection;
pub(crate) use driver::now;
pub use driver::{Answered, Blocking, Driver};
pub use exchange::{Outgoing, exchange_many};
pub(crate) use health::{Health, Rules};
pub use link::{Interest, Link};
pub use multiplexed::{Links, Multiplexed, SharedLink, lock};
pub(crate) use number::number;
pub use pool::{Lease, Pool};
pub use server::{Endpoint, Server};
pub use servers::Servers;
pub use slot::Reply;
#[cfg(feature = "tokio")]
pub(crate) use tokio::no_runtime;
#[cfg(feature = "tokio")]
pub use tokio::{TokioLink, TokioLinks};

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// The most bytes that the replies of one operation may have (512 MiB, the largest string that Redis can hold).
pub const MAX_REPLY_BYTES: usize = 512 * 1024 * 1024;

/// How a kind of server is talked to: sans-IO, so that every driver can use it.
pub trait Protocol: Send + Sync + 'static {
    /// The incremental parser of its replies.
    type Parser: Parser;

    /// The name of the server in messages, for example `Redis`.
    const NAME: &'static str;

    /// Writes what a new connection says first into `out`; returns the number of replies to wait for, which is not 0:
    /// the answer proves that the right kind of server listens there, before a value is sent to it.
    fn hello(&self, out: &mut Vec<u8>) -> usize;

    /// Judges the answer to [`Protocol::hello`].
    ///
    /// # Errors
    /// The server refused: wrong password, unknown database, another kind of server, too old.
    fn welcome(&self, parser: &Self::Parser, bytes: &[u8]) -> Result<()>;

    /// The error for bytes that are not of this protocol; `bytes` is what came so far.
    fn foreign(malformed: Malformed, bytes: &[u8]) -> Error;

    /// What to do if nobody listens at the address.
    fn unreachable_hint() -> &'static str;

    /// What to do if the connection is closed in place of an answer to [`Protocol::hello`].
    fn closed_hint() -> &'static str;
}

/// An incremental parser of replies. It remembers where the replies lie in the bytes, and copies none of them.
pub trait Parser: Default + Send {
    /// Parses on in `bytes`, which are all the bytes since [`Parser::clear`], up to the end of the `most`-th reply.
    ///
    /// # Errors
    /// The bytes are not of the protocol. Nothing more can be read from this connection then.
    fn advance(&mut self, bytes: &[u8], most: usize) -> Result<(), Malformed>;

    /// The number of complete replies.
    fn replies(&self) -> usize;

    /// The number of bytes that the complete replies have.
    fn consumed(&self) -> usize;

    /// At least this many bytes are missing to complete the reply at the end; 0 if that is not known.
    fn missing(&self) -> usize;

    /// Forgets everything, and keeps its memory.
    fn clear(&mut self);
}

/// Bytes that are not of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Called when a signal interrupts a wait. An error ends the operation, and becomes the source of its error.
pub type InterruptCheck = fn() -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

static INTERRUPT_CHECK: OnceLock<InterruptCheck> = OnceLock::new();

/// Sets the process-wide check that runs when a signal interrupts a blocking wait. Without one, a wait goes on after a
/// signal. The Python face sets it, so that Ctrl-C ends a blocked call. The first call wins.
pub fn set_interrupt_check(check: InterruptCheck) {
    let _ = INTERRUPT_CHECK.set(check);
}

/// Runs the check, if there is one.
fn check_interrupt() -> Result<()> {
    match INTERRUPT_CHECK.get().map(|check| check()) {
        Some(Err(source)) => {
            Err(Error::new(crate::ErrorKind::Interrupted, "interrupted while waiting for the server")
                .with_source(source))
        }
        _ => Ok(()),
    }
}
