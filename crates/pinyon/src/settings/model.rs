//! What a `CACHES` dictionary says, after it has been read and validated.

use super::node::Location;
use crate::key::Version;
use crate::memory::Policy;
use crate::timeout::Expiry;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// All caches of a dictionary, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// One entry an alias.
    pub caches: Vec<CacheSettings>,
    /// What a settings.py says that only Python can know, and that was left out therefore; empty for every other source.
    pub notes: Vec<Note>,
}

/// Something in a settings.py that cannot be known without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The cache that was left out, if it is about one.
    pub alias: Option<String>,
    /// What was left out and why; never a value.
    pub message: String,
    /// Where the reason stands: not always in CACHES itself.
    pub location: Location,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(alias) = &self.alias {
            write!(f, "cache '{alias}': ")?;
        }
        write!(f, "{} ({})", self.message, self.location)
    }
}

/// One alias of the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The name of the cache, for example `default`.
    pub alias: String,
    /// BACKEND as it was written.
    pub backend_path: String,
    /// TIMEOUT in whole seconds (Django drops the fraction): default 300; null, `"never"` or `"none"` = never; zero or
    /// negative = expired at once. A lower-case `timeout` wins over TIMEOUT, as in Django.
    pub timeout: Expiry,
    /// KEY_PREFIX; default empty.
    pub key_prefix: String,
    /// VERSION; default 1.
    pub version: Version,
    /// KEY_FUNCTION: the dotted path of a Python function, or the name of a function that a Rust program registers.
    pub key_function: Option<String>,
    /// What the backend itself needs.
    pub backend: BackendSettings,
    /// Options that were accepted and do nothing here, or not what their name promises: one sentence each, for a log.
    /// Empty in most settings.
    pub warnings: Vec<String>,
}

/// The part of the settings that depends on the backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendSettings {
    /// Process memory (LocMem).
    Memory(MemorySettings),
    /// Redis or Valkey.
    Redis(RedisSettings),
    /// Memcached.
    Memcached(MemcachedSettings),
    /// Files in a directory.
    File(FileSettings),
    /// A table of an SQL database.
    Database(DatabaseSettings),
    /// Nothing at all: keys are checked, and nothing is stored.
    Dummy,
}

/// What to do with bytes in the cache that cannot be read (OPTIONS `ON_BAD_VALUE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnBadValue {
    /// `"miss"`: count it, log it once, and answer as if there were no entry.
    #[default]
    Miss,
    /// `"raise"`: an error, as Django's own backends do.
    Raise,
}

/// How values are written (OPTIONS `SERIALIZER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SerializerKind {
    /// `"pickle"`: what Django reads and writes.
    #[default]
    Pickle,
    /// `"json"`.
    Json,
    /// `"msgpack"`.
    Msgpack,
}

/// How values are compressed (OPTIONS `COMPRESSOR`), as django-redis does it: with its levels, and only values of more
/// bytes than its shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressorKind {
    /// `"identity"`: not at all.
    Identity,
    /// `"zlib"`: level 6, more than 15 bytes.
    Zlib,
    /// `"gzip"`: level 9, more than 15 bytes.
    Gzip,
    /// `"lzma"`: an `.xz` stream of preset 4, more than 100 bytes.
    Lzma,
    /// `"lz4"`: an LZ4 frame, more than 15 bytes.
    Lz4,
    /// `"zstd"`: level 3, more than 15 bytes.
    Zstd,
}

/// A serializer or a compressor that an option names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Format<K> {
    /// One of Pinyon's, by its short name or the class path that Django or django-redis has for it.
    BuiltIn(K),
    /// The dotted path of a site's own Python class, which only the Python face can use.
    Python(String),
}

/// A memory cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemorySettings {
    /// LOCATION: all caches of one name and policy share one store in the process. Default empty.
    pub name: String,
    /// OPTIONS MAX_ENTRIES, or `max_entries` beside OPTIONS, which wins; default 300. Django allows any integer; below 1
    /// every `set` culls.
    pub max_entries: i64,
    /// OPTIONS CULL_FREQUENCY, or `cull_frequency` beside OPTIONS, which wins; default 3: a full cache loses one entry
    /// in three. 0: it loses them all. Never negative.
    pub cull_frequency: i64,
    /// OPTIONS MAX_BYTES: a number of bytes, or text such as `"64MB"` (10^6) or `"64MiB"` (2^20): keys, values and
    /// overhead together never exceed it. Default none.
    pub max_bytes: Option<u64>,
    /// OPTIONS POLICY: `"lru"`, the default, or `"tinylfu"`, with which CULL_FREQUENCY has no meaning.
    pub policy: Policy,
    /// OPTIONS SERIALIZER, for the Rust face.
    pub serializer: SerializerKind,
    /// OPTIONS ON_BAD_VALUE.
    pub on_bad_value: OnBadValue,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            max_entries: 300,
            cull_frequency: 3,
            max_bytes: None,
            policy: Policy::default(),
            serializer: SerializerKind::default(),
            on_bad_value: OnBadValue::default(),
        }
    }
}

/// A cache of files, in the format of Django's `FileBasedCache`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileSettings {
    /// LOCATION: the directory; made if it is not there.
    pub directory: PathBuf,
    /// OPTIONS MAX_ENTRIES; default 300.
    pub max_entries: i64,
    /// OPTIONS CULL_FREQUENCY; default 3: a full cache loses one entry in three. 0: it loses them all.
    pub cull_frequency: i64,
    /// OPTIONS MAX_BYTES: about the most that all files together may have. Default none.
    pub max_bytes: Option<u64>,
    /// OPTIONS SERIALIZER, for the Rust face.
    pub serializer: SerializerKind,
    /// OPTIONS ON_BAD_VALUE.
    pub on_bad_value: OnBadValue,
}

/// A cache in a table of an SQL database, in the format of Django's `DatabaseCache`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseSettings {
    /// LOCATION: the name of the table.
    pub table: String,
    /// OPTIONS DATABASE_URL, for the Rust face: `sqlite:///path`, `postgres://…`, `mysql://…`. Django uses its own connection.
    pub url: Option<String>,
    /// OPTIONS CREATE_TABLE, for the Rust face: the table, and an SQLite file for it, is made when it is missing. Default false;
    /// true for a cache that is given as `database+sqlite:///path`.
    pub create_table: bool,
    /// OPTIONS MAX_ENTRIES; default 300.
    pub max_entries: i64,
    /// OPTIONS CULL_FREQUENCY; default 3: a full cache loses one entry in three. 0: it loses them all.
    pub cull_frequency: i64,
    /// OPTIONS SERIALIZER, for the Rust face.
    pub serializer: SerializerKind,
    /// OPTIONS ON_BAD_VALUE.
    pub on_bad_value: OnBadValue,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            table: String::new(),
            url: None,
            create_table: false,
            max_entries: 300,
            cull_frequency: 3,
            serializer: SerializerKind::default(),
            on_bad_value: OnBadValue::default(),
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A Redis cache: the first server takes the writes, the others the reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisSettings {
    /// LOCATION, primary first; at least one.
    pub servers: Vec<RedisServer>,
    /// Which of them has a key.
    pub placement: RedisPlacement,
    /// OPTIONS `socket_connect_timeout`, `SOCKET_CONNECT_TIMEOUT`; default 1 s.
    pub connect_timeout: Duration,
    /// OPTIONS `socket_timeout`, `SOCKET_TIMEOUT`: the longest that one operation may take; default 2 s.
    pub timeout: Duration,
    /// OPTIONS `protocol`: 2 (default) or 3, the RESP version.
    pub protocol: u8,
    /// OPTIONS `max_connections`: the most connections to one server that this process keeps open; default none.
    pub max_connections: Option<usize>,
    /// OPTIONS `client_name`: shown by the server's CLIENT LIST. Default none.
    pub client_name: Option<String>,
    /// OPTIONS `TIMEOUT_UNIT`: `"s"` (Django's RedisCache: whole seconds, rounded down; default) or `"ms"`
    /// (django-redis: milliseconds; default for its BACKEND).
    pub timeout_unit: TimeoutUnit,
    /// OPTIONS `IGNORE_EXCEPTIONS` (django-redis): a connection error is answered like a miss. Default false.
    pub ignore_exceptions: bool,
    /// OPTIONS `BREAKER_FAILURES`: after so many connection errors in a row the primary is left alone for a while, and calls
    /// fail at once; default 3, 0: never.
    pub breaker_failures: u32,
    /// OPTIONS `BREAKER_PAUSE`, in seconds: the longest while. It is 20 times what the failure cost, at least 10 ms, at first
    /// at most 1 s and doubled with each further failure. Default 30 s.
    pub breaker_pause: Duration,
    /// OPTIONS SERIALIZER or `serializer`, one or a list: the first writes, all are tried in this order to read. Never
    /// empty; default pickle.
    pub serializers: Vec<Format<SerializerKind>>,
    /// OPTIONS COMPRESSOR, one or a list: the first writes, all are tried in this order to read. Default empty: nothing is
    /// compressed.
    pub compressors: Vec<Format<CompressorKind>>,
    /// Whether integers are decimal digits and not for the serializer. Default true; false for one Python class as
    /// OPTIONS `serializer`, to which Django hands the integers too.
    pub integers_as_digits: bool,
    /// OPTIONS `PICKLE_VERSION` (django-redis): the pickle protocol to write, 0 to 5; -1 in the settings is 5 here.
    /// Default none: 5. The Rust face writes 4 for what is lower.
    pub pickle_protocol: Option<u8>,
    /// OPTIONS ON_BAD_VALUE.
    pub on_bad_value: OnBadValue,
    /// OPTIONS `CLIENT_CLASS` is django-redis's HerdClient: values are wrapped in a Python object. Default false.
    pub herd: bool,
    /// OPTIONS `CLEAR`: what `clear()` removes, `"database"` (default) or `"prefix"`.
    pub clear_scope: ClearScope,
}

/// Which server of a Redis cache has a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum RedisPlacement {
    /// Each: the first is the primary, the others are its replicas.
    #[default]
    Replicated,
    /// OPTIONS CLIENT_CLASS `…ShardClient` (django-redis): one of them, by a ring of their names.
    Ring(RingNames),
    /// OPTIONS SENTINELS: the one server of LOCATION is the name of a service and how its servers are logged in to; Sentinels
    /// tell where they are.
    Sentinel(SentinelSettings),
    /// OPTIONS CLUSTER: one of a Redis Cluster, of which LOCATION names some.
    Cluster(ClusterSettings),
}

/// The servers of LOCATION as they are written there: django-redis places keys by that text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RingNames(Vec<String>);

impl RingNames {
    /// In the order of the servers.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Each of them. They may contain passwords.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

// Without the passwords that URLs may have.
impl fmt::Debug for RingNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingNames({})", self.0.len())
    }
}

/// What Sentinel needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SentinelSettings {
    /// The name of the primary, the host in LOCATION.
    pub service: String,
    /// OPTIONS SENTINELS, each with its own login and TLS from OPTIONS SENTINEL_KWARGS.
    pub sentinels: Vec<RedisServer>,
    /// SENTINEL_KWARGS `socket_connect_timeout`; default half of the cache's.
    pub connect_timeout: Duration,
    /// SENTINEL_KWARGS `socket_timeout`; default half of the cache's.
    pub timeout: Duration,
    /// Whether reads go to replicas: OPTIONS READ_FROM_REPLICAS; without it, with CLIENT_CLASS `…SentinelClient` and with
    /// `?is_master=0` in LOCATION.
    pub read_from_replicas: bool,
}

/// What Redis Cluster needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClusterSettings {
    /// OPTIONS READ_FROM_REPLICAS; default false.
    pub read_from_replicas: bool,
}

/// What `clear()` of a Redis cache removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClearScope {
    /// The whole database, other applications' keys in it too, as Django's does.
    #[default]
    Database,
    /// The keys of the cache's prefix and version.
    Prefix,
}

/// How finely a timeout is sent to Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeoutUnit {
    /// Whole seconds (`EX`), rounded down.
    #[default]
    Seconds,
    /// Milliseconds (`PX`), rounded down.
    Milliseconds,
}

/// One Redis server with what is needed to log in to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedisServer {
    /// Where it listens.
    pub address: Address,
    /// The database number; default 0.
    pub database: u32,
    /// The user name for ACLs.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// TLS, for `rediss://`.
    pub tls: Option<TlsSettings>,
}

impl RedisServer {
    /// A server without login, database 0, no TLS.
    pub fn new(address: Address) -> Self {
        Self { address, database: 0, username: None, password: None, tls: None }
    }
}

/// As a URL without credentials.
impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.tls) {
            (Address::Unix(path), _) => write!(f, "unix://{}?db={}", path.display(), self.database),
            (address, None) => write!(f, "redis://{address}/{}", self.database),
            (address, Some(_)) => write!(f, "rediss://{address}/{}", self.database),
        }
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({self})")
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host name or IP address (v6 without brackets), and port.
    Tcp {
        /// Host name or IP address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How a server proves who it is, and how we do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// `ssl_ca_certs`: PEM file of trusted certificates; default: the system's.
    pub ca_certs: Option<PathBuf>,
    /// `ssl_certfile`: PEM file with our certificate chain.
    pub certfile: Option<PathBuf>,
    /// `ssl_keyfile`: PEM file with our key; default: `certfile`.
    pub keyfile: Option<PathBuf>,
    /// `ssl_cert_reqs` as `"none"`, null or 0: do not verify the server at all. Default false.
    pub insecure: bool,
    /// `ssl_check_hostname=False`: verify the certificate but not its name. Default true.
    pub check_hostname: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { ca_certs: None, certfile: None, keyfile: None, insecure: false, check_hostname: true }
    }
}

/// A Memcached cache of one server or several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemcachedSettings {
    /// LOCATION; at least one, default port 11211.
    pub servers: Vec<Address>,
    /// OPTIONS `connect_timeout`; default 1 s.
    pub connect_timeout: Duration,
    /// OPTIONS `timeout`: the longest that one operation may take; default 2 s.
    pub timeout: Duration,
    /// OPTIONS `max_pool_size`: the most connections to one server that this process keeps open; default none.
    pub max_connections: Option<usize>,
    /// OPTIONS `retry_timeout`: how long a server that failed is left alone before it is tried again, doubled with
    /// each failure; default 1 s.
    pub retry_timeout: Duration,
    /// OPTIONS `dead_timeout`: the longest that a server is left alone; default 60 s.
    pub dead_timeout: Duration,
    /// OPTIONS `ignore_exc`: the first error of a server, too, is answered like a miss. Default false.
    pub ignore_exceptions: bool,
    /// OPTIONS `key_prefix` of pymemcache: put before the made key on the wire, not hashed for placement.
    pub key_prefix: String,
    /// OPTIONS SERIALIZER.
    pub serializer: SerializerKind,
    /// OPTIONS ON_BAD_VALUE.
    pub on_bad_value: OnBadValue,
}

impl Default for MemcachedSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            timeout: DEFAULT_OPERATION_TIMEOUT,
            max_connections: None,
            retry_timeout: Duration::from_secs(1),
            dead_timeout: Duration::from_secs(60),
            ignore_exceptions: false,
            key_prefix: String::new(),
            serializer: SerializerKind::default(),
            on_bad_value: OnBadValue::default(),
        }
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            placement: RedisPlacement::default(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            timeout: DEFAULT_OPERATION_TIMEOUT,
            protocol: 2,
            max_connections: None,
            client_name: None,
            timeout_unit: TimeoutUnit::default(),
            ignore_exceptions: false,
            breaker_failures: 3,
            breaker_pause: Duration::from_secs(30),
            serializers: vec![Format::BuiltIn(SerializerKind::default())],
            compressors: Vec::new(),
            integers_as_digits: true,
            pickle_protocol: None,
            on_bad_value: OnBadValue::default(),
            herd: false,
            clear_scope: ClearScope::default(),
        }
    }
}

/// How long a connection may take to open if nothing is said.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an operation may take if nothing is said.
pub const DEFAULT_OPERATION_TIMEOUT: Duration = Duration::from_secs(2);
