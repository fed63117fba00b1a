//! One cache operation as the bytes of its request, and its replies as the result.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::protocol::{Replies, Reply, server_error, write_bulk, write_command, write_header};
use super::raw::Commands;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::TimeoutUnit;
use crate::timeout::{Expiry, Ttl};
use std::time::Duration;

/// The script behind [`Command::Incr`].
pub(super) const INCR_SCRIPT: &str = include_str!("incr.lua");
/// SHA-1 of [`INCR_SCRIPT`], by which the server knows it; a test asks a server.
pub(super) const INCR_SCRIPT_SHA1: &str = "0e9c68a85fec1c84af4f7e5f8bf8644108f172b7";
/// The longest expiry that is sent (about 300 years): the server adds the time of day in milliseconds, in 64 bits.
pub(crate) const LONGEST: Duration = Duration::from_secs(9_999_999_999);

/// One cache operation. Keys are made keys, values encoded.
#[derive(Clone, Copy)]
pub(super) enum Command<'a> {
    Get(&'a str),
    Set(&'a str, &'a [u8], Expiry),
    Add(&'a str, &'a [u8], Expiry),
    Touch(&'a str, Expiry),
    Delete(&'a str),
    Has(&'a str),
    /// The delta, and whether the script goes with it because the server does not know it yet.
    Incr(&'a str, i64, bool),
    GetMany(&'a [&'a str]),
    SetMany(&'a [(&'a str, &'a [u8])], Expiry),
    DeleteMany(&'a [&'a str]),
    Clear,
    Ttl(&'a str),
    Info,
    Raw(&'a Commands),
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
            Self::GetMany(_) => "get_many",
            Self::SetMany(..) => "set_many",
            Self::DeleteMany(_) => "delete_many",
            Self::Clear => "clear",
            Self::Ttl(_) => "ttl",
            Self::Info => "check",
            Self::Raw(commands) => commands.name(),
        }
    }

    /// The key that decides who has to answer; none if everybody can, and for many keys.
    pub(super) fn key(&self) -> Option<&[u8]> {
        match *self {
            Self::Get(key)
            | Self::Set(key, ..)
            | Self::Add(key, ..)
            | Self::Touch(key, _)
            | Self::Delete(key)
            | Self::Has(key)
            | Self::Incr(key, ..)
            | Self::Ttl(key) => Some(key.as_bytes()),
            Self::Raw(commands) => commands.key(),
            Self::GetMany(_) | Self::SetMany(..) | Self::DeleteMany(_) | Self::Clear | Self::Info => None,
        }
    }

    /// The number of the group that has to answer if there is no key.
    pub(super) fn group(&self) -> usize {
        match self {
            Self::Raw(commands) => commands.group(),
            _ => 0,
        }
    }

    /// True if a replica can answer.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Self::Raw(commands) => commands.is_read(),
            _ => matches!(self, Self::Get(_) | Self::Has(_) | Self::GetMany(_) | Self::Ttl(_) | Self::Info),
        }
    }

    /// True if doing it twice is as good as doing it once, for the server and for the answer.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Raw(commands) => commands.is_repeatable(),
            // A second DEL answers that there was nothing to delete.
            _ => !matches!(self, Self::Add(..) | Self::Incr(..) | Self::Delete(_) | Self::Touch(_, Expiry::Now)),
        }
    }

    /// Appends the request; returns the number of replies.
    pub(super) fn encode(&self, unit: TimeoutUnit, out: &mut Vec<u8>) -> usize {
        let sent = |expiry: Expiry| expiry.to_whole(unit);
        match *self {
            Self::Get(key) => write_command(out, &[b"GET", key.as_bytes()]),
            Self::Set(key, value, expiry) => return encode_set(out, key, value, sent(expiry), None),
            Self::Add(key, value, expiry) => return encode_set(out, key, value, sent(expiry), Some(b"NX")),
            Self::Touch(key, expiry) => return encode_touch(out, key.as_bytes(), sent(expiry)),
            Self::Delete(key) => write_command(out, &[b"DEL", key.as_bytes()]),
            Self::Has(key) => write_command(out, &[b"EXISTS", key.as_bytes()]),
            Self::Incr(key, delta, with_script) => {
                let (command, script): (&[u8], _) =
                    if with_script { (b"EVAL", INCR_SCRIPT) } else { (b"EVALSHA", INCR_SCRIPT_SHA1) };
                let delta = itoa::Buffer::new().format(delta).to_owned();
                write_command(out, &[command, script.as_bytes(), b"1", key.as_bytes(), delta.as_bytes()]);
            }
            Self::GetMany(keys) => write_keys(out, b"MGET", keys.iter().copied()),
            Self::SetMany(items, expiry) => return encode_set_many(out, items, sent(expiry)),
            Self::DeleteMany(keys) => write_keys(out, b"DEL", keys.iter().copied()),
            Self::Clear => write_command(out, &[b"FLUSHDB"]),
            Self::Ttl(key) => write_command(out, &[b"PTTL", key.as_bytes()]),
            Self::Info => {
                write_command(out, &[b"PING"]);
                write_command(out, &[b"INFO"]);
                write_command(out, &[b"DBSIZE"]);
                return 3;
            }
            Self::Raw(commands) => return commands.encode(out),
        }
        1
    }
}

/// Appends what lets a server of a cluster answer the next command although it does not have the slot yet.
pub(super) fn write_asking(out: &mut Vec<u8>) {
    write_command(out, &[b"ASKING"]);
}

/// Appends a command that has nothing but a key.
pub(super) fn write_key_command(out: &mut Vec<u8>, command: &[u8], key: &str) {
    write_command(out, &[command, key.as_bytes()]);
}

fn encode_set(out: &mut Vec<u8>, key: &str, value: &[u8], expiry: Expiry, condition: Option<&[u8]>) -> usize {
    let key = key.as_bytes();
    match (expiry, condition) {
        (Expiry::Now, None) => write_command(out, &[b"DEL", key]),
        // The answer of `add` is whether the key was free; what is stored would be expired.
        (Expiry::Now, Some(_)) => write_command(out, &[b"EXISTS", key]),
        _ => write_set(out, key, value, expiry, condition),
    }
    1
}

/// Appends a SET of something that does not expire at once.
pub(super) fn write_set(out: &mut Vec<u8>, key: &[u8], value: &[u8], expiry: Expiry, condition: Option<&[u8]>) {
    let mut digits = itoa::Buffer::new();
    let lifetime = lifetime(expiry, &mut digits);
    write_set_start(out, lifetime, condition);
    write_bulk(out, key);
    write_bulk(out, value);
    write_set_end(out, lifetime, condition);
}

/// `EX` or `PX`, and the number that goes with it.
type Lifetime<'a> = Option<(&'static [u8], &'a [u8])>;

fn write_set_start(out: &mut Vec<u8>, lifetime: Lifetime<'_>, condition: Option<&[u8]>) {
    write_header(out, 3 + condition.map_or(0, |_| 1) + lifetime.map_or(0, |_| 2));
    write_bulk(out, b"SET");
}

fn write_set_end(out: &mut Vec<u8>, lifetime: Lifetime<'_>, condition: Option<&[u8]>) {
    if let Some(condition) = condition {
        write_bulk(out, condition);
    }
    if let Some((option, digits)) = lifetime {
        write_bulk(out, option);
        write_bulk(out, digits);
    }
}

/// `EX` with seconds where they are whole, `PX` with milliseconds elsewhere.
fn lifetime(expiry: Expiry, digits: &mut itoa::Buffer) -> Lifetime<'_> {
    let Expiry::In(duration) = expiry else { return None };
    let duration = duration.min(LONGEST);
    Some(if duration.subsec_nanos() == 0 {
        (b"EX", digits.format(duration.as_secs()).as_bytes())
    } else {
        (b"PX", digits.format(duration.as_millis()).as_bytes())
    })
}

/// PERSIST answers 0 for a key that had no expiry, so EXISTS says whether there is one; together they are one transaction.
fn encode_touch(out: &mut Vec<u8>, key: &[u8], expiry: Expiry) -> usize {
    match expiry {
        Expiry::Now => write_command(out, &[b"DEL", key]),
        Expiry::Never => {
            write_command(out, &[b"MULTI"]);
            write_command(out, &[b"PERSIST", key]);
            write_command(out, &[b"EXISTS", key]);
            write_command(out, &[b"EXEC"]);
            return 4;
        }
        Expiry::In(duration) => {
            let mut digits = itoa::Buffer::new();
            let milliseconds = digits.format(duration.min(LONGEST).as_millis());
            write_command(out, &[b"PEXPIRE", key, milliseconds.as_bytes()]);
        }
    }
    1
}

fn encode_set_many(out: &mut Vec<u8>, items: &[(&str, &[u8])], expiry: Expiry) -> usize {
    match expiry {
        Expiry::Now => {
            write_keys(out, b"DEL", items.iter().map(|(key, _)| *key));
            1
        }
        Expiry::Never => {
            write_header(out, 1 + 2 * items.len());
            write_bulk(out, b"MSET");
            for (key, value) in items {
                write_bulk(out, key.as_bytes());
                write_bulk(out, value);
            }
            1
        }
        Expiry::In(_) => {
            // What all of them have in common is made once. Beside its contents, an item has less than 64 bytes.
            let (mut digits, mut start, mut end) = (itoa::Buffer::new(), Vec::new(), Vec::new());
            let lifetime = lifetime(expiry, &mut digits);
            write_set_start(&mut start, lifetime, None);
            write_set_end(&mut end, lifetime, None);
            let contents: usize = items.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
            out.reserve(contents + 64);
            write_command(out, &[b"MULTI"]);
            for (key, value) in items {
                out.extend_from_slice(&start);
                write_bulk(out, key.as_bytes());
                write_bulk(out, value);
                out.extend_from_slice(&end);
            }
            write_command(out, &[b"EXEC"]);
            items.len() + 2
        }
    }
}

fn write_keys<'a>(out: &mut Vec<u8>, command: &[u8], keys: impl ExactSizeIterator<Item = &'a str>) {
    write_header(out, 1 + keys.len());
    write_bulk(out, command);
    for key in keys {
        write_bulk(out, key.as_bytes());
    }
}

/// The first error among the replies, also one within a transaction, is the operation's.
pub(super) fn check(replies: Replies<'_>) -> Result<()> {
    let mut rejected = None;
    for reply in replies {
        match reply {
            // EXECABORT follows the error that caused it.
            Reply::Error(text) => rejected = rejected.or(Some(text)),
            Reply::Array(mut elements) => {
                if let Some(Reply::Error(text)) = elements.find(|element| matches!(element, Reply::Error(_))) {
                    rejected = rejected.or(Some(text));
                }
            }
            _ => {}
        }
    }
    rejected.map_or(Ok(()), |text| Err(server_error(text)))
}

/// The first reply that is an error.
pub(super) fn first_error(replies: Replies<'_>) -> Option<&[u8]> {
    replies.into_iter().find_map(|reply| match reply {
        Reply::Error(text) => Some(text),
        _ => None,
    })
}

/// The answer to GET, or to the script.
pub(super) fn bytes(mut replies: Replies<'_>) -> Result<Option<&[u8]>> {
    match replies.next() {
        Some(Reply::Bytes(bytes) | Reply::Status(bytes)) => Ok(Some(bytes)),
        Some(Reply::Nil) => Ok(None),
        Some(Reply::Error(text)) => Err(server_error(text)),
        _ => Err(unexpected("a string")),
    }
}

/// The answer to a command that counts: DEL, EXISTS, PEXPIRE, PTTL, DBSIZE.
pub(super) fn integer(mut replies: Replies<'_>) -> Result<i64> {
    match replies.next() {
        Some(Reply::Integer(number)) => Ok(number),
        Some(Reply::Error(text)) => Err(server_error(text)),
        _ => Err(unexpected("an integer")),
    }
}

/// The answer to SET … NX: OK or nil.
pub(super) fn stored(mut replies: Replies<'_>) -> Result<bool> {
    match replies.next() {
        Some(Reply::Status(_)) => Ok(true),
        Some(Reply::Nil) => Ok(false),
        Some(Reply::Error(text)) => Err(server_error(text)),
        _ => Err(unexpected("OK or nil")),
    }
}

/// The last element of what EXEC answered.
pub(super) fn last_of_transaction(replies: Replies<'_>) -> Result<i64> {
    check(replies.clone())?;
    match replies.last() {
        Some(Reply::Array(elements)) => match elements.last() {
            Some(Reply::Integer(number)) => Ok(number),
            _ => Err(unexpected("an integer at the end of a transaction")),
        },
        _ => Err(unexpected("the results of a transaction")),
    }
}

/// Judges the answer to MGET: one element a key.
pub(super) fn many(mut replies: Replies<'_>, keys: usize) -> Result<()> {
    match replies.next() {
        Some(Reply::Array(elements)) if elements.left == keys => Ok(()),
        Some(Reply::Array(_)) => Err(unexpected("one element for each key")),
        Some(Reply::Error(text)) => Err(server_error(text)),
        _ => Err(unexpected("an array")),
    }
}

/// The values in an answer to MGET, or to one GET or several, each with the number of its key.
pub(super) fn items(replies: Replies<'_>, mut visit: impl FnMut(usize, &[u8])) {
    let mut value = |(number, reply): (usize, Reply<'_>)| {
        if let Reply::Bytes(bytes) = reply {
            visit(number, bytes);
        }
    };
    match replies.clone().next() {
        Some(Reply::Array(elements)) => elements.enumerate().for_each(&mut value),
        // What ASKING is answered with belongs to no key.
        _ => replies.filter(|reply| !matches!(reply, Reply::Status(_))).enumerate().for_each(&mut value),
    }
}

/// The answer to PTTL: -2 no key, -1 no expiry, else milliseconds.
pub(super) fn ttl(replies: Replies<'_>) -> Result<Ttl> {
    Ok(match integer(replies)? {
        -2 => Ttl::Missing,
        -1 => Ttl::Never,
        left => Ttl::Left(Duration::from_millis(u64::try_from(left).unwrap_or(0))),
    })
}

/// An error if a replica has no data to give: it is loading them, its primary is away, or it has lost the cluster.
pub(super) fn is_ready(mut replies: Replies<'_>) -> Result<()> {
    match replies.next() {
        Some(Reply::Error(text)) if is_unready(text) => Err(server_error(text)),
        _ => Ok(()),
    }
}

/// True if an error says that a replica has no data to give.
pub(super) fn is_unready(text: &[u8]) -> bool {
    [&b"LOADING"[..], b"MASTERDOWN", b"CLUSTERDOWN"].iter().any(|word| text.starts_with(word))
}

/// True if the server does not know the script yet.
pub(super) fn wants_script(mut replies: Replies<'_>) -> bool {
    matches!(replies.next(), Some(Reply::Error(text)) if text.starts_with(b"NOSCRIPT"))
}

/// True if a reply is INCRBY's refusal of a value that is no integer.
pub(super) fn is_not_an_integer(mut replies: Replies<'_>) -> bool {
    matches!(replies.next(), Some(Reply::Error(text)) if text.starts_with(b"ERR value is not an integer")
        || text.starts_with(b"WRONGTYPE"))
}

/// A line of INFO.
pub(super) fn info_field<'a>(info: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(info).ok()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// What the server calls itself in INFO.
pub(super) fn version(info: &[u8]) -> Option<String> {
    let valkey = info_field(info, "valkey_version").map(|version| format!("Valkey {version}"));
    valkey.or_else(|| info_field(info, "redis_version").map(|version| format!("Redis {version}")))
}

pub(crate) fn unexpected(wanted: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("Redis answered with something other than {wanted}"))
        .with_hint("Check that LOCATION names a Redis server, and that nothing changes the bytes between")
}
