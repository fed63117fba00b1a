//! The question before everything is removed.

use crate::failure::Failure;
use pinyon::settings::{BackendSettings, CacheSettings, ClearScope, RedisPlacement};
use std::io::{self, IsTerminal, Write};

/// Asks on the terminal whether the whole store may be emptied.
pub(crate) fn emptying(settings: &CacheSettings) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(
            "clear asks before it empties a store, and there is no terminal to ask on",
            "Give --yes if every key of the store may go",
        ));
    }
    let (alias, servers) = (&settings.alias, servers(settings));
    let what = match &settings.backend {
        BackendSettings::Redis(redis) if redis.clear_scope == ClearScope::Prefix => {
            format!("removes every key with the prefix and the version of the cache '{alias}' ({servers})")
        }
        _ => format!(
            "empties the WHOLE store of the cache '{alias}' ({servers}): every key in it, also those of other\napplications"
        ),
    };
    let question = format!("This {what}. Go on? [y/N] ");
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    let read = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    let read = read.and_then(|()| io::stdin().read_line(&mut answer));
    if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::refused("nothing was removed", None))
}

/// The servers that would be emptied, without credentials.
fn servers(settings: &CacheSettings) -> String {
    match &settings.backend {
        BackendSettings::Memory(memory) => format!("memory '{}' of this program", memory.name),
        // The replicas follow the primary.
        BackendSettings::File(file) => format!("the directory {}", file.directory.display()),
        BackendSettings::Database(database) => format!("the table '{}'", database.table),
        BackendSettings::Dummy => "a cache that stores nothing".to_owned(),
        BackendSettings::Redis(redis) if matches!(redis.placement, RedisPlacement::Sentinel(_)) => {
            redis.sentinel_urls().join(", ")
        }
        BackendSettings::Redis(redis) => redis.servers.first().map(ToString::to_string).unwrap_or_default(),
        BackendSettings::Memcached(memcached) => {
            let servers: Vec<String> = memcached.servers.iter().map(|server| format!("memcached://{server}")).collect();
            servers.join(", ")
        }
    }
}
