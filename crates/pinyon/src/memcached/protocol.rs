//! Replies of Memcached's meta protocol, and of the few classic commands that it has no meta form for
//! (<https://github.com/memcached/memcached/blob/master/doc/protocol.txt>).
//!
//! Like the Redis parser: it notes where each reply lies, goes on where it stopped, and copies nothing.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::error::{Error, ErrorKind, Result};
use crate::net::{MAX_REPLY_BYTES, Malformed, Parser, Protocol, number};
use std::ops::Range;

/// The longest line. Error texts are short, keys are not returned.
const MAX_LINE: usize = 8 * 1024;

const UNKNOWN_WORD: Malformed = Malformed("a line starts with a word that Memcached does not use");

/// The first word of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `HD`: done, nothing to return.
    Done,
    /// `VA`: a value follows.
    Value,
    /// `EN`, `NF`: no such entry.
    Missing,
    /// `NS`, `EX`: not stored.
    NotStored,
    /// `OK`, `VERSION`, `END`, `MN`: an answer to a classic command, or the end of several lines.
    Other,
    /// `ERROR`: the server does not know the command.
    Unknown,
    /// `CLIENT_ERROR`: the request is wrong.
    ClientError,
    /// `SERVER_ERROR`: the server cannot do it.
    ServerError,
}

#[derive(Clone, Debug)]
struct Mark {
    status: Status,
    /// The rest of the line: flags, or the text of an error.
    rest: Range<usize>,
    value: Range<usize>,
}

/// The incremental parser. Lines of statistics (`STAT`) belong to the `END` that follows them.
#[derive(Debug, Default)]
pub struct MetaParser {
    marks: Vec<Mark>,
    statistics: Vec<Range<usize>>,
    position: usize,
    missing: usize,
}

/// One reply, borrowed from the bytes that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaReply<'a> {
    /// Its first word.
    pub status: Status,
    /// The rest of its line: flags, or the text of an error.
    pub rest: &'a [u8],
    /// Its value; empty if it has none.
    pub value: &'a [u8],
}

impl<'a> MetaReply<'a> {
    /// The token that follows a flag, such as `300` for `t` in `HD t300`.
    pub fn flag(&self, flag: u8) -> Option<&'a [u8]> {
        let mut rest = self.rest;
        loop {
            let (token, after) = split_word(rest);
            match token.split_first() {
                Some((first, token)) if *first == flag => return Some(token),
                _ => rest = after?,
            }
        }
    }

    /// The token of a flag as a number.
    pub fn number<T: TryFrom<u64> + std::str::FromStr>(&self, flag: u8) -> Option<T> {
        number(self.flag(flag)?)
    }
}

impl Parser for MetaParser {
    fn advance(&mut self, bytes: &[u8], most: usize) -> Result<(), Malformed> {
        self.missing = 0;
        while let Some(tail) = bytes.get(self.position..).filter(|tail| !tail.is_empty() && self.marks.len() < most) {
            // Not after the line: what is not Memcached may never send one.
            if !tail.first().is_some_and(u8::is_ascii_uppercase) {
                return Err(UNKNOWN_WORD);
            }
            let window = tail.get(..MAX_LINE).unwrap_or(tail);
            let Some(feed) = memchr::memchr(b'\n', window) else {
                return if window.len() == MAX_LINE { Err(Malformed("a line is too long")) } else { Ok(()) };
            };
            let Some(line) = tail.get(..feed).and_then(|line| line.strip_suffix(b"\r")) else {
                return Err(Malformed("a line does not end with carriage return and line feed"));
            };
            let (word, _) = split_word(line);
            let mut rest = self.position + (word.len() + 1).min(line.len())..self.position + line.len();
            let after = self.position + feed + 1;
            let mut value = after..after;
            let status = match word {
                b"HD" => Status::Done,
                b"VA" => {
                    let (digits, _) = split_word(bytes.get(rest.clone()).unwrap_or_default());
                    value = after..after + length(digits)?;
                    rest.start = (rest.start + digits.len() + 1).min(rest.end);
                    Status::Value
                }
                b"EN" | b"NF" => Status::Missing,
                b"NS" | b"EX" => Status::NotStored,
                b"MN" | b"OK" | b"VERSION" | b"END" => Status::Other,
                b"ERROR" => Status::Unknown,
                b"CLIENT_ERROR" => Status::ClientError,
                b"SERVER_ERROR" => Status::ServerError,
                b"STAT" => {
                    self.statistics.push(rest);
                    self.position = after;
                    continue;
                }
                _ => return Err(UNKNOWN_WORD),
            };
            let end = if status == Status::Value { value.end + 2 } else { value.end };
            match bytes.get(value.end..end) {
                Some(b"" | b"\r\n") => {}
                Some(_) => return Err(Malformed("a value is longer than its length says")),
                None => {
                    self.missing = end.saturating_sub(bytes.len());
                    return Ok(());
                }
            }
            self.marks.push(Mark { status, rest, value });
            self.position = end;
        }
        Ok(())
    }

    fn replies(&self) -> usize {
        self.marks.len()
    }

    fn consumed(&self) -> usize {
        self.position
    }

    fn missing(&self) -> usize {
        self.missing
    }

    fn clear(&mut self) {
        self.marks.clear();
        self.statistics.clear();
        (self.position, self.missing) = (0, 0);
    }
}

impl MetaParser {
    /// The complete replies that were found in `bytes`.
    pub fn iter<'a>(&'a self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = MetaReply<'a>> + 'a {
        self.marks.iter().map(move |mark| MetaReply {
            status: mark.status,
            rest: bytes.get(mark.rest.clone()).unwrap_or_default(),
            value: bytes.get(mark.value.clone()).unwrap_or_default(),
        })
    }

    /// The number that a line of statistics gives for `name`.
    pub fn statistic(&self, bytes: &[u8], name: &str) -> Option<u64> {
        self.statistics.iter().find_map(|range| {
            let line = std::str::from_utf8(bytes.get(range.clone())?).ok()?;
            line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
        })
    }
}

/// The first word of a line, and what follows its space.
#[inline]
fn split_word(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(end) => (line.get(..end).unwrap_or_default(), line.get(end + 1..)),
        None => (line, None),
    }
}

fn length(digits: &[u8]) -> Result<usize, Malformed> {
    number(digits)
        .filter(|length| *length <= MAX_REPLY_BYTES)
        .ok_or(Malformed("the length of a value is not one, or is too large"))
}

/// How a connection to a Memcached server is opened: by asking its version, because a server before 1.6 would take the
/// value of an `ms` for commands.
#[derive(Debug)]
pub struct MetaProtocol;

impl Protocol for MetaProtocol {
    type Parser = MetaParser;

    const NAME: &'static str = "Memcached";

    fn hello(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(b"version\r\n");
        1
    }

    fn welcome(&self, parser: &MetaParser, bytes: &[u8]) -> Result<()> {
        let reply = parser.iter(bytes).next();
        if let Some(reply) = reply.filter(|reply| reply.status != Status::Other && !reply.rest.is_empty()) {
            let text = String::from_utf8_lossy(reply.rest);
            return Err(Error::new(ErrorKind::Server, format!("Memcached does not take the connection: {text}"))
                .with_hint("Raise its connection limit (`memcached -c`), or lower max_pool_size"));
        }
        let version = reply.and_then(|reply| std::str::from_utf8(reply.rest).ok()).unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found >= (1, 6) {
            return Ok(());
        }
        let said =
            if version.is_empty() { "does not tell its version".to_owned() } else { format!("has version {version}") };
        Err(Error::new(ErrorKind::Unsupported, format!("the server {said}, and Pinyon needs Memcached 1.6 or later"))
            .with_hint("Update memcached; 1.6 is of 2020"))
    }

    fn foreign(malformed: Malformed, bytes: &[u8]) -> Error {
        let (what, hint) = if bytes.starts_with(b"HTTP/") {
            ("an HTTP server answered", "LOCATION names a web server; name the host and port of Memcached")
        } else if bytes.starts_with(b"-ERR") || bytes.starts_with(b"-NOAUTH") || bytes.starts_with(b"-DENIED") {
            ("a Redis server answered", "LOCATION names a Redis server; use a Redis BACKEND, or name Memcached")
        } else {
            (malformed.0, "Check that LOCATION names a Memcached server, and that nothing changes the bytes between")
        };
        Error::new(ErrorKind::Protocol, format!("the answer is not in the Memcached protocol: {what}")).with_hint(hint)
    }

    fn unreachable_hint() -> &'static str {
        "Start memcached there, or correct host and port in LOCATION; `memcached -vv -p PORT` shows who connects"
    }

    fn closed_hint() -> &'static str {
        "It was stopped, it refuses this client, or it is not a Memcached server; `memcached -vv -p PORT` shows who connects"
    }
}
