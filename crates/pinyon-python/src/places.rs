//! Where a cache keeps its entries: which aliases share a store, and which servers are asked.

use pinyon::settings::{Address, BackendSettings, RedisPlacement, RedisServer};

/// What holds the entries, one text each place: two caches that share a place share their keys. Never with credentials.
/// Empty for a cache that stores nothing.
pub(crate) fn of(settings: &BackendSettings) -> Vec<String> {
    match settings {
        BackendSettings::Memory(memory) => vec![format!("memory '{}'", memory.name)],
        BackendSettings::Redis(redis) => match redis.placement {
            RedisPlacement::Ring(_) | RedisPlacement::Cluster(_) => redis.servers.iter().map(redis_place).collect(),
            // Whoever asks one of the same Sentinels for the same service gets the same servers.
            RedisPlacement::Sentinel(_) => redis.sentinel_urls(),
            // The replicas have what the primary has.
            RedisPlacement::Replicated => redis.servers.first().map(redis_place).into_iter().collect(),
        },
        BackendSettings::Memcached(memcached) => {
            let prefix = &memcached.key_prefix;
            let place = |server| match prefix.as_str() {
                "" => format!("memcached://{server}"),
                prefix => format!("memcached://{server} with key_prefix '{prefix}'"),
            };
            memcached.servers.iter().map(place).collect()
        }
        BackendSettings::File(file) => vec![format!("the directory {}", file.directory.display())],
        BackendSettings::Database(database) => vec![format!("the table '{}'", database.table)],
        BackendSettings::Dummy => Vec::new(),
    }
}

/// With or without TLS, it is one database.
fn redis_place(server: &RedisServer) -> String {
    let mut server = server.clone();
    server.tls = None;
    server.to_string()
}

/// Host, port, and whether TLS is spoken, of every Redis server that is reached through the network, if the settings say where.
pub(crate) fn redis_addresses(settings: &BackendSettings) -> Vec<(String, u16, bool)> {
    let BackendSettings::Redis(redis) = settings else { return Vec::new() };
    if matches!(redis.placement, RedisPlacement::Sentinel(_)) {
        return Vec::new();
    }
    let address = |server: &RedisServer| match &server.address {
        Address::Tcp { host, port } => Some((host.clone(), *port, server.tls.is_some())),
        Address::Unix(_) => None,
    };
    redis.servers.iter().filter_map(address).collect()
}
