//! Keys by a pattern.

#[cfg(feature = "tokio")]
use super::Redis;
use super::pages::Scan;
use super::wire::{count, page, sound};
use super::{BlockingRedis, Over, Wire, faces};
use crate::error::{Error, ErrorKind, Result};
use crate::redis::Reply;
use std::collections::HashSet;

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// The keys that fit a pattern, as the caller uses them, each once. All of them are held in memory:
    /// [`scan`](Self::scan) gives them in pages.
    ///
    /// A pattern is Redis's glob (`*`, `?`, `[ab]`, `\` before what is meant literally) for the caller's keys; prefix and
    /// version are added literally.
    fn keys(&self, pattern: &str) -> Vec<String> {
        let mut scan = Scan::keys(&self.base, pattern);
        let (mut seen, mut keys) = (HashSet::new(), Vec::new());
        while let Some(page) = scan.next(self).await? {
            keys.extend(page.into_iter().filter(|key| seen.insert(key.clone())));
        }
        Ok(keys)
    }

    /// Removes the entries whose keys fit a pattern, as that of [`keys`](Self::keys); returns how many.
    ///
    /// The server looks at [`scan_count`](Self::scan_count) keys a round trip, in which those of the round trip before are
    /// removed too (UNLINK). Entries that are made meanwhile may stay.
    fn delete_pattern(&self, pattern: &str) -> u64 {
        let pattern = self.base.cache.keys.pattern(pattern);
        let look_at = self.base.scan_count.to_string();
        let (mut cursor, mut found, mut deleted) = (Some(b"0".to_vec()), Vec::<Vec<u8>>::new(), 0);
        while cursor.is_some() || !found.is_empty() {
            let mut commands = self.commands().repeatable(true);
            if !found.is_empty() {
                let unlink: Vec<&[u8]> = [b"UNLINK".as_slice()].into_iter().chain(found.iter().map(Vec::as_slice)).collect();
                commands.push(&unlink)?;
            }
            if let Some(cursor) = &cursor {
                let scan = [b"SCAN", cursor.as_slice(), b"MATCH", pattern.as_bytes(), b"COUNT", look_at.as_bytes()];
                commands.push(&scan)?;
            }
            let results = self.wire.send(&commands).await?;
            let mut replies = results.replies();
            if !found.is_empty() {
                deleted += count(sound(replies.next()))?;
                found.clear();
            }
            if cursor.is_some() {
                let (following, keys) = page(sound(replies.next())?)?;
                cursor = following;
                found.extend(keys.filter_map(|key| match key {
                    Reply::Bytes(key) => Some(key.to_vec()),
                    _ => None,
                }));
            }
        }
        Ok(deleted)
    }
}

impl<W: Wire> Over<'_, W> {
    /// Removes the entries of this cache's prefix and version.
    pub(super) async fn delete_all(&self) -> Result<()> {
        if !self.base.cache.keys.pattern("*").contains('*') {
            let message = "KEY_FUNCTION makes keys that no pattern fits, so CLEAR = \"prefix\" cannot find them";
            let hint = "Set CLEAR to \"database\", or let the keys begin with prefix and version";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(hint));
        }
        self.delete_pattern("*").await.map(drop)
    }
}
