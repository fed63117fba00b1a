//! The Redis backend: the OPTIONS of Django's RedisCache (redis-py's names), of django-redis, and ours.

use super::backend::Redis;
use super::fields::{Field, Problems, Section, refuse_doubles, set};
use super::formats;
use super::model::{ClearScope, RedisPlacement, RedisSettings, RingNames, TimeoutUnit, TlsSettings};
use super::node::{Entry, Span, Value};
use super::redis_cluster::Wanted;
use super::redis_servers;
use super::sentinel_options::SentinelDraft;
use super::validate::{maxmemory_hint, no_meaning};
use std::time::Duration;

/// Every option that is accepted, whether it does something or not.
pub(super) const NAMES: &[&str] = &[
    "db",
    "username",
    "password",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "max_connections",
    "protocol",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "serializer",
    "client_name",
    "lib_name",
    "lib_version",
    "driver_info",
    "health_check_interval",
    "retry_on_timeout",
    "retry_on_error",
    "retry",
    "pool_class",
    "parser_class",
    "encoding",
    "encoding_errors",
    "decode_responses",
    "USERNAME",
    "PASSWORD",
    "SOCKET_TIMEOUT",
    "SOCKET_CONNECT_TIMEOUT",
    "IGNORE_EXCEPTIONS",
    "BREAKER_FAILURES",
    "BREAKER_PAUSE",
    "CLIENT_CLASS",
    "SERIALIZER",
    "COMPRESSOR",
    "PICKLE_VERSION",
    "PARSER_CLASS",
    "CONNECTION_POOL_CLASS",
    "CONNECTION_POOL_KWARGS",
    "CONNECTION_FACTORY",
    "REDIS_CLIENT_CLASS",
    "REDIS_CLIENT_KWARGS",
    "CLOSE_CONNECTION",
    "REPLICA_READ_ONLY",
    "CLUSTER",
    "READ_FROM_REPLICAS",
    "TIMEOUT_UNIT",
    "ON_BAD_VALUE",
    "CLEAR",
    "SENTINELS",
    "SENTINEL_KWARGS",
    "sentinels",
    "sentinel_kwargs",
];

/// Settings in the making: what holds for the cache, and what each server has unless its URL says otherwise.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) settings: RedisSettings,
    pub(super) wanted: Wanted,
    pub(super) database: u32,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: TlsSettings,
    /// The options about TLS that were given.
    pub(super) tls_options: Vec<(String, Option<Span>)>,
    pub(super) sentinel: SentinelDraft,
}

impl Draft {
    /// These settings, a server without login, and no TLS.
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            database: 0,
            username: None,
            password: None,
            tls: TlsSettings::default(),
            tls_options: Vec::new(),
            sentinel: SentinelDraft::default(),
            wanted: Wanted::default(),
        }
    }
}

/// What the dictionary says about a Redis cache.
pub(super) fn read(
    rules: Redis,
    location: Option<&Entry>,
    options: &[Entry],
    problems: &mut Problems<'_>,
) -> RedisSettings {
    let timeout_unit = match rules {
        Redis::Django => TimeoutUnit::Seconds,
        Redis::DjangoRedis => TimeoutUnit::Milliseconds,
    };
    let mut draft = Draft::new(RedisSettings { timeout_unit, ..RedisSettings::default() });
    let section = Section { name: "OPTIONS", owner: "the Redis backend", names: NAMES };
    refuse_doubles(problems, section, options);
    // CONNECTION_POOL_KWARGS win over the rest in django-redis, so they are applied last.
    let (pool, others): (Vec<&Entry>, Vec<&Entry>) =
        options.iter().partition(|entry| entry.key == "CONNECTION_POOL_KWARGS");
    for entry in others {
        apply(entry, section, &mut draft, problems);
    }
    for entry in pool {
        pool_arguments(&Field::option(section, entry), &mut draft, problems);
    }
    if draft.tls.keyfile.is_some() && draft.tls.certfile.is_none() {
        let hint = "Give the certificate that belongs to the key as 'ssl_certfile'.".to_owned();
        problems.error("OPTIONS 'ssl_keyfile' is given without 'ssl_certfile'", None, hint);
    }
    redis_servers::read(rules, (location, options), &draft, problems)
}

/// One option, into `draft`.
pub(super) fn apply(entry: &Entry, section: Section<'_>, draft: &mut Draft, problems: &mut Problems<'_>) {
    let field = Field::option(section, entry);
    let name = entry.key.as_str();
    if name.starts_with("ssl_") {
        return tls(name, &field, section, draft, problems);
    }
    if draft.sentinel.take(entry, &field, problems) {
        return;
    }
    let settings = &mut draft.settings;
    match name {
        "db" => {
            let database = field.integer(problems, 0..=i64::from(u32::MAX));
            set(&mut draft.database, database.and_then(|number| u32::try_from(number).ok()));
        }
        "username" | "USERNAME" => field.optional_text(&mut draft.username, problems),
        "password" | "PASSWORD" => field.optional_text(&mut draft.password, problems),
        "socket_timeout" | "SOCKET_TIMEOUT" => {
            set(&mut settings.timeout, field.time_limit(problems, Duration::from_secs(1)));
        }
        "socket_connect_timeout" | "SOCKET_CONNECT_TIMEOUT" => {
            set(&mut settings.connect_timeout, field.time_limit(problems, Duration::from_secs(1)));
        }
        "max_connections" => field.optional_count(&mut settings.max_connections, problems),
        "protocol" => {
            let protocol = field.integer(problems, 2..=3);
            set(&mut settings.protocol, protocol.and_then(|number| u8::try_from(number).ok()));
        }
        "client_name" => client_name(&field, &mut settings.client_name, problems),
        "serializer" | "SERIALIZER" => formats::serializers(&field, settings, problems),
        "COMPRESSOR" => formats::compressors(&field, settings, problems),
        "PICKLE_VERSION" => {
            let protocol = field.integer(problems, -1..=5);
            set(&mut settings.pickle_protocol, protocol.map(|number| Some(u8::try_from(number).unwrap_or(5))));
        }
        "CLUSTER" => draft.wanted.cluster = field.flag(problems),
        "READ_FROM_REPLICAS" => draft.wanted.read_from_replicas = field.flag(problems),
        "IGNORE_EXCEPTIONS" => set(&mut settings.ignore_exceptions, field.flag(problems)),
        "BREAKER_FAILURES" => {
            let failures = field.integer(problems, 0..=i64::from(u32::MAX));
            set(&mut settings.breaker_failures, failures.and_then(|number| u32::try_from(number).ok()));
        }
        "BREAKER_PAUSE" => set(&mut settings.breaker_pause, field.duration(problems, Duration::from_secs(1), true)),
        "TIMEOUT_UNIT" => {
            let units = [("s", TimeoutUnit::Seconds), ("ms", TimeoutUnit::Milliseconds)];
            set(&mut settings.timeout_unit, field.choice(problems, &units));
        }
        "ON_BAD_VALUE" => set(&mut settings.on_bad_value, field.on_bad_value(problems)),
        "CLEAR" => {
            let scopes = [("database", ClearScope::Database), ("prefix", ClearScope::Prefix)];
            set(&mut settings.clear_scope, field.choice(problems, &scopes));
        }
        name if name.eq_ignore_ascii_case("MAX_ENTRIES")
            || name.eq_ignore_ascii_case("CULL_FREQUENCY")
            || name.eq_ignore_ascii_case("MAX_BYTES") =>
        {
            field.refuse(problems, &no_meaning("Redis"), maxmemory_hint("Redis"));
        }
        "CLIENT_CLASS" => client_class(&field, settings, problems),
        name => without_effect(name, &field, section, problems),
    }
}

/// `CLIENT_CLASS`: django-redis's own classes. What a site's own class does cannot be known here.
fn client_class(field: &Field<'_>, settings: &mut RedisSettings, problems: &mut Problems<'_>) {
    let path = match &field.node.value {
        Value::Null => "",
        Value::String(text) | Value::Opaque(text) => text,
        _ => return field.wrong(problems, "a dotted path"),
    };
    match path {
        "" | "django_redis.client.DefaultClient" | "django_redis.client.default.DefaultClient" => settings.herd = false,
        "django_redis.client.HerdClient" | "django_redis.client.herd.HerdClient" => settings.herd = true,
        "django_redis.client.ShardClient" | "django_redis.client.sharded.ShardClient" => {
            // The names are those of LOCATION.
            settings.placement = RedisPlacement::Ring(RingNames::new(Vec::new()));
        }
        "django_redis.client.SentinelClient" | "django_redis.client.sentinel.SentinelClient" => {
            let hint = "DefaultClient, HerdClient and ShardClient are.".to_owned();
            field.refuse(problems, &format!("with '{path}' is not available yet in this version"), hint);
        }
        _ => {
            let found = field.node.describe();
            let hint = "Use DefaultClient, HerdClient, ShardClient or SentinelClient of django_redis.client; what a class of your \
                        own adds goes into a subclass of pinyon.django.RedisCache."
                .to_owned();
            problems.error(
                &format!("{} is {found}, which is not a class of django-redis", field.label),
                field.node.span,
                hint,
            );
        }
    }
}

/// Options that belong to the Python clients and say nothing here, or not yet.
fn without_effect(name: &str, field: &Field<'_>, section: Section<'_>, problems: &mut Problems<'_>) {
    match name {
        "socket_keepalive" | "socket_keepalive_options" | "health_check_interval" => {
            let reason = "a connection that was found dead is replaced when it is next used";
            field.no_effect_if_set(problems, reason);
        }
        "retry_on_timeout" | "retry_on_error" | "retry" => {
            let reason = "what is safe to repeat is repeated once on a fresh connection, and nothing after a timeout";
            field.no_effect_if_set(problems, reason);
        }
        // django-redis's own says what goes without saying.
        "CONNECTION_FACTORY" if field.node.as_str() == Some("django_redis.pool.ConnectionFactory") => {}
        "pool_class" | "parser_class" | "PARSER_CLASS" | "CONNECTION_POOL_CLASS" | "CONNECTION_FACTORY" => {
            field.no_effect_if_set(problems, "connections and replies are Pinyon's own");
        }
        "REDIS_CLIENT_CLASS" | "REDIS_CLIENT_KWARGS" => {
            field.no_effect_if_set(problems, "there is no redis-py client; connection options stand in OPTIONS itself");
        }
        "lib_name" | "lib_version" | "driver_info" => {
            field.no_effect_if_set(problems, "Pinyon names itself to the server");
        }
        "CLOSE_CONNECTION" => field.no_effect_if_set(problems, "connections stay open between requests"),
        "REPLICA_READ_ONLY" => {
            if field.flag(problems) == Some(false) {
                field.no_effect(problems, "only the first server of LOCATION is written to");
            }
        }
        "encoding" => require(field, &["utf-8", "utf8"], "keys are always written as UTF-8", problems),
        "encoding_errors" => field.no_effect_if_set(problems, "keys are always valid UTF-8"),
        "decode_responses" => {
            if field.flag(problems) == Some(true) {
                field.refuse(problems, "cannot be true: values are bytes", "Remove it.".to_owned());
            }
        }
        "credential_provider" => {
            field.refuse(problems, "is not available yet in this version", None);
        }
        name => field.unknown(problems, name, section),
    }
}

/// Accepts null, the empty string and `allowed`; anything else is refused with `reason`.
fn require(field: &Field<'_>, allowed: &[&str], reason: &str, problems: &mut Problems<'_>) {
    match &field.node.value {
        Value::Null => {}
        Value::String(text) | Value::Opaque(text)
            if text.is_empty() || allowed.iter().any(|name| name.eq_ignore_ascii_case(text)) => {}
        Value::String(_) | Value::Opaque(_) => {
            let found = field.node.describe();
            problems.error(&format!("{} with {found}: {reason}", field.label), field.node.span, None);
        }
        _ => field.wrong(problems, "a dotted path"),
    }
}

fn pool_arguments(field: &Field<'_>, draft: &mut Draft, problems: &mut Problems<'_>) {
    let section = Section {
        name: "OPTIONS 'CONNECTION_POOL_KWARGS'",
        owner: "the connections of the Redis backend",
        names: NAMES,
    };
    let entries = field.entries(problems);
    refuse_doubles(problems, section, entries);
    for entry in entries {
        if entry.key == "timeout" {
            let reason = "a thread that finds every connection in use waits no longer than socket_timeout";
            Field::option(section, entry).no_effect_if_set(problems, reason);
        } else {
            apply(entry, section, draft, problems);
        }
    }
}

fn tls(name: &str, field: &Field<'_>, section: Section<'_>, draft: &mut Draft, problems: &mut Problems<'_>) {
    match name {
        "ssl_ca_certs" => field.optional_path(&mut draft.tls.ca_certs, problems),
        "ssl_certfile" => field.optional_path(&mut draft.tls.certfile, problems),
        "ssl_keyfile" => field.optional_path(&mut draft.tls.keyfile, problems),
        "ssl_check_hostname" => set(&mut draft.tls.check_hostname, field.flag(problems)),
        "ssl_cert_reqs" => set(&mut draft.tls.insecure, insecure(field, problems)),
        "ssl_ca_path"
        | "ssl_ca_data"
        | "ssl_password"
        | "ssl_min_version"
        | "ssl_ciphers"
        | "ssl_include_verify_flags"
        | "ssl_exclude_verify_flags"
        | "ssl_validate_ocsp"
        | "ssl_validate_ocsp_stapled"
        | "ssl_ocsp_context"
        | "ssl_ocsp_expected_cert" => {
            field.refuse(problems, "is not available yet in this version", None);
            return;
        }
        name => return field.unknown(problems, name, section),
    }
    draft.tls_options.push((field.label.clone(), field.key_span));
}

/// `ssl_cert_reqs`: the names of redis-py, the numbers of Python's `ssl` module, and null, which redis-py takes for
/// "none". "optional" asks a server for its certificate all the same, so it is "required".
fn insecure(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<bool> {
    let none = |text: &str| match text.to_ascii_lowercase().as_str() {
        "none" | "cert_none" | "0" => Some(true),
        "optional" | "required" | "cert_optional" | "cert_required" | "1" | "2" => Some(false),
        _ => None,
    };
    let insecure = match &field.node.value {
        Value::Null | Value::Int(0) => Some(true),
        Value::Int(1 | 2) => Some(false),
        Value::String(text) => none(text),
        Value::Opaque(name) => none(name.rsplit('.').next().unwrap_or(name)),
        _ => None,
    };
    if insecure.is_none() {
        field.wrong(problems, "'required' or 'none'");
    }
    insecure
}

fn client_name(field: &Field<'_>, slot: &mut Option<String>, problems: &mut Problems<'_>) {
    field.optional_text(slot, problems);
    if slot.as_ref().is_some_and(|name| !name.bytes().all(|byte| byte.is_ascii_graphic())) {
        field.wrong(problems, "ASCII letters, digits and signs without blanks");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::node::Node;

    #[test]
    fn every_name_that_is_suggested_is_one_that_is_known() {
        for name in NAMES {
            let mut problems = Problems::new("default");
            let options = [Entry::new(*name, Node::new(Value::Null))];
            read(Redis::Django, Some(&Entry::new("LOCATION", "rediss://h")), &options, &mut problems);
            let text = format!("{:?}", problems.errors);
            assert!(!text.contains("is not an option of"), "{text}");
        }
    }
}
