//! One cache operation on one server as the bytes of its request, and its replies as the result.
//!
//! Every command has exactly one reply, in order. Reads carry an opaque number that the server sends back with the value:
//! should replies ever be out of step, the number tells, and no value is taken for another key's.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::protocol::{MetaReply, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Item;
use crate::timeout::{Expiry, Ttl};
use std::time::{Duration, SystemTime};

/// What is asked of a server. Keys are made keys that have been checked: no white space, 250 bytes at most.
#[derive(Clone, Copy)]
pub(super) enum Command<'a> {
    Get(&'a str),
    Set(&'a str, Item<'a>, Expiry),
    Add(&'a str, Item<'a>, Expiry),
    Touch(&'a str, Expiry),
    Delete(&'a str),
    Has(&'a str),
    Incr(&'a str, i64),
    Ttl(&'a str),
    Clear,
    Version,
    Stats,
}

impl Command<'_> {
    /// The name of the operation in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Set(..) => "set",
            Self::Add(..) => "add",
            Self::Touch(..) => "touch",
            Self::Delete(_) => "delete",
            Self::Has(_) => "has_key",
            Self::Incr(..) => "incr",
            Self::Ttl(_) => "ttl",
            Self::Clear => "clear",
            Self::Version | Self::Stats => "check",
        }
    }

    /// True if doing it twice is as good as doing it once, for the server and for the answer.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Add(..) | Self::Incr(..) | Self::Delete(_) | Self::Touch(_, Expiry::Now))
    }

    /// Appends the request. `prefix` stands before the key on the wire; `opaque` comes back with a value.
    pub(super) fn encode(&self, prefix: &str, opaque: usize, out: &mut Vec<u8>) {
        let key = |out: &mut Vec<u8>, command: &[u8], key: &str| {
            out.extend_from_slice(command);
            out.push(b' ');
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(key.as_bytes());
        };
        match *self {
            Self::Get(name) => {
                key(out, b"mg", name);
                out.extend_from_slice(b" f v O");
                number(out, opaque);
            }
            Self::Set(name, item, expiry) => {
                key(out, b"ms", name);
                store(out, item, expiry, b"");
            }
            Self::Add(name, item, expiry) => {
                key(out, b"ms", name);
                store(out, item, expiry, b" ME");
            }
            Self::Touch(name, expiry) => {
                key(out, b"mg", name);
                lifetime(out, expiry);
            }
            Self::Delete(name) => key(out, b"md", name),
            Self::Has(name) => key(out, b"mg", name),
            Self::Incr(name, delta) => {
                key(out, b"ma", name);
                out.extend_from_slice(if delta < 0 { b" v MD D" } else { b" v MI D" });
                number(out, delta.unsigned_abs());
            }
            Self::Ttl(name) => {
                key(out, b"mg", name);
                out.extend_from_slice(b" t");
            }
            Self::Clear => out.extend_from_slice(b"flush_all"),
            Self::Version => out.extend_from_slice(b"version"),
            Self::Stats => out.extend_from_slice(b"stats"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn store(out: &mut Vec<u8>, item: Item<'_>, expiry: Expiry, mode: &[u8]) {
    out.push(b' ');
    number(out, item.bytes.len());
    out.extend_from_slice(b" F");
    number(out, item.flags);
    lifetime(out, expiry);
    out.extend_from_slice(mode);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(item.bytes);
}

fn lifetime(out: &mut Vec<u8>, expiry: Expiry) {
    out.extend_from_slice(b" T");
    number(out, expiry.to_memcached(SystemTime::now));
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The answer to a `get` that was sent with `opaque`.
pub(super) fn value(reply: MetaReply<'_>, opaque: usize) -> Result<Option<Item<'_>>> {
    match reply.status {
        Status::Missing => Ok(None),
        Status::Value if reply.number(b'O') == Some(opaque) => {
            let flags = reply.number(b'f').ok_or_else(|| unexpected("a value with its flags"))?;
            Ok(Some(Item { bytes: reply.value, flags }))
        }
        Status::Value => Err(unexpected("the value that was asked for")),
        _ => Err(server_error(reply)),
    }
}

/// The item in an answer that [`value`] has judged.
pub(super) fn item(reply: MetaReply<'_>) -> Option<Item<'_>> {
    match reply.status {
        Status::Value => Some(Item { bytes: reply.value, flags: reply.number(b'f')? }),
        _ => None,
    }
}

/// What became of a `set` or an `add`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    /// There is an entry already (`add`).
    No,
    /// The server will not take the item: too large, or no memory.
    Refused,
}

/// The answer to a `set` or an `add`.
pub(super) fn stored(reply: MetaReply<'_>) -> Result<Stored> {
    match reply.status {
        Status::Done => Ok(Stored::Yes),
        Status::NotStored => Ok(Stored::No),
        Status::ServerError if refuses(reply.rest) => Ok(Stored::Refused),
        _ => Err(server_error(reply)),
    }
}

fn refuses(text: &[u8]) -> bool {
    text.starts_with(b"object too large") || text.starts_with(b"out of memory")
}

/// The answer to `touch`, `delete` and `has_key`.
pub(super) fn found(reply: MetaReply<'_>) -> Result<bool> {
    match reply.status {
        Status::Done => Ok(true),
        Status::Missing => Ok(false),
        _ => Err(server_error(reply)),
    }
}

/// The answer to `ttl`: -1 no expiry, else seconds.
pub(super) fn ttl(reply: MetaReply<'_>) -> Result<Ttl> {
    match reply.status {
        Status::Missing => Ok(Ttl::Missing),
        Status::Done => match reply.number::<i64>(b't') {
            Some(-1) => Ok(Ttl::Never),
            Some(left) => Ok(Ttl::Left(Duration::from_secs(u64::try_from(left).unwrap_or(0)))),
            None => Err(unexpected("a remaining time")),
        },
        _ => Err(server_error(reply)),
    }
}

/// The answer to `flush_all`.
pub(super) fn acknowledged(reply: MetaReply<'_>) -> Result<()> {
    if reply.status == Status::Other { Ok(()) } else { Err(server_error(reply)) }
}

/// The digits that `incr` answered with. None if there is no entry.
pub(super) fn digits(reply: MetaReply<'_>) -> Result<Option<&[u8]>> {
    match reply.status {
        Status::Value => Ok(Some(reply.value)),
        Status::Missing => Ok(None),
        Status::ClientError if reply.rest.starts_with(b"cannot increment or decrement non-numeric value") => {
            Err(Error::new(
                ErrorKind::NotAnInteger,
                "the value stored under this key is not a number that Memcached counts",
            )
            .with_hint("Memcached counts whole numbers from 0 to 2**64 - 1; set the key to one first"))
        }
        _ => Err(server_error(reply)),
    }
}

fn server_error(reply: MetaReply<'_>) -> Error {
    let text = String::from_utf8_lossy(reply.rest);
    match reply.status {
        Status::Unknown => Error::new(ErrorKind::Unsupported, "Memcached does not know this command")
            .with_hint("Pinyon needs Memcached 1.6 or later, and no proxy that knows the classic commands only"),
        Status::ClientError | Status::ServerError => {
            Error::new(ErrorKind::Server, format!("Memcached answered: {text}"))
        }
        _ => unexpected("an answer to this command"),
    }
}

fn unexpected(wanted: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("Memcached answered with something other than {wanted}"))
        .with_hint("Check that LOCATION names a Memcached server, and that nothing changes the bytes between")
}
