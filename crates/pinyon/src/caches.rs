//! All caches of a dictionary, by alias.

use crate::cache::Cache;
use crate::database::DatabaseStore;
use crate::dummy::DummyStore;
use crate::error::{Error, ErrorKind, Result};
use crate::file::FileStore;
use crate::key::{DEFAULT_KEY_FUNCTION, KeyFunction, KeyMaker, Version};
use crate::memcached::MemcachedStore;
use crate::memory::MemoryStore;
use crate::redis::RedisStore;
use crate::settings::{BackendSettings, CacheSettings, ClearScope, Format, Note, OnBadValue, SerializerKind, Settings};
use crate::store::Store;
use crate::value::{Codec, Layout};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The caches of a `CACHES` dictionary. Making it connects to nothing; a cache connects with its first operation.
///
/// ```
/// let caches = pinyon::Caches::from_toml(r#"
///     [default]
///     BACKEND = "django.core.cache.backends.locmem.LocMemCache"
/// "#)?;
/// let cache = caches.get("default")?.blocking();
/// cache.set("greeting", "hello", pinyon::Timeout::Default)?;
/// assert_eq!(cache.get::<String>("greeting")?.as_deref(), Some("hello"));
/// # Ok::<(), pinyon::Error>(())
/// ```
#[derive(Debug)]
pub struct Caches {
    entries: Vec<Entry>,
    /// What is not known of the settings.
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Entry {
    settings: CacheSettings,
    key_function: Option<NamedFunction>,
    cache: OnceLock<Cache>,
}

struct NamedFunction(KeyFunction);

impl std::fmt::Debug for NamedFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a registered key function")
    }
}

/// Makes [`Caches`] whose settings name key functions in Rust.
#[derive(Default)]
pub struct CachesBuilder {
    key_functions: HashMap<String, KeyFunction>,
}

impl CachesBuilder {
    /// Registers the function that `KEY_FUNCTION = "name"` stands for: the Rust form of the Python function that the
    /// Django site names there.
    #[must_use]
    pub fn key_function(
        mut self,
        name: &str,
        function: impl Fn(&str, &str, &Version) -> String + Send + Sync + 'static,
    ) -> Self {
        self.key_functions.insert(name.to_owned(), Arc::new(function));
        self
    }

    /// The caches of these settings.
    pub fn build(&self, settings: Settings) -> Caches {
        let notes = settings.notes;
        let entries = settings.caches.into_iter().map(|settings| Entry {
            key_function: settings
                .key_function
                .as_ref()
                .and_then(|name| self.key_functions.get(name))
                .cloned()
                .map(NamedFunction),
            settings,
            cache: OnceLock::new(),
        });
        Caches { entries: entries.collect(), notes }
    }
}

impl Caches {
    /// For settings with key functions of your own.
    pub fn builder() -> CachesBuilder {
        CachesBuilder::default()
    }

    /// The caches of a dictionary in TOML: a table an alias.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with line and column, the alias, the key, what was found and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self> {
        Settings::from_toml(text).map(Self::from)
    }

    /// The caches of a dictionary in JSON.
    ///
    /// # Errors
    /// As [`Caches::from_toml`].
    pub fn from_json(text: &str) -> Result<Self> {
        Settings::from_json(text).map(Self::from)
    }

    /// One cache, `default`, from a URL such as `redis://127.0.0.1:6379/1` or `memcached://h1:11211,h2:11211`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] that says what is wrong with the URL, without its password.
    pub fn from_url(url: &str) -> Result<Self> {
        Settings::from_url(url).map(Self::from)
    }

    /// The caches that the environment names: `PINYON_SETTINGS` or `CACHE_URL`, as [`Settings::from_env`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if neither is set, or both are, or what one of them names is wrong.
    pub fn from_env() -> Result<Self> {
        Settings::from_env().map(Self::from)
    }

    /// The caches of a settings file, `.toml` or `.json`, or, with the feature `settings-py`, a Django settings.py. Of the
    /// latter, an alias that only Python can know is left out: [`Caches::get`] says why.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the file cannot be read, or as [`Caches::from_toml`].
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        Settings::from_path(path).map(Self::from)
    }

    /// The aliases, in the order of the dictionary.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.settings.alias.as_str())
    }

    /// The settings of an alias.
    pub fn settings(&self, alias: &str) -> Option<&CacheSettings> {
        self.entry(alias).map(|entry| &entry.settings)
    }

    /// The cache of an alias.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such alias, or if its settings name Python code that Rust cannot run.
    pub fn get(&self, alias: &str) -> Result<&Cache> {
        let entry = self.entry(alias).ok_or_else(|| self.unknown_alias(alias))?;
        if let Some(cache) = entry.cache.get() {
            return Ok(cache);
        }
        let cache = open(entry).map_err(|error| error.with_alias(alias))?;
        Ok(entry.cache.get_or_init(|| cache))
    }

    fn entry(&self, alias: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.settings.alias == alias)
    }

    fn unknown_alias(&self, alias: &str) -> Error {
        if let Some(note) = self.notes.iter().find(|note| note.alias.as_deref() == Some(alias)) {
            return Error::new(ErrorKind::Config, note.message.clone())
                .with_alias(alias)
                .with_location(note.location.clone())
                .with_hint(
                    "Write the value in a form that can be read without running Python, or give the caches as TOML",
                );
        }
        let known: Vec<String> = self.aliases().map(|alias| format!("'{alias}'")).collect();
        let error = Error::new(ErrorKind::Config, format!("there is no cache with the alias '{alias}'"));
        if known.is_empty() {
            return error.with_hint("The settings name no cache at all");
        }
        error.with_hint(format!("The settings have {}", known.join(", ")))
    }
}

impl From<Settings> for Caches {
    fn from(settings: Settings) -> Self {
        CachesBuilder::default().build(settings)
    }
}

fn open(entry: &Entry) -> Result<Cache> {
    let settings = &entry.settings;
    let function = match (&settings.key_function, &entry.key_function) {
        (Some(_), Some(NamedFunction(function))) => Some(function.clone()),
        (None, _) => None,
        (Some(name), None) if name == DEFAULT_KEY_FUNCTION => None,
        (Some(name), None) => {
            return Err(Error::new(
                ErrorKind::Config,
                format!("KEY_FUNCTION '{name}' is Python code, which Rust cannot run"),
            )
            .with_hint(
                "Write it in Rust and register it under this name: Caches::builder().key_function(name, function)",
            ));
        }
    };
    let keys = KeyMaker::new(settings.key_prefix.as_str(), settings.version.clone(), function);
    let (store, codec, on_bad_value): (Arc<dyn Store>, _, _) = match &settings.backend {
        BackendSettings::Memory(memory) => {
            (Arc::new(MemoryStore::new(memory)), Codec::new(memory.serializer, Layout::Digits), memory.on_bad_value)
        }
        BackendSettings::Redis(redis) => {
            if redis.herd {
                let message = "CLIENT_CLASS HerdClient is Python code, which Rust cannot run";
                return Err(
                    Error::new(ErrorKind::Config, message).with_hint("Use DefaultClient, which both faces read")
                );
            }
            let names = "\"pickle\", \"json\" or \"msgpack\"";
            let mut also_read = built_in("SERIALIZER", &redis.serializers, names)?;
            let serializer = if also_read.is_empty() { SerializerKind::default() } else { also_read.remove(0) };
            let names = "\"zlib\", \"gzip\", \"lzma\", \"lz4\" or \"zstd\"";
            let compressors = built_in("COMPRESSOR", &redis.compressors, names)?;
            let pickle_protocol = redis.pickle_protocol.unwrap_or(5).max(4);
            let codec = Codec { serializer, layout: Layout::Digits, also_read, compressors, pickle_protocol };
            (RedisStore::shared(redis), codec, redis.on_bad_value)
        }
        BackendSettings::Memcached(memcached) => {
            let codec = Codec::new(memcached.serializer, Layout::Flags);
            (MemcachedStore::shared(memcached), codec, memcached.on_bad_value)
        }
        BackendSettings::File(file) => {
            (FileStore::shared(file)?, Codec::new(file.serializer, Layout::Serialized), file.on_bad_value)
        }
        BackendSettings::Database(database) => {
            let codec = Codec::new(database.serializer, Layout::Serialized);
            (DatabaseStore::shared(database)?, codec, database.on_bad_value)
        }
        BackendSettings::Dummy => {
            let codec = Codec::new(SerializerKind::default(), Layout::Serialized);
            (Arc::new(DummyStore), codec, OnBadValue::default())
        }
    };
    let clear_scope = match &settings.backend {
        BackendSettings::Redis(redis) => redis.clear_scope,
        _ => ClearScope::default(),
    };
    let cache = Cache::with_bad_values(&settings.alias, store, codec, keys, settings.timeout, on_bad_value);
    Ok(cache.clearing(clear_scope))
}

/// The kinds that `option` names; `names` are those that both faces have.
fn built_in<K: Copy>(option: &str, formats: &[Format<K>], names: &str) -> Result<Vec<K>> {
    let kinds = formats.iter().map(|format| match format {
        Format::BuiltIn(kind) => Ok(*kind),
        Format::Python(class) => {
            let message = format!("{option} '{class}' is Python code, which Rust cannot run");
            Err(Error::new(ErrorKind::Config, message).with_hint(format!("Use {names}, which both faces read")))
        }
    });
    kinds.collect()
}
