//! Files in a directory, in the format of Django's `FileBasedCache`: a site can switch either way with a warm cache.
//!
//! The file of a key is `<md5 of the made key, in hex>.djcache`; [`FileStore`] reads and writes them. Beside them lie at
//! most 65 empty files `.pinyon-*.lock`, and while something is written a `.pinyon-*.tmp`; Django leaves both alone.
//!
//! # What is atomic
//! A file is written beside the old one and renamed over it, so a reader sees the old entry or the new one, whole; only `touch`
//! writes a moment over a moment. Whoever changes an entry holds the lock of its key (`flock`, which ends with the process), so `add` and `incr` are atomic between
//! processes that use Pinyon. Reading takes no lock.
//!
//! # Culling
//! MAX_ENTRIES and MAX_BYTES are kept by a count in the process: nothing is listed when an entry is set. The directory is
//! listed, and the count corrected, when the count says that it is full, before the first entry that a process sets, and
//! once for every MAX_ENTRIES / 10 new ones (32 at least), because other processes write too. Culling removes one file in
//! CULL_FREQUENCY: expired ones first, as far as a sample shows any, then others at random.

mod culling;
mod directory;
mod format;
mod lock;
mod store;
#[cfg(test)]
mod tests;

pub use store::FileStore;
