//! Commands that the caller words, and their replies as they came.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::command::{check, unexpected};
use super::protocol::{Replies, Reply, RespProtocol, replies, server_error, write_bulk, write_command, write_header};
use crate::error::{Error, ErrorKind, Result};
use crate::net::Answered;
use std::fmt;

/// Commands after which a connection is not what the next operation expects: it belongs to all of them.
const CHANGE_THE_CONNECTION: [&str; 24] = [
    "ASKING",
    "AUTH",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
    "SHUTDOWN",
];
/// What `CLIENT` does to the connection itself.
const CLIENT_CHANGES: [&str; 5] = ["CACHING", "NO-EVICT", "NO-TOUCH", "REPLY", "TRACKING"];
/// Commands that let the server wait, and everything behind them on the same connection.
const WAIT: [&str; 10] =
    ["BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "WAIT", "WAITAOF"];

/// Commands without a key.
const WITHOUT_KEYS: [&str; 34] = [
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DBSIZE",
    "ECHO",
    "FAILOVER",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION",
    "INFO",
    "KEYS",
    "LASTSAVE",
    "LATENCY",
    "LOLWUT",
    "MODULE",
    "PING",
    "PUBLISH",
    "PUBSUB",
    "RANDOMKEY",
    "REPLICAOF",
    "ROLE",
    "SAVE",
    "SCAN",
    "SCRIPT",
    "SLAVEOF",
    "SLOWLOG",
    "SWAPDB",
    "TIME",
    "WAIT",
    "WAITAOF",
];

/// One or several commands that go to one server in one round trip.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about how they are sent")]
pub struct Commands {
    name: &'static str,
    /// The request without what makes it a transaction.
    bytes: Vec<u8>,
    count: usize,
    is_read: bool,
    is_repeatable: bool,
    is_transaction: bool,
    waits: bool,
    /// The first key of the first command that has one.
    key: Option<Box<[u8]>>,
}

impl Commands {
    /// None yet. `name` is the operation in messages.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            bytes: Vec::new(),
            count: 0,
            is_read: false,
            is_repeatable: false,
            is_transaction: false,
            waits: false,
            key: None,
        }
    }

    /// Sends them to a replica, if there is one: none of them writes. They are repeatable then.
    #[must_use]
    pub fn reading(mut self, is_read: bool) -> Self {
        self.is_read = is_read;
        self.is_repeatable |= is_read;
        self
    }

    /// Doing them twice is as good as doing them once: they are sent again if their connection was found dead.
    #[must_use]
    pub fn repeatable(mut self, is_repeatable: bool) -> Self {
        self.is_repeatable |= is_repeatable;
        self
    }

    /// The server does all of them with nothing else between them, or none.
    #[must_use]
    pub fn transaction(mut self, is_transaction: bool) -> Self {
        self.is_transaction = is_transaction;
        self
    }

    /// Adds a command: its name and its arguments.
    ///
    /// # Errors
    /// It is empty, or changes the connection for whoever uses it next ([`ErrorKind::Unsupported`]).
    pub fn push<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> Result<()> {
        let word = |index: usize| parts.get(index).map(|part| part.as_ref().to_ascii_uppercase()).unwrap_or_default();
        let is = |word: &[u8], names: &[&str]| names.iter().any(|name| name.as_bytes() == word);
        let name = word(0);
        let refused = if name.is_empty() {
            Some("a command needs a name".to_owned())
        } else if is(&name, &CHANGE_THE_CONNECTION) || name == b"CLIENT" && is(&word(1), &CLIENT_CHANGES) {
            let name = String::from_utf8_lossy(&name).into_owned();
            Some(format!("{name} would change a connection that other operations use"))
        } else {
            None
        };
        if let Some(refused) = refused {
            return Err(Error::new(ErrorKind::Unsupported, refused).with_operation(self.name).with_hint(
                "Transactions have an argument of their own; for the rest, open a connection with redis-py",
            ));
        }
        self.waits |= is(&name, &WAIT)
            || name.starts_with(b"XREAD") && parts.iter().any(|part| part.as_ref().eq_ignore_ascii_case(b"BLOCK"));
        if self.key.is_none() {
            self.key = key_place(&name, parts).and_then(|place| Some(parts.get(place)?.as_ref().into()));
        }
        write_header(&mut self.bytes, parts.len());
        for part in parts {
            write_bulk(&mut self.bytes, part.as_ref());
        }
        self.count += 1;
        Ok(())
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the server may wait before it answers, which holds up whoever shares the connection.
    pub fn waits(&self) -> bool {
        self.waits
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The key that decides which server gets them.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    pub(super) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Appends the request; returns the number of replies.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> usize {
        if self.is_transaction {
            write_command(out, &[b"MULTI"]);
        }
        out.extend_from_slice(&self.bytes);
        if !self.is_transaction {
            return self.count;
        }
        write_command(out, &[b"EXEC"]);
        self.count + 2
    }

    /// One reply a command, in their order; errors of the server are among them.
    ///
    /// # Errors
    /// The server refused the transaction as a whole.
    pub(super) fn results<'a>(&self, replies: Replies<'a>) -> Result<Replies<'a>> {
        if !self.is_transaction {
            return Ok(replies);
        }
        match replies.clone().last() {
            Some(Reply::Array(results)) => Ok(results),
            Some(Reply::Error(text)) => {
                check(replies)?;
                Err(server_error(text))
            }
            _ => Err(unexpected("the results of a transaction")),
        }
    }
}

/// Where the first key of a command stands among its words; none if it has none.
fn key_place<P: AsRef<[u8]>>(name: &[u8], parts: &[P]) -> Option<usize> {
    let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    let has_keys = |place: usize| parts.get(place).is_some_and(|count| count.as_ref() != b"0");
    if is(&WITHOUT_KEYS) {
        None
    } else if is(&["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"]) {
        has_keys(2).then_some(3)
    } else if is(&["LMPOP", "ZMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZUNION"]) {
        has_keys(1).then_some(2)
    } else if is(&["BLMPOP", "BZMPOP"]) {
        has_keys(2).then_some(3)
    } else if is(&["OBJECT", "MEMORY", "BITOP", "XGROUP", "XINFO", "DEBUG"]) {
        Some(2)
    } else if name == b"MIGRATE" {
        Some(3)
    } else if is(&["XREAD", "XREADGROUP"]) {
        parts.iter().position(|part| part.as_ref().eq_ignore_ascii_case(b"STREAMS")).map(|place| place + 1)
    } else {
        Some(1)
    }
}

/// The replies to [`Commands`], which can be read where they arrived.
pub struct Results<A> {
    answer: A,
    /// How many of the replies are none to the commands.
    skipped: usize,
    is_transaction: bool,
}

impl<A: Answered<RespProtocol>> Results<A> {
    pub(super) fn new(answer: A, skipped: usize, commands: &Commands) -> Self {
        Self { answer, skipped, is_transaction: commands.is_transaction }
    }

    /// One a command, in their order; errors of the server are among them.
    pub fn replies(&self) -> Replies<'_> {
        let (parser, bytes) = self.answer.replies();
        let all = replies(parser, bytes).without_first(self.skipped);
        match (self.is_transaction, all.clone().last()) {
            (true, Some(Reply::Array(results))) => results,
            _ => all,
        }
    }
}

// It says nothing about values.
impl<A> fmt::Debug for Results<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Results")
    }
}
