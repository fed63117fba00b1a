//! The commands on keys.

use crate::args::{Command, Target};
use crate::confirm;
use crate::failure::Failure;
use crate::output;
use crate::source::python_key_function;
use crate::value::Given;
use pinyon::key::KeyMaker;
use pinyon::settings::BackendSettings;
use pinyon::{Cache, Caches, Settings, Ttl, Version};

/// Does what the command says, and returns what there is to say about it.
pub(crate) fn run(command: &Command, mut settings: Settings) -> Result<String, Failure> {
    for cache in &mut settings.caches {
        show_errors(&mut cache.backend);
    }
    let caches = Caches::from(settings);
    match command {
        Command::Check { .. } | Command::CreateTable { .. } => {
            Err(Failure::usage("this is not a command on keys", "Run it by itself"))
        }
        Command::Get { key, target } => {
            let value = open(&caches, target)?.blocking().show(key)?;
            value.ok_or_else(|| no_such_key(&caches, target, key))
        }
        Command::Set { key, value, int, json, timeout, target } => {
            let value = Given::read(value, *int, *json)?;
            let cache = open(&caches, target)?;
            let cache = cache.blocking();
            let stored = match &value {
                Given::Text(text) => cache.set(key, text, timeout.get()),
                Given::Integer(number) => cache.set(key, number, timeout.get()),
                Given::Json(json) => cache.set(key, json, timeout.get()),
            };
            if stored? {
                return Ok("stored".to_owned());
            }
            Err(Failure::refused(
                format!("cache '{}', set: the server refused the value; the key has no value now", target.alias),
                Some("It may be too large: Memcached takes up to 1 MB unless it is started with a larger -I"),
            ))
        }
        Command::Delete { keys, target } => {
            let cache = open(&caches, target)?;
            let mut deleted = 0;
            for key in keys {
                deleted += usize::from(cache.blocking().delete(key)?);
            }
            Ok(format!("deleted {deleted} of {}", keys.len()))
        }
        Command::Incr { key, delta, target } => match open(&caches, target)?.blocking().incr(key, *delta) {
            Ok(sum) => Ok(sum.to_string()),
            Err(error) if error.kind() == pinyon::ErrorKind::KeyNotFound => Err(no_such_key(&caches, target, key)),
            Err(error) => Err(error.into()),
        },
        Command::Touch { key, timeout, target } => {
            let touched = open(&caches, target)?.blocking().touch(key, timeout.get())?;
            if touched { Ok("touched".to_owned()) } else { Err(no_such_key(&caches, target, key)) }
        }
        Command::Ttl { key, target } => match open(&caches, target)?.blocking().ttl(key)? {
            Ttl::Missing => Err(no_such_key(&caches, target, key)),
            Ttl::Never => Ok("never".to_owned()),
            Ttl::Left(left) => Ok((left.as_secs() + u64::from(left.subsec_nanos() > 0)).to_string()),
        },
        Command::Clear { yes, target } => {
            let cache = open(&caches, target)?;
            if let (false, Some(settings)) = (*yes, caches.settings(&target.alias)) {
                confirm::emptying(settings)?;
            }
            cache.blocking().clear()?;
            Ok("cleared".to_owned())
        }
    }
}

/// Whoever runs this program wants to see an error, even if the site is set to go on without the cache.
fn show_errors(backend: &mut BackendSettings) {
    match backend {
        BackendSettings::Memory(_)
        | BackendSettings::File(_)
        | BackendSettings::Database(_)
        | BackendSettings::Dummy => {}
        BackendSettings::Redis(redis) => redis.ignore_exceptions = false,
        BackendSettings::Memcached(memcached) => memcached.ignore_exceptions = false,
    }
}

fn open(caches: &Caches, target: &Target) -> Result<Cache, Failure> {
    if let Some(function) = caches.settings(&target.alias).and_then(python_key_function) {
        return Err(Failure::usage(
            format!(
                "cache '{}': KEY_FUNCTION '{function}' is Python code, which this program cannot run",
                target.alias
            ),
            "Of all commands only check works on this alias; look at its keys from `python manage.py shell`",
        ));
    }
    let cache = caches.get(&target.alias)?;
    if cache.store().backend() == "memory" {
        output::note(&format!(
            "'{}' is a memory cache: every process has its own, and that of this program ends with it",
            target.alias
        ));
    }
    Ok(match &target.key_version {
        Some(version) => cache.with_version(version.clone()),
        None => cache.clone(),
    })
}

/// Names the key that the server was asked for: a wrong prefix or version is the usual reason.
fn no_such_key(caches: &Caches, target: &Target, key: &str) -> Failure {
    let (prefix, version) = caches
        .settings(&target.alias)
        .map_or_else(Default::default, |settings| (settings.key_prefix.clone(), settings.version.clone()));
    let version: Version = target.key_version.clone().unwrap_or(version);
    let made = KeyMaker::new(prefix, version, None).make(key);
    Failure::missing(
        format!("cache '{}' has no key '{key}' (looked for '{made}')", target.alias),
        Some("It may have expired; or the site has another KEY_PREFIX or VERSION (--key-version)"),
    )
}
