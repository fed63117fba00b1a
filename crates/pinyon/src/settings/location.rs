//! LOCATION: where servers are, in all the forms that Django, redis-py and pymemcache take.
//!
//! Sources: Django's `RedisCache` and `BaseMemcachedCache` (a string is split on `;` and `,`, a list is taken as it is),
//! redis-py's `parse_url`, pymemcache's `normalize_server_spec`. The reasons for an error never hold a part of a URL
//! that may be a password.

use super::model::Address;
use percent_encoding::percent_decode_str;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The port of Redis where none is given.
pub const REDIS_PORT: u16 = 6379;
/// The port of Memcached where none is given.
pub const MEMCACHED_PORT: u16 = 11211;
/// The port of Redis Sentinel where none is given.
pub const SENTINEL_PORT: u16 = 26379;

/// Why a LOCATION cannot be read: one clause without the text itself.
pub(super) type Reason = String;

/// A Redis LOCATION, taken apart. `None`: it does not say.
pub(super) struct RedisLocation {
    pub(super) address: Address,
    pub(super) tls: bool,
    pub(super) database: Option<u32>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// The options of the query, decoded, without those that are empty.
    pub(super) query: Vec<(String, String)>,
}

/// Reads `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix://`, and, as for Memcached, `host[:port]`,
/// `[v6]:port`, `unix:/path` and `/path`.
pub(super) fn redis(text: &str) -> Result<RedisLocation, Reason> {
    redis_at(text, REDIS_PORT)
}

/// [`redis`] with another port where none is given.
pub(super) fn redis_at(text: &str, default_port: u16) -> Result<RedisLocation, Reason> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.contains('@') {
            return Err("user name and password need a URL, redis://user:password@host".to_owned());
        }
        return Ok(plain(address(text, default_port)?));
    };
    let scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.contains('#') || query.contains('#') {
        return Err("it has a '#', which must be written as %23 in a user name or password".to_owned());
    }
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()).map(owned).collect();
    // A '?' or '/' inside a password that was not encoded moves the '@' behind the end of the authority.
    if query.iter().any(|(name, value)| name.contains('@') || (value.contains('@') && !is_login(name))) {
        return Err(
            "the characters / ? # @ in a user name or password must be percent-encoded, %2F %3F %23 %40".to_owned()
        );
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if scheme != "unix" && path.contains('@') {
        return Err(
            "the characters / ? # @ in a user name or password must be percent-encoded, %2F %3F %23 %40".to_owned()
        );
    }
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut location = match scheme.as_str() {
        "redis" | "valkey" | "rediss" | "valkeys" => {
            let address = if host.is_empty() {
                Address::Tcp { host: "localhost".to_owned(), port: default_port }
            } else {
                tcp(&decode(host)?, default_port)?
            };
            let mut location = plain(address);
            location.tls = matches!(scheme.as_str(), "rediss" | "valkeys");
            location.database = database(&decode(path)?)?;
            location
        }
        "unix" if !host.is_empty() => {
            return Err("a socket needs three slashes, unix:///path/to.sock".to_owned());
        }
        "unix" if path.len() < 2 => return Err("the path of the socket is missing".to_owned()),
        "unix" => plain(Address::Unix(PathBuf::from(decode(path)?))),
        "memcached" => return Err("it is the address of a Memcached server, not of Redis".to_owned()),
        scheme if scheme.contains("sentinel") => {
            return Err("Sentinels stand in OPTIONS SENTINELS, and the name of their service here".to_owned());
        }
        scheme if scheme.ends_with("+cluster") => {
            return Err("a Redis Cluster is redis:// or rediss:// here, and OPTIONS 'CLUSTER' true".to_owned());
        }
        scheme if scheme.contains("cluster") => {
            return Err(format!("{scheme}:// is not available yet in this version"));
        }
        _ => return Err("the scheme must be redis, rediss, valkey, valkeys or unix".to_owned()),
    };
    location.username = Some(decode(username)?).filter(|text| !text.is_empty());
    location.password = Some(decode(password)?).filter(|text| !text.is_empty());
    location.query = query;
    Ok(location)
}

/// Reads an address without scheme: `host[:port]`, `[v6][:port]`, a bare IPv6 address, `unix:/path`, `/path`.
pub(super) fn address(text: &str, default_port: u16) -> Result<Address, Reason> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err("the path of the socket is missing".to_owned()),
            path => Ok(Address::Unix(PathBuf::from(path))),
        };
    }
    if text.starts_with('/') {
        return Ok(Address::Unix(PathBuf::from(text)));
    }
    if text.contains("://") {
        return Err("a URL is not taken here, only host:port, [IPv6]:port, unix:/path or /path".to_owned());
    }
    if text.contains('@') {
        return Err("user name and password are not taken here".to_owned());
    }
    tcp(text, default_port)
}

/// Reads the servers of `memcached://h1:11211,h2` or `memcached:///path`, given what follows the scheme.
pub(super) fn memcached_servers(rest: &str) -> Result<Vec<String>, Reason> {
    if rest.starts_with('/') {
        return Ok(vec![decode(rest)?]);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err("logging in to Memcached (SASL) is not available yet in this version".to_owned());
    }
    if rest.contains('/') {
        return Err("Memcached has no databases: nothing may follow the servers".to_owned());
    }
    if rest.is_empty() {
        return Ok(vec![format!("localhost:{MEMCACHED_PORT}")]);
    }
    rest.split(',').map(|server| decode(server.trim())).collect()
}

/// Percent-decodes `text`.
pub(super) fn decode(text: &str) -> Result<String, Reason> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("its percent-encoded characters are not UTF-8".to_owned()),
    }
}

fn plain(address: Address) -> RedisLocation {
    RedisLocation { address, tls: false, database: None, username: None, password: None, query: Vec::new() }
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

fn is_login(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "username" | "password" | "client_name")
}

fn database(path: &str) -> Result<Option<u32>, Reason> {
    match path.trim_matches('/') {
        "" => Ok(None),
        number => match number.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                Err("what follows the address must be the number of a database, as in redis://host:6379/1".to_owned())
            }
        },
    }
}

fn tcp(text: &str, default_port: u16) -> Result<Address, Reason> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the closing ] of the IPv6 address is missing")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("what stands in [ ] is not an IPv6 address".to_owned());
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("after the IPv6 address only :port may follow".to_owned()),
        }
    } else if text.parse::<Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if host
        .chars()
        .any(|character| character.is_whitespace() || character.is_control() || "/?#[]\\".contains(character))
    {
        return Err("the host has a character that no host name has".to_owned());
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse::<u16>() {
            // `+6379` parses as a number, and is no port.
            Ok(number) if number > 0 && !port.starts_with('+') => number,
            _ => return Err("the port is not a number from 1 to 65535".to_owned()),
        },
    };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp_address(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn addresses_take_every_form_of_pymemcache() {
        for (text, expected) in [
            ("127.0.0.1", tcp_address("127.0.0.1", 11211)),
            ("cache.example:11212", tcp_address("cache.example", 11212)),
            ("[::1]:11212", tcp_address("::1", 11212)),
            ("[::1]", tcp_address("::1", 11211)),
            ("::1", tcp_address("::1", 11211)),
            ("unix:/run/memcached.sock", Address::Unix("/run/memcached.sock".into())),
            ("/run/memcached.sock", Address::Unix("/run/memcached.sock".into())),
        ] {
            assert_eq!(address(text, MEMCACHED_PORT), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, reason) in [
            ("host:port", "port"),
            ("host:0", "port"),
            ("host:70000", "port"),
            ("host:+80", "port"),
            ("a:b:c", "port"),
            (":11211", "host is missing"),
            ("[::1", "closing ]"),
            ("[x]:1", "IPv6"),
            ("ho st", "host"),
            ("unix:", "path"),
            ("redis://h", "URL"),
            ("u:p@h", "user name"),
        ] {
            let error = address(text, MEMCACHED_PORT).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn redis_urls_are_read_as_redis_py_reads_them() {
        let full = redis("rediss://us%40er:p%2Fw@[::1]:6380/3?socket_timeout=0.5&client_name=").unwrap();
        assert_eq!(full.address, tcp_address("::1", 6380));
        assert!(full.tls);
        assert_eq!((full.username.as_deref(), full.password.as_deref()), (Some("us@er"), Some("p/w")));
        assert_eq!(full.database, Some(3));
        assert_eq!(full.query, [("socket_timeout".to_owned(), "0.5".to_owned())]);

        let bare = redis("redis://").unwrap();
        assert_eq!((bare.address, bare.database, bare.tls), (tcp_address("localhost", 6379), None, false));
        assert_eq!(bare.username, None);
        let password = redis("valkey://:pw@h/1/").unwrap();
        assert_eq!((password.username, password.password.as_deref(), password.database), (None, Some("pw"), Some(1)));
        let socket = redis("unix://:pw@/run/redis.sock?db=1").unwrap();
        assert_eq!(socket.address, Address::Unix("/run/redis.sock".into()));
        assert_eq!((socket.password.as_deref(), socket.query.len()), (Some("pw"), 1));
        assert!(redis("valkeys://h").unwrap().tls);
        assert_eq!(redis("cache:7000").unwrap().address, tcp_address("cache", 7000));
    }

    #[test]
    fn a_redis_url_that_cannot_be_read_is_refused_without_its_text() {
        for text in [
            "redis://:s3cret/1@host",
            "redis://:s3cret?x@host",
            "redis://:s3cret#x@host",
            "redis://host/s3cret",
            "redis://host:s3cret",
            "http://s3cret",
            "memcached://s3cret",
            "unix://s3cret/path",
            "unix://",
            "redis://%ff:s3cret@host",
            "user:s3cret@host",
            "redis+sentinel://s3cret",
        ] {
            let error = redis(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn memcached_urls_name_servers_or_one_socket() {
        assert_eq!(memcached_servers("h1:11211,h2").unwrap(), ["h1:11211", "h2"]);
        assert_eq!(memcached_servers("/run/m%20c.sock").unwrap(), ["/run/m c.sock"]);
        assert_eq!(memcached_servers("").unwrap(), ["localhost:11211"]);
        assert!(memcached_servers("h/0").is_err() && memcached_servers("u:p@h").is_err());
    }

    proptest! {
        #[test]
        fn no_location_panics(text in "(redis://|unix:|memcached://|)[\\[\\]:/@?#%=&a1\u{e9} ]{0,24}") {
            let _ = redis(&text);
            let _ = address(&text, MEMCACHED_PORT);
            let _ = memcached_servers(&text);
        }
    }
}
