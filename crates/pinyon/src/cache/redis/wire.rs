//! How commands are sent and replies read, whoever waits for them.

use super::Base;
#[cfg(feature = "conformance")]
use crate::cache::Cache;
use crate::error::Result;
use crate::net::{Answered, Lease};
use crate::redis::{Commands, RedisStore, Replies, Reply, RespProtocol, Results, server_error, unexpected};
use crate::store::{Integer, Item, Store};
use crate::timeout::{Expiry, Timeout};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Who sends commands and waits: the thread that calls, or a task.
pub(crate) trait Wire: Copy {
    /// Where the replies lie.
    type Answer: Answered<RespProtocol>;

    async fn send(&self, commands: &Commands) -> Result<Results<Self::Answer>>;

    /// As [`RedisStore::groups_over`].
    async fn groups(&self) -> Result<usize>;

    /// As [`Store::incr`].
    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>>;

    async fn pause(&self, time: Duration);
}

/// The calling thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads<'a>(pub(super) &'a RedisStore);

impl Wire for Threads<'_> {
    type Answer = Lease<RespProtocol>;

    async fn send(&self, commands: &Commands) -> Result<Results<Self::Answer>> {
        self.0.command(commands)
    }

    async fn groups(&self) -> Result<usize> {
        self.0.count_groups()
    }

    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        self.0.incr(key, delta)
    }

    async fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The operations of a cache on Redis, through a wire. `operation` is what errors call the one that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over<'a, W> {
    pub(super) base: Base<'a>,
    pub(super) wire: W,
    pub(super) operation: &'static str,
}

impl<W: Wire> Over<'_, W> {
    /// The cache whose operations they are.
    #[cfg(feature = "conformance")]
    pub(crate) fn cache(&self) -> &Cache {
        self.base.cache
    }

    /// The same with another number of keys that a scan looks at.
    #[cfg(feature = "conformance")]
    pub(crate) fn counting(&self, count: u32) -> Self {
        Self { base: self.base.counting(count), ..*self }
    }

    /// Adds alias and operation to an error.
    pub(super) fn named<R>(&self, outcome: Result<R>) -> Result<R> {
        outcome.map_err(|error| self.base.cache.explain(error, self.operation))
    }

    pub(super) fn key(&self, key: &str) -> Result<String> {
        self.base.cache.make_key(key, self.operation)
    }

    pub(super) fn make_keys(&self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<Vec<u8>>> {
        keys.into_iter().map(|key| self.key(key.as_ref()).map(String::into_bytes)).collect()
    }

    pub(super) fn expiry(&self, timeout: Timeout) -> Expiry {
        timeout.resolve(self.base.cache.shared.timeout).to_whole(self.base.store.timeout_unit())
    }

    /// A value as entries are stored, members of sets and lists, and values of hashes: integers as digits.
    pub(super) fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>> {
        self.base.cache.shared.codec.encode(value).map(|encoded| encoded.bytes)
    }

    pub(super) fn encode_all<T: Serialize>(&self, values: impl IntoIterator<Item = T>) -> Result<Vec<Vec<u8>>> {
        values.into_iter().map(|value| self.encode(&value)).collect()
    }

    /// The value of what [`Over::encode`] made; none if it cannot be read and that is a miss. `made` is what the report names.
    pub(super) fn decode<T: DeserializeOwned>(&self, made: &str, bytes: &[u8]) -> Result<Option<T>> {
        self.base.cache.decode(made, Item { bytes, flags: 0 })
    }

    pub(super) fn commands(&self) -> Commands {
        Commands::new(self.operation)
    }

    /// One command that writes nothing: a replica may answer.
    pub(super) async fn read<P: AsRef<[u8]>>(&self, words: &[P]) -> Result<One<W::Answer>> {
        self.one(self.commands().reading(true), words).await
    }

    /// One command that writes, and must not be done twice.
    pub(super) async fn write<P: AsRef<[u8]>>(&self, words: &[P]) -> Result<One<W::Answer>> {
        self.one(self.commands(), words).await
    }

    /// One command for the primary that can be done twice.
    pub(super) async fn repeat<P: AsRef<[u8]>>(&self, words: &[P]) -> Result<One<W::Answer>> {
        self.one(self.commands().repeatable(true), words).await
    }

    pub(super) async fn one<P: AsRef<[u8]>>(&self, mut commands: Commands, words: &[P]) -> Result<One<W::Answer>> {
        commands.push(words)?;
        Ok(One(self.wire.send(&commands).await?))
    }
}

/// Where a scan goes on: the number of a primary, since a cursor is one server's, and the cursor.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) group: usize,
    pub(super) cursor: Vec<u8>,
}

impl Place {
    pub(super) fn start() -> Self {
        Self::at(0)
    }

    fn at(group: usize) -> Self {
        Self { group, cursor: b"0".to_vec() }
    }

    /// Where to go on after a page that has told `cursor`, none at the end of this primary; for a scan of keys, which all have
    /// some.
    pub(super) async fn following<W: Wire>(&self, wire: W, cursor: Option<Vec<u8>>) -> Result<Option<Self>> {
        if let Some(cursor) = cursor {
            return Ok(Some(Self { group: self.group, cursor }));
        }
        let next = self.group + 1;
        Ok((next < wire.groups().await?).then(|| Self::at(next)))
    }
}

/// The words of a command out of its beginning and any number of others.
pub(super) fn words<'w>(start: &[&'w [u8]], rest: &'w [Vec<u8>]) -> Vec<&'w [u8]> {
    start.iter().copied().chain(rest.iter().map(Vec::as_slice)).collect()
}

/// The reply to one command.
pub(super) struct One<A>(Results<A>);

impl<A: Answered<RespProtocol>> One<A> {
    pub(super) fn reply(&self) -> Result<Reply<'_>> {
        sound(self.0.replies().next())
    }

    pub(super) fn integer(&self) -> Result<i64> {
        match self.reply()? {
            Reply::Integer(number) => Ok(number),
            _ => Err(unexpected("an integer")),
        }
    }

    pub(super) fn count(&self) -> Result<u64> {
        count(Ok(self.reply()?))
    }

    pub(super) fn optional_count(&self) -> Result<Option<u64>> {
        match self.reply()? {
            Reply::Nil => Ok(None),
            reply => count(Ok(reply)).map(Some),
        }
    }

    pub(super) fn flag(&self) -> Result<bool> {
        Ok(self.integer()? > 0)
    }

    pub(super) fn bytes(&self) -> Result<Option<&[u8]>> {
        string(&self.reply()?)
    }

    /// The elements of an array, none for no array at all.
    pub(super) fn elements(&self) -> Result<Vec<Reply<'_>>> {
        match self.reply()? {
            Reply::Array(elements) => Ok(elements.collect()),
            Reply::Nil => Ok(Vec::new()),
            _ => Err(unexpected("an array")),
        }
    }

    /// The strings of an array, none for each that is nil.
    pub(super) fn strings(&self) -> Result<Vec<Option<&[u8]>>> {
        self.elements()?.iter().map(string).collect()
    }
}

/// A reply that is no error.
pub(super) fn sound(reply: Option<Reply<'_>>) -> Result<Reply<'_>> {
    match reply {
        Some(Reply::Error(text)) => Err(server_error(text)),
        Some(reply) => Ok(reply),
        None => Err(unexpected("one reply for each command")),
    }
}

pub(super) fn count(reply: Result<Reply<'_>>) -> Result<u64> {
    match reply? {
        Reply::Integer(number) => u64::try_from(number).map_err(|_| unexpected("a count")),
        _ => Err(unexpected("a count")),
    }
}

fn string<'a>(reply: &Reply<'a>) -> Result<Option<&'a [u8]>> {
    match *reply {
        Reply::Bytes(bytes) | Reply::Status(bytes) => Ok(Some(bytes)),
        Reply::Nil => Ok(None),
        _ => Err(unexpected("a string")),
    }
}

/// Where a scan goes on, none at its end, and what it has found so far.
pub(super) fn page(reply: Reply<'_>) -> Result<(Option<Vec<u8>>, Replies<'_>)> {
    if let Reply::Array(mut parts) = reply
        && let (Some(Reply::Bytes(cursor)), Some(Reply::Array(found))) = (parts.next(), parts.next())
    {
        return Ok(((cursor != b"0").then(|| cursor.to_vec()), found));
    }
    Err(unexpected("a cursor and what was found"))
}
