//! What the Rust face makes of settings: aliases, key functions, and what only Python can do.

use pinyon::{Caches, ErrorKind, Settings, Timeout, Version};

#[test]
fn an_alias_that_does_not_exist_is_an_error_with_those_that_do() {
    let caches = Caches::from_toml("[default]\nBACKEND = 'memory'\n[pages]\nBACKEND = 'memory'").unwrap();
    assert_eq!(caches.aliases().collect::<Vec<_>>(), ["default", "pages"]);
    let error = caches.get("page").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("'page'. The settings have 'default', 'pages'"), "{error}");
}

#[test]
fn two_aliases_of_one_memory_share_it_and_others_do_not() {
    let caches = Caches::from_toml(
        "[a]\nBACKEND = 'memory'\nLOCATION = 'shared by two'\n\
         [b]\nBACKEND = 'memory'\nLOCATION = 'shared by two'\n\
         [c]\nBACKEND = 'memory'\nLOCATION = 'of its own'\n",
    )
    .unwrap();
    let get = |alias: &str| caches.get(alias).unwrap().blocking().get::<i32>("key").unwrap();
    caches.get("a").unwrap().blocking().set("key", &1, Timeout::Default).unwrap();
    assert_eq!((get("a"), get("b"), get("c")), (Some(1), Some(1), None));
}

const KEY_FUNCTION: &str = "[default]\nBACKEND = 'memory'\nLOCATION = 'key function'\nKEY_PREFIX = 'p'\nVERSION = 3\nKEY_FUNCTION = 'shop.make'";

#[test]
fn a_registered_key_function_makes_the_keys() {
    let builder = Caches::builder()
        .key_function("shop.make", |key, prefix, version: &Version| format!("{key}/{version}/{prefix}"));
    let caches = builder.build(Settings::from_toml(KEY_FUNCTION).unwrap());
    let cache = caches.get("default").unwrap();
    cache.blocking().set("key", &1, Timeout::Default).unwrap();
    assert!(cache.store().has("key/3/p").unwrap());
    cache.with_version(4).blocking().set("key", &1, Timeout::Default).unwrap();
    assert!(cache.store().has("key/4/p").unwrap());
}

#[test]
fn a_key_function_that_is_not_registered_is_an_error_that_says_how() {
    let caches = Caches::from_toml(KEY_FUNCTION).unwrap();
    let error = caches.get("default").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Config, Some("default")));
    assert!(error.message().contains("KEY_FUNCTION 'shop.make' is Python code"), "{error}");
    assert!(error.hint().unwrap().contains("Caches::builder().key_function(name, function)"), "{error}");
    // Django's own function is what happens anyway.
    let own = KEY_FUNCTION.replace("shop.make", "django.core.cache.backends.base.default_key_func");
    assert!(Caches::from_toml(&own).unwrap().get("default").is_ok());
}

#[test]
fn a_serializer_in_python_is_an_error_that_names_those_that_both_faces_read() {
    let toml = "[default]\nBACKEND = 'django_redis.cache.RedisCache'\nLOCATION = 'redis://127.0.0.1:1'\n\
                OPTIONS = { SERIALIZER = 'shop.serializers.Own' }";
    let caches = Caches::from_toml(toml).unwrap();
    let error = caches.get("default").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Config, Some("default")));
    assert!(error.message().contains("SERIALIZER 'shop.serializers.Own' is Python code"), "{error}");
    assert!(error.hint().unwrap().contains("\"msgpack\""), "{error}");
}

#[test]
fn a_herd_client_is_an_error_too() {
    let toml = "[default]\nBACKEND = 'redis'\nLOCATION = 'redis://127.0.0.1:1'\nOPTIONS = { CLIENT_CLASS = 'django_redis.client.HerdClient' }";
    let error = Caches::from_toml(toml).unwrap().get("default").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Config, Some("default")));
    assert!(error.hint().unwrap().contains("DefaultClient"), "{error}");
}

#[test]
fn a_compressor_in_python_is_an_error_too() {
    let toml = "[default]\nBACKEND = 'redis'\nLOCATION = 'redis://127.0.0.1:1'\nOPTIONS = { COMPRESSOR = ['zlib', 'shop.Brotli'] }";
    let error = Caches::from_toml(toml).unwrap().get("default").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Config, Some("default")));
    assert!(error.message().contains("COMPRESSOR 'shop.Brotli' is Python code"), "{error}");
    assert!(error.hint().unwrap().contains("\"zstd\""), "{error}");
}

#[test]
fn nothing_connects_before_the_first_operation() {
    // Nobody listens at port 1.
    let caches = Caches::from_url("redis://127.0.0.1:1/0").unwrap();
    let cache = caches.get("default").unwrap();
    let error = cache.blocking().get::<i32>("key").unwrap_err();
    assert!(error.is_connection() && error.is_retryable() && !error.is_ambiguous(), "{error}");
}
