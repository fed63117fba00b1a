//! The directory: names, reading, writing atomically, removing, listing.

use super::format::{Head, MAX_HEAD};
use super::lock::Lock;
use crate::error::{Error, ErrorKind, Result};
use md5::{Digest, Md5};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::NamedTempFile;

/// What the names of entries end with.
pub(super) const SUFFIX: &str = ".djcache";
/// What the names of temporary files begin and end with.
const TEMPORARY: (&str, &str) = (".pinyon-", ".tmp");
/// A temporary file of this age was left behind by a process that was killed.
const STALE: Duration = Duration::from_secs(60 * 60);

/// The directory of a cache, and what this process believes of it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// About how many entries there are.
    pub(super) files: AtomicI64,
    /// About how many bytes they have together; only kept with MAX_BYTES.
    pub(super) bytes: AtomicI64,
    /// How many new files this process may write before it counts again.
    pub(super) until_count: AtomicI64,
}

/// A file of the cache in a listing.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Its bytes; 0 if they were not asked for.
    pub(super) size: u64,
}

impl Directory {
    /// The directory at an absolute path, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, files: AtomicI64::new(0), bytes: AtomicI64::new(0), until_count: AtomicI64::new(0) }
    }

    /// As errors call it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn location(&self) -> &Path {
        &self.path
    }

    pub(super) fn path(&self, file_name: &str) -> PathBuf {
        self.path.join(file_name)
    }

    /// The name of a key's file.
    pub(super) fn file_name(key: &str) -> String {
        let mut name = String::with_capacity(32 + SUFFIX.len());
        for byte in Md5::digest(key.as_bytes()) {
            let _ = write!(name, "{byte:02x}");
        }
        name + SUFFIX
    }

    /// The bytes of a file; none if there is no such file.
    pub(super) fn read(&self, file_name: &str) -> Result<Option<Vec<u8>>> {
        found(fs::read(self.path(file_name))).map_err(|error| self.failed("read", file_name, error))
    }

    /// The head of a file; none if there is no such file.
    pub(super) fn head(&self, file_name: &str) -> Result<Option<Head>> {
        let read = File::open(self.path(file_name)).and_then(|file| {
            let mut head = Vec::with_capacity(MAX_HEAD);
            file.take(MAX_HEAD as u64).read_to_end(&mut head)?;
            Ok(Head::read(&head))
        });
        found(read).map_err(|error| self.failed("read", file_name, error))
    }

    /// Writes another head over that of a file, which has the same length; false if there is no such file.
    pub(super) fn overwrite_head(&self, file_name: &str, head: &[u8]) -> Result<bool> {
        let write = || OpenOptions::new().write(true).open(self.path(file_name))?.write_all(head);
        let written = found(write()).map_err(|error| self.failed("write", file_name, error))?;
        Ok(written.is_some())
    }

    /// The bytes that a file has; none if there is no such file.
    pub(super) fn size(&self, file_name: &str) -> Option<u64> {
        let metadata = fs::symlink_metadata(self.path(file_name)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Writes a temporary file in the directory, which is made if it is not there. It is removed when it is dropped.
    pub(super) fn write_temporary(&self, content: &[u8]) -> Result<NamedTempFile> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(&self.path)?;
            file.write_all(content)?;
            Ok(file)
        };
        let written = write().or_else(|error: io::Error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
            write()
        });
        written.map_err(|error| self.failed("write", "a temporary file", error))
    }

    /// Puts a temporary file in the place of an entry's, which is there if `replaces`.
    pub(super) fn put(&self, temporary: NamedTempFile, file_name: &str, replaces: bool) -> Result<()> {
        let path = self.path(file_name);
        if replaces && exchange(temporary.path(), &path) {
            // What is removed with the temporary file is the old entry.
            return Ok(());
        }
        match temporary.persist(path) {
            Ok(_) => Ok(()),
            // The temporary file is removed with the error.
            Err(error) => Err(self.failed("write", file_name, error.error)),
        }
    }

    /// Removes a file; returns whether it was there.
    pub(super) fn remove(&self, file_name: &str) -> Result<bool> {
        found(fs::remove_file(self.path(file_name)))
            .map(|removed| removed.is_some())
            .map_err(|error| self.failed("remove", file_name, error))
    }

    /// Removes an entry that was seen to have expired, unless somebody is writing it.
    pub(super) fn remove_expired(&self, file_name: &str) {
        // Failing is no harm: an expired file is a miss whether it lies there or not.
        if let Ok(Some(_held)) = self.try_lock(Lock::of(file_name))
            && let Ok(Some(head)) = self.head(file_name)
            && head.is_expired(unix_now())
            && let size = self.size(file_name).unwrap_or(0)
            && let Ok(true) = self.remove(file_name)
        {
            self.note_removed(size);
        }
    }

    /// All entries, with their sizes if `sizes`. Removes temporary files that killed processes have left.
    pub(super) fn list(&self, sizes: bool) -> Result<Vec<Listed>> {
        let failed = |error| self.failed("list", "the directory", error);
        let Some(entries) = found(fs::read_dir(&self.path)).map_err(failed)? else { return Ok(Vec::new()) };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(SUFFIX) {
                let size = if sizes { entry.metadata().map_or(0, |metadata| metadata.len()) } else { 0 };
                listed.push(Listed { name, size });
            } else if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) && is_stale(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(listed)
    }

    /// The error for what the file system said.
    pub(super) fn failed(&self, action: &str, file_name: &str, error: io::Error) -> Error {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "The user of this process needs the right to read and write the directory of LOCATION"
            }
            io::ErrorKind::ReadOnlyFilesystem => "Set LOCATION to a directory that can be written to",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: make room, lower MAX_ENTRIES, or set MAX_BYTES"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "LOCATION must name a directory, and something else is there"
            }
            io::ErrorKind::IsADirectory => "A directory lies where the file of an entry belongs: remove it",
            _ => "Look at the directory of LOCATION",
        };
        Error::new(ErrorKind::File, format!("cannot {action} {file_name}: {error}"))
            .with_server(self.name())
            .with_hint(hint)
            .with_source(error)
    }
}

/// Swaps two files; true if that was possible. A rename over an old file makes ext4 write the new one to the disk at once,
/// which takes milliseconds; swapping them and removing the old one does not.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn exchange(_one: &Path, _other: &Path) -> bool {
    false
}

/// None in the place of the error that there is no such file.
fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_stale(entry: &fs::DirEntry) -> bool {
    let written = entry.metadata().and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| SystemTime::now().duration_since(written).is_ok_and(|age| age > STALE))
}

/// Seconds of Unix time, as Python's `time.time()` counts them.
pub(super) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
