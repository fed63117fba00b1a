//! Asks every server of every alias how it is, all at the same time.

use crate::source::python_key_function;
use pinyon::redis::RedisStore;
use pinyon::settings::{BackendSettings, CacheSettings, Format};
use pinyon::store::ServerInfo;
use pinyon::{Caches, Error, Settings};
use std::mem;
use std::thread;
use std::time::Duration;

/// What came out.
pub(crate) struct Report {
    /// A row a server, in the order of the settings.
    pub(crate) rows: Vec<Row>,
    /// What the settings say that does not do what it promises.
    pub(crate) warnings: Vec<String>,
}

/// One server of one alias.
pub(crate) struct Row {
    pub(crate) alias: String,
    /// `memory`, `redis` or `memcached`.
    pub(crate) backend: &'static str,
    /// Without credentials.
    pub(crate) server: String,
    pub(crate) result: Result<ServerInfo, Error>,
    /// Of a Redis cache.
    pub(crate) breaker: Option<Breaker>,
}

/// The circuit breaker of a cache, as this program finds it: each process has its own.
#[derive(Clone, Copy)]
pub(crate) struct Breaker {
    /// In a row.
    pub(crate) failures: u32,
    /// Zero while it is closed.
    pub(crate) pause_left: Duration,
    /// BREAKER_FAILURES; 0: never.
    pub(crate) opens_after: u32,
    /// BREAKER_PAUSE.
    pub(crate) longest_pause: Duration,
}

impl Breaker {
    fn of(settings: &BackendSettings) -> Option<Self> {
        let BackendSettings::Redis(redis) = settings else { return None };
        let (failures, pause_left) = RedisStore::shared(redis).breaker();
        let (opens_after, longest_pause) = (redis.breaker_failures, redis.breaker_pause);
        Some(Self { failures, pause_left, opens_after, longest_pause })
    }

    /// `closed`: the server is asked; `open`: it is not, for a while; `off`: it always is.
    pub(crate) fn state(&self) -> &'static str {
        match (self.opens_after, self.pause_left) {
            (0, _) => "off",
            (_, Duration::ZERO) => "closed",
            _ => "open",
        }
    }
}

impl Report {
    /// Whether every server has answered.
    pub(crate) fn is_ok(&self) -> bool {
        self.rows.iter().all(|row| row.result.is_ok())
    }
}

/// Asks them. A thread a server: one that does not answer costs its own timeout and delays no other.
pub(crate) fn check(settings: &Settings) -> Report {
    let mut warnings: Vec<String> = settings.notes.iter().map(ToString::to_string).collect();
    warnings.extend(settings.warnings());
    let probes: Vec<CacheSettings> = settings
        .caches
        .iter()
        .flat_map(|cache| {
            let mut cache = cache.clone();
            warnings.extend(forget_python(&mut cache));
            one_server_each(&cache)
        })
        .collect();
    let rows = thread::scope(|scope| {
        let threads: Vec<_> = probes.into_iter().map(|probe| scope.spawn(move || ask(&probe))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    Report { rows, warnings }
}

fn ask(settings: &CacheSettings) -> Vec<Row> {
    let alias = settings.alias.clone();
    let backend = backend(&settings.backend);
    let row = |server, result, breaker| Row { alias: alias.clone(), backend, server, result, breaker };
    let caches = Caches::from(Settings { caches: vec![settings.clone()], ..Settings::default() });
    match caches.get(&alias) {
        Ok(cache) => {
            let reports = cache.blocking().check();
            let breaker = Breaker::of(&settings.backend);
            reports.into_iter().map(|report| row(report.server, report.result, breaker)).collect()
        }
        Err(error) => vec![row(String::new(), Err(error), None)],
    }
}

fn backend(settings: &BackendSettings) -> &'static str {
    match settings {
        BackendSettings::Memory(_) => "memory",
        BackendSettings::Redis(_) => "redis",
        BackendSettings::Memcached(_) => "memcached",
        BackendSettings::File(_) => "file",
        BackendSettings::Database(_) => "database",
        BackendSettings::Dummy => "dummy",
    }
}

/// Python code is no obstacle to asking a server, but it is to every other command: that is a warning.
fn forget_python(cache: &mut CacheSettings) -> Vec<String> {
    let mut forgotten = Vec::new();
    forgotten.extend(python_key_function(cache).map(|name| ("KEY_FUNCTION", name.to_owned())));
    cache.key_function = None;
    if let BackendSettings::Redis(redis) = &mut cache.backend {
        forgotten.extend(mem::take(&mut redis.herd).then(|| ("CLIENT_CLASS", "HerdClient".to_owned())));
        forgotten.extend(python_classes(&mut redis.serializers).map(|class| ("SERIALIZER", class)));
        forgotten.extend(python_classes(&mut redis.compressors).map(|class| ("COMPRESSOR", class)));
    }
    let alias = &cache.alias;
    let warning = |(key, name)| {
        format!("cache '{alias}': {key} '{name}' is Python code: of all commands only check works on this alias")
    };
    forgotten.into_iter().map(warning).collect()
}

/// Takes the site's own classes out of a list of formats.
fn python_classes<K>(formats: &mut Vec<Format<K>>) -> impl Iterator<Item = String> {
    let is_python = |format: &mut Format<K>| matches!(format, Format::Python(_));
    let taken: Vec<_> = formats.extract_if(.., is_python).collect();
    taken.into_iter().filter_map(|format| match format {
        Format::Python(class) => Some(class),
        Format::BuiltIn(_) => None,
    })
}

/// The cache once for each of its servers.
fn one_server_each(cache: &CacheSettings) -> Vec<CacheSettings> {
    let with = |backend| CacheSettings { backend, ..cache.clone() };
    match &cache.backend {
        BackendSettings::Memory(_)
        | BackendSettings::File(_)
        | BackendSettings::Database(_)
        | BackendSettings::Dummy => vec![cache.clone()],
        BackendSettings::Redis(redis) => redis
            .servers
            .iter()
            .map(|server| {
                let mut redis = redis.clone();
                redis.servers = vec![server.clone()];
                with(BackendSettings::Redis(redis))
            })
            .collect(),
        BackendSettings::Memcached(memcached) => memcached
            .servers
            .iter()
            .map(|server| {
                let mut memcached = memcached.clone();
                memcached.servers = vec![server.clone()];
                with(BackendSettings::Memcached(memcached))
            })
            .collect(),
    }
}
