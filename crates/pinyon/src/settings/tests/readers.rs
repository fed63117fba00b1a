//! TOML, JSON, URL and files.

use super::{into_memcached, into_redis};
use crate::key::Version;
use crate::settings::{Address, BackendSettings, Node, Settings, TimeoutUnit, Value};
use crate::timeout::Expiry;
use proptest::prelude::*;
use std::time::Duration;

const STEP_1: &str = r#"
[default]
BACKEND = "django.core.cache.backends.locmem.LocMemCache"
"#;
const STEP_2: &str = r#"
[redis_cache]
BACKEND = "django_redis.cache.RedisCache"
LOCATION = "redis://127.0.0.1:6379/1"
"#;
const STEP_3: &str = r#"
[memcached_cache]
BACKEND = "django.core.cache.backends.memcached.PyMemcacheCache"
LOCATION = "127.0.0.1:11211"
"#;

#[test]
fn the_first_three_steps_of_the_story_read_in_toml() {
    let one = Settings::from_toml(STEP_1).unwrap();
    assert!(matches!(&one.caches[0].backend, BackendSettings::Memory(_)));

    let two = Settings::from_toml(&[STEP_1, STEP_2].concat()).unwrap();
    let redis = into_redis(two.get("redis_cache").unwrap().clone());
    assert_eq!(redis.servers[0].to_string(), "redis://127.0.0.1:6379/1");
    assert_eq!(redis.timeout_unit, TimeoutUnit::Milliseconds);

    let three = Settings::from_toml(&[STEP_1, STEP_2, STEP_3].concat()).unwrap();
    assert_eq!(
        three.caches.iter().map(|cache| cache.alias.as_str()).collect::<Vec<_>>(),
        ["default", "redis_cache", "memcached_cache"]
    );
    let memcached = into_memcached(three.get("memcached_cache").unwrap().clone());
    assert_eq!(memcached.servers, [Address::Tcp { host: "127.0.0.1".to_owned(), port: 11211 }]);
    assert!(three.warnings().is_empty());
}

#[test]
fn the_fourth_step_puts_redis_under_default_and_json_says_the_same_as_toml() {
    let toml = [&STEP_2.replace("redis_cache", "default"), STEP_2, STEP_3].concat();
    let json = r#"{
        "CACHES": {
            "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:6379/1"},
            "redis_cache": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:6379/1"},
            // the third
            "memcached_cache": {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": "127.0.0.1:11211"
            }
        }
    }"#;
    let settings = Settings::from_toml(&toml).unwrap();
    assert_eq!(settings, Settings::from_json(json).unwrap());
    assert_eq!(settings.get("default").unwrap().backend, settings.get("redis_cache").unwrap().backend);
}

#[test]
fn both_forms_of_a_dictionary_are_the_same() {
    let nested = Settings::from_toml("[CACHES.default]\nBACKEND = 'memory'\n[unrelated]\nx = 1").unwrap();
    assert_eq!(nested, Settings::from_toml("[default]\nBACKEND = 'memory'").unwrap());
    assert_eq!(nested, Settings::from_json(r#"{"default": {"BACKEND": "memory"}}"#).unwrap());
}

#[test]
fn a_dictionary_of_another_shape_is_an_error_that_shows_the_right_one() {
    let complaint = |text| Settings::from_toml(text).unwrap_err().to_string();
    assert!(complaint("BACKEND = 'memory'").contains("BACKEND stands outside of any alias (line 1, column 1)"));
    assert!(
        complaint("CACHES = 5").contains("CACHES is an integer, but must be a table of aliases (line 1, column 10)")
    );
    assert!(complaint("default = 5").contains("cache 'default': the cache is an integer, but must be a table"));
    let stray = complaint("[CACHES.default]\nBACKEND = 'memory'\n[x]\nBACKEND = 'memory'");
    assert!(
        stray.contains("cache 'x' stands outside of CACHES (line 3, column 2). Write it as [CACHES.x]."),
        "{stray}"
    );
    assert!(Settings::from_json("[]").unwrap_err().to_string().contains("the settings are a list"));
}

#[test]
fn json_errors_have_line_and_column_too() {
    let text = "{\"default\": {\"BACKEND\": \"memory\",\n  \"TIMEOT\": 5, \"VERSION\": null}}";
    let error = Settings::from_json(text).unwrap_err().to_string();
    assert!(error.contains("TIMEOT is not a key of a cache (line 2, column 3). Did you mean 'TIMEOUT'?"), "{error}");
    assert!(error.contains("VERSION is null, but must be a number or a string (line 2, column 27)"), "{error}");
}

#[test]
fn a_memory_url_names_the_store() {
    let settings = Settings::from_url("memory://my%20shop?MAX_ENTRIES=5&timeout=60&Key_Prefix=p&version=2").unwrap();
    let cache = &settings.caches[0];
    assert_eq!((cache.alias.as_str(), cache.key_prefix.as_str()), ("default", "p"));
    assert_eq!((cache.timeout, &cache.version), (Expiry::In(Duration::from_secs(60)), &Version::Number(2)));
    assert!(matches!(&cache.backend, BackendSettings::Memory(m) if m.name == "my shop" && m.max_entries == 5));
    assert!(Settings::from_url("memory://").is_ok());
}

#[test]
fn a_redis_url_gives_server_login_options_and_keys() {
    let url =
        "rediss://user:p%2Cw@cache.example:6380/2?socket_timeout=0.5&timeout=none&ssl_cert_reqs=none&TIMEOUT_UNIT=ms";
    let cache = Settings::from_url(url).unwrap().caches.remove(0);
    assert_eq!(cache.timeout, Expiry::Never);
    let redis = into_redis(cache);
    let server = &redis.servers[0];
    assert_eq!(server.to_string(), "rediss://cache.example:6380/2");
    assert_eq!((server.username.as_deref(), server.password.as_deref()), (Some("user"), Some("p,w")));
    assert!(server.tls.as_ref().unwrap().insecure);
    assert_eq!((redis.timeout, redis.timeout_unit), (Duration::from_millis(500), TimeoutUnit::Milliseconds));

    let socket = into_redis(Settings::from_url("unix:///run/redis.sock?db=1").unwrap().caches.remove(0));
    assert_eq!(socket.servers[0].to_string(), "unix:///run/redis.sock?db=1");
    let default = into_redis(Settings::from_url("valkey://").unwrap().caches.remove(0));
    assert_eq!(default.servers[0].to_string(), "redis://localhost:6379/0");
    // A comma in a password does not split a URL.
    assert!(Settings::from_url("redis://:a,b;c@h").is_ok());
}

#[test]
fn a_memcached_url_gives_servers_or_a_socket() {
    let url = "memcached://h1:11211,[::1]:11212,h3?no_delay=true&connect_timeout=0.25";
    let memcached = into_memcached(Settings::from_url(url).unwrap().caches.remove(0));
    let shown: Vec<String> = memcached.servers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["h1:11211", "[::1]:11212", "h3:11211"]);
    assert_eq!(memcached.connect_timeout, Duration::from_millis(250));
    let socket = into_memcached(Settings::from_url("memcached:///run/memcached.sock").unwrap().caches.remove(0));
    assert_eq!(socket.servers, [Address::Unix("/run/memcached.sock".into())]);
}

#[test]
fn a_wrong_url_is_an_error_without_its_password() {
    for url in [
        "http://:s3cret@h",
        "s3cret",
        "redis://:s3cret@h:x",
        "redis://:s3c/ret@h",
        "redis://:s3cret@h?dbb=1",
        "memcached://u:s3cret@h",
        "redis://h?password=s3cret&db=x",
    ] {
        let error = Settings::from_url(url).unwrap_err();
        assert!(error.is_config() && error.alias() == Some("default"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3c"), "{url}: {error}");
    }
    let text = Settings::from_url("redis://h?dbb=1").unwrap_err().to_string();
    assert!(text.contains("LOCATION option 'dbb' is not an option of a Redis URL. Did you mean 'db'?"), "{text}");
}

#[test]
fn a_file_is_read_by_its_extension() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    assert!(Settings::from_path(write("a.toml", STEP_1)).is_ok());
    assert!(Settings::from_path(write("a.JSON", r#"{"default": {"BACKEND": "memory"}}"#)).is_ok());
    let other = Settings::from_path(write("a.yaml", "")).unwrap_err().to_string();
    assert!(other.contains("a.yaml are in no known format. Name the file .toml, .json or .py."), "{other}");
    let missing = Settings::from_path(folder.path().join("none.toml")).unwrap_err();
    assert!(missing.is_config() && missing.to_string().contains("none.toml cannot be read"), "{missing}");
}

#[test]
fn a_text_that_is_nested_without_end_is_an_error() {
    let depth = 100_000;
    assert!(Settings::from_json(&"[".repeat(depth)).unwrap_err().is_config());
    assert!(Settings::from_json(&"{\"a\":".repeat(depth)).unwrap_err().is_config());
    assert!(Settings::from_toml(&format!("a = {}", "[".repeat(depth))).unwrap_err().is_config());
    assert!(Settings::from_toml(&format!("a = {}", "{a=".repeat(depth))).unwrap_err().is_config());
    assert!(Settings::from_toml(&format!("a{} = 1", ".a".repeat(depth))).unwrap_err().is_config());
}

/// Trees of any shape, with the names that mean something among the keys.
fn trees() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "(redis|django_redis.cache.RedisCache|memory|memcached|redis://h|pinyon.django.PyLibMCCache|[ -~é]{0,12})"
            .prop_map(Value::String),
        "[a-z.]{0,8}".prop_map(Value::Opaque),
    ];
    let key = "(default|CACHES|BACKEND|LOCATION|TIMEOUT|timeout|OPTIONS|KEY_PREFIX|VERSION|max_entries|MAX_BYTES|db|\
               password|socket_timeout|behaviors|connect_timeout|CONNECTION_POOL_KWARGS|ssl_cert_reqs|key_prefix|[a-zA-Z]{0,6})";
    leaf.prop_map(Node::new).prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::list),
            prop::collection::vec((key, inner), 0..7).prop_map(Node::table),
        ]
    })
}

proptest! {
    #[test]
    fn no_tree_panics(tree in trees(), backend in "(redis|memory|memcached|pinyon.django.PyLibMCCache)") {
        let _ = Settings::from_node(&tree);
        if let Some(entries) = tree.as_table() {
            let mut entries: Vec<_> = entries.iter().map(|e| (e.key.clone(), e.node.clone())).collect();
            entries.insert(0, ("BACKEND".to_owned(), Node::from(backend)));
            let _ = Settings::from_node(&Node::table([("default", Node::table(entries))]));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), looks_like in "[\\[\\]{}=:,.\"'#a-c1é\n ]{0,40}") {
        for text in [text, looks_like] {
            let _ = Settings::from_toml(&text);
            let _ = Settings::from_json(&text);
            let _ = Settings::from_url(&text);
        }
    }

    #[test]
    fn no_url_panics(url in "(memory|redis|rediss|unix|memcached|valkey)://[\\[\\]:/@?#%=&,;a1é]{0,30}") {
        let _ = Settings::from_url(&url);
    }

    #[test]
    fn no_error_holds_a_password(secret in "zq[a-z0-9/?#@:%,; ]{3,9}zq", place in 0..5) {
        let body = match place {
            0 => format!("LOCATION = 'redis://user:{secret}@host:bad'"),
            1 => format!("LOCATION = 'redis://:{secret}@host/x'"),
            2 => format!("LOCATION = 'redis://h/x?password={secret}'"),
            3 => format!("LOCATION = 'redis://h'\nOPTIONS = {{ password = ['{secret}'] }}"),
            _ => format!("LOCATION = ['redis://h', 'redis:/:{secret}@host']"),
        };
        if let Err(error) = Settings::from_toml(&format!("[default]\nBACKEND = 'redis'\n{body}")) {
            prop_assert!(!format!("{error} {error:?}").contains("zq"), "{error}");
        }
    }
}
