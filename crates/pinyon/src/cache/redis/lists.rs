//! Lists.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::{Wire, words};
use super::{BlockingRedis, Over, faces};
use crate::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// On which side of another item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nearer to the beginning.
    Before,
    /// Nearer to the end.
    After,
}

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Puts values before the first item of a list, one after the other; returns its length.
    fn lpush[T: Serialize](&self, key: &str, values: impl IntoIterator<Item = T>) -> u64 {
        self.push(b"LPUSH", key, self.encode_all(values)?).await
    }

    /// Puts values behind the last item of a list; returns its length.
    fn rpush[T: Serialize](&self, key: &str, values: impl IntoIterator<Item = T>) -> u64 {
        self.push(b"RPUSH", key, self.encode_all(values)?).await
    }

    /// Removes the first item of a list and returns it; none if there is none.
    fn lpop[T: DeserializeOwned](&self, key: &str) -> Option<T> {
        self.pop(b"LPOP", key).await
    }

    /// Removes the last item of a list and returns it; none if there is none.
    fn rpop[T: DeserializeOwned](&self, key: &str) -> Option<T> {
        self.pop(b"RPOP", key).await
    }

    /// Removes as many items from the beginning of a list, or all that there are, and returns them. Redis 6.2 or later.
    fn lpop_many[T: DeserializeOwned](&self, key: &str, count: u32) -> Vec<T> {
        self.pop_many(b"LPOP", key, count).await
    }

    /// Removes as many items from the end of a list, or all that there are, and returns them, the last one first. Redis 6.2 or
    /// later.
    fn rpop_many[T: DeserializeOwned](&self, key: &str, count: u32) -> Vec<T> {
        self.pop_many(b"RPOP", key, count).await
    }

    /// The items from index `start` to `end`, the last one included. Indexes count from 0, and from -1 at the end.
    fn lrange[T: DeserializeOwned](&self, key: &str, start: i64, end: i64) -> Vec<T> {
        let made = self.key(key)?;
        let (start, end) = (start.to_string(), end.to_string());
        let items = self.read(&[b"LRANGE", made.as_bytes(), start.as_bytes(), end.as_bytes()]).await?;
        self.decode_all(&made, items.strings()?)
    }

    /// The number of items of a list; 0 without one.
    fn llen(&self, key: &str) -> u64 {
        let made = self.key(key)?;
        self.read(&[b"LLEN", made.as_bytes()]).await?.count()
    }

    /// The item with an index, from 0, or from -1 at the end; none if there is none.
    fn lindex[T: DeserializeOwned](&self, key: &str, index: i64) -> Option<T> {
        let made = self.key(key)?;
        let item = self.read(&[b"LINDEX", made.as_bytes(), index.to_string().as_bytes()]).await?;
        item.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    /// Replaces the item with an index, from 0, or from -1 at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if there is none with this index.
    fn lset[T: Serialize + ?Sized](&self, key: &str, index: i64, value: &T) -> () {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        self.repeat(&[b"LSET", made.as_bytes(), index.to_string().as_bytes(), &value]).await?.reply().map(drop)
    }

    /// Removes items that equal `value`: the first `count`, the last `-count`, or all for 0; returns how many.
    fn lrem[T: Serialize + ?Sized](&self, key: &str, count: i64, value: &T) -> u64 {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        self.write(&[b"LREM", made.as_bytes(), count.to_string().as_bytes(), &value]).await?.count()
    }

    /// Keeps only the items from index `start` to `end`, the last one included.
    fn ltrim(&self, key: &str, start: i64, end: i64) -> () {
        let made = self.key(key)?;
        let (start, end) = (start.to_string(), end.to_string());
        self.write(&[b"LTRIM", made.as_bytes(), start.as_bytes(), end.as_bytes()]).await?.reply().map(drop)
    }

    /// The index of the first item that equals `value`, if there is one. Redis 6.0.6 or later.
    fn lpos[T: Serialize + ?Sized](&self, key: &str, value: &T) -> Option<u64> {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        self.read(&[b"LPOS", made.as_bytes(), &value]).await?.optional_count()
    }

    /// Puts a value before or after the first item that equals `pivot`; returns the length, or none if there is no such item.
    fn linsert[T: Serialize + ?Sized](
        &self,
        key: &str,
        place: Place,
        pivot: &(impl Serialize + ?Sized),
        value: &T,
    ) -> Option<u64> {
        let (made, pivot, value) = (self.key(key)?, self.encode(pivot)?, self.encode(value)?);
        let place: &[u8] = match place {
            Place::Before => b"BEFORE",
            Place::After => b"AFTER",
        };
        let length = self.write(&[b"LINSERT", made.as_bytes(), place, &pivot, &value]).await?.integer()?;
        Ok(u64::try_from(length).ok().filter(|length| *length > 0))
    }
}

impl<W: Wire> Over<'_, W> {
    async fn push(&self, command: &'static [u8], key: &str, values: Vec<Vec<u8>>) -> Result<u64> {
        if values.is_empty() {
            return self.llen(key).await;
        }
        let made = self.key(key)?;
        self.write(&words(&[command, made.as_bytes()], &values)).await?.count()
    }

    async fn pop<T: DeserializeOwned>(&self, command: &'static [u8], key: &str) -> Result<Option<T>> {
        let made = self.key(key)?;
        let popped = self.write(&[command, made.as_bytes()]).await?;
        popped.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    async fn pop_many<T: DeserializeOwned>(&self, command: &'static [u8], key: &str, count: u32) -> Result<Vec<T>> {
        let made = self.key(key)?;
        let popped = self.write(&[command, made.as_bytes(), count.to_string().as_bytes()]).await?;
        self.decode_all(&made, popped.strings()?)
    }
}
