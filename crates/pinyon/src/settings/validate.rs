//! A tree into [`Settings`]: the keys that every cache has, and which reader takes the rest.

use super::backend::{self, Backend};
use super::fields::{Field, Problems, placed, suggestion};
use super::model::{BackendSettings, CacheSettings, Note, Settings};
use super::node::{Entry, Node, Value};
#[cfg(feature = "settings-py")]
use super::python;
use super::{database_options, file_options, json, memcached_options, memory_options, redis_options, toml, url};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Version;
use crate::timeout::{Expiry, Timeout};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Django's default TIMEOUT.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// The keys of one cache, as Django names them.
const KEYS: &[&str] = &["BACKEND", "LOCATION", "TIMEOUT", "OPTIONS", "KEY_PREFIX", "VERSION", "KEY_FUNCTION"];

impl Settings {
    /// Reads TOML: a table for each alias, either `[default]` or `[CACHES.default]`. TOML has no null:
    /// `TIMEOUT = "never"` stands for Django's None.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with line and column, naming everything that is wrong.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::from_node(&toml::read(text)?)
    }

    /// Reads JSON, in which comments are allowed: an object for each alias, at the top or within `"CACHES"`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with line and column, naming everything that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::from_node(&json::read(text)?)
    }

    /// Reads one cache, with the alias `default`, from a URL: `memory://name`,
    /// `redis://[user:password@]host[:port][/db][?options]`, `rediss://` for TLS, `unix:///path.sock?db=1`,
    /// `redis+sentinel://[user:password@]host1:26379,host2:26379/service[/db]`, `redis+cluster://host1:7000,host2:7000`,
    /// `memcached://host1:11211,host2:11211`, `memcached:///path.sock`, `file:///directory`, `database+sqlite:///path`,
    /// `database+postgres://…`, `database+mysql://…` or `dummy://`; `valkey://` and `valkeys://` are `redis://` and
    /// `rediss://`. The table of a database is `?table=name`, by default `pinyon_cache`; SQLite's is made if it is missing.
    /// A query gives OPTIONS, and in any case TIMEOUT, KEY_PREFIX, VERSION and KEY_FUNCTION:
    /// `?timeout=60&socket_timeout=0.5`. `timeout` is always TIMEOUT here, so that the OPTIONS `timeout` of Memcached, how
    /// long an operation may take, has no place in a URL. With `redis+sentinel://`, what begins with `sentinel_`
    /// (`sentinel_password`, `sentinel_ssl`) is for the Sentinels, the login and all else for the servers;
    /// `rediss+sentinel://` is TLS to the servers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without the user name and the password that the URL may hold.
    pub fn from_url(url: &str) -> Result<Self> {
        let cache = url::read(url).map_err(|error| error.with_alias("default"))?;
        Self::from_node(&Node::table([("default", cache)]))
    }

    /// Reads CACHES from the text of a Django settings.py, without running it: literals, names, environment variables,
    /// paths and the files that it imports (docs/settings.md lists what is followed). `path` is where the text is from: it is
    /// `__file__`, and imports are looked for beside it. What only Python can know is in [`Settings::notes`]; a cache with
    /// such a value is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with line and column if the text is not Python, if nothing of CACHES can be known, or naming
    /// everything that is wrong in it.
    #[cfg(feature = "settings-py")]
    pub fn from_python(text: &str, path: impl AsRef<Path>) -> Result<Self> {
        let reading = python::read(text, path.as_ref(), &|name| std::env::var_os(name))?;
        let settings = validate(&reading.node, &reading.files).map_err(join)?;
        Ok(Self { notes: reading.notes, ..settings })
    }

    /// Reads a file by its extension: `.toml`, `.json` or `.jsonc`, or, with the feature `settings-py`, `.py`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the file cannot be read, has another extension, or has wrong settings in it.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
        let wrong =
            |message: &str| Error::new(ErrorKind::Config, format!("the settings in {} {message}", path.display()));
        let read = match extension.as_str() {
            "toml" => toml::read,
            "json" | "jsonc" => json::read,
            #[cfg(feature = "settings-py")]
            "py" => return Self::from_python(&text_of(path)?, path),
            #[cfg(not(feature = "settings-py"))]
            "py" => {
                return Err(wrong("are Python, which this build does not read")
                    .with_hint("Build pinyon with the feature settings-py, or write them as .toml or .json."));
            }
            _ => return Err(wrong("are in no known format").with_hint("Name the file .toml, .json or .py.")),
        };
        let files = [path.to_owned()];
        let node = read(&text_of(path)?).map_err(|error| error.with_files(&files))?;
        validate(&node, &files).map_err(join)
    }

    /// Reads a tree: a table for each alias, at the top or within `CACHES`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: the error, or one that lists all of them, a line each.
    pub fn from_node(node: &Node) -> Result<Self> {
        Self::validate(node).map_err(join)
    }

    /// As [`Self::from_node`], with every error on its own.
    ///
    /// # Errors
    /// All that is wrong, in the order of the dictionary; never empty.
    pub fn validate(node: &Node) -> Result<Self, Vec<Error>> {
        validate(node, &[])
    }

    /// The settings of `alias`.
    pub fn get(&self, alias: &str) -> Option<&CacheSettings> {
        self.caches.iter().find(|cache| cache.alias == alias)
    }

    /// What was accepted and does not do what its name says, one sentence each; and that there is no `default`, which
    /// Django needs and Rust does not.
    pub fn warnings(&self) -> Vec<String> {
        let missing = "there is no cache 'default': Django does not start without one".to_owned();
        let caches = self.caches.iter().flat_map(|cache| cache.warnings.iter().cloned());
        let known = self.get("default").is_some() || self.left_out("default").is_some();
        (!known).then_some(missing).into_iter().chain(caches).collect()
    }

    /// Why `alias` was left out, if it was.
    pub fn left_out(&self, alias: &str) -> Option<&Note> {
        self.notes.iter().find(|note| note.alias.as_deref() == Some(alias))
    }
}

impl CacheSettings {
    /// Reads one cache: a table with BACKEND, LOCATION and the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: the error, or one that lists all of them, a line each.
    pub fn from_node(alias: &str, node: &Node) -> Result<Self> {
        cache(alias, node, &[]).map_err(join)
    }
}

fn join(errors: Vec<Error>) -> Error {
    Error::all(errors, "the settings")
}

fn text_of(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::Config, format!("the settings in {} cannot be read: {error}", path.display()))
            .with_source(error)
    })
}

/// The settings of a tree whose places count `files`.
fn validate(node: &Node, files: &[PathBuf]) -> Result<Settings, Vec<Error>> {
    let mut errors = Vec::new();
    let mut caches = Vec::new();
    for entry in aliases(node, files, &mut errors) {
        match cache(&entry.key, &entry.node, files) {
            Ok(cache) => caches.push(cache),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(Settings { caches, notes: Vec::new() }) } else { Err(errors) }
}

/// How a dictionary looks, as a hint.
const SHAPE: &str = "Each alias is a table, as in TOML: [default], then BACKEND = \"memory\".";

/// The aliases of a dictionary, whether they stand at the top or within CACHES.
fn aliases<'n>(root: &'n Node, files: &[PathBuf], errors: &mut Vec<Error>) -> &'n [Entry] {
    let mut wrong = |message: &str, span, hint: &str| {
        errors.push(placed(Error::new(ErrorKind::Config, message), span).with_files(files).with_hint(hint));
    };
    let Some(top) = root.as_table() else {
        wrong(&format!("the settings are {}, but must be a table of aliases", root.kind()), root.span, SHAPE);
        return &[];
    };
    if let Some(backend) = top.iter().find(|entry| entry.key == "BACKEND" && entry.node.as_table().is_none()) {
        wrong("BACKEND stands outside of any alias", backend.key_span, SHAPE);
        return &[];
    }
    let Some(caches) = top.iter().find(|entry| entry.key == "CACHES") else {
        return top;
    };
    for stray in top.iter().filter(|entry| entry.key != "CACHES" && entry.node.get("BACKEND").is_some()) {
        let message = format!("cache '{}' stands outside of CACHES", stray.key);
        wrong(&message, stray.key_span, &format!("Write it as [CACHES.{}].", stray.key));
    }
    let Some(entries) = caches.node.as_table() else {
        let message = format!("CACHES is {}, but must be a table of aliases", caches.node.kind());
        wrong(&message, caches.node.span, SHAPE);
        return &[];
    };
    entries
}

fn cache(alias: &str, node: &Node, files: &[PathBuf]) -> Result<CacheSettings, Vec<Error>> {
    let mut problems = Problems { files, ..Problems::new(alias) };
    problems.span = node.span;
    let settings = read(node, &mut problems);
    match settings {
        Some(mut settings) if problems.errors.is_empty() => {
            settings.warnings = problems.warnings;
            Ok(settings)
        }
        _ => Err(problems.errors),
    }
}

fn read(node: &Node, problems: &mut Problems<'_>) -> Option<CacheSettings> {
    let Some(entries) = node.as_table() else {
        let hint = "Write a table with at least BACKEND, for example BACKEND = \"memory\".".to_owned();
        problems.error(&format!("the cache is {}, but must be a table", node.kind()), node.span, hint);
        return None;
    };
    let mut settings = CacheSettings {
        alias: problems.alias.to_owned(),
        backend_path: String::new(),
        timeout: Expiry::In(DEFAULT_TIMEOUT),
        key_prefix: String::new(),
        version: Version::default(),
        key_function: None,
        backend: BackendSettings::Memory(super::MemorySettings::default()),
        warnings: Vec::new(),
    };
    let find = |name: &str| entries.iter().find(|entry| entry.key == name);
    let backend =
        backend_of(find("BACKEND"), node, problems).inspect(|(path, _)| settings.backend_path.clone_from(path));
    let backend = backend.map(|(_, backend)| backend);
    let mut limits = Vec::new();
    for entry in entries {
        let field = Field::key(entry);
        match entry.key.as_str() {
            "BACKEND" | "LOCATION" | "OPTIONS" => {}
            "TIMEOUT" if find("timeout").is_some() => {
                field.no_effect(problems, "the lower-case 'timeout' wins, as in Django");
            }
            "TIMEOUT" | "timeout" => super::fields::set(&mut settings.timeout, timeout(&field, problems)),
            "KEY_PREFIX" => super::fields::set(&mut settings.key_prefix, prefix(&field, problems)),
            "VERSION" => super::fields::set(&mut settings.version, version(&field, problems)),
            "KEY_FUNCTION" => settings.key_function = key_function(&field, problems),
            "max_entries" | "cull_frequency" => limits.push(entry),
            // Python's own: only its methods turn a key back.
            "REVERSE_KEY_FUNCTION" if matches!(backend, Some(Backend::Redis(_))) => {}
            name => field.refuse(problems, "is not a key of a cache", suggestion_for_key(name)),
        }
    }
    let options = find("OPTIONS").map_or(&[][..], |entry| Field::key(entry).entries(problems));
    let location = find("LOCATION");
    settings.backend = match backend? {
        Backend::Memory => BackendSettings::Memory(memory_options::read(location, options, &limits, problems)),
        Backend::Redis(rules) => {
            refuse_limits(&limits, "Redis", problems);
            BackendSettings::Redis(redis_options::read(rules, location, options, problems))
        }
        Backend::Memcached(rules) => {
            refuse_limits(&limits, "Memcached", problems);
            BackendSettings::Memcached(memcached_options::read(rules, location, options, problems))
        }
        Backend::File => BackendSettings::File(file_options::read(location, options, &limits, node.span, problems)),
        Backend::Database => {
            BackendSettings::Database(database_options::read(location, options, &limits, node.span, problems))
        }
        // Django's takes whatever there is, so that a site can put it in the place of any other.
        Backend::Dummy => BackendSettings::Dummy,
        Backend::Gone => return None,
    };
    Some(settings)
}

/// An option that was written beside OPTIONS is told where it belongs.
fn suggestion_for_key(name: &str) -> String {
    const OPTION_NAMES: [&str; 6] =
        ["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES", "SERIALIZER", "ON_BAD_VALUE", "TIMEOUT_UNIT"];
    if OPTION_NAMES.contains(&name) {
        return format!("Write '{name}' in OPTIONS.");
    }
    suggestion(name, KEYS)
}

fn refuse_limits(limits: &[&Entry], server: &str, problems: &mut Problems<'_>) {
    for entry in limits {
        Field::key(entry).refuse(problems, &no_meaning(server), maxmemory_hint(server));
    }
}

/// Why MAX_ENTRIES and its like are refused where a server keeps the entries.
pub(super) fn no_meaning(server: &str) -> String {
    format!("has no meaning for {server}, which decides itself what it keeps")
}

/// Where the limit is set instead.
pub(super) fn maxmemory_hint(server: &str) -> String {
    match server {
        "Redis" => "Set maxmemory and maxmemory-policy in the server's configuration.".to_owned(),
        _ => "Start the server with as much memory as it may use (memcached -m).".to_owned(),
    }
}

fn backend_of(entry: Option<&Entry>, cache: &Node, problems: &mut Problems<'_>) -> Option<(String, Backend)> {
    let Some(entry) = entry else {
        let hint = "Write for example BACKEND = \"memory\", \"redis\" or \"memcached\".".to_owned();
        problems.error("BACKEND is missing", cache.span, hint);
        return None;
    };
    let path = Field::key(entry).text(problems)?;
    let backend = backend::find(&path, entry.node.span, problems)?;
    Some((path, backend))
}

fn timeout(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<Expiry> {
    let seconds = match &field.node.value {
        Value::Null => return Some(Expiry::Never),
        Value::String(text) if matches!(text.to_ascii_lowercase().as_str(), "never" | "none") => {
            return Some(Expiry::Never);
        }
        Value::Float(number) if number.is_finite() && number.abs() < 1e15 => {
            if number.fract() != 0.0 {
                let message = format!("{} is cut to {} seconds, as in Django", field.label, number.trunc());
                problems.warn(&message, field.node.span);
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            Some(number.trunc() as i64)
        }
        _ => field.node.as_integer(),
    };
    if seconds.is_none() {
        field.wrong(problems, "a number of seconds, or null or 'never'");
    }
    seconds.map(|seconds| Timeout::secs(seconds).resolve(Expiry::Never))
}

fn prefix(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    match &field.node.value {
        Value::Int(number) => Some(number.to_string()),
        _ => field.text(problems),
    }
}

fn version(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<Version> {
    match &field.node.value {
        Value::Int(number) => Some(Version::Number(*number)),
        Value::String(text) => Some(Version::Text(text.clone())),
        // `str()` of these floats is the same in Python and in Rust.
        Value::Float(number) if (1e-4..1e16).contains(&number.abs()) => Some(Version::Text(format!("{number:?}"))),
        _ => {
            field.wrong(problems, "a number or a string");
            None
        }
    }
}

fn key_function(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    match &field.node.value {
        Value::Null => None,
        Value::String(name) | Value::Opaque(name) if !name.is_empty() => Some(name.clone()),
        _ => {
            field.wrong(problems, "the dotted path of a function");
            None
        }
    }
}
