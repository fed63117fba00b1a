//! Sorted sets.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::{One, Wire, words};
use super::{BlockingRedis, Condition, Over, faces};
use crate::error::Result;
use crate::net::Answered;
use crate::redis::{Reply, RespProtocol, unexpected};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::{Bound, RangeBounds};

/// Which scores `zadd_with` writes, and what it counts. By default all, and it counts new members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddToSorted {
    /// Only new members, or only those that there are. Default: both.
    pub condition: Option<Condition>,
    /// Of members that there are, only to greater scores (GT). Redis 6.2 or later. Default false.
    pub only_greater: bool,
    /// Of members that there are, only to lesser scores (LT). Redis 6.2 or later. Default false.
    pub only_lesser: bool,
    /// Count the members whose score has changed too (CH). Default false.
    pub count_changed: bool,
}

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Gives members of a sorted set their scores; returns how many are new.
    fn zadd[T: Serialize](&self, key: &str, members: impl IntoIterator<Item = (T, f64)>) -> u64 {
        self.zadd_with(key, members, AddToSorted::default()).await
    }

    /// As [`zadd`](Self::zadd), with conditions.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) for conditions that exclude one another: greater and lesser, or one of
    /// them with only new members.
    fn zadd_with[T: Serialize](
        &self,
        key: &str,
        members: impl IntoIterator<Item = (T, f64)>,
        options: AddToSorted,
    ) -> u64 {
        let chosen = [
            options.condition.map(Condition::word),
            options.only_greater.then_some(b"GT"),
            options.only_lesser.then_some(b"LT"),
            options.count_changed.then_some(b"CH"),
        ];
        let mut rest: Vec<Vec<u8>> = chosen.into_iter().flatten().map(<[u8]>::to_vec).collect();
        let before = rest.len();
        for (member, score) in members {
            rest.extend([score.to_string().into_bytes(), self.encode_member(&member)?]);
        }
        if rest.len() == before {
            return Ok(0);
        }
        self.change(b"ZADD", key, rest).await
    }

    /// The number of members of a sorted set; 0 without one.
    fn zcard(&self, key: &str) -> u64 {
        let made = self.key(key)?;
        self.read(&[b"ZCARD", made.as_bytes()]).await?.count()
    }

    /// The number of members with scores in a range, for example `1.0..=5.0` or `..`.
    fn zcount(&self, key: &str, scores: impl RangeBounds<f64>) -> u64 {
        let (made, [min, max]) = (self.key(key)?, limits(&scores));
        self.read(&[b"ZCOUNT", made.as_bytes(), min.as_bytes(), max.as_bytes()]).await?.count()
    }

    /// Adds `amount` to the score of a member, 0 if it is new, atomically; returns the sum.
    fn zincrby[T: Serialize + ?Sized](&self, key: &str, amount: f64, member: &T) -> f64 {
        let (made, member) = (self.key(key)?, self.encode_member(member)?);
        let total = self.write(&[b"ZINCRBY", made.as_bytes(), amount.to_string().as_bytes(), &member]).await?;
        total.bytes()?.map_or_else(|| Err(unexpected("a score")), score)
    }

    /// Removes as many members with the highest scores and returns them with those, the highest first.
    fn zpopmax[T: DeserializeOwned](&self, key: &str, count: u32) -> Vec<(T, f64)> {
        self.pop_members(b"ZPOPMAX", key, count).await
    }

    /// Removes as many members with the lowest scores and returns them with those, the lowest first.
    fn zpopmin[T: DeserializeOwned](&self, key: &str, count: u32) -> Vec<(T, f64)> {
        self.pop_members(b"ZPOPMIN", key, count).await
    }

    /// The members from index `start` to `end` by score, with their scores; the last one included. Indexes count from 0, and
    /// from -1 at the highest score.
    fn zrange[T: DeserializeOwned](&self, key: &str, start: i64, end: i64) -> Vec<(T, f64)> {
        self.by_rank(b"ZRANGE", key, start, end).await
    }

    /// As [`zrange`](Self::zrange), from the highest score.
    fn zrevrange[T: DeserializeOwned](&self, key: &str, start: i64, end: i64) -> Vec<(T, f64)> {
        self.by_rank(b"ZREVRANGE", key, start, end).await
    }

    /// The members with scores in a range, for example `1.0..=5.0` or `..`, with their scores; of these, by `limit`, so many
    /// from an index: `Some((index, count))`.
    fn zrangebyscore[T: DeserializeOwned](
        &self,
        key: &str,
        scores: impl RangeBounds<f64>,
        limit: Option<(u32, u32)>,
    ) -> Vec<(T, f64)> {
        let [min, max] = limits(&scores);
        self.by_score(b"ZRANGEBYSCORE", key, [min, max], limit).await
    }

    /// As [`zrangebyscore`](Self::zrangebyscore), from the highest score; the range is written in the same way.
    fn zrevrangebyscore[T: DeserializeOwned](
        &self,
        key: &str,
        scores: impl RangeBounds<f64>,
        limit: Option<(u32, u32)>,
    ) -> Vec<(T, f64)> {
        let [min, max] = limits(&scores);
        self.by_score(b"ZREVRANGEBYSCORE", key, [max, min], limit).await
    }

    /// The index of a member by score, from 0; none if it is not there.
    fn zrank[T: Serialize + ?Sized](&self, key: &str, member: &T) -> Option<u64> {
        let (made, member) = (self.key(key)?, self.encode_member(member)?);
        self.read(&[b"ZRANK", made.as_bytes(), &member]).await?.optional_count()
    }

    /// The score of a member; none if it is not there.
    fn zscore[T: Serialize + ?Sized](&self, key: &str, member: &T) -> Option<f64> {
        let (made, member) = (self.key(key)?, self.encode_member(member)?);
        let answer = self.read(&[b"ZSCORE", made.as_bytes(), &member]).await?;
        answer.bytes()?.map(score).transpose()
    }

    /// Removes members of a sorted set; returns how many were there.
    fn zrem[T: Serialize](&self, key: &str, members: impl IntoIterator<Item = T>) -> u64 {
        let members: Result<Vec<_>> = members.into_iter().map(|member| self.encode_member(&member)).collect();
        self.change(b"ZREM", key, members?).await
    }

    /// Removes the members with scores in a range; returns how many.
    fn zremrangebyscore(&self, key: &str, scores: impl RangeBounds<f64>) -> u64 {
        let (made, [min, max]) = (self.key(key)?, limits(&scores));
        self.write(&[b"ZREMRANGEBYSCORE", made.as_bytes(), min.as_bytes(), max.as_bytes()]).await?.count()
    }
}

impl<W: Wire> Over<'_, W> {
    /// Integers are for the serializer too, as with django-redis.
    fn encode_member<T: Serialize + ?Sized>(&self, member: &T) -> Result<Vec<u8>> {
        self.base.cache.shared.codec.encode_serialized(member)
    }

    /// The members in an answer that can be read, with their scores.
    fn members<T: DeserializeOwned>(&self, made: &str, answer: &One<W::Answer>) -> Result<Vec<(T, f64)>> {
        let cache = self.base.cache;
        let mut members = Vec::new();
        for (member, score) in pairs(answer)? {
            if let Some(member) = cache.readable(made, cache.shared.codec.decode_serialized(member))? {
                members.push((member, score));
            }
        }
        Ok(members)
    }

    async fn pop_members<T: DeserializeOwned>(
        &self,
        command: &'static [u8],
        key: &str,
        count: u32,
    ) -> Result<Vec<(T, f64)>> {
        let made = self.key(key)?;
        let answer = self.write(&[command, made.as_bytes(), count.to_string().as_bytes()]).await?;
        self.members(&made, &answer)
    }

    async fn by_rank<T: DeserializeOwned>(
        &self,
        command: &'static [u8],
        key: &str,
        start: i64,
        end: i64,
    ) -> Result<Vec<(T, f64)>> {
        let (made, start, end) = (self.key(key)?, start.to_string(), end.to_string());
        let answer = self.read(&[command, made.as_bytes(), start.as_bytes(), end.as_bytes(), b"WITHSCORES"]).await?;
        self.members(&made, &answer)
    }

    async fn by_score<T: DeserializeOwned>(
        &self,
        command: &'static [u8],
        key: &str,
        [first, last]: [String; 2],
        limit: Option<(u32, u32)>,
    ) -> Result<Vec<(T, f64)>> {
        let made = self.key(key)?;
        let limit: Vec<Vec<u8>> = limit.map_or_else(Vec::new, |(index, count)| {
            vec![b"LIMIT".to_vec(), index.to_string().into_bytes(), count.to_string().into_bytes()]
        });
        let start = [command, made.as_bytes(), first.as_bytes(), last.as_bytes(), b"WITHSCORES"];
        let answer = self.read(&words(&start, &limit)).await?;
        self.members(&made, &answer)
    }
}

/// Members with their scores: flat in RESP2, and each pair an array of its own in RESP3.
fn pairs<A: Answered<RespProtocol>>(answer: &One<A>) -> Result<Vec<(&[u8], f64)>> {
    let mut elements = answer.elements()?.into_iter();
    let mut pairs = Vec::new();
    while let Some(element) = elements.next() {
        let pair = match element {
            Reply::Array(mut pair) => (pair.next(), pair.next()),
            member => (Some(member), elements.next()),
        };
        let (Some(Reply::Bytes(member)), Some(Reply::Bytes(text))) = pair else {
            return Err(unexpected("members with their scores"));
        };
        pairs.push((member, score(text)?));
    }
    Ok(pairs)
}

fn score(text: &[u8]) -> Result<f64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| unexpected("a score"))
}

/// A range of scores as Redis takes it: `(` before what is not included.
fn limits(scores: &impl RangeBounds<f64>) -> [String; 2] {
    let limit = |bound, unbounded: &str| match bound {
        Bound::Included(score) => f64::to_string(score),
        Bound::Excluded(score) => format!("({score}"),
        Bound::Unbounded => unbounded.to_owned(),
    };
    [limit(scores.start_bound(), "-inf"), limit(scores.end_bound(), "+inf")]
}
