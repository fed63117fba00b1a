//! Room for new files: the count of a process, and what is removed when a cache is full.

use super::directory::{Directory, Listed, unix_now};
use super::lock::{Lock, STRIPES};
use crate::error::Result;
use crate::memory::Limits;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering::Relaxed;

/// How many files are looked into before it is decided whether to look for more expired ones.
const SAMPLE: usize = 1000;
/// The search goes on while one file of a sample in this many has expired.
const WORTHWHILE: usize = 4;
/// The fewest new files after which a process counts again.
const FEWEST_UNTIL_COUNT: i64 = 32;

impl Directory {
    /// Notes a file that was written, in the place of one with `replaced` bytes or of none.
    pub(super) fn note_written(&self, size: u64, replaced: Option<u64>) {
        if replaced.is_none() {
            self.files.fetch_add(1, Relaxed);
            self.until_count.fetch_sub(1, Relaxed);
        }
        self.bytes.fetch_add(signed(size) - signed(replaced.unwrap_or(0)), Relaxed);
    }

    /// Notes a file that was removed.
    pub(super) fn note_removed(&self, size: u64) {
        self.files.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(signed(size), Relaxed);
    }

    /// Culls if a file of `incoming` bytes finds the cache full.
    pub(super) fn make_room(&self, limits: &Limits, incoming: u64) -> Result<()> {
        let full = self.files.load(Relaxed) >= limits.max_entries
            || limits.max_bytes.is_some_and(|max| self.bytes.load(Relaxed) + signed(incoming) > signed(max));
        if !full && self.until_count.load(Relaxed) > 0 {
            return Ok(());
        }
        // If there is no directory there is nothing in it; if somebody else is culling, that makes room for all.
        let Some(_held) = self.try_lock(Lock::Culling)? else { return Ok(()) };
        let listed = self.list(limits.max_bytes.is_some())?;
        let mut cull = Cull::new(&listed, limits, incoming);
        if cull.wants_more() && limits.cull_frequency == 0 {
            self.remove_all(&listed)?;
            cull = Cull::new(&[], limits, incoming);
        } else if cull.wants_more() {
            self.cull(listed, &mut cull);
        }
        self.files.store(cull.files, Relaxed);
        self.bytes.store(cull.bytes, Relaxed);
        self.until_count.store((limits.max_entries / 10).max(FEWEST_UNTIL_COUNT), Relaxed);
        Ok(())
    }

    /// Removes every entry.
    pub(super) fn clear(&self) -> Result<()> {
        let outcome = self.list(false).and_then(|listed| self.remove_all(&listed));
        self.files.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        // What was set meanwhile is counted with the next set.
        self.until_count.store(0, Relaxed);
        outcome
    }

    /// Under the locks, so that no `incr` brings back what it read before.
    fn remove_all(&self, listed: &[Listed]) -> Result<()> {
        let mut stripes: [Vec<&str>; STRIPES as usize] = [const { Vec::new() }; STRIPES as usize];
        for file in listed {
            let Lock::Stripe(stripe) = Lock::of(&file.name) else { continue };
            stripes[usize::from(stripe)].push(&file.name);
        }
        for (stripe, names) in (0..STRIPES).zip(stripes) {
            if names.is_empty() {
                continue;
            }
            let _held = self.lock(Lock::Stripe(stripe))?;
            for name in names {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// Expired files first, as far as samples show that there are some, then whichever come.
    fn cull(&self, mut listed: Vec<Listed>, cull: &mut Cull) {
        let now = unix_now();
        // Directories list their files in the order of a hash, so any beginning is as good as a shuffle.
        let beginning = RandomState::new().hash_one(()) % (listed.len().max(1) as u64);
        listed.rotate_left(usize::try_from(beginning).unwrap_or(0));
        let mut live = Vec::new();
        let mut rest = listed.into_iter();
        loop {
            let sample: Vec<Listed> = rest.by_ref().take(SAMPLE).collect();
            let (looked_at, live_before) = (sample.len(), live.len());
            for file in sample {
                // What cannot be read is removed like a live one: when its turn comes.
                if matches!(self.head(&file.name), Ok(Some(head)) if head.is_expired(now)) {
                    self.remove_counted(&file, cull);
                } else {
                    live.push(file);
                }
            }
            let expired = looked_at - (live.len() - live_before);
            if looked_at < SAMPLE || expired * WORTHWHILE < looked_at || !cull.wants_more() {
                break;
            }
        }
        for file in live.into_iter().chain(rest) {
            if !cull.wants_more() {
                break;
            }
            self.remove_counted(&file, cull);
        }
    }

    fn remove_counted(&self, file: &Listed, cull: &mut Cull) {
        // What cannot be removed is somebody else's; the set that wants room will say so if it fails too.
        if self.remove(&file.name).is_ok() {
            cull.files -= 1;
            cull.bytes -= signed(file.size);
        }
    }
}

/// How far culling has to go, and has come.
struct Cull {
    files: i64,
    bytes: i64,
    files_allowed: i64,
    bytes_allowed: i64,
}

impl Cull {
    fn new(listed: &[Listed], limits: &Limits, incoming: u64) -> Self {
        let files = i64::try_from(listed.len()).unwrap_or(i64::MAX);
        let bytes = listed.iter().map(|file| signed(file.size)).sum();
        // One in CULL_FREQUENCY, rounded down as Django does; a negative number removes none.
        let share = |whole: i64| if limits.cull_frequency > 0 { whole / limits.cull_frequency } else { 0 };
        let files_allowed = match limits.cull_frequency {
            _ if files < limits.max_entries => i64::MAX,
            0 => 0,
            _ => files - share(files),
        };
        let bytes_allowed = match limits.max_bytes.map(signed) {
            Some(max) if bytes + signed(incoming) > max => max - share(max).max(signed(incoming)),
            _ => i64::MAX,
        };
        Self { files, bytes, files_allowed, bytes_allowed }
    }

    fn wants_more(&self) -> bool {
        self.files > self.files_allowed || self.bytes > self.bytes_allowed
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
