//! Redis Sentinel: what django-redis has in OPTIONS for it, and what LOCATION says then.
//!
//! With SENTINELS, the host in LOCATION is the name of a service. `?is_master=0` sends reads to replicas; so does
//! `SentinelClient`, and a list of two URLs of which the second has it.

use super::fields::{Field, Problems, Section, refuse_doubles};
use super::location::{self, REDIS_PORT, SENTINEL_PORT};
use super::model::{Address, RedisPlacement, RedisServer, RedisSettings, SentinelSettings};
use super::node::{Entry, Span, Value};
use super::redis_options::{Draft, apply};
use super::server_list;

const EXAMPLES: &str =
    "[(\"host1\", 26379), (\"host2\", 26379)] or [\"host1:26379\", \"redis://user:password@host2:26379\"]";
const SERVICE: &str = "redis://service/0, where service is the name that the Sentinels know the primary by";

/// What only makes sense with Sentinels, by its option.
const CLASSES: [(&str, &[&str]); 4] = [
    ("CLIENT_CLASS", &["django_redis.client.SentinelClient", "django_redis.client.sentinel.SentinelClient"]),
    ("CONNECTION_FACTORY", &["django_redis.pool.SentinelConnectionFactory"]),
    ("CONNECTION_POOL_CLASS", &["redis.sentinel.SentinelConnectionPool"]),
    ("pool_class", &["redis.sentinel.SentinelConnectionPool"]),
];

/// The options of SENTINEL_KWARGS.
const KWARGS: &[&str] = &[
    "username",
    "password",
    "ssl",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "health_check_interval",
    "retry_on_timeout",
    "retry_on_error",
    "retry",
    "decode_responses",
    "encoding",
    "encoding_errors",
];

/// What OPTIONS say about Sentinel.
#[derive(Clone, Default)]
pub(super) struct SentinelDraft {
    sentinels: Option<Entry>,
    arguments: Option<Entry>,
    /// An option that needs Sentinels: as it is named in an error, and where it stands.
    wanted: Option<(String, Option<Span>)>,
    /// `SentinelClient` is the client.
    is_client: bool,
    /// `ssl`: the servers are reached by TLS.
    pub(super) tls: bool,
}

impl SentinelDraft {
    /// Whether LOCATION names a service.
    pub(super) fn is_given(&self) -> bool {
        self.sentinels.is_some()
    }

    /// Takes an option that is about Sentinel; false for every other.
    pub(super) fn take(&mut self, entry: &Entry, field: &Field<'_>, problems: &mut Problems<'_>) -> bool {
        let name = entry.key.as_str();
        match name {
            "SENTINELS" | "sentinels" => {
                self.sentinels = Some(entry.clone()).filter(|entry| !is_nothing(&entry.node.value));
            }
            "SENTINEL_KWARGS" | "sentinel_kwargs" => self.arguments = Some(entry.clone()),
            "ssl" => {
                self.tls = field.flag(problems).unwrap_or_default();
                self.want(field);
            }
            _ => {
                let classes = CLASSES.iter().find(|(option, _)| *option == name).map(|(_, classes)| *classes);
                let class = match &entry.node.value {
                    Value::String(text) | Value::Opaque(text) => text.as_str(),
                    _ => "",
                };
                if !classes.unwrap_or_default().contains(&class) {
                    return false;
                }
                self.is_client |= name == "CLIENT_CLASS";
                self.want(field);
            }
        }
        true
    }

    fn want(&mut self, field: &Field<'_>) {
        self.wanted.get_or_insert_with(|| (field.label.clone(), field.key_span));
    }
}

impl RedisSettings {
    /// With Sentinels, each of them as the URL of the cache, without credentials; else none.
    pub fn sentinel_urls(&self) -> Vec<String> {
        let RedisPlacement::Sentinel(sentinel) = &self.placement else { return Vec::new() };
        let database = self.servers.first().map_or(0, |server| server.database);
        let url = |one: &RedisServer| format!("redis+sentinel://{}/{}/{database}", one.address, sentinel.service);
        sentinel.sentinels.iter().map(url).collect()
    }
}

/// Null, and empty: none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Makes the servers of LOCATION, each with its `is_master`, the one service that Sentinels are asked for; if there are Sentinels.
pub(super) fn finish(
    settings: &mut RedisSettings,
    is_master: &[Option<bool>],
    draft: &Draft,
    location: Option<&Entry>,
    problems: &mut Problems<'_>,
) {
    let given = &draft.sentinel;
    let Some(entry) = &given.sentinels else {
        let needed = given.wanted.clone().or_else(|| {
            let section = Section { name: "OPTIONS", owner: "", names: &[] };
            given.arguments.as_ref().map(|entry| (Field::option(section, entry).label, entry.key_span))
        });
        if let Some((label, span)) = needed {
            let hint = format!(
                "Write SENTINELS = {EXAMPLES}. If only DJANGO_REDIS_CONNECTION_FACTORY says so, a cache without Sentinel needs OPTIONS \
                 CONNECTION_FACTORY = 'django_redis.pool.ConnectionFactory'."
            );
            problems.error(&format!("{label} needs the option SENTINELS, a list of (host, port)"), span, hint);
        }
        return;
    };
    let Some((first, others)) = settings.servers.split_first() else { return };
    let span = location.and_then(|location| location.node.span);
    let Address::Tcp { host, port } = &first.address else {
        let hint = format!("Write it as {SERVICE}.");
        return problems.error("LOCATION is a unix socket, but with SENTINELS it names a service", span, hint);
    };
    if others.iter().any(|other| other != first) {
        let hint = "The first writes, a second one with ?is_master=0 reads; all else must be the same.".to_owned();
        return problems.error("LOCATION names several services, but with SENTINELS it can be only one", span, hint);
    }
    if *port != REDIS_PORT {
        problems.warn(&format!("the port {port} in LOCATION has no effect: Sentinels tell it"), span);
    }
    // SentinelClient makes two URLs of one, whatever it says; of a list, the first writes and the others read.
    let reads = match is_master {
        [of_one] => given.is_client || *of_one == Some(false),
        _ => is_master.iter().skip(1).any(|of_one| *of_one == Some(false)),
    };
    let reads = draft.wanted.read_from_replicas.unwrap_or(reads);
    let service = host.clone();
    let arguments = arguments(settings, draft, problems);
    let sentinels = sentinels(entry, &arguments, problems);
    settings.servers.truncate(1);
    settings.placement = RedisPlacement::Sentinel(SentinelSettings {
        service,
        sentinels,
        connect_timeout: arguments.settings.connect_timeout,
        timeout: arguments.settings.timeout,
        read_from_replicas: reads,
    });
}

/// SENTINEL_KWARGS: what the Sentinels have in common.
fn arguments(settings: &RedisSettings, draft: &Draft, problems: &mut Problems<'_>) -> Draft {
    let mut arguments = Draft::new(RedisSettings {
        connect_timeout: settings.connect_timeout / 2,
        timeout: settings.timeout / 2,
        ..RedisSettings::default()
    });
    let Some(entry) = &draft.sentinel.arguments else { return arguments };
    let options = Section { name: "OPTIONS", owner: "the Redis backend", names: KWARGS };
    let name = format!("OPTIONS '{}'", entry.key);
    let section = Section { name: &name, owner: "the connections to Sentinels", names: KWARGS };
    let entries = Field::option(options, entry).entries(problems);
    refuse_doubles(problems, section, entries);
    for entry in entries {
        if KWARGS.contains(&entry.key.as_str()) {
            apply(entry, section, &mut arguments, problems);
        } else {
            Field::option(section, entry).unknown(problems, &entry.key, section);
        }
    }
    if arguments.tls.keyfile.is_some() && arguments.tls.certfile.is_none() {
        let hint = "Give the certificate that belongs to the key as 'ssl_certfile'.".to_owned();
        problems.error(&format!("{name} 'ssl_keyfile' is given without 'ssl_certfile'"), entry.key_span, hint);
    }
    arguments
}

/// SENTINELS, with what SENTINEL_KWARGS say where a URL says nothing.
fn sentinels(entry: &Entry, arguments: &Draft, problems: &mut Problems<'_>) -> Vec<RedisServer> {
    let list = server_list::read(Some(entry), &[','], EXAMPLES, problems);
    let mut sentinels = Vec::with_capacity(list.len());
    for text in &list {
        let parsed = match location::redis_at(&text.text, SENTINEL_PORT) {
            Ok(parsed) if parsed.database.is_some_and(|database| database != 0) || !parsed.query.is_empty() => {
                let reason = "a Sentinel has no databases, and its options stand in SENTINEL_KWARGS";
                text.wrong(problems, "Sentinel", reason, EXAMPLES);
                continue;
            }
            Ok(parsed) => parsed,
            Err(reason) => {
                text.wrong(problems, "Sentinel", &reason, EXAMPLES);
                continue;
            }
        };
        let is_tls = parsed.tls || arguments.sentinel.tls;
        sentinels.push(RedisServer {
            username: parsed.username.or_else(|| arguments.username.clone()),
            password: parsed.password.or_else(|| arguments.password.clone()),
            tls: is_tls.then(|| arguments.tls.clone()),
            ..RedisServer::new(parsed.address)
        });
    }
    if !sentinels.is_empty() && sentinels.iter().all(|sentinel| sentinel.tls.is_none()) {
        for (label, span) in &arguments.tls_options {
            let hint = "Add 'ssl': True to encrypt, or remove the option.".to_owned();
            problems.error(&format!("{label} is given, but no Sentinel is reached by TLS"), *span, hint);
        }
    }
    sentinels
}
