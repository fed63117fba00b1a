//! Commands that the caller words, and their replies as they came.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::command::{check, unexpected};
use super::gathered::Gathered;
use super::protocol::{Replies, Reply, RespProtocol, replies, server_error, write_bulk, write_command, write_header};
use crate::error::{Error, ErrorKind, Result};
use crate::net::Answered;
use std::fmt;
use std::ops::Range;

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

/// Commands all of whose arguments are keys.
const ALL_KEYS: [&str; 13] = [
    "DEL",
    "EXISTS",
    "MGET",
    "PFCOUNT",
    "PFMERGE",
    "SDIFF",
    "SDIFFSTORE",
    "SINTER",
    "SINTERSTORE",
    "SUNION",
    "SUNIONSTORE",
    "TOUCH",
    "UNLINK",
];
/// Commands whose first two arguments are keys.
const TWO_KEYS: [&str; 11] = [
    "BLMOVE",
    "BRPOPLPUSH",
    "COPY",
    "GEOSEARCHSTORE",
    "LCS",
    "LMOVE",
    "RENAME",
    "RENAMENX",
    "RPOPLPUSH",
    "SMOVE",
    "ZRANGESTORE",
];

/// One or several commands that go to their server in one round trip; where several servers share the keys, to each server those
/// about its keys, at the same time.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about how they are sent")]
pub struct Commands {
    name: &'static str,
    /// The request without what makes it a transaction.
    bytes: Vec<u8>,
    /// Where each command ends in `bytes`.
    ends: Vec<usize>,
    /// Where the keys are in `bytes`, each with the number of its command; in their order.
    keys: Vec<(usize, Range<usize>)>,
    /// The group that gets the commands without a key.
    group: usize,
    is_read: bool,
    is_repeatable: bool,
    is_transaction: bool,
    waits: bool,
}

impl Commands {
    /// None yet. `name` is the operation in messages.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            bytes: Vec::new(),
            ends: Vec::new(),
            keys: Vec::new(),
            group: 0,
            is_read: false,
            is_repeatable: false,
            is_transaction: false,
            waits: false,
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

    /// Where several primaries share the keys, the number of the one that gets the commands without a key; default 0.
    #[must_use]
    pub fn on_group(mut self, group: usize) -> Self {
        self.group = group;
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
        let mut places = key_places(&name, parts).peekable();
        write_header(&mut self.bytes, parts.len());
        for (place, part) in parts.iter().enumerate() {
            write_bulk(&mut self.bytes, part.as_ref());
            if places.next_if_eq(&place).is_some() {
                // A line ends behind it.
                let end = self.bytes.len() - 2;
                self.keys.push((self.ends.len(), end - part.as_ref().len()..end));
            }
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether the server may wait before it answers, which holds up whoever shares the connection.
    pub fn waits(&self) -> bool {
        self.waits
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The key that decides which server gets them, if they are for one.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.keys().next().map(|(_, key)| key)
    }

    /// All keys, each with the number of its command.
    pub(super) fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.keys.iter().map(|(command, range)| (*command, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// The group that gets what has no key.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Their number.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The request of the command with a number.
    pub(super) fn command(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The key that decides which server gets the command with a number.
    pub(super) fn key_of(&self, number: usize) -> Option<&[u8]> {
        let first = self.keys.partition_point(|(command, _)| *command < number);
        let (_, range) = self.keys.get(first).filter(|(command, _)| *command == number)?;
        self.bytes.get(range.clone())
    }

    pub(super) fn is_transaction(&self) -> bool {
        self.is_transaction
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
            return self.count();
        }
        write_command(out, &[b"EXEC"]);
        self.count() + 2
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

/// Where the keys of a command stand among its words. Of a command that is not known, its first argument is the key.
fn key_places<P: AsRef<[u8]>>(name: &[u8], parts: &[P]) -> impl Iterator<Item = usize> + use<P> {
    let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    let end = parts.len();
    // As many keys as the word at `place` says stand behind it.
    let counted = |place: usize| {
        let count = parts.get(place).and_then(|count| std::str::from_utf8(count.as_ref()).ok()?.parse().ok());
        place + 1..(place + 1).saturating_add(count.unwrap_or(0)).min(end)
    };
    let mut first = None;
    let mut step = 1;
    let places = if is(&WITHOUT_KEYS) {
        0..0
    } else if is(&ALL_KEYS) {
        1..end
    } else if is(&["MSET", "MSETNX"]) {
        step = 2;
        1..end
    } else if is(&["BLPOP", "BRPOP", "BZPOPMAX", "BZPOPMIN"]) {
        1..end.saturating_sub(1)
    } else if is(&TWO_KEYS) {
        1..end.min(3)
    } else if is(&["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "BLMPOP", "BZMPOP"]) {
        counted(2)
    } else if is(&["LMPOP", "ZMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZUNION"]) {
        counted(1)
    } else if is(&["ZDIFFSTORE", "ZINTERSTORE", "ZUNIONSTORE"]) {
        first = Some(1);
        counted(2)
    } else if name == b"BITOP" {
        2..end
    } else if is(&["OBJECT", "MEMORY", "XGROUP", "XINFO", "DEBUG"]) {
        2..end.min(3)
    } else if name == b"MIGRATE" {
        3..end.min(4)
    } else if is(&["XREAD", "XREADGROUP"]) {
        let word = parts.iter().position(|part| part.as_ref().eq_ignore_ascii_case(b"STREAMS"));
        // Behind the keys stands an identifier for each.
        word.map_or(0..0, |word| word + 1..word + 1 + (end - word - 1) / 2)
    } else {
        1..end.min(2)
    };
    first.into_iter().chain(places.step_by(step))
}

/// The replies to [`Commands`], which can be read where they arrived; those of several servers were copied.
pub struct Results<A>(From<A>);

enum From<A> {
    One {
        answer: A,
        /// How many of the replies are none to the commands.
        skipped: usize,
        is_transaction: bool,
    },
    Several(Gathered),
}

impl<A: Answered<RespProtocol>> Results<A> {
    pub(super) fn new(answer: A, skipped: usize, commands: &Commands) -> Self {
        Self(From::One { answer, skipped, is_transaction: commands.is_transaction })
    }

    pub(super) fn several(gathered: Gathered) -> Self {
        Self(From::Several(gathered))
    }

    /// One a command, in their order; errors of the server are among them.
    pub fn replies(&self) -> Replies<'_> {
        let (answer, skipped, is_transaction) = match &self.0 {
            From::One { answer, skipped, is_transaction } => (answer, *skipped, *is_transaction),
            From::Several(gathered) => return gathered.replies(),
        };
        let (parser, bytes) = answer.replies();
        let all = replies(parser, bytes).without_first(skipped);
        match (is_transaction, all.clone().last()) {
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
