//! Keys by a pattern.

#[cfg(feature = "tokio")]
use super::Redis;
use super::pages::Scan;
use super::wire::{Place, count, page, sound, words};
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
        let (mut place, mut found, mut deleted) = (Some(Place::start()), Vec::<Vec<u8>>::new(), 0);
        while place.is_some() || !found.is_empty() {
            let mut commands = self.commands().repeatable(true);
            // Where several servers share the keys, each has a command of its own, which goes where it is.
            let at_once = if self.base.store.is_divided() { 1 } else { found.len().max(1) };
            for keys in found.chunks(at_once) {
                commands.push(&words(&[b"UNLINK"], keys))?;
            }
            let removals = found.len().div_ceil(at_once);
            if let Some(place) = &place {
                commands = commands.on_group(place.group);
                let cursor = place.cursor.as_slice();
                commands.push(&[b"SCAN", cursor, b"MATCH", pattern.as_bytes(), b"COUNT", look_at.as_bytes()])?;
            }
            let results = self.wire.send(&commands).await?;
            let mut replies = results.replies();
            for reply in replies.by_ref().take(removals) {
                deleted += count(sound(Some(reply)))?;
            }
            found.clear();
            if let Some(here) = place {
                let (following, keys) = page(sound(replies.next())?)?;
                found.extend(keys.filter_map(|key| match key {
                    Reply::Bytes(key) => Some(key.to_vec()),
                    _ => None,
                }));
                drop(results);
                place = here.following(self.wire, following).await?;
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
