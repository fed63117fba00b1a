//! Redis Sentinel: OPTIONS SENTINELS and what goes with it.

use super::{cache, complaint, into_redis, redis};
use crate::settings::{RedisPlacement, RedisSettings, SentinelSettings, Settings};
use std::time::Duration;

const TWO: &str = "SENTINELS = [['one', 26380], 'two']";
const CLIENT: &str = "CLIENT_CLASS = 'django_redis.client.SentinelClient'";

fn body(location: &str, options: &str) -> String {
    format!("BACKEND = 'django_redis.cache.RedisCache'\nLOCATION = {location}\nOPTIONS = {{ {options} }}")
}

fn sentinel(settings: &RedisSettings) -> SentinelSettings {
    match &settings.placement {
        RedisPlacement::Sentinel(sentinel) => sentinel.clone(),
        other => panic!("not Sentinel: {other:?}"),
    }
}

fn labels(sentinel: &SentinelSettings) -> Vec<String> {
    sentinel.sentinels.iter().map(ToString::to_string).collect()
}

#[test]
fn the_host_in_location_is_the_name_of_a_service() {
    let settings = redis(&body("'redis://user:secret@my_Master.1/3?socket_timeout=4'", TWO));
    let found = sentinel(&settings);
    assert_eq!(found.service, "my_Master.1");
    assert_eq!(labels(&found), ["redis://one:26380/0", "redis://two:26379/0"]);
    let server = &settings.servers[0];
    assert_eq!((settings.servers.len(), server.database, server.password.as_deref()), (1, 3, Some("secret")));
    assert!(found.sentinels.iter().all(|sentinel| sentinel.password.is_none() && sentinel.username.is_none()));
    assert_eq!((found.connect_timeout, found.timeout), (Duration::from_millis(500), Duration::from_secs(2)));
}

#[test]
fn sentinels_are_pairs_texts_or_urls_in_either_spelling() {
    for (options, expected) in [
        ("sentinels = [['::1', '26380']]", vec!["redis://[::1]:26380/0"]),
        ("SENTINELS = 'one, two:7000'", vec!["redis://one:26379/0", "redis://two:7000/0"]),
        ("SENTINELS = ['rediss://u:p@one', 'redis://two:1']", vec!["rediss://one:26379/0", "redis://two:1/0"]),
    ] {
        assert_eq!(labels(&sentinel(&redis(&body("'redis://s'", options)))), expected, "{options}");
    }
    let login = sentinel(&redis(&body(
        "'redis://s'",
        "SENTINELS = ['redis://u:p@one', 'two'], SENTINEL_KWARGS = { password = 'q' }",
    )));
    let passwords: Vec<_> = login.sentinels.iter().map(|sentinel| sentinel.password.as_deref()).collect();
    assert_eq!(passwords, [Some("p"), Some("q")]);
}

#[test]
fn sentinel_kwargs_are_for_the_sentinels_alone() {
    let settings = redis(&body(
        "'redis://s'",
        "SENTINELS = ['one'], PASSWORD = 'ours', sentinel_kwargs = { username = 'u', password = 'p', ssl = true, \
         ssl_ca_certs = '/ca.pem', ssl_check_hostname = false, socket_timeout = 0.25, socket_connect_timeout = 3, socket_keepalive = false }",
    ));
    let found = sentinel(&settings);
    let one = &found.sentinels[0];
    assert_eq!((one.username.as_deref(), one.password.as_deref()), (Some("u"), Some("p")));
    let tls = one.tls.as_ref().unwrap();
    assert!(!tls.check_hostname && tls.ca_certs.as_deref() == Some("/ca.pem".as_ref()));
    assert_eq!((found.connect_timeout, found.timeout), (Duration::from_secs(3), Duration::from_millis(250)));
    assert_eq!((&settings.servers[0].tls, settings.servers[0].password.as_deref()), (&None, Some("ours")));
    let servers = redis(&body("'rediss://s'", "SENTINELS = ['one'], ssl_ca_certs = '/ca.pem'"));
    assert!(servers.servers[0].tls.is_some() && sentinel(&servers).sentinels[0].tls.is_none());
    let pool = redis(&body(
        "'redis://s'",
        "SENTINELS = ['one'], CONNECTION_POOL_KWARGS = { ssl = true, ssl_cert_reqs = 'none' }",
    ));
    assert!(pool.servers[0].tls.as_ref().is_some_and(|tls| tls.insecure));
}

#[test]
fn replicas_are_read_by_the_sentinel_client_and_where_is_master_says_so() {
    let reads = |location: &str, options: &str| {
        sentinel(&redis(&body(location, &format!("SENTINELS = ['one'], {options}")))).read_from_replicas
    };
    let default = "CLIENT_CLASS = 'django_redis.client.DefaultClient'";
    assert!(reads("'redis://s/1'", CLIENT));
    assert!(reads("'redis://s/1'", "CLIENT_CLASS = 'django_redis.client.sentinel.SentinelClient'"));
    assert!(!reads("'redis://s/1'", default) && !reads("'redis://s/1?is_master=1'", default));
    assert!(reads("'redis://s/1?is_master=0'", default));
    assert!(reads("['redis://s/1?is_master=1', 'redis://s/1?is_master=0']", default));
    assert!(!reads("['redis://s/1?is_master=1', 'redis://s/1']", default));
    // Its one URL is made into two, whatever it says.
    assert!(reads("['redis://s/1?is_master=1']", CLIENT));
}

#[test]
fn the_classes_of_django_redis_are_taken_without_a_word_where_there_are_sentinels_and_want_them_elsewhere() {
    for class in [
        CLIENT,
        "CONNECTION_FACTORY = 'django_redis.pool.SentinelConnectionFactory'",
        "CONNECTION_POOL_CLASS = 'redis.sentinel.SentinelConnectionPool'",
        "pool_class = 'redis.sentinel.SentinelConnectionPool'",
        "SENTINEL_KWARGS = { password = 'p' }",
    ] {
        let with = cache(&body("'redis://s'", &format!("{TWO}, {class}")));
        assert!(with.warnings.is_empty(), "{:?}", with.warnings);
        assert_eq!(sentinel(&into_redis(with)).sentinels.len(), 2);
        for without in [class.to_owned(), format!("SENTINELS = [], {class}")] {
            let text = complaint(&body("'redis://s'", &without));
            let name = class.split(' ').next().unwrap();
            assert!(text.contains(&format!("OPTIONS '{name}' needs the option SENTINELS")), "{text}");
            assert!(text.contains("(line 4, column "), "{text}");
        }
    }
}

#[test]
fn what_is_wrong_about_sentinels_is_named_and_no_password_shown() {
    for (location, options, reason) in [
        ("'redis://s'", "SENTINELS = [['one', 'x']]", "not everything is a string"),
        (
            "'redis://s'",
            "SENTINELS = ['one:x', 'two']",
            "server 1 of SENTINELS is 'one:x', but must be the address of a Sentinel",
        ),
        ("'redis://s'", "SENTINELS = 5", "SENTINELS is 5, but must be a string or a list"),
        ("'redis://s'", "SENTINELS = ['redis://one/3']", "a Sentinel has no databases"),
        (
            "'redis://s'",
            "SENTINELS = ['one', 'redis://:hunter2@two:x']",
            "server 2 of SENTINELS is 'redis://***@two:x'",
        ),
        ("'redis://s'", "SENTINELS = ['one'], SENTINEL_KWARGS = { password = 987654 }", "must be a string"),
        ("'redis://s'", "SENTINELS = ['one'], SENTINEL_KWARGS = { passwort = 'hunter2' }", "Did you mean 'password'?"),
        (
            "'redis://s'",
            "SENTINELS = ['one'], SENTINEL_KWARGS = { ssl_cert_reqs = 'none' }",
            "no Sentinel is reached by TLS",
        ),
        (
            "'redis://s'",
            "SENTINELS = ['one'], SENTINEL_KWARGS = { ssl = true, ssl_keyfile = 'k' }",
            "without 'ssl_certfile'",
        ),
        ("'redis://s'", "SENTINELS = ['one'], sentinels = ['one']", "say the same thing"),
        ("'redis://s'", "SENTINELS = ['one'], ssl_cert_reqs = 'none'", "no server is reached by TLS"),
        ("'redis://s'", "ssl = true", "OPTIONS 'ssl' needs the option SENTINELS"),
        ("'redis://s?is_master=0'", "", "'is_master' is not an option"),
        ("'redis://s?is_master=maybe'", "SENTINELS = ['one']", "must be true or false"),
        ("'unix:///s'", "SENTINELS = ['one']", "names a service"),
        ("'redis://s,redis://t'", "SENTINELS = ['one']", "several services"),
        ("'redis://s/1,redis://s/2?is_master=0'", "SENTINELS = ['one']", "several services"),
        ("'redis+sentinel://s'", "", "Sentinels stand in OPTIONS SENTINELS"),
    ] {
        let text = complaint(&body(location, options));
        assert!(text.contains(reason), "{location}, {options}: {text}");
        assert!(!text.contains("hunter2") && !text.contains("987654"), "{text}");
    }
    let port = cache(&body("'redis://s:7000'", TWO)).warnings;
    assert!(port.len() == 1 && port[0].contains("the port 7000 in LOCATION has no effect"), "{port:?}");
}

#[test]
fn a_url_of_sentinels_is_a_whole_cache() {
    let url = "rediss+sentinel://us%2Cer:p%40w@h1:7000,h2,[::1]/my%2Dmaster/2?sentinel_password=s&sentinel_username=t&is_master=0\
               &socket_timeout=1&timeout=60&sentinel_ssl=true&ssl_cert_reqs=none";
    let settings = into_redis(Settings::from_url(url).unwrap().caches.remove(0));
    let found = sentinel(&settings);
    assert_eq!((found.service.as_str(), found.read_from_replicas), ("my-master", true));
    assert_eq!(labels(&found), ["rediss://h1:7000/0", "rediss://h2:26379/0", "rediss://[::1]:26379/0"]);
    let logins = (found.sentinels[1].username.as_deref(), found.sentinels[1].password.as_deref());
    assert_eq!(logins, (Some("t"), Some("s")));
    let server = &settings.servers[0];
    assert_eq!((server.username.as_deref(), server.password.as_deref()), (Some("us,er"), Some("p@w")));
    assert!(server.database == 2 && server.tls.as_ref().is_some_and(|tls| tls.insecure));
    let plain = into_redis(Settings::from_url("redis+sentinel://h/mymaster").unwrap().caches.remove(0));
    assert_eq!((plain.servers[0].database, plain.servers[0].tls.is_none()), (0, true));
    for wrong in [
        "redis+sentinel://hunter2",
        "redis+sentinel:///hunter2",
        "redis+sentinel://:hunter2@/s",
        "redis+sentinel://h//hunter2",
        "redis+sentinel://h/s/x?password=hunter2",
        "redis+sentinel://:hun/ter2@h/s",
        "redis+sentinel://h/s?sentinel_pass=hunter2",
    ] {
        let text = Settings::from_url(wrong).unwrap_err().to_string();
        assert!(!text.contains("hunter2") && !text.contains("ter2"), "{wrong}: {text}");
    }
    for shown in [format!("{settings:?}"), format!("{found:?}")] {
        assert!(!shown.contains("p@w") && !shown.contains("us,er") && !shown.contains("\"s\""), "{shown}");
    }
}

#[cfg(feature = "settings-py")]
#[test]
fn a_settings_py_as_the_documentation_of_django_redis_has_it_is_read() {
    let text = "DJANGO_REDIS_CONNECTION_FACTORY = 'django_redis.pool.SentinelConnectionFactory'\n\
                SENTINELS = [('one', 26379), ('two', 26379)]\n\
                CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache', 'LOCATION': 'redis://service/1', 'OPTIONS': {\n\
                'CLIENT_CLASS': 'django_redis.client.SentinelClient', 'SENTINELS': SENTINELS,\n\
                'SENTINEL_KWARGS': {'password': 'p'}, 'CONNECTION_POOL_CLASS': 'redis.sentinel.SentinelConnectionPool'}}}\n";
    let read = Settings::from_python(text, "settings.py").unwrap();
    assert!(read.warnings().is_empty(), "{:?}", read.warnings());
    let found = sentinel(&into_redis(read.caches.into_iter().next().unwrap()));
    assert_eq!((found.service.as_str(), found.read_from_replicas), ("service", true));
    assert_eq!(labels(&found), ["redis://one:26379/0", "redis://two:26379/0"]);
    assert_eq!(found.sentinels[0].password.as_deref(), Some("p"));
}
