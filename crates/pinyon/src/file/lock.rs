//! Locks between processes: empty files that are locked by `flock`, one for all keys whose names begin alike.
//!
//! Such a lock ends with the process that holds it, however that ends.

use super::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a lock is waited for. It is held for as long as a file takes to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a lock is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lock {
    /// Changing the entries whose file names belong to this stripe.
    Stripe(u8),
    /// Culling.
    Culling,
}

/// The stripes.
pub(super) const STRIPES: u8 = 64;

impl Lock {
    /// The lock of an entry, by the name of its file.
    pub(super) fn of(file_name: &str) -> Self {
        let first = file_name.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        Self::Stripe(first.unwrap_or(0) % STRIPES)
    }

    fn file_name(self) -> String {
        match self {
            Self::Stripe(number) => format!(".pinyon-{number:02}.lock"),
            Self::Culling => ".pinyon-culling.lock".to_owned(),
        }
    }
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// None where the file system has no locks.
    file: Option<File>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would not do: a process that was forked meanwhile has the same file open.
        if let Some(file) = &self.file {
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

impl Directory {
    /// Waits for a lock. None if there is no directory, and so nothing to lock.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if another process does not give it back; [`ErrorKind::File`] if the file of the lock cannot
    /// be made.
    pub(super) fn lock(&self, lock: Lock) -> Result<Option<Held>> {
        let Some(file) = self.open_lock(lock)? else { return Ok(None) };
        let (start, mut pause) = (Instant::now(), Duration::from_micros(20));
        loop {
            if let Some(held) = acquire(&file).map_err(|error| self.failed("lock", &lock.file_name(), error))? {
                return Ok(Some(Held { file: held.then_some(file) }));
            }
            if start.elapsed() > PATIENCE {
                let message = format!("the lock {} was not free within {} s", lock.file_name(), PATIENCE.as_secs());
                return Err(Error::new(ErrorKind::Timeout, message)
                    .with_server(self.name())
                    .with_hint("A process holds it that is stopped, or waits for a disk: look for it with lsof"));
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// Takes a lock if it is free. None if it is not, or if there is no directory.
    pub(super) fn try_lock(&self, lock: Lock) -> Result<Option<Held>> {
        let Some(file) = self.open_lock(lock)? else { return Ok(None) };
        let held = acquire(&file).map_err(|error| self.failed("lock", &lock.file_name(), error))?;
        Ok(held.map(|held| Held { file: held.then_some(file) }))
    }

    fn open_lock(&self, lock: Lock) -> Result<Option<File>> {
        let name = lock.file_name();
        // Every call opens it anew: one open file would be one lock for all threads, and for forked processes.
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(&name));
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("lock", &name, error)),
        }
    }
}

/// True if the lock was taken, false if this file system has none, and none if somebody else has it.
fn acquire(file: &File) -> io::Result<Option<bool>> {
    loop {
        return match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(true)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(Errno::INTR) => continue,
            // A network file system without a lock service: entries stay whole, but two processes may both add.
            Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        };
    }
}
