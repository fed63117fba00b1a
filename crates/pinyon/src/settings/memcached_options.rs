//! The Memcached backend: LOCATION, the OPTIONS of pymemcache's HashClient and of pylibmc, and ours.

use super::backend::Memcached;
use super::fields::{Field, Problems, Section, refuse_doubles, set};
use super::location::{self, MEMCACHED_PORT};
use super::model::MemcachedSettings;
use super::node::{Entry, Value};
use super::server_list;
use super::validate::{maxmemory_hint, no_meaning};
use crate::key::MAX_KEY_LENGTH;
use std::time::Duration;

const EXAMPLES: &str = "127.0.0.1:11211, [::1]:11211, unix:/path/to.sock, or several of them in a list";

/// pymemcache's names, and ours.
const NAMES: &[&str] = &[
    "timeout",
    "connect_timeout",
    "no_delay",
    "max_pool_size",
    "pool_idle_timeout",
    "retry_attempts",
    "retry_timeout",
    "dead_timeout",
    "ignore_exc",
    "use_pooling",
    "allow_unicode_keys",
    "default_noreply",
    "key_prefix",
    "encoding",
    "socket_keepalive",
    "SERIALIZER",
    "ON_BAD_VALUE",
];

/// pylibmc's names, and ours.
const PYLIBMC_NAMES: &[&str] = &["binary", "behaviors", "username", "password", "SERIALIZER", "ON_BAD_VALUE"];

/// The behaviors of pylibmc that are accepted.
const BEHAVIORS: &[&str] = &[
    "tcp_nodelay",
    "connect_timeout",
    "send_timeout",
    "receive_timeout",
    "_poll_timeout",
    "retry_timeout",
    "dead_timeout",
    "pickle_protocol",
    "no_block",
    "tcp_keepalive",
    "cas",
    "buffer_requests",
    "verify_keys",
    "cork",
    "failure_limit",
    "remove_failed",
    "auto_eject",
];

const SECOND: Duration = Duration::from_secs(1);

/// What the dictionary says about a Memcached cache.
pub(super) fn read(
    rules: Memcached,
    location: Option<&Entry>,
    options: &[Entry],
    problems: &mut Problems<'_>,
) -> MemcachedSettings {
    let mut settings = MemcachedSettings::default();
    for server in server_list::read(location, &[',', ';'], EXAMPLES, problems) {
        match location::address(&server.text, MEMCACHED_PORT) {
            // As in pymemcache, whose servers are a dictionary.
            Ok(address) if settings.servers.contains(&address) => {
                let message = format!("LOCATION names {address} twice, which counts once");
                problems.warn(&message, location.and_then(|entry| entry.node.span));
            }
            Ok(address) => settings.servers.push(address),
            Err(reason) => server.wrong(problems, "Memcached", &reason, EXAMPLES),
        }
    }
    let names = match rules {
        Memcached::PyMemcache => NAMES,
        Memcached::PyLibMC => PYLIBMC_NAMES,
    };
    let section = Section { name: "OPTIONS", owner: "the Memcached backend", names };
    refuse_doubles(problems, section, options);
    for entry in options {
        let field = Field::option(section, entry);
        match entry.key.as_str() {
            "SERIALIZER" => set(&mut settings.serializer, field.serializer(problems)),
            "ON_BAD_VALUE" => set(&mut settings.on_bad_value, field.on_bad_value(problems)),
            name if ["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES"].iter().any(|key| key.eq_ignore_ascii_case(name)) => {
                field.refuse(problems, &no_meaning("Memcached"), maxmemory_hint("Memcached"));
            }
            name if rules == Memcached::PyMemcache => pymemcache(name, &field, section, &mut settings, problems),
            name => pylibmc(name, &field, section, &mut settings, problems),
        }
    }
    if rules == Memcached::PyLibMC && settings.servers.len() > 1 {
        let message = "LOCATION has several servers, and keys are placed on them as pymemcache does, not as pylibmc: \
                       what pylibmc stored may be looked for on another server";
        problems.warn(message, location.and_then(|entry| entry.node.span));
    }
    settings
}

fn pymemcache(
    name: &str,
    field: &Field<'_>,
    section: Section<'_>,
    settings: &mut MemcachedSettings,
    problems: &mut Problems<'_>,
) {
    match name {
        "timeout" => set(&mut settings.timeout, field.time_limit(problems, SECOND)),
        "connect_timeout" => set(&mut settings.connect_timeout, field.time_limit(problems, SECOND)),
        "no_delay" => no_delay(field, problems),
        "max_pool_size" => field.optional_count(&mut settings.max_connections, problems),
        "retry_timeout" => set(&mut settings.retry_timeout, field.duration(problems, SECOND, false)),
        "dead_timeout" => set(&mut settings.dead_timeout, field.duration(problems, SECOND, false)),
        "ignore_exc" => set(&mut settings.ignore_exceptions, field.flag(problems)),
        "key_prefix" => set(&mut settings.key_prefix, key_prefix(field, problems)),
        "retry_attempts" => {
            if field.integer(problems, 0..=i64::MAX).is_some() {
                let reason =
                    "a server that failed is tried again after retry_timeout, then ever later up to dead_timeout";
                field.no_effect(problems, reason);
            }
        }
        "pool_idle_timeout" => {
            if field.node.value != Value::Null && field.duration(problems, SECOND, false).is_some() {
                field.no_effect_if_set(problems, "connections stay open");
            }
        }
        "use_pooling" => flag_with(field, true, "connections are always kept in a pool", problems),
        "allow_unicode_keys" => flag_with(field, true, "keys may have any letters, as Django wants it", problems),
        "default_noreply" => flag_with(field, false, "every write waits for its answer", problems),
        "encoding" => {
            if field.text(problems).is_some_and(|text| !matches!(text.as_str(), "ascii" | "utf-8" | "utf8")) {
                field.no_effect(problems, "keys are always written as UTF-8");
            }
        }
        "socket_keepalive" => field.no_effect_if_set(problems, "a connection that was found dead is replaced"),
        "hasher" => cannot(field, "keys are placed as pymemcache's RendezvousHash does", problems),
        "serde" | "serializer" | "deserializer" => {
            let hint = "Write 'SERIALIZER' with 'pickle', 'json' or 'msgpack'.".to_owned();
            field.refuse(problems, "cannot be set here: values are written by Pinyon itself", hint);
        }
        "socket_module" | "lock_generator" => cannot(field, "sockets and locks are Pinyon's own", problems),
        "tls_context" => cannot(field, "TLS to Memcached is not available yet in this version", problems),
        name if PYLIBMC_NAMES.contains(&name) => {
            let hint = "Use BACKEND 'pinyon.django.PyLibMCCache' for the options of pylibmc.".to_owned();
            field.refuse(problems, "is an option of pylibmc, not of this BACKEND", hint);
        }
        name => field.unknown(problems, name, section),
    }
}

fn pylibmc(
    name: &str,
    field: &Field<'_>,
    section: Section<'_>,
    settings: &mut MemcachedSettings,
    problems: &mut Problems<'_>,
) {
    match name {
        "binary" => {
            if field.flag(problems) == Some(true) {
                field.no_effect(problems, "the text protocol of memcached 1.6 is spoken, which stores the same values");
            }
        }
        "username" | "password" if matches!(field.node.value, Value::Null) => {}
        "username" | "password" => {
            field.refuse(problems, "cannot be set: SASL is not available yet in this version", None);
        }
        "behaviors" => {
            let section =
                Section { name: "OPTIONS 'behaviors'", owner: "pylibmc that is known here", names: BEHAVIORS };
            for entry in field.entries(problems) {
                behavior(&entry.key, &Field::option(section, entry), section, settings, problems);
            }
        }
        name => field.unknown(problems, name, section),
    }
}

/// Units as libmemcached has them: connecting and polling in milliseconds, sending and receiving in microseconds, the
/// rest in seconds.
fn behavior(
    name: &str,
    field: &Field<'_>,
    section: Section<'_>,
    settings: &mut MemcachedSettings,
    problems: &mut Problems<'_>,
) {
    const MILLISECOND: Duration = Duration::from_millis(1);
    const MICROSECOND: Duration = Duration::from_micros(1);
    match name {
        "tcp_nodelay" => no_delay(field, problems),
        "connect_timeout" => set(&mut settings.connect_timeout, field.time_limit(problems, MILLISECOND)),
        "receive_timeout" => set(&mut settings.timeout, field.time_limit(problems, MICROSECOND)),
        "retry_timeout" => set(&mut settings.retry_timeout, field.duration(problems, SECOND, false)),
        "dead_timeout" => set(&mut settings.dead_timeout, field.duration(problems, SECOND, false)),
        "send_timeout" | "_poll_timeout" => {
            field.no_effect(problems, "one limit holds for a whole operation, 'receive_timeout'");
        }
        "pickle_protocol" => {
            if field.integer(problems, -1..=5).is_some_and(|protocol| !matches!(protocol, -1 | 5)) {
                field.refuse(problems, "can only be 5 (or -1) in this version", None);
            }
        }
        "no_block" | "tcp_keepalive" | "cas" | "buffer_requests" | "verify_keys" | "cork" => {
            field.no_effect_if_set(problems, "Pinyon's own connections need no such choice");
        }
        "failure_limit" | "remove_failed" | "auto_eject" => {
            let reason = "the keys of a server that failed are misses until it answers again";
            field.no_effect_if_set(problems, reason);
        }
        // One server has every key, wherever a ring would put it.
        "ketama" | "ketama_weighted" | "ketama_hash" | "hash" | "distribution" | "sort_hosts"
            if settings.servers.len() == 1 => {}
        "ketama"
        | "ketama_weighted"
        | "ketama_hash"
        | "hash"
        | "distribution"
        | "num_replicas"
        | "sort_hosts"
        | "ketama_pre_weighted"
        | "randomize_replica_read"
        | "hash_with_prefix_key" => {
            let hint = "Keys would be looked for on other servers than pylibmc stored them on.".to_owned();
            field.refuse(problems, "is not available yet in this version", hint);
        }
        name => field.unknown(problems, name, section),
    }
}

fn flag_with(field: &Field<'_>, only: bool, reason: &str, problems: &mut Problems<'_>) {
    if field.flag(problems) == Some(!only) {
        field.no_effect(problems, reason);
    }
}

/// pymemcache leaves Nagle's algorithm on unless told otherwise, which costs up to 40 ms a request; here it is always off.
fn no_delay(field: &Field<'_>, problems: &mut Problems<'_>) {
    if field.flag(problems) == Some(false) {
        field.no_effect(problems, "requests are never held back to be joined with later ones");
    }
}

fn cannot(field: &Field<'_>, reason: &str, problems: &mut Problems<'_>) {
    field.refuse(problems, &format!("cannot be set here: {reason}"), "Remove it.".to_owned());
}

/// pymemcache's own prefix: part of the key on the wire, so the rules of keys hold.
fn key_prefix(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    if field.node.value == Value::Null {
        return Some(String::new());
    }
    let prefix = field.text(problems)?;
    if prefix.len() >= MAX_KEY_LENGTH || prefix.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        field.wrong(problems, "shorter than 250 bytes, without blanks and control characters");
        return None;
    }
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::node::Node;

    fn complaints(rules: Memcached, option: Entry) -> String {
        let mut problems = Problems::new("default");
        read(rules, Some(&Entry::new("LOCATION", "h")), &[option], &mut problems);
        format!("{:?}", problems.errors)
    }

    #[test]
    fn every_name_that_is_suggested_is_one_that_is_known() {
        for (rules, names) in [(Memcached::PyMemcache, NAMES), (Memcached::PyLibMC, PYLIBMC_NAMES)] {
            for name in names {
                let text = complaints(rules, Entry::new(*name, Node::new(Value::Null)));
                assert!(!text.contains("is not an option of"), "{text}");
            }
        }
        for name in BEHAVIORS {
            let text = complaints(Memcached::PyLibMC, Entry::new("behaviors", Node::table([(*name, 1)])));
            assert!(!text.contains("is not an option of"), "{text}");
        }
    }
}
