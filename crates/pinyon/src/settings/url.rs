//! One cache as a URL.

use super::database_options;
use super::location::{decode, memcached_servers};
use super::node::{Entry, Node, Value};
use crate::error::{Error, ErrorKind, Result};

/// The keys of a cache that a query may give, in any case; everything else in it is an option.
const KEYS: [&str; 4] = ["TIMEOUT", "KEY_PREFIX", "VERSION", "KEY_FUNCTION"];

/// The table of a `database+…` URL that names none.
const DEFAULT_TABLE: &str = "pinyon_cache";

/// Reads a URL into the table of one cache.
///
/// # Errors
/// [`ErrorKind::Config`] for a URL whose scheme is not known or whose address cannot be read; it holds nothing of the URL
/// but its scheme.
pub(super) fn read(url: &str) -> Result<Node> {
    let Some((scheme, rest)) = url.trim().split_once("://") else {
        return Err(wrong("the text is not a URL of a cache"));
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut cache = Vec::new();
    let mut options = Vec::new();
    let mut left = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let Some((name, value)) = ::url::form_urlencoded::parse(part.as_bytes()).next() else { continue };
        if let Some(key) = KEYS.iter().find(|key| key.eq_ignore_ascii_case(&name)) {
            cache.push(Entry::new(*key, key_value(key, &value)));
        } else {
            options.push(Entry::new(name, value.as_ref()));
            left.push(part);
        }
    }
    let (backend, location) = match scheme.to_ascii_lowercase().as_str() {
        "memory" => ("memory", Node::from(decode(address).map_err(|reason| wrong(&reason))?)),
        "memcached" => {
            let servers = memcached_servers(address).map_err(|reason| wrong(&reason))?;
            ("memcached", Node::list(servers.into_iter().map(Node::from)))
        }
        "redis" | "rediss" | "valkey" | "valkeys" | "unix" => {
            // The query stays with the server, where it wins over the rest. A list, since a string would be split.
            options.clear();
            let query = if left.is_empty() { String::new() } else { format!("?{}", left.join("&")) };
            ("redis", Node::list([Node::from(format!("{scheme}://{address}{query}"))]))
        }
        "redis+cluster" | "rediss+cluster" | "valkey+cluster" | "valkeys+cluster" => {
            options.clear();
            options.push(Entry::new("CLUSTER", true));
            ("redis", cluster(scheme, address, &left)?)
        }
        "file" => ("file", Node::from(path(address)?)),
        "dummy" if address.is_empty() => ("dummy", Node::from("")),
        "dummy" => return Err(wrong("nothing may follow dummy://")),
        "redis+sentinel" | "rediss+sentinel" | "valkey+sentinel" | "valkeys+sentinel" => {
            let (service, sentinels) = sentinel(scheme, address, &left)?;
            options = sentinels;
            ("redis", service)
        }
        scheme => match scheme.strip_prefix("database+") {
            Some(engine) => {
                let (table, database) = database(engine, address, &left)?;
                options = database;
                ("database", table)
            }
            None => return Err(wrong("the scheme of the URL is not known")),
        },
    };
    cache.push(Entry::new("BACKEND", backend));
    cache.push(Entry::new("LOCATION", location));
    cache.push(Entry::new("OPTIONS", Value::Table(options)));
    Ok(Node::new(Value::Table(cache)))
}

/// The servers of `redis+cluster://[user:password@]host1[:port],host2[:port]`; the query stays with each, where it wins.
fn cluster(scheme: &str, address: &str, query: &[&str]) -> Result<Node> {
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let (login, rest) = match address.rsplit_once('@') {
        Some((login, rest)) => (format!("{login}@"), rest),
        None => (String::new(), address),
    };
    let (hosts, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if hosts.split(',').any(str::is_empty) {
        return Err(wrong("a Redis Cluster needs the hosts of one or more of its servers"));
    }
    let servers = hosts.split(',').map(|host| Node::from(format!("{scheme}://{login}{host}{path}{query}")));
    Ok(Node::list(servers))
}

/// The directory of `file:///path`.
fn path(address: &str) -> Result<String> {
    let path = decode(address).map_err(|reason| wrong(&reason))?;
    if path.starts_with('/') { Ok(path) } else { Err(wrong("a directory needs three slashes, file:///path")) }
}

/// The table and the options of `database+engine://address?query`. What is no option of the cache belongs to the database.
fn database(engine: &str, address: &str, query: &[&str]) -> Result<(Node, Vec<Entry>)> {
    let is_file = match engine {
        "sqlite" => true,
        "postgres" | "postgresql" | "mysql" | "mariadb" => false,
        _ => return Err(wrong("the database of the URL is not known: sqlite, postgres or mysql")),
    };
    let (mut table, mut options, mut rest) = (DEFAULT_TABLE.to_owned(), Vec::new(), Vec::new());
    for part in query {
        let Some((name, value)) = ::url::form_urlencoded::parse(part.as_bytes()).next() else { continue };
        if name.eq_ignore_ascii_case("table") {
            table = value.into_owned();
        } else if is_file || database_options::NAMES.contains(&name.as_ref()) {
            options.push(Entry::new(name, value.as_ref()));
        } else {
            rest.push(*part);
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    options.push(Entry::new("DATABASE_URL", format!("{engine}://{address}{query}")));
    // A file is the cache's own; on a server it is the administrator who makes tables.
    if is_file && !options.iter().any(|entry| entry.key == "CREATE_TABLE") {
        options.push(Entry::new("CREATE_TABLE", true));
    }
    Ok((Node::from(table), options))
}

/// LOCATION and the options of `redis+sentinel://user:password@host1:26379,host2/service/db?query`. What begins with `sentinel_` in
/// the query is for the Sentinels, the rest and the login for the servers.
fn sentinel(scheme: &str, address: &str, query: &[&str]) -> Result<(Node, Vec<Entry>)> {
    let (hosts, service) = address.split_once('/').unwrap_or((address, ""));
    let (login, hosts) = match hosts.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), hosts),
    };
    if service.contains('@') {
        return Err(wrong("a '/' in a user name or password must be percent-encoded, %2F"));
    }
    if hosts.is_empty() || service.is_empty() || service.starts_with('/') {
        return Err(wrong("a URL of Sentinels needs their hosts and the name of the service"));
    }
    let (mut arguments, mut rest) = (Vec::new(), Vec::new());
    for part in query {
        let Some((name, value)) = ::url::form_urlencoded::parse(part.as_bytes()).next() else { continue };
        match name.strip_prefix("sentinel_") {
            Some(name) => arguments.push(Entry::new(name, value.as_ref())),
            None => rest.push(*part),
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
    let location = Node::list([Node::from(format!("{scheme}://{login}{service}{query}"))]);
    let hosts = hosts.split(',').map(|host| decode(host).map(Node::from).map_err(|reason| wrong(&reason)));
    let mut options = vec![Entry::new("SENTINELS", Node::list(hosts.collect::<Result<Vec<_>>>()?))];
    if !arguments.is_empty() {
        options.push(Entry::new("SENTINEL_KWARGS", Value::Table(arguments)));
    }
    Ok((location, options))
}

/// A version of digits is a number, as it would be in a dictionary.
fn key_value(key: &str, value: &str) -> Node {
    match value.parse::<i64>() {
        Ok(number) if key == "VERSION" => Node::from(number),
        _ => Node::from(value),
    }
}

fn wrong(reason: &str) -> Error {
    Error::new(ErrorKind::Config, reason).with_hint(
        "Write memory://name, redis://host:6379/0, rediss://host, redis+sentinel://host1,host2/service/0, redis+cluster://host1:7000,host2:7000, unix:///path.sock, memcached://host1:11211,host2, \
         file:///directory, database+sqlite:///path, database+postgres://user:password@host/database, database+mysql://… or \
         dummy://.",
    )
}
