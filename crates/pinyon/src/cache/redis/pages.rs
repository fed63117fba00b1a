//! What a scan finds, page by page.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::{Place, page};
use super::{Base, BlockingRedis, Over, Wire};
use crate::error::Result;
use crate::net::now;
use crate::redis::Reply;
use serde::de::DeserializeOwned;
use std::fmt;

/// Reads one thing that was found; none if it cannot be read and that is a miss.
type Read<T> = fn(&Base<'_>, &str, &[u8]) -> Result<Option<T>>;

/// A scan under way.
pub(super) struct Scan<T> {
    /// Before the cursor.
    command: Vec<String>,
    options: Vec<String>,
    /// None at the end.
    place: Option<Place>,
    /// Keys are scanned: every primary has some.
    is_of_keys: bool,
    /// What is scanned, for [`Read`].
    made: String,
    read: Read<T>,
}

impl Scan<String> {
    /// Of the keys that fit a pattern.
    pub(super) fn keys(base: &Base<'_>, pattern: &str) -> Self {
        let options =
            ["MATCH".to_owned(), base.cache.keys.pattern(pattern), "COUNT".to_owned(), base.scan_count.to_string()];
        Self {
            command: vec!["SCAN".to_owned()],
            options: options.into(),
            place: Some(Place::start()),
            is_of_keys: true,
            made: String::new(),
            // What is no text is no key of this cache, whoever wrote it.
            read: |base, _, key| Ok(std::str::from_utf8(key).ok().map(|key| base.cache.keys.reverse(key).to_owned())),
        }
    }
}

impl<T: DeserializeOwned> Scan<T> {
    /// Of the members of a set.
    fn members(base: &Base<'_>, key: &str) -> Result<Self> {
        let made = base.cache.make_key(key, "sscan")?;
        Ok(Self {
            command: vec!["SSCAN".to_owned(), made.clone()],
            options: vec!["COUNT".to_owned(), base.scan_count.to_string()],
            place: Some(Place::start()),
            is_of_keys: false,
            made,
            read: |base, made, bytes| base.cache.decode(made, crate::store::Item { bytes, flags: 0 }),
        })
    }
}

impl<T> Scan<T> {
    /// The next page, which may be empty; none at the end.
    pub(super) async fn next<W: Wire>(&mut self, over: &Over<'_, W>) -> Result<Option<Vec<T>>> {
        let Some(place) = &self.place else { return Ok(None) };
        let before = self.command.iter().map(String::as_bytes);
        let words: Vec<&[u8]> =
            before.chain([place.cursor.as_slice()]).chain(self.options.iter().map(String::as_bytes)).collect();
        // Not from a replica: a cursor is one server's.
        let answer = over.one(over.commands().repeatable(true).on_group(place.group), &words).await?;
        let (following, found) = page(answer.reply()?)?;
        let mut items = Vec::new();
        for item in found {
            if let Reply::Bytes(bytes) = item
                && let Some(item) = (self.read)(&over.base, &self.made, bytes)?
            {
                items.push(item);
            }
        }
        self.place = match following {
            None if !self.is_of_keys => None,
            following => place.following(over.wire, following).await?,
        };
        Ok(Some(items))
    }
}

/// Pages of a scan, one round trip each. What is found may come twice if something is added or removed meanwhile.
#[cfg(feature = "tokio")]
pub struct Pages<'a, T> {
    redis: Redis<'a>,
    operation: &'static str,
    scan: Scan<T>,
}

#[cfg(feature = "tokio")]
impl<T> Pages<'_, T> {
    /// The next page, which may be empty; none at the end. After an error the same page is asked for again.
    ///
    /// # Errors
    /// Those of [`Redis`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<T>>> {
        let over = self.redis.over(self.operation);
        over.named(self.scan.next(&over).await)
    }
}

/// Pages of a scan, one round trip each: an iterator over results, which ends after an error. A page may be empty. What is
/// found may come twice if something is added or removed meanwhile.
pub struct BlockingPages<'a, T> {
    redis: BlockingRedis<'a>,
    operation: &'static str,
    scan: Scan<T>,
}

impl<T> Iterator for BlockingPages<'_, T> {
    type Item = Result<Vec<T>>;

    fn next(&mut self) -> Option<Result<Vec<T>>> {
        let over = self.redis.over(self.operation);
        let page = over.named(now(self.scan.next(&over)));
        if page.is_err() {
            self.scan.place = None;
        }
        page.transpose()
    }
}

#[cfg(feature = "tokio")]
impl<'a> Redis<'a> {
    /// The keys that fit a pattern, as that of [`Redis::keys`], in pages; the server looks at [`Redis::scan_count`] keys for
    /// each.
    pub fn scan(&self, pattern: &str) -> Pages<'a, String> {
        Pages { redis: *self, operation: "scan", scan: Scan::keys(&self.0, pattern) }
    }

    /// The members of a set in pages of about [`Redis::scan_count`].
    ///
    /// # Errors
    /// None on Redis, which takes every key.
    pub fn sscan<T: DeserializeOwned>(&self, key: &str) -> Result<Pages<'a, T>> {
        Ok(Pages { redis: *self, operation: "sscan", scan: Scan::members(&self.0, key)? })
    }
}

impl<'a> BlockingRedis<'a> {
    /// The keys that fit a pattern, as that of [`BlockingRedis::keys`], in pages; the server looks at
    /// [`BlockingRedis::scan_count`] keys for each.
    pub fn scan(&self, pattern: &str) -> BlockingPages<'a, String> {
        BlockingPages { redis: *self, operation: "scan", scan: Scan::keys(&self.0, pattern) }
    }

    /// The members of a set in pages of about [`BlockingRedis::scan_count`].
    ///
    /// # Errors
    /// None on Redis, which takes every key.
    pub fn sscan<T: DeserializeOwned>(&self, key: &str) -> Result<BlockingPages<'a, T>> {
        Ok(BlockingPages { redis: *self, operation: "sscan", scan: Scan::members(&self.0, key)? })
    }
}

// They say nothing about values.
#[cfg(feature = "tokio")]
impl<T> fmt::Debug for Pages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({})", self.operation)
    }
}

impl<T> fmt::Debug for BlockingPages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockingPages({})", self.operation)
    }
}
