//! A directory as a store.

use super::directory::{Directory, unix_now};
use super::format::{self, Head};
use super::lock::Lock;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Deadline, Limits};
use crate::settings::{FileSettings, SerializerKind};
use crate::store::{Integer, Item, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use crate::value::stored_integer;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Every store of this process, by its whole effective configuration: the count of files belongs to the process.
static STORES: LazyLock<Mutex<HashMap<FileSettings, Arc<FileStore>>>> = LazyLock::new(Mutex::default);

/// A cache in the files of one directory. Flags are not kept: every item has flags 0.
///
/// A file that cannot be read as an entry is an item without bytes, which no serializer can read: the cache counts it as a
/// bad value. What the file system refuses is an error of [`ErrorKind::File`]; a file or directory that is not there is none.
/// After a `set` that failed, the key has no value, as far as its old one could be removed.
#[derive(Clone, Debug)]
pub struct FileStore {
    directory: Arc<Directory>,
    limits: Limits,
    serializer: SerializerKind,
}

/// What the file of a key holds.
enum Entry {
    /// Nothing, or what has expired.
    Missing,
    /// What cannot be read.
    Broken,
    /// An entry: its value, where that begins in the file, the same as it is stored, and how much garbage follows it.
    Live { deadline: Deadline, value: Vec<u8>, value_at: usize, compressed: Vec<u8>, garbage: usize },
}

impl FileStore {
    /// The store in the directory of the settings. Makes nothing: the directory is made with the first entry.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the directory is relative and there is no working directory.
    pub fn new(settings: &FileSettings) -> Result<Self> {
        let path = std::path::absolute(&settings.directory).map_err(|error| {
            Error::new(ErrorKind::Config, "LOCATION is no directory that could be found").with_source(error)
        })?;
        Ok(Self {
            directory: Arc::new(Directory::new(path)),
            limits: Limits {
                max_entries: settings.max_entries,
                cull_frequency: settings.cull_frequency,
                max_bytes: settings.max_bytes,
            },
            serializer: settings.serializer,
        })
    }

    /// The store of these settings that the whole process shares.
    ///
    /// # Errors
    /// As [`FileStore::new`].
    pub fn shared(settings: &FileSettings) -> Result<Arc<Self>> {
        let store = Self::new(settings)?;
        let settings = FileSettings { directory: store.directory().to_owned(), ..settings.clone() };
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stores.entry(settings).or_insert_with(|| Arc::new(store)).clone())
    }

    /// The same store with other limits; the count of files is shared.
    #[must_use]
    pub fn with_limits(&self, max_entries: i64, cull_frequency: i64) -> Self {
        Self { limits: Limits { max_entries, cull_frequency, ..self.limits }, ..self.clone() }
    }

    /// The directory, as an absolute path.
    pub fn directory(&self) -> &Path {
        self.directory.location()
    }

    /// The value of a key, by itself.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if there is a file and it cannot be read.
    pub fn fetch(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let name = Directory::file_name(key);
        let Some(bytes) = self.directory.read(&name)? else { return Ok(None) };
        let head = Head::read(&bytes);
        if head.is_expired(unix_now()) {
            self.directory.remove_expired(&name);
            return Ok(None);
        }
        let Head::Entry { value_at, .. } = head else { return Ok(Some(Vec::new())) };
        Ok(Some(format::read_value(&bytes[value_at..]).map(|value| value.bytes).unwrap_or_default()))
    }

    /// The values of those of `keys` that have one, by index.
    ///
    /// # Errors
    /// As [`FileStore::fetch`].
    pub fn fetch_many(&self, keys: &[&str]) -> Result<Vec<(usize, Vec<u8>)>> {
        let fetched = keys.iter().enumerate().map(|(index, key)| Ok(self.fetch(key)?.map(|bytes| (index, bytes))));
        fetched.filter_map(Result::transpose).collect()
    }

    /// The head of an entry that has not expired; removes one that has.
    fn live_head(&self, name: &str) -> Result<Option<Head>> {
        let head = self.directory.head(name)?;
        if head.is_some_and(|head| head.is_expired(unix_now())) {
            self.directory.remove_expired(name);
            return Ok(None);
        }
        Ok(head)
    }

    /// The entry as it is now, for one who holds its lock.
    fn entry(&self, name: &str) -> Result<Entry> {
        let Some(bytes) = self.directory.read(name)? else { return Ok(Entry::Missing) };
        let head = Head::read(&bytes);
        if head.is_expired(unix_now()) {
            return Ok(Entry::Missing);
        }
        let Head::Entry { deadline, value_at } = head else { return Ok(Entry::Broken) };
        let compressed = &bytes[value_at..];
        Ok(match format::read_value(compressed) {
            Some(value) => Entry::Live {
                deadline,
                value_at,
                compressed: compressed[..value.compressed].to_vec(),
                garbage: compressed.len() - value.compressed,
                value: value.bytes,
            },
            None => Entry::Broken,
        })
    }

    /// Writes the file of an entry.
    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        for attempt in 0.. {
            // First, because it makes the directory, without which there is nothing to lock.
            let temporary = self.directory.write_temporary(content)?;
            let _held = self.directory.lock(Lock::of(name))?;
            match self.replace(name, temporary, content) {
                // Once more if the directory vanished in between.
                Err(_) if attempt == 0 && !self.directory.location().is_dir() => {}
                outcome => return outcome,
            }
        }
        Ok(())
    }

    /// Puts what was written in the place of an entry; by one who holds its lock.
    fn replace(&self, name: &str, temporary: NamedTempFile, content: &[u8]) -> Result<()> {
        let replaced = self.directory.size(name);
        self.directory.put(temporary, name, replaced.is_some())?;
        self.directory.note_written(content.len() as u64, replaced);
        Ok(())
    }

    fn too_large(&self, content: &[u8]) -> bool {
        self.limits.max_bytes.is_some_and(|max| content.len() as u64 > max)
    }

    fn remove(&self, name: &str) -> Result<bool> {
        let size = self.directory.size(name).unwrap_or(0);
        let removed = self.directory.remove(name)?;
        if removed {
            self.directory.note_removed(size);
        }
        Ok(removed)
    }
}

impl Store for FileStore {
    fn backend(&self) -> &'static str {
        "file"
    }

    fn check_key(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let value = self.fetch(key)?;
        if let Some(bytes) = &value {
            visit(Item { bytes, flags: 0 });
        }
        Ok(value.is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let Some(deadline) = deadline(expiry) else { return self.delete(key).map(|_| true) };
        let name = Directory::file_name(key);
        let content = format::write(deadline, item.bytes);
        if self.too_large(&content) {
            return self.delete(key).map(|_| false);
        }
        let written =
            self.directory.make_room(&self.limits, content.len() as u64).and_then(|()| self.write(&name, &content));
        if written.is_err() {
            // The caller wanted the old value gone.
            let _ = self.remove(&name);
        }
        written.map(|()| true)
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let name = Directory::file_name(key);
        if self.live_head(&name)?.is_some() {
            return Ok(false);
        }
        let Some(deadline) = deadline(expiry) else { return Ok(true) };
        let content = format::write(deadline, item.bytes);
        if self.too_large(&content) {
            return Ok(false);
        }
        self.directory.make_room(&self.limits, content.len() as u64)?;
        // First, because it makes the directory, without which there is nothing to lock.
        let temporary = self.directory.write_temporary(&content)?;
        let _held = self.directory.lock(Lock::of(&name))?;
        if self.directory.head(&name)?.is_some_and(|head| !head.is_expired(unix_now())) {
            return Ok(false);
        }
        self.replace(&name, temporary, &content).map(|()| true)
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        let name = Directory::file_name(key);
        if self.live_head(&name)?.is_none() {
            return Ok(false);
        }
        let Some(_held) = self.directory.lock(Lock::of(&name))? else { return Ok(false) };
        let Entry::Live { compressed, value_at, garbage, .. } = self.entry(&name)? else { return Ok(false) };
        let Some(deadline) = deadline(expiry) else { return self.remove(&name) };
        let head = format::head(deadline);
        if head.len() == value_at && garbage == 0 {
            // One moment for another, as Django writes it: a new file would take ten times as long. Whoever reads in between
            // sees the old moment or the new one, or bytes of both, which is a miss at worst.
            return self.directory.overwrite_head(&name, &head);
        }
        let content = [head, compressed].concat();
        self.replace(&name, self.directory.write_temporary(&content)?, &content).map(|()| true)
    }

    fn delete(&self, key: &str) -> Result<bool> {
        let name = Directory::file_name(key);
        if self.live_head(&name)?.is_none() {
            return Ok(false);
        }
        let _held = self.directory.lock(Lock::of(&name))?;
        self.remove(&name)
    }

    fn has(&self, key: &str) -> Result<bool> {
        self.live_head(&Directory::file_name(key)).map(|head| head.is_some())
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        let name = Directory::file_name(key);
        if self.live_head(&name)?.is_none() {
            return Ok(None);
        }
        let Some(_held) = self.directory.lock(Lock::of(&name))? else { return Ok(None) };
        let number = match self.entry(&name)? {
            Entry::Missing => return Ok(None),
            Entry::Broken => None,
            Entry::Live { deadline, value, .. } => {
                stored_integer::read(self.serializer, &value).map(|number| (number, deadline))
            }
        };
        let Some((number, deadline)) = number else {
            return Err(Error::new(ErrorKind::NotAnInteger, "the value of this key is not an integer")
                .with_operation("incr")
                .with_hint("incr and decr work on values that were set as integers."));
        };
        let sum = number + delta;
        let content = format::write(deadline, &stored_integer::write(self.serializer, &sum)?);
        self.replace(&name, self.directory.write_temporary(&content)?, &content)?;
        Ok(Some(sum))
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        for (index, key) in keys.iter().enumerate() {
            self.get(key, &mut |item| visit(index, item))?;
        }
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        let mut refused = Vec::new();
        for (index, (key, item)) in items.iter().enumerate() {
            if !self.set(key, *item, expiry)? {
                refused.push(index);
            }
        }
        Ok(refused)
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        keys.iter().try_for_each(|key| self.delete(key).map(drop))
    }

    fn clear(&self) -> Result<()> {
        self.directory.clear()
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        Ok(match self.live_head(&Directory::file_name(key))? {
            None => Ttl::Missing,
            Some(Head::Entry { deadline: Deadline::At(moment), .. }) => {
                let left = (moment - unix_now()).max(0.0);
                Ttl::Left(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
            }
            Some(Head::Entry { deadline: Deadline::Never, .. } | Head::Broken) => Ttl::Never,
        })
    }

    /// Writes and removes a file, and counts. The directory is made if it is not there, as the first `set` would make it.
    fn check(&self) -> Vec<ServerReport> {
        let start = Instant::now();
        let written = self.directory.write_temporary(b"check").map(drop);
        let round_trip = start.elapsed();
        let result = written.and_then(|()| self.directory.list(true)).map(|listed| ServerInfo {
            round_trip,
            version: concat!("Pinyon ", env!("CARGO_PKG_VERSION")).to_owned(),
            memory_used: Some(listed.iter().map(|file| file.size).sum()),
            memory_limit: self.limits.max_bytes,
            entries: Some(listed.len() as u64),
        });
        vec![ServerReport { server: self.directory.name(), result }]
    }
}

/// When an entry expires that is written now; none if it has expired already.
fn deadline(expiry: Expiry) -> Option<Deadline> {
    match expiry {
        Expiry::Never => Some(Deadline::Never),
        Expiry::Now => None,
        Expiry::In(left) => Some(Deadline::At(unix_now() + left.as_secs_f64())),
    }
}
