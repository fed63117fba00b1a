//! Redis: LOCATION and OPTIONS.

use super::{cache, complaint, redis};
use crate::settings::{
    Address, BackendSettings, CacheSettings, ClusterSettings, Node, OnBadValue, RedisPlacement, Settings, TimeoutUnit,
    TlsSettings, Value,
};
use std::time::Duration;

fn options(text: &str) -> String {
    format!("BACKEND = 'redis'\nLOCATION = 'redis://h'\nOPTIONS = {{ {text} }}")
}

fn servers(location: &str) -> Vec<String> {
    redis(&format!("BACKEND = 'redis'\nLOCATION = {location}")).servers.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_bounded_timeouts_and_resp2() {
    let settings = redis(&options(""));
    assert_eq!((settings.connect_timeout, settings.timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((settings.protocol, settings.max_connections), (2, None));
    assert_eq!((settings.timeout_unit, settings.ignore_exceptions), (TimeoutUnit::Seconds, false));
    assert_eq!(settings.on_bad_value, OnBadValue::Miss);
}

#[test]
fn a_string_is_split_at_commas_and_semicolons_and_a_list_is_not() {
    assert_eq!(
        servers("'redis://a, redis://b;redis://c/2'"),
        ["redis://a:6379/0", "redis://b:6379/0", "redis://c:6379/2"]
    );
    assert_eq!(servers("['redis://a', 'unix:///s?db=3']"), ["redis://a:6379/0", "unix:///s?db=3"]);
    assert_eq!(servers("['redis://:x,y@a']"), ["redis://a:6379/0"]);
    let semicolon = redis("BACKEND = 'django_redis.cache.RedisCache'\nLOCATION = 'redis://:x;y@a'");
    assert_eq!(semicolon.servers[0].password.as_deref(), Some("x;y"));
}

#[test]
fn addresses_without_a_scheme_are_read_as_well() {
    assert_eq!(servers("'h:7000,[::1]'"), ["redis://h:7000/0", "redis://[::1]:6379/0"]);
    assert_eq!(servers("'/run/redis.sock'"), ["unix:///run/redis.sock?db=0"]);
}

#[test]
fn what_the_url_says_wins_over_options() {
    let body = |location: &str| {
        let text = "OPTIONS = { db = 5, username = 'o', password = 'o', socket_timeout = 1, protocol = 3 }";
        redis(&format!("BACKEND = 'redis'\nLOCATION = '{location}'\n{text}"))
    };
    assert_eq!(body("redis://h/0").servers[0].database, 0);
    assert_eq!(body("redis://h").servers[0].database, 5);
    assert_eq!(body("redis://h/1?db=2").servers[0].database, 2);
    let login = &body("redis://u:p@h").servers[0];
    assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("u"), Some("p")));
    let login = &body("redis://h").servers[0];
    assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("o"), Some("o")));
    let query = body("redis://h?socket_timeout=0.25");
    assert_eq!((query.timeout, query.protocol), (Duration::from_millis(250), 3));
}

#[test]
fn options_of_one_url_that_hold_for_the_cache_must_be_the_same_in_all() {
    let text = complaint("BACKEND = 'redis'\nLOCATION = 'redis://a?socket_timeout=1,redis://b'");
    assert!(text.contains("server 2 of LOCATION is 'redis://b'"), "{text}");
    assert!(text.contains("its options are not those of the first server"), "{text}");
    assert_eq!(servers("'redis://a?db=1,redis://b?db=2'"), ["redis://a:6379/1", "redis://b:6379/2"]);
}

#[test]
fn a_location_that_is_missing_or_wrong_is_an_error_with_an_example() {
    assert!(complaint("BACKEND = 'redis'").contains("LOCATION is missing (line 1, column 1)"));
    for location in ["''", "[]", "'redis://a,,redis://b'", "5", "[5]", "'http://h'", "'redis://h:x'", "'redis://h/x'"] {
        let text = complaint(&format!("BACKEND = 'redis'\nLOCATION = {location}"));
        assert!(text.contains("LOCATION") && text.contains("(line 3, column "), "{text}");
    }
    let text = complaint("BACKEND = 'redis'\nLOCATION = 'redis://u:hunter2@h:x'");
    assert!(text.contains("LOCATION is 'redis://***@h:x'") && text.contains("port"), "{text}");
    let split = complaint("BACKEND = 'redis'\nLOCATION = 'redis://:78;89@h'");
    assert!(split.contains("is '***'") && !split.contains("78"), "{split}");
}

#[test]
fn options_of_redis_py_and_of_django_redis_mean_the_same() {
    let lower = redis(&options(
        "username = 'u', password = 'p', socket_timeout = 0.5, socket_connect_timeout = '0.25', serializer = 'json'",
    ));
    let upper = redis(&options(
        "USERNAME = 'u', PASSWORD = 'p', SOCKET_TIMEOUT = 0.5, SOCKET_CONNECT_TIMEOUT = 0.25, SERIALIZER = 'json'",
    ));
    assert_eq!(lower, upper);
    assert_eq!((lower.timeout, lower.connect_timeout), (Duration::from_millis(500), Duration::from_millis(250)));
    assert_eq!(lower.servers[0].password.as_deref(), Some("p"));
    let both = complaint(&options("SOCKET_TIMEOUT = 1, socket_timeout = 2"));
    assert!(both.contains("OPTIONS 'socket_timeout' and 'SOCKET_TIMEOUT' say the same thing"), "{both}");
}

#[test]
fn pool_arguments_are_options_that_win() {
    let settings = redis(&options(
        "CONNECTION_POOL_KWARGS = { max_connections = 7, socket_timeout = 3, retry_on_timeout = true }, SOCKET_TIMEOUT = 1",
    ));
    assert_eq!((settings.max_connections, settings.timeout), (Some(7), Duration::from_secs(3)));
    let text = complaint(&options("CONNECTION_POOL_KWARGS = { max_conections = 7 }"));
    assert!(text.contains("OPTIONS 'CONNECTION_POOL_KWARGS' 'max_conections' is not an option of"), "{text}");
    assert!(text.contains("Did you mean 'max_connections'?"), "{text}");
}

#[test]
fn every_option_that_has_a_meaning_arrives() {
    let settings = redis(&options(
        "protocol = 3, client_name = 'shop', max_connections = 4, IGNORE_EXCEPTIONS = true, PICKLE_VERSION = -1, \
         TIMEOUT_UNIT = 'ms', ON_BAD_VALUE = 'raise', CLIENT_CLASS = 'django_redis.client.DefaultClient', \
         decode_responses = false",
    ));
    assert_eq!((settings.protocol, settings.client_name.as_deref()), (3, Some("shop")));
    assert_eq!((settings.max_connections, settings.ignore_exceptions), (Some(4), true));
    assert_eq!((settings.pickle_protocol, settings.timeout_unit), (Some(5), TimeoutUnit::Milliseconds));
    assert_eq!(settings.on_bad_value, OnBadValue::Raise);
}

#[test]
fn timeouts_are_in_milliseconds_for_django_redis_unless_it_says_otherwise() {
    let unit = |extra: &str| {
        redis(&format!("BACKEND = 'django_redis.cache.RedisCache'\nLOCATION = 'redis://h'\n{extra}")).timeout_unit
    };
    assert_eq!(unit(""), TimeoutUnit::Milliseconds);
    assert_eq!(unit("OPTIONS = { TIMEOUT_UNIT = 's' }"), TimeoutUnit::Seconds);
}

#[test]
fn tls_verifies_unless_it_is_told_not_to() {
    let tls = |text: &str| {
        redis(&format!("BACKEND = 'redis'\nLOCATION = 'rediss://h'\nOPTIONS = {{ {text} }}")).servers[0].tls.clone()
    };
    assert_eq!(tls(""), Some(TlsSettings::default()));
    let checked = tls("").unwrap();
    assert!(checked.check_hostname && !checked.insecure);
    assert!(tls("ssl_cert_reqs = 'none'").unwrap().insecure);
    assert!(!tls("ssl_cert_reqs = 'required'").unwrap().insecure);
    assert!(!tls("ssl_check_hostname = false").unwrap().check_hostname);
    let files = tls("ssl_ca_certs = 'ca.pem', ssl_certfile = 'c.pem', ssl_keyfile = 'k.pem'").unwrap();
    assert_eq!(files.ca_certs.as_deref(), Some(std::path::Path::new("ca.pem")));
    assert_eq!(files.keyfile.as_deref(), Some(std::path::Path::new("k.pem")));

    assert!(complaint(&options("ssl_cert_reqs = 'none'")).contains("no server is reached by TLS"));
    let query = |location: &str| complaint(&format!("BACKEND = 'redis'\nLOCATION = '{location}'"));
    assert!(query("redis://h?ssl_cert_reqs=none").contains("its options about TLS need rediss://"));
    assert!(query("rediss://h?ssl_keyfile=k.pem").contains("without 'ssl_certfile'"));
    assert!(complaint(&options("ssl_keyfile = 'k.pem'")).contains("without 'ssl_certfile'"));
    assert!(complaint(&options("ssl_cert_reqs = 'maybe'")).contains("must be 'required' or 'none'"));
    assert!(complaint(&options("ssl_certfil = 'k.pem'")).contains("Did you mean 'ssl_certfile'?"));
    assert!(complaint(&options("ssl_ciphers = 'k'")).contains("not available yet"));
}

#[test]
fn what_has_no_meaning_here_is_a_warning_and_never_silent() {
    for option in [
        "socket_keepalive = true",
        "retry_on_timeout = true",
        "health_check_interval = 30",
        "pool_class = 'redis.BlockingConnectionPool'",
        "CLOSE_CONNECTION = true",
        "REPLICA_READ_ONLY = false",
        "encoding_errors = 'ignore'",
        "PARSER_CLASS = 'redis.connection.HiredisParser'",
        "lib_name = 'x'",
    ] {
        let warnings = cache(&options(option)).warnings;
        let name = option.split(' ').next().unwrap();
        assert_eq!(warnings.len(), 1, "{option}: {warnings:?}");
        let start = format!("cache 'default': OPTIONS '{name}' has no effect: ");
        assert!(warnings[0].starts_with(&start) && warnings[0].ends_with("(line 4, column 13)"), "{warnings:?}");
    }
    for option in ["socket_keepalive = false", "retry_on_timeout = false", "health_check_interval = 0"] {
        assert!(cache(&options(option)).warnings.is_empty(), "{option}");
    }
}

#[test]
fn no_limit_keeps_the_default_limit_and_says_so() {
    let node = Node::table([
        ("BACKEND", Node::from("redis")),
        ("LOCATION", Node::from("redis://h")),
        ("OPTIONS", Node::table([("socket_timeout", Value::Null)])),
    ]);
    let cache = CacheSettings::from_node("a", &node).unwrap();
    assert_eq!(cache.warnings.len(), 1);
    assert!(matches!(cache.backend, BackendSettings::Redis(settings) if settings.timeout == Duration::from_secs(2)));
}

#[test]
fn what_is_refused_says_why() {
    for (option, reason) in [
        ("MAX_ENTRIES = 5", "has no meaning for Redis"),
        ("CULL_FREQUENCY = 5", "Set maxmemory"),
        ("CLIENT_CLASS = 'django_redis.client.ShardClient'", "only DefaultClient is"),
        ("SENTINELS = []", "not available yet"),
        ("decode_responses = true", "values are bytes"),
        ("REDIS_CLIENT_KWARGS = { a = 1 }", "not available yet"),
        ("db = -1", "must be an integer from 0"),
        ("db = 'x'", "must be an integer from 0"),
        ("protocol = 4", "must be an integer from 2 to 3"),
        ("socket_timeout = 0", "must be a number of seconds, more than 0"),
        ("socket_timeout = 'soon'", "must be a number of seconds, more than 0"),
        ("max_connections = 0", "must be an integer from 1"),
        ("client_name = 'a b'", "without blanks"),
        ("PICKLE_VERSION = 6", "must be an integer from -1 to 5"),
        ("TIMEOUT_UNIT = 'h'", "must be 's' or 'ms'"),
        ("IGNORE_EXCEPTIONS = 'maybe'", "must be true or false"),
        ("socket_timout = 1", "Did you mean 'socket_timeout'?"),
    ] {
        let text = complaint(&options(option));
        assert!(text.starts_with("cache 'default': OPTIONS '") && text.contains(reason), "{option}: {text}");
        assert!(text.contains("(line 4, column "), "{text}");
    }
    let beside = complaint("BACKEND = 'redis'\nLOCATION = 'redis://h'\nmax_entries = 5");
    assert!(beside.contains("max_entries has no meaning for Redis"), "{beside}");
}

#[test]
fn a_password_of_the_wrong_type_is_not_shown() {
    let text = complaint(&options("password = 123456"));
    assert!(
        text.contains("OPTIONS 'password' is an integer, but must be a string") && !text.contains("123456"),
        "{text}"
    );
}

#[test]
fn equal_settings_are_equal_keys() {
    use std::collections::HashSet;
    let keys: HashSet<_> =
        [redis(&options("db = 1")), redis(&options("db = 1")), redis(&options("db = 2"))].into_iter().collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(redis(&options("")).servers[0].address, Address::Tcp { host: "h".to_owned(), port: 6379 });
}

#[test]
fn a_cluster_is_an_option_and_has_a_url_of_its_own() {
    let cluster = |read_from_replicas| RedisPlacement::Cluster(ClusterSettings { read_from_replicas });
    let written = redis(
        "BACKEND = 'redis'\nLOCATION = ['redis://:p@a:7000', 'redis://b']\n\
         OPTIONS = { CLUSTER = true, READ_FROM_REPLICAS = true }",
    );
    assert_eq!((written.servers.len(), written.placement), (2, cluster(true)));
    assert_eq!(redis(&options("CLUSTER = false")).placement, RedisPlacement::Replicated);
    let url = Settings::from_url("rediss+cluster://u:p@a:7000,b?socket_timeout=0.5&timeout=60").unwrap();
    let BackendSettings::Redis(settings) = &url.get("default").unwrap().backend else { panic!("not Redis") };
    let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["rediss://a:7000/0", "rediss://b:6379/0"]);
    assert!(settings.servers.iter().all(|server| server.password.as_deref() == Some("p")));
    assert_eq!((&settings.placement, settings.timeout), (&cluster(false), Duration::from_millis(500)));
    let url = Settings::from_url("redis+cluster://a?READ_FROM_REPLICAS=true").unwrap();
    let BackendSettings::Redis(settings) = &url.get("default").unwrap().backend else { panic!("not Redis") };
    assert_eq!(settings.placement, cluster(true));
}

#[test]
fn what_makes_no_sense_with_a_cluster_is_an_error() {
    for (text, expected) in [
        ("READ_FROM_REPLICAS = true", "'READ_FROM_REPLICAS' is given without 'CLUSTER'"),
        ("CLUSTER = true, db = 1", "a Redis Cluster has no database but 0"),
        ("CLUSTER = true, SENTINELS = [['h', 26379]]", "'SENTINELS' and 'CLUSTER' are given together"),
        (
            "CLUSTER = true, CLIENT_CLASS = 'django_redis.client.ShardClient'",
            "'CLIENT_CLASS' and 'CLUSTER' are given together",
        ),
        ("CLUSTER = 'perhaps'", "OPTIONS 'CLUSTER' is the string 'perhaps'"),
    ] {
        let complaint = complaint(&options(text));
        assert!(complaint.contains(expected), "{text}: {complaint}");
    }
    let unix = complaint("BACKEND = 'redis'\nLOCATION = '/run/redis.sock'\nOPTIONS = { CLUSTER = true }");
    assert!(unix.contains("name one by them"), "{unix}");
    for url in ["redis+cluster://:s3cret@", "redis+cluster://:s3cret@a,,b", "redis+cluster://:s3cret@a,b/2"] {
        let error = Settings::from_url(url).unwrap_err().to_string();
        assert!(error.contains("Redis Cluster") && !error.contains("s3cret"), "{url}: {error}");
    }
    let location = complaint("BACKEND = 'redis'\nLOCATION = 'redis+cluster://a'");
    assert!(location.contains("OPTIONS 'CLUSTER' true"), "{location}");
}
