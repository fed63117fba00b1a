//! RESP, the Redis serialization protocol, versions 2 and 3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! The parser keeps a tape: for every value its kind and where its bytes lie. It goes on where it stopped, so a reply that
//! comes in a thousand pieces costs no more than one that comes in one; it copies nothing, and allocates no more than a
//! few bytes for each byte that has come.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::error::{Error, ErrorKind, Result};
use crate::net::{MAX_REPLY_BYTES, Malformed, Parser, Protocol, number};
use crate::settings::RedisServer;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays within arrays within arrays…
const MAX_DEPTH: usize = 32;
/// The longest line: a simple string, an error, a number or a length.
const MAX_LINE: usize = 64 * 1024;
/// Lines that a transaction brings as many of as it has commands, before and in its result.
const FREQUENT: [&[u8]; 2] = [b"+OK\r\n", b"+QUEUED\r\n"];
/// As many digits as [`MAX_REPLY_BYTES`] has.
const MOST_DIGITS: usize = 9;

const UNKNOWN_KIND: Malformed = Malformed("a reply starts with a byte that RESP does not know");

/// One value on the tape. Aggregates are followed by their elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Nil,
    Status(Range<usize>),
    Error(Range<usize>),
    Integer(i64),
    /// Bulk strings, verbatim strings, doubles and big numbers: bytes as they are.
    Bytes(Range<usize>),
    /// Arrays, sets, and maps (twice the elements).
    Array {
        elements: usize,
    },
    /// Out-of-band data and attributes, which answer nothing.
    Push {
        elements: usize,
    },
}

/// The incremental parser.
#[derive(Debug, Default)]
pub struct RespParser {
    tape: Vec<Token>,
    /// How many elements each open aggregate still waits for, and whether it is a reply (true) or out of band.
    open: Vec<(usize, bool)>,
    position: usize,
    consumed: usize,
    replies: usize,
    missing: usize,
}

impl Parser for RespParser {
    fn advance(&mut self, bytes: &[u8], most: usize) -> Result<(), Malformed> {
        self.missing = 0;
        while let Some(rest) = bytes.get(self.position..).filter(|rest| !rest.is_empty() && self.replies < most) {
            // What nearly all replies are made of.
            if let Some((size, start)) = bulk_head(rest) {
                let Some(content) = self.bulk(bytes, self.position + start, size)? else { return Ok(()) };
                self.position = content.end + 2;
                self.tape.push(Token::Bytes(content));
                self.close(true);
                continue;
            }
            if let Some(line) = FREQUENT.iter().find(|line| rest.starts_with(line)) {
                let start = self.position + 1;
                self.position += line.len();
                self.tape.push(Token::Status(start..self.position - 2));
                self.close(true);
                continue;
            }
            // Not after the line: what is not Redis may never send one.
            if !rest.first().is_some_and(|kind| b"+-:_#,($=!*~%>|".contains(kind)) {
                return Err(UNKNOWN_KIND);
            }
            let Some(end) = line_end(rest)? else { return Ok(()) };
            let line = rest.get(1..end).unwrap_or_default();
            let after = self.position + end + 2;
            let here = self.position + 1..self.position + end;
            let token = match rest.first() {
                Some(b'+') => Token::Status(here),
                Some(b'-') => Token::Error(here),
                Some(b':') => Token::Integer(integer(line)?),
                Some(b'_') => Token::Nil,
                Some(b'#') => Token::Integer(boolean(line)?),
                Some(b',' | b'(') => Token::Bytes(here),
                Some(b'$' | b'=' | b'!' | b'*' | b'~') if line == b"-1" => Token::Nil,
                Some(kind @ (b'$' | b'=' | b'!')) => {
                    let Some(content) = self.bulk(bytes, after, length(line)?)? else { return Ok(()) };
                    self.position = content.end + 2;
                    self.push(match kind {
                        b'!' => Token::Error(content),
                        // `txt:` before the text of a verbatim string
                        b'=' if content.len() >= 4 => Token::Bytes(content.start + 4..content.end),
                        _ => Token::Bytes(content),
                    });
                    continue;
                }
                Some(b'*' | b'~') => Token::Array { elements: length(line)? },
                Some(b'%') => Token::Array { elements: pairs(line)? },
                Some(b'>') => Token::Push { elements: length(line)? },
                Some(b'|') => Token::Push { elements: pairs(line)? },
                _ => return Err(UNKNOWN_KIND),
            };
            self.position = after;
            if self.open.len() >= MAX_DEPTH {
                return Err(Malformed("replies are nested too deeply"));
            }
            self.push(token);
        }
        Ok(())
    }

    fn replies(&self) -> usize {
        self.replies
    }

    fn consumed(&self) -> usize {
        self.consumed
    }

    fn missing(&self) -> usize {
        self.missing
    }

    fn clear(&mut self) {
        self.tape.clear();
        self.open.clear();
        (self.position, self.consumed, self.replies, self.missing) = (0, 0, 0, 0);
    }
}

impl RespParser {
    /// Where the `size` bytes after a length lie; None if they have not all come.
    fn bulk(&mut self, bytes: &[u8], start: usize, size: usize) -> Result<Option<Range<usize>>, Malformed> {
        let end = start + size;
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => Ok(Some(start..end)),
            Some(_) => Err(Malformed("a string is longer than its length says")),
            None => {
                self.missing = (end + 2).saturating_sub(bytes.len());
                Ok(None)
            }
        }
    }

    fn push(&mut self, token: Token) {
        let opens = match token {
            Token::Array { elements } if elements > 0 => Some((elements, true)),
            Token::Push { elements } if elements > 0 => Some((elements, false)),
            _ => None,
        };
        // Out-of-band data beside a reply answers nothing.
        let counts = !matches!(token, Token::Push { .. });
        self.tape.push(token);
        match opens {
            Some(open) => self.open.push(open),
            None => self.close(counts),
        }
    }

    /// A value is complete; with it, perhaps, the aggregates that it ends.
    fn close(&mut self, mut counts: bool) {
        while let Some((left, is_reply)) = self.open.last_mut() {
            if counts {
                *left -= 1;
            }
            if *left > 0 {
                return;
            }
            counts = *is_reply;
            self.open.pop();
        }
        if counts {
            self.replies += 1;
        }
        self.consumed = self.position;
    }
}

/// The length of a bulk string, and where the string begins. None for anything else, and for a length that is not a few digits.
#[inline]
fn bulk_head(rest: &[u8]) -> Option<(usize, usize)> {
    let (b'$', line) = rest.split_first()? else { return None };
    let mut size = 0;
    for (index, byte) in line.iter().take(MOST_DIGITS + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            size = size * 10 + usize::from(digit);
        } else if *byte == b'\r' && index > 0 && line.get(index + 1) == Some(&b'\n') {
            return (size <= MAX_REPLY_BYTES).then_some((size, index + 3));
        } else {
            return None;
        }
    }
    None
}

/// The index of `\r\n` in what starts with the first byte of a value.
fn line_end(rest: &[u8]) -> Result<Option<usize>, Malformed> {
    let window = rest.get(..MAX_LINE).unwrap_or(rest);
    match memchr::memchr(b'\r', window) {
        None if window.len() == MAX_LINE => Err(Malformed("a line is too long")),
        None => Ok(None),
        Some(end) => match rest.get(end + 1) {
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(Malformed("a carriage return without a line feed")),
            None => Ok(None),
        },
    }
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    number(line).ok_or(Malformed("an integer is not one"))
}

fn boolean(line: &[u8]) -> Result<i64, Malformed> {
    match line {
        b"t" => Ok(1),
        b"f" => Ok(0),
        _ => Err(Malformed("a boolean is neither t nor f")),
    }
}

fn length(line: &[u8]) -> Result<usize, Malformed> {
    number(line).filter(|length| *length <= MAX_REPLY_BYTES).ok_or(Malformed("a length is not one, or is too large"))
}

fn pairs(line: &[u8]) -> Result<usize, Malformed> {
    length(line).map(|pairs| pairs * 2)
}

/// One reply, borrowed from the bytes that it came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// No value.
    Nil,
    /// A simple string, such as `OK`.
    Status(&'a [u8]),
    /// An error of the server.
    Error(&'a [u8]),
    /// An integer or a boolean.
    Integer(i64),
    /// A string; doubles and big numbers as text.
    Bytes(&'a [u8]),
    /// Arrays, sets, and maps as key, value, key, value.
    Array(Replies<'a>),
}

/// Replies one after the other.
#[derive(Clone, Debug)]
pub struct Replies<'a> {
    pub(super) tape: &'a [Token],
    pub(super) bytes: &'a [u8],
    pub(super) left: usize,
}

impl Replies<'_> {
    /// The replies after the first `count`.
    #[must_use]
    pub fn without_first(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.next();
        }
        self
    }
}

/// All complete replies that `parser` found in `bytes`.
pub fn replies<'a>(parser: &'a RespParser, bytes: &'a [u8]) -> Replies<'a> {
    Replies { tape: &parser.tape, bytes, left: parser.replies }
}

impl PartialEq for Replies<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl<'a> Iterator for Replies<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        loop {
            if self.left == 0 {
                return None;
            }
            let (token, rest) = self.tape.split_first()?;
            let at = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
            let reply = match token {
                Token::Nil => Reply::Nil,
                Token::Status(range) => Reply::Status(at(range)),
                Token::Error(range) => Reply::Error(at(range)),
                Token::Integer(number) => Reply::Integer(*number),
                Token::Bytes(range) => Reply::Bytes(at(range)),
                Token::Array { elements } => Reply::Array(Replies { tape: rest, bytes: self.bytes, left: *elements }),
                Token::Push { .. } => {
                    self.tape = after(self.tape);
                    continue;
                }
            };
            self.tape = after(self.tape);
            self.left -= 1;
            return Some(reply);
        }
    }
}

/// The tape after its first value, or out-of-band data, and everything within that.
#[inline]
fn after(tape: &[Token]) -> &[Token] {
    match tape.split_first() {
        Some((Token::Push { elements } | Token::Array { elements }, tail)) => after_values(tail, *elements),
        Some((_, tail)) => tail,
        None => tape,
    }
}

fn after_values(mut rest: &[Token], mut left: usize) -> &[Token] {
    while left > 0 {
        let Some((token, tail)) = rest.split_first() else { break };
        rest = tail;
        left = match token {
            Token::Array { elements } => left + elements - 1,
            // It stands beside the values: it counts for none of them, but what is within it has to be passed.
            Token::Push { elements } => left + elements,
            _ => left - 1,
        };
    }
    rest
}

/// Appends one command as an array of bulk strings.
pub(super) fn write_command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    write_header(out, parts.len());
    for part in parts {
        write_bulk(out, part);
    }
}

/// Appends the head of a command of `parts` parts.
pub(super) fn write_header(out: &mut Vec<u8>, parts: usize) {
    write_length(out, b'*', parts);
}

/// Appends one part of a command.
pub(super) fn write_bulk(out: &mut Vec<u8>, part: &[u8]) {
    write_length(out, b'$', part.len());
    out.extend_from_slice(part);
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    // Most have one digit or two: no call for each of their parts.
    if let Ok(length @ 0..100) = u8::try_from(length) {
        let (tens, ones) = (b'0' + length / 10, b'0' + length % 10);
        let short = [kind, ones, b'\r', b'\n'];
        let long = [kind, tens, ones, b'\r', b'\n'];
        out.extend_from_slice(if length < 10 { &short } else { &long });
        return;
    }
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// How a connection to one Redis server is opened.
pub struct RespProtocol {
    server: RedisServer,
    version: u8,
    client_name: Option<String>,
    /// How many connections were greeted.
    opened: AtomicU64,
    reads_from_replicas: bool,
}

impl RespProtocol {
    /// For `server`, in RESP `version` 2 or 3; `client_name` is shown by `CLIENT LIST`.
    pub(super) fn new(server: RedisServer, version: u8, client_name: Option<String>) -> Self {
        Self { server, version, client_name, opened: AtomicU64::new(0), reads_from_replicas: false }
    }

    /// How many connections to the server have been opened by this process, its parents included.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Tells a replica in a cluster that it is read from.
    pub(super) fn reading_from_replicas(mut self, reads: bool) -> Self {
        self.reads_from_replicas = reads;
        self
    }

    fn login(&self) -> Option<(&str, &str)> {
        match (self.server.username.as_deref(), self.server.password.as_deref()) {
            (None, None) => None,
            // A user may have no password (ACL `nopass`), and a password alone is the default user's.
            (username, password) => Some((username.unwrap_or("default"), password.unwrap_or_default())),
        }
    }
}

impl Protocol for RespProtocol {
    type Parser = RespParser;

    const NAME: &'static str = "Redis";

    fn hello(&self, out: &mut Vec<u8>) -> usize {
        let mut commands = 0;
        let mut command = |parts: &[&[u8]]| {
            write_command(out, parts);
            commands += 1;
        };
        match (self.version, self.login()) {
            (3, None) => command(&[b"HELLO", b"3"]),
            (3, Some((user, password))) => command(&[b"HELLO", b"3", b"AUTH", user.as_bytes(), password.as_bytes()]),
            (_, None) => command(&[b"PING"]),
            // Servers before version 6 know no user names.
            (_, Some((_, password))) if self.server.username.is_none() => command(&[b"AUTH", password.as_bytes()]),
            (_, Some((user, password))) => command(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
        }
        if self.server.database != 0 {
            command(&[b"SELECT", itoa::Buffer::new().format(self.server.database).as_bytes()]);
        }
        if let Some(name) = &self.client_name {
            command(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        }
        if self.reads_from_replicas {
            command(&[b"READONLY"]);
        }
        // Answered with an error by servers before 7.2, which changes nothing.
        command(&[b"CLIENT", b"SETINFO", b"LIB-NAME", b"pinyon"]);
        command(&[b"CLIENT", b"SETINFO", b"LIB-VER", env!("CARGO_PKG_VERSION").as_bytes()]);
        commands
    }

    fn welcome(&self, parser: &RespParser, bytes: &[u8]) -> Result<()> {
        let mut answers = replies(parser, bytes);
        if let Some(Reply::Error(text)) = answers.next() {
            let error = server_error(text);
            let old = text.starts_with(b"ERR unknown command") || text.starts_with(b"NOPROTO");
            return Err(if self.version == 3 && old {
                error.with_hint("RESP3 needs Redis 6 or later; set the option protocol to 2")
            } else {
                error
            });
        }
        if self.server.database != 0
            && let Some(Reply::Error(text)) = answers.next()
        {
            return Err(server_error(text).with_hint(format!(
                "Choose a database that the server has (`databases` in its configuration) instead of {}.",
                self.server.database
            )));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn foreign(malformed: Malformed, bytes: &[u8]) -> Error {
        let (what, hint) = if bytes.starts_with(b"HTTP/") {
            ("an HTTP server answered", "LOCATION names a web server; name the host and port of Redis.")
        } else if bytes.starts_with(b"ERROR\r\n") || bytes.starts_with(b"CLIENT_ERROR") {
            (
                "a Memcached server answered",
                "LOCATION names a Memcached server; use a Memcached BACKEND, or name Redis.",
            )
        } else if bytes.first() == Some(&0x15) {
            ("a TLS server answered", "Use rediss:// in LOCATION.")
        } else {
            (malformed.0, "Check that LOCATION names a Redis server, and that nothing changes the bytes between.")
        };
        Error::new(ErrorKind::Protocol, format!("the answer is not in the Redis protocol: {what}")).with_hint(hint)
    }

    fn unreachable_hint() -> &'static str {
        "Start redis-server there, or correct host and port in LOCATION; `redis-cli -h HOST -p PORT ping` shows whether it \
         answers"
    }

    fn closed_hint() -> &'static str {
        "Does the server want TLS at this port (rediss:// in LOCATION)? Otherwise it was stopped, or it refuses this client; \
         its log says which"
    }
}

/// What to do where the keys of one command are in several hash slots.
pub(super) const HASH_TAG_HINT: &str =
    "Keys that are used together need the same hash tag, for example {user1}:a and {user1}:b";

/// An error that the server sent: its kind by its first word, its own text, and what to do.
pub fn server_error(text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text);
    let word = text.split(' ').next().unwrap_or_default();
    let (kind, hint) = match word {
        "NOAUTH" => (ErrorKind::Auth, "Give the password: redis://:PASSWORD@host:port/0, or OPTIONS \"password\""),
        "WRONGPASS" => (ErrorKind::Auth, "Correct user name and password in LOCATION or OPTIONS"),
        "NOPERM" => (ErrorKind::Auth, "Allow this user the command and the keys (ACL SETUSER)"),
        "LOADING" => (ErrorKind::Server, "The server is loading its data; try again in a moment"),
        "READONLY" => (ErrorKind::Server, "This is a replica: put the primary first in LOCATION"),
        "OOM" => (ErrorKind::Server, "The server is full: raise maxmemory, or set maxmemory-policy allkeys-lru"),
        "MISCONF" => (ErrorKind::Server, "The server cannot save its data and refuses writes; see its log"),
        "MOVED" | "ASK" => (
            ErrorKind::Server,
            "The server is part of a Redis Cluster: set OPTIONS \"CLUSTER\" to true. If it is, try again",
        ),
        "CROSSSLOT" => (ErrorKind::Server, HASH_TAG_HINT),
        "TRYAGAIN" => (ErrorKind::Server, "The Redis Cluster is moving these keys; try again in a moment"),
        // Nobody who could be asked has the key.
        "CLUSTERDOWN" => (ErrorKind::Unreachable, "Look at CLUSTER INFO, and bring back the servers that are missing"),
        "WRONGTYPE" => (ErrorKind::Server, "The key holds a list, set or hash that something else wrote"),
        _ if text.contains("invalid password")
            || text.contains("no password is set")
            || text.contains("without any password") =>
        {
            (ErrorKind::Auth, "Correct the password in LOCATION or OPTIONS, or remove it if the server has none")
        }
        _ => return Error::new(ErrorKind::Server, format!("Redis answered: {text}")),
    };
    Error::new(kind, format!("Redis answered: {text}")).with_hint(hint)
}
