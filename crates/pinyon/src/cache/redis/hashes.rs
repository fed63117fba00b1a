//! Hashes.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::words;
use super::{BlockingRedis, Over, faces};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Sets a field of a hash; returns whether it is new. A field is text and stored as it is.
    fn hset[T: Serialize + ?Sized](&self, key: &str, field: &str, value: &T) -> bool {
        let (made, value) = (self.key(key)?, self.encode(value)?);
        self.write(&[b"HSET", made.as_bytes(), field.as_bytes(), &value]).await?.flag()
    }

    /// Sets many fields of a hash; returns how many are new.
    fn hset_many[T: Serialize](&self, key: &str, fields: impl IntoIterator<Item = (impl AsRef<str>, T)>) -> u64 {
        let mut pairs = Vec::new();
        for (field, value) in fields {
            pairs.extend([field.as_ref().as_bytes().to_vec(), self.encode(&value)?]);
        }
        self.change(b"HSET", key, pairs).await
    }

    /// The value of a field of a hash, if it has one.
    fn hget[T: DeserializeOwned](&self, key: &str, field: &str) -> Option<T> {
        let made = self.key(key)?;
        let value = self.read(&[b"HGET", made.as_bytes(), field.as_bytes()]).await?;
        value.bytes()?.map_or(Ok(None), |bytes| self.decode(&made, bytes))
    }

    /// All fields of a hash with their values; what is not UTF-8 in a field is replaced.
    fn hgetall[T: DeserializeOwned](&self, key: &str) -> HashMap<String, T> {
        let made = self.key(key)?;
        let answer = self.read(&[b"HGETALL", made.as_bytes()]).await?;
        let mut fields = HashMap::new();
        for pair in answer.strings()?.chunks_exact(2) {
            if let [Some(field), Some(value)] = *pair
                && let Some(value) = self.decode(&made, value)?
            {
                fields.insert(String::from_utf8_lossy(field).into_owned(), value);
            }
        }
        Ok(fields)
    }

    /// The values of fields of a hash in their order, none for one that there is not.
    fn hmget[T: DeserializeOwned](&self, key: &str, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Option<T>> {
        let made = self.key(key)?;
        let fields: Vec<_> = fields.into_iter().map(|field| field.as_ref().as_bytes().to_vec()).collect();
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.read(&words(&[b"HMGET", made.as_bytes()], &fields)).await?;
        values.strings()?.into_iter().map(|value| value.map_or(Ok(None), |bytes| self.decode(&made, bytes))).collect()
    }

    /// Adds `delta` to a field that holds an integer, or none yet, atomically; returns the sum.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if it holds something else, or the sum has more than 64 bits.
    fn hincrby(&self, key: &str, field: &str, delta: i64) -> i64 {
        let made = self.key(key)?;
        self.write(&[b"HINCRBY", made.as_bytes(), field.as_bytes(), delta.to_string().as_bytes()]).await?.integer()
    }

    /// Removes fields of a hash; returns how many there were.
    fn hdel(&self, key: &str, fields: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
        let fields = fields.into_iter().map(|field| field.as_ref().as_bytes().to_vec()).collect();
        self.change(b"HDEL", key, fields).await
    }

    /// The number of fields of a hash; 0 without one.
    fn hlen(&self, key: &str) -> u64 {
        let made = self.key(key)?;
        self.read(&[b"HLEN", made.as_bytes()]).await?.count()
    }

    /// The names of the fields of a hash; what is not UTF-8 in one is replaced.
    fn hkeys(&self, key: &str) -> Vec<String> {
        let made = self.key(key)?;
        let names = self.read(&[b"HKEYS", made.as_bytes()]).await?;
        Ok(names.strings()?.into_iter().flatten().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Whether a hash has a field.
    fn hexists(&self, key: &str, field: &str) -> bool {
        let made = self.key(key)?;
        self.read(&[b"HEXISTS", made.as_bytes(), field.as_bytes()]).await?.flag()
    }
}
