//! Sets.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::{Wire, words};
use super::{BlockingRedis, Over, faces};
use crate::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Adds members to a set; returns how many were not there.
    fn sadd[T: Serialize](&self, key: &str, members: impl IntoIterator<Item = T>) -> u64 {
        self.change(b"SADD", key, self.encode_all(members)?).await
    }

    /// Removes members of a set; returns how many were there.
    fn srem[T: Serialize](&self, key: &str, members: impl IntoIterator<Item = T>) -> u64 {
        self.change(b"SREM", key, self.encode_all(members)?).await
    }

    /// The number of members of a set; 0 without one.
    fn scard(&self, key: &str) -> u64 {
        let made = self.key(key)?;
        self.read(&[b"SCARD", made.as_bytes()]).await?.count()
    }

    /// Whether a value is a member of a set.
    fn sismember[T: Serialize + ?Sized](&self, key: &str, member: &T) -> bool {
        let (made, member) = (self.key(key)?, self.encode(member)?);
        self.read(&[b"SISMEMBER", made.as_bytes(), &member]).await?.flag()
    }

    /// Whether each of the values is a member of a set. Redis 6.2 or later.
    fn smismember[T: Serialize](&self, key: &str, members: impl IntoIterator<Item = T>) -> Vec<bool> {
        let (made, members) = (self.key(key)?, self.encode_all(members)?);
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.read(&words(&[b"SMISMEMBER", made.as_bytes()], &members)).await?;
        Ok(found.elements()?.into_iter().map(|one| one == crate::redis::Reply::Integer(1)).collect())
    }

    /// All members of a set, in no order.
    fn smembers[T: DeserializeOwned](&self, key: &str) -> Vec<T> {
        self.combined(b"SMEMBERS", [key]).await
    }

    /// Moves a member of a set to another set; returns whether it was in the first.
    fn smove[T: Serialize + ?Sized](&self, from: &str, to: &str, member: &T) -> bool {
        let (from, to, member) = (self.key(from)?, self.key(to)?, self.encode(member)?);
        self.write(&[b"SMOVE", from.as_bytes(), to.as_bytes(), &member]).await?.flag()
    }

    /// Removes a member by chance and returns it; none if the set is empty.
    fn spop[T: DeserializeOwned](&self, key: &str) -> Option<T> {
        let made = self.key(key)?;
        let popped = self.write(&[b"SPOP", made.as_bytes()]).await?;
        popped.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    /// Removes as many members by chance, or all that there are, and returns them.
    fn spop_many[T: DeserializeOwned](&self, key: &str, count: u32) -> Vec<T> {
        let made = self.key(key)?;
        let popped = self.write(&[b"SPOP", made.as_bytes(), count.to_string().as_bytes()]).await?;
        self.decode_all(&made, popped.strings()?)
    }

    /// A member by chance, which stays; none if the set is empty.
    fn srandmember[T: DeserializeOwned](&self, key: &str) -> Option<T> {
        let made = self.key(key)?;
        let chosen = self.read(&[b"SRANDMEMBER", made.as_bytes()]).await?;
        chosen.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    /// As many members by chance, or all that there are, which stay; each once. With a negative `count`, `-count` members,
    /// any of them more than once.
    fn srandmember_many[T: DeserializeOwned](&self, key: &str, count: i32) -> Vec<T> {
        let made = self.key(key)?;
        let chosen = self.read(&[b"SRANDMEMBER", made.as_bytes(), count.to_string().as_bytes()]).await?;
        self.decode_all(&made, chosen.strings()?)
    }

    /// The members of the first set that are in none of the others, in no order.
    fn sdiff[T: DeserializeOwned](&self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<T> {
        self.combined(b"SDIFF", keys).await
    }

    /// The members that are in all of the sets, in no order.
    fn sinter[T: DeserializeOwned](&self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<T> {
        self.combined(b"SINTER", keys).await
    }

    /// The members that are in any of the sets, in no order.
    fn sunion[T: DeserializeOwned](&self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<T> {
        self.combined(b"SUNION", keys).await
    }

    /// Stores what `sdiff` returns under `to`, in place of what is there; returns the number of members.
    fn sdiffstore(&self, to: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
        self.stored(b"SDIFFSTORE", to, keys).await
    }

    /// Stores what `sinter` returns under `to`, in place of what is there; returns the number of members.
    fn sinterstore(&self, to: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
        self.stored(b"SINTERSTORE", to, keys).await
    }

    /// Stores what `sunion` returns under `to`, in place of what is there; returns the number of members.
    fn sunionstore(&self, to: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
        self.stored(b"SUNIONSTORE", to, keys).await
    }
}

impl<W: Wire> Over<'_, W> {
    /// A command that takes members and counts what it has done; with no members there is nothing to do.
    pub(super) async fn change(&self, command: &'static [u8], key: &str, members: Vec<Vec<u8>>) -> Result<u64> {
        let made = self.key(key)?;
        if members.is_empty() {
            return Ok(0);
        }
        self.write(&words(&[command, made.as_bytes()], &members)).await?.count()
    }

    async fn combined<T: DeserializeOwned>(
        &self,
        command: &'static [u8],
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Vec<T>> {
        let made = self.make_keys(keys)?;
        let members = self.read(&words(&[command], &made)).await?;
        self.decode_all(&made.first().map(|key| String::from_utf8_lossy(key)).unwrap_or_default(), members.strings()?)
    }

    async fn stored(
        &self,
        command: &'static [u8],
        to: &str,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<u64> {
        let (to, made) = (self.key(to)?, self.make_keys(keys)?);
        self.repeat(&words(&[command, to.as_bytes()], &made)).await?.count()
    }

    /// The values of members or items that can be read.
    pub(super) fn decode_all<T: DeserializeOwned>(&self, made: &str, found: Vec<Option<&[u8]>>) -> Result<Vec<T>> {
        found.into_iter().flatten().filter_map(|bytes| self.decode(made, bytes).transpose()).collect()
    }
}
