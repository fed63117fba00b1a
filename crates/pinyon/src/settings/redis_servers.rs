//! The servers of a Redis cache, each with the options of its own URL.

use super::backend::Redis;
use super::fields::{Field, Problems, Section};
use super::location;
use super::model::{RedisPlacement, RedisServer, RedisSettings, RingNames};
use super::node::Entry;
use super::redis_options::{Draft, NAMES, apply};
use super::sentinel_options;
use super::server_list::{self, Server};

const EXAMPLES: &str = "redis://127.0.0.1:6379/1, rediss://user:password@host:6379/0 or unix:///path/to.sock?db=1";

/// Adds the servers of LOCATION to what OPTIONS say. What a URL says wins over OPTIONS, as in redis-py.
pub(super) fn read(
    rules: Redis,
    (entry, options): (Option<&Entry>, &[Entry]),
    draft: &Draft,
    problems: &mut Problems<'_>,
) -> RedisSettings {
    let separators: &[char] = match rules {
        Redis::Django => &[',', ';'],
        Redis::DjangoRedis => &[','],
    };
    let list = server_list::read(entry, separators, EXAMPLES, problems);
    let mut servers = Vec::with_capacity(list.len());
    let mut is_master = Vec::with_capacity(list.len());
    let mut common: Option<RedisSettings> = None;
    let mut wanted = draft.wanted;
    for server in &list {
        let Some((parsed, its, parsed_is_master)) = one(server, draft, problems) else { continue };
        let settings = its.settings;
        wanted = its.wanted;
        servers.push(parsed);
        is_master.push(parsed_is_master);
        if common.get_or_insert_with(|| settings.clone()) != &settings {
            let reason = "its options are not those of the first server, and they hold for the whole cache";
            server.wrong(problems, "Redis", reason, EXAMPLES);
        }
    }
    wanted.check(options, problems);
    if !servers.is_empty() && servers.iter().all(|server| server.tls.is_none()) {
        for (label, span) in &draft.tls_options {
            let hint = "Write rediss:// in LOCATION to encrypt, or remove the option.".to_owned();
            problems.error(&format!("{label} is given, but no server is reached by TLS"), *span, hint);
        }
    }
    let mut settings = common.unwrap_or_else(|| draft.settings.clone());
    settings.servers = servers;
    if let RedisPlacement::Ring(names) = &mut settings.placement {
        *names = RingNames::new(list.iter().map(|server| server.text.clone()).collect());
        if draft.sentinel.is_given() {
            let hint = "Take one of them: Sentinels know of one primary.".to_owned();
            problems.error("OPTIONS have SENTINELS, and ShardClient as CLIENT_CLASS", None, hint);
        }
    }
    sentinel_options::finish(&mut settings, &is_master, draft, entry, problems);
    settings
}

/// A server of LOCATION, the draft with what its URL adds to it, and `is_master`, where it says that.
fn one(server: &Server, draft: &Draft, problems: &mut Problems<'_>) -> Option<(RedisServer, Draft, Option<bool>)> {
    let parsed = match location::redis(&server.text) {
        Ok(parsed) => parsed,
        Err(reason) => {
            server.wrong(problems, "Redis", &reason, EXAMPLES);
            return None;
        }
    };
    let given = draft;
    let mut draft = given.clone();
    let mut database_in_query = false;
    let mut is_master = None;
    let section = Section { name: "LOCATION option", owner: "a Redis URL", names: NAMES };
    for (name, value) in parsed.query {
        database_in_query |= name == "db";
        let entry = Entry::new(name, value);
        if entry.key == "is_master" && given.sentinel.is_given() {
            is_master = Field::option(section, &entry).flag(problems);
        } else {
            apply(&entry, section, &mut draft, problems);
        }
    }
    let is_tls = parsed.tls || draft.sentinel.tls;
    if !is_tls && draft.tls_options.len() > given.tls_options.len() {
        server.wrong(problems, "Redis", "its options about TLS need rediss://", EXAMPLES);
    }
    if given.tls.keyfile.is_none() && draft.tls.keyfile.is_some() && draft.tls.certfile.is_none() {
        server.wrong(problems, "Redis", "'ssl_keyfile' is given without 'ssl_certfile'", EXAMPLES);
    }
    let database = match parsed.database {
        Some(database) if !database_in_query => database,
        _ => draft.database,
    };
    let parsed = RedisServer {
        address: parsed.address,
        database,
        username: parsed.username.or_else(|| draft.username.clone()),
        password: parsed.password.or_else(|| draft.password.clone()),
        tls: is_tls.then(|| draft.tls.clone()),
    };
    if let Err(reason) = draft.wanted.place(&parsed, &mut draft.settings) {
        server.wrong(problems, "Redis", reason, EXAMPLES);
    }
    Some((parsed, draft, is_master))
}
