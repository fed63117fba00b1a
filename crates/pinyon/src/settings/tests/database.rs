//! Databases, files and nothing: dictionaries and URLs.

use crate::error::ErrorKind;
use crate::settings::{BackendSettings, CacheSettings, DatabaseSettings, OnBadValue, SerializerKind, Settings};
use crate::timeout::Expiry;
use std::path::PathBuf;
use std::time::Duration;

fn one(settings: Settings) -> CacheSettings {
    let [cache] = <[CacheSettings; 1]>::try_from(settings.caches).unwrap();
    cache
}

fn database(settings: Settings) -> DatabaseSettings {
    match one(settings).backend {
        BackendSettings::Database(database) => database,
        other => panic!("{other:?}"),
    }
}

fn complaint(url: &str) -> String {
    let error = Settings::from_url(url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn a_database_has_a_table_and_a_url_of_its_own() {
    let read = database(
        Settings::from_toml(
            "[default]
            BACKEND = 'django.core.cache.backends.db.DatabaseCache'
            LOCATION = 'cache'
            max_entries = 7
            OPTIONS = { DATABASE_URL = 'postgres://u:s3cret@h/d', MAX_ENTRIES = 5, CULL_FREQUENCY = 2, SERIALIZER = 'json' }",
        )
        .unwrap(),
    );
    assert!(!format!("{read:?}").contains("s3cret"));
    let expected = DatabaseSettings {
        table: "cache".into(),
        url: Some("postgres://u:s3cret@h/d".into()),
        create_table: false,
        max_entries: 7,
        cull_frequency: 2,
        serializer: SerializerKind::Json,
        on_bad_value: OnBadValue::Miss,
    };
    assert_eq!(read, expected);
}

#[test]
fn a_file_as_a_url_makes_its_table_unless_it_is_told_not_to() {
    let read = database(Settings::from_url("database+sqlite:///var/tmp/a.sqlite3?KEY_PREFIX=x").unwrap());
    assert_eq!((read.table.as_str(), read.create_table), ("pinyon_cache", true));
    assert_eq!(read.url.as_deref(), Some("sqlite:///var/tmp/a.sqlite3"));
    let read = database(Settings::from_url("database+sqlite:///a.db?table=cache&CREATE_TABLE=false").unwrap());
    assert_eq!((read.table.as_str(), read.create_table), ("cache", false));
    assert!(complaint("database+sqlite:///a.db?mode=ro").contains("'mode' is not an option"));
}

#[test]
fn a_server_as_a_url_keeps_the_options_that_are_its_own() {
    let url = "database+postgres://u:p%40@h:5433/shop?sslmode=require&table=pages&MAX_ENTRIES=9&timeout=60";
    let cache = one(Settings::from_url(url).unwrap());
    assert_eq!(cache.timeout, Expiry::In(Duration::from_secs(60)));
    let BackendSettings::Database(read) = cache.backend else { panic!("{:?}", cache.backend) };
    assert_eq!(read.url.as_deref(), Some("postgres://u:p%40@h:5433/shop?sslmode=require"));
    assert_eq!((read.table.as_str(), read.max_entries, read.create_table), ("pages", 9, false));
}

#[test]
fn a_directory_and_nothing_at_all_are_urls_too() {
    let BackendSettings::File(file) =
        one(Settings::from_url("file:///var/tmp/a%20cache?MAX_BYTES=1MB").unwrap()).backend
    else {
        panic!("a file cache")
    };
    assert_eq!((file.directory, file.max_bytes), (PathBuf::from("/var/tmp/a cache"), Some(1_000_000)));
    assert_eq!(one(Settings::from_url("dummy://").unwrap()).backend, BackendSettings::Dummy);
}

#[test]
fn wrong_urls_say_how_to_write_them_and_nothing_secret() {
    for (url, part) in [
        ("file://relative", "three slashes"),
        ("dummy://something", "nothing may follow"),
        ("database+oracle://u:s3cret@h/d", "sqlite, postgres or mysql"),
        ("database://u:s3cret@h/d", "scheme"),
    ] {
        let complaint = complaint(url);
        assert!(complaint.contains(part) && complaint.contains("database+sqlite:///path"), "{url}: {complaint}");
        assert!(!complaint.contains("s3cret"), "{complaint}");
    }
}
