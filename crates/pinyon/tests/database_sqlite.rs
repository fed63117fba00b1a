//! The contract of a store, and Django's format, in a table of SQLite. Needs no server.
#![cfg(feature = "sqlite")]

use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::database::DatabaseStore;
use pinyon::settings::{DatabaseSettings, SerializerKind};
use pinyon::store::{Integer, Item, Store};
use pinyon::timeout::{Expiry, Ttl};
use pinyon::{Caches, ErrorKind, Timeout};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const LONG: Expiry = Expiry::In(Duration::from_secs(300));

/// A directory, and the path of a database in it that is not there yet.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cache.sqlite3");
    (directory, file)
}

fn settings(file: &Path) -> DatabaseSettings {
    DatabaseSettings {
        table: "my_cache_table".into(),
        url: Some(format!("sqlite://{}", file.display())),
        create_table: true,
        max_entries: 100_000,
        ..DatabaseSettings::default()
    }
}

fn item(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

fn take(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    let mut found = None;
    store.get(key, &mut |item| found = Some(item.bytes.to_vec())).unwrap();
    found
}

fn rows(file: &Path) -> i64 {
    Connection::open(file).unwrap().query_row("SELECT COUNT(*) FROM my_cache_table", [], |row| row.get(0)).unwrap()
}

#[test]
fn sqlite_keeps_the_contract() {
    let (_directory, file) = place();
    for serializer in [SerializerKind::Pickle, SerializerKind::Json] {
        let settings = DatabaseSettings { serializer, ..settings(&file) };
        let capabilities =
            Capabilities { integers: IntegerRange::Unbounded, serializer: Some(serializer), ..Capabilities::default() };
        conformance::run(&|| Box::new(DatabaseStore::new(&settings).unwrap()), &capabilities).assert_passed();
    }
}

/// Table and rows as Django 6.1.3 on Python 3.12 made them: `createcachetable`, then `cache.set` of these values under the keys
/// foo, never, list, float and d with USE_TZ on, dumped with sqlite3. The moments were moved a hundred years ahead.
const WRITTEN_BY_DJANGO: &str = r#"
    CREATE TABLE "my_cache_table" (
        "cache_key" varchar(255) NOT NULL PRIMARY KEY,
        "value" text NOT NULL,
        "expires" datetime NOT NULL
    );
    CREATE INDEX "my_cache_table_expires" ON "my_cache_table" ("expires");
    INSERT INTO my_cache_table VALUES (':1:foo', 'gAWVBwAAAAAAAACMA2JhcpQu', '2126-11-22 22:03:24');
    INSERT INTO my_cache_table VALUES (':1:never', 'gAVLKi4=', '9999-12-31 23:59:59');
    INSERT INTO my_cache_table VALUES (':1:list', 'gAWVDgAAAAAAAABdlChLAYwDdHdvlE5lLg==', '2126-10-29 21:58:25');
    INSERT INTO my_cache_table VALUES (':1:float', 'gAWVCgAAAAAAAABHP/gAAAAAAAAu', '2126-11-22 22:00:05');
    INSERT INTO my_cache_table VALUES
        (':1:d', 'gAWVHwAAAAAAAAB9lCiMBXRpdGxllIwERW1tYZSMBXBhZ2VzlE3aAXUu', '9999-12-31 23:59:59');
    INSERT INTO my_cache_table VALUES (':1:expired', 'gAVLKi4=', '2026-11-22 22:03:24');
"#;

fn django_database() -> (TempDir, PathBuf) {
    let (directory, file) = place();
    Connection::open(&file).unwrap().execute_batch(WRITTEN_BY_DJANGO).unwrap();
    (directory, file)
}

fn caches(file: &Path, more: &str) -> Caches {
    Caches::from_toml(&format!(
        "[default]\nBACKEND = 'django.core.cache.backends.db.DatabaseCache'\nLOCATION = 'my_cache_table'\n\
         [default.OPTIONS]\nDATABASE_URL = 'sqlite://{}'\n{more}",
        file.display()
    ))
    .unwrap()
}

#[test]
fn what_django_wrote_is_read() {
    let (_directory, file) = django_database();
    let caches = caches(&file, "");
    let cache = caches.get("default").unwrap().blocking();
    assert_eq!(cache.get::<String>("foo").unwrap().as_deref(), Some("bar"));
    assert_eq!(cache.get::<i64>("never").unwrap(), Some(42));
    assert_eq!(cache.ttl("never").unwrap(), Ttl::Never);
    assert!(matches!(cache.ttl("foo").unwrap(), Ttl::Left(left) if left > Duration::from_secs(90 * 365 * 86_400)));
    assert_eq!(cache.get::<(i64, String, Option<i64>)>("list").unwrap(), Some((1, "two".to_owned(), None)));
    assert_eq!(cache.get::<f64>("float").unwrap(), Some(1.5));
    assert_eq!(cache.show("d").unwrap().as_deref(), Some("{'title': 'Emma', 'pages': 474}"));
    assert_eq!(cache.get::<i64>("expired").unwrap(), None);
    assert_eq!(cache.get_many::<i64>(&["never", "expired", "none"]).unwrap().len(), 1);
    assert_eq!(cache.incr("never", 1).unwrap(), 43);
    assert_eq!(cache.ttl("never").unwrap(), Ttl::Never, "the timeout stays");
}

#[test]
fn what_is_written_is_what_django_writes() {
    let (_directory, file) = django_database();
    let caches = caches(&file, "");
    let cache = caches.get("default").unwrap().blocking();
    let row = |key: &str| -> (String, String, String) {
        Connection::open(&file)
            .unwrap()
            .query_row(
                "SELECT value, expires, typeof(expires) FROM my_cache_table WHERE cache_key = ?",
                [format!(":1:{key}")],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap()
    };
    let (foo, never, float) = (row("foo").0, row("never"), row("float").0);
    cache.clear().unwrap();
    cache.set("foo", "bar", Timeout::Default).unwrap();
    cache.set_many([("never", 41)], Timeout::Never).unwrap();
    cache.incr("never", 1).unwrap();
    cache.add("float", &1.5, Timeout::secs_f64(100.7)).unwrap();
    assert_eq!((row("foo").0, row("never"), row("float").0), (foo, never, float));
    // A moment of the length of Django's: no fraction, no zone.
    let expires = row("foo").1;
    assert!(expires.len() == 19 && expires.as_bytes()[10] == b' ', "{expires}");
}

#[test]
fn a_table_is_made_exactly_as_django_makes_it() {
    let (_directory, file) = place();
    let (_other, theirs) = django_database();
    let store = DatabaseStore::new(&DatabaseSettings { create_table: false, ..settings(&file) }).unwrap();
    assert!(store.create_table().unwrap());
    assert!(!store.create_table().unwrap(), "it is there already");
    let schema = |file: &Path| -> Vec<(String, Option<String>)> {
        let connection = Connection::open(file).unwrap();
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_master ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        // The fixture is indented, and otherwise the text is the same.
        rows.map(|row| row.map(|(name, sql): (_, Option<String>)| (name, sql.map(|sql| sql.replace("\n    ", "\n")))))
            .map(|row| row.map(|(name, sql)| (name, sql.map(|sql| sql.replace("\n    ", "\n")))))
            .collect::<Result<_, _>>()
            .unwrap()
    };
    assert_eq!(schema(&file), schema(&theirs));
}

#[test]
fn a_url_is_a_whole_cache_and_makes_its_table() {
    let (_directory, file) = place();
    let url = format!("database+sqlite://{}?table=pages&timeout=60&KEY_PREFIX=shop&MAX_ENTRIES=5", file.display());
    let caches = Caches::from_url(&url).unwrap();
    let cache = caches.get("default").unwrap().blocking();
    cache.set("greeting", "hello", Timeout::Default).unwrap();
    assert_eq!(cache.get::<String>("greeting").unwrap().as_deref(), Some("hello"));
    let connection = Connection::open(&file).unwrap();
    let key: String = connection.query_row("SELECT cache_key FROM pages", [], |row| row.get(0)).unwrap();
    assert_eq!(key, "shop:1:greeting");
    let [report] = &cache.check()[..] else { panic!("one database") };
    assert_eq!(report.server, format!("sqlite://{}, table 'pages'", file.display()));
    let info = report.result.as_ref().unwrap();
    assert!(info.version.starts_with("SQLite 3."), "{}", info.version);
    assert_eq!(info.entries, Some(1));

    let defaults = Caches::from_url(&format!("database+sqlite://{}", file.display())).unwrap();
    defaults.get("default").unwrap().blocking().set("key", "value", Timeout::Default).unwrap();
    let connection = Connection::open(&file).unwrap();
    assert!(connection.table_exists(None, "pinyon_cache").unwrap());
}

#[test]
fn without_a_url_or_a_table_the_error_says_what_to_do() {
    let caches_without = Caches::from_toml("[default]\nBACKEND = 'database'\nLOCATION = 'cache'").unwrap();
    let error = caches_without.get("default").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Config, Some("default")));
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");

    let (_directory, file) = place();
    let missing_file = caches(&file, "");
    let error = missing_file.get("default").unwrap().blocking().get::<i64>("key").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(!file.exists(), "a wrong path makes no file");

    Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let error = missing_file.get("default").unwrap().blocking().set("key", "v4lue", Timeout::Default).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Server);
    for part in ["cache 'default', set on sqlite://", "table 'my_cache_table'", "no such table", "pinyon create-table"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("v4lue"), "{text}");

    let file = file.with_extension("txt");
    std::fs::write(&file, "this is text, and no database at all".repeat(100)).unwrap();
    let error = caches(&file, "").get("default").unwrap().blocking().get::<i64>("key").unwrap_err();
    assert!(error.to_string().contains("no sound SQLite database"), "{error}");
}

#[test]
fn somebody_elses_database_keeps_its_journal_and_the_caches_own_has_a_write_ahead_log() {
    let mode = |file: &Path| -> String {
        Connection::open(file).unwrap().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap()
    };
    let (_directory, theirs) = django_database();
    caches(&theirs, "").get("default").unwrap().blocking().set("key", "value", Timeout::Default).unwrap();
    assert_eq!(mode(&theirs), "delete");
    let (_other, own) = place();
    DatabaseStore::new(&settings(&own)).unwrap().set("key", item(b"value"), LONG).unwrap();
    assert_eq!(mode(&own), "wal");
}

#[test]
fn a_broken_value_is_a_counted_miss_or_an_error_as_the_settings_say() {
    let (_directory, file) = django_database();
    let connection = Connection::open(&file).unwrap();
    for (key, value) in
        [(":1:text", "not base64!"), (":1:cut", "gAWVBwAAAAAAAACMA2Jh"), (":1:empty", ""), (":1:old", "N.")]
    {
        connection.execute("INSERT INTO my_cache_table VALUES (?, ?, '9999-12-31 23:59:59')", [key, value]).unwrap();
    }
    connection.execute("INSERT INTO my_cache_table VALUES (':1:blob', x'ff00', '9999-12-31 23:59:59')", []).unwrap();
    let keys = ["text", "cut", "empty", "old", "blob"];
    let lenient = caches(&file, "");
    let cache = lenient.get("default").unwrap();
    for key in keys {
        assert_eq!(cache.blocking().get::<Option<String>>(key).unwrap(), None, "{key}");
    }
    assert_eq!(cache.blocking().get_many::<Option<String>>(&keys).unwrap().len(), 0);
    assert_eq!(cache.stats().bad_values, 10);
    let strict = caches(&file, "ON_BAD_VALUE = 'raise'");
    for key in keys {
        let error = strict.get("default").unwrap().blocking().get::<Option<String>>(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue, "{key}");
        let error = strict.get("default").unwrap().blocking().incr(key, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAnInteger, "{key}");
    }
    connection.execute("INSERT INTO my_cache_table VALUES (':1:when', 'gAVLKi4=', 'tomorrow')", []).unwrap();
    assert_eq!(cache.blocking().ttl("when").unwrap(), Ttl::Missing);
}

#[test]
fn pickled_integers_are_counted_up_atomically_and_keep_their_timeout() {
    let (_directory, file) = place();
    let store = DatabaseStore::new(&settings(&file)).unwrap();
    store.set("hits", item(b"\x80\x05K\0."), LONG).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert!(store.incr("hits", 1).unwrap().is_some())));
        }
    });
    assert_eq!(store.incr("hits", -1).unwrap(), Some(Integer::Small(199)));
    assert_eq!(take(&store, "hits").unwrap(), b"\x80\x05K\xc7.");
    assert!(matches!(store.ttl("hits").unwrap(), Ttl::Left(left) if left <= Duration::from_secs(300)));
}

#[test]
fn a_full_table_is_culled_as_django_culls_it_expired_rows_first() {
    let (_directory, file) = place();
    let store = DatabaseStore::new(&DatabaseSettings { max_entries: 30, ..settings(&file) }).unwrap();
    let key = |number: usize| format!("cull{number:02}");
    for number in 1..50 {
        store.set(&key(number), item(b"value"), LONG).unwrap();
    }
    // Django's test of 49 sets with MAX_ENTRIES=30 and CULL_FREQUENCY=3 leaves 29: after the 31st row and after the 31st again,
    // the lowest third goes.
    assert_eq!(rows(&file), 29);
    assert!(!store.has(&key(1)).unwrap() && store.has(&key(49)).unwrap());

    let all = DatabaseStore::new(&DatabaseSettings { max_entries: 30, cull_frequency: 0, ..settings(&file) }).unwrap();
    all.clear().unwrap();
    for number in 1..50 {
        all.set(&key(number), item(b"value"), LONG).unwrap();
    }
    assert_eq!(rows(&file), 18);

    store.clear().unwrap();
    let connection = Connection::open(&file).unwrap();
    for number in 0..40 {
        let expires = if number < 35 { "9999-12-31 23:59:59" } else { "2001-01-01 00:00:00" };
        let row = (key(number), "gAVLKi4=", if number < 10 { "2001-01-01 00:00:00" } else { expires });
        connection.execute("INSERT INTO my_cache_table VALUES (?, ?, ?)", row).unwrap();
    }
    store.set("new", item(b"value"), LONG).unwrap();
    assert_eq!(rows(&file), 26, "what has expired was enough");
    assert!(store.has(&key(10)).unwrap());
}

#[test]
fn rows_are_not_counted_with_each_write_and_the_limit_is_kept_all_the_same() {
    let (_directory, file) = place();
    let store = DatabaseStore::new(&DatabaseSettings { max_entries: 160, ..settings(&file) }).unwrap();
    for number in 0..1000 {
        store.set(&format!("key{number}"), item(b"value"), LONG).unwrap();
        assert!(number % 50 != 0 || rows(&file) <= 170, "{} rows", rows(&file));
    }
    let many: Vec<String> = (0..100).map(|number| format!("many{number}")).collect();
    let items: Vec<(&str, Item<'_>)> = many.iter().map(|key| (key.as_str(), item(b"value"))).collect();
    for _ in 0..3 {
        store.set_many(&items, LONG).unwrap();
    }
    assert!(store.has("many0").unwrap() && store.has("many99").unwrap());
}

#[test]
fn many_keys_and_the_same_key_twice_are_no_problem() {
    let (_directory, file) = place();
    let store = DatabaseStore::new(&settings(&file)).unwrap();
    let keys: Vec<String> = (0..40_000).map(|number| format!("key{number}")).collect();
    let mut items: Vec<(&str, Item<'_>)> = keys.iter().map(|key| (key.as_str(), item(b"value"))).collect();
    items.push(("key7", item(b"last")));
    assert_eq!(store.set_many(&items, LONG).unwrap(), [0_usize; 0]);
    let mut asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    asked.extend(["key7", "none"]);
    let mut found = vec![0_usize; asked.len()];
    store.get_many(&asked, &mut |index, item| found[index] = item.bytes.len()).unwrap();
    assert_eq!((found[7], found[40_000], found[40_001], found[39_999]), (4, 4, 0, 5));
    store.delete_many(&asked).unwrap();
    assert_eq!(rows(&file), 0);
}

#[test]
fn a_database_that_stays_locked_is_a_timeout_and_not_a_hang() {
    let (_directory, file) = place();
    let store = DatabaseStore::new(&settings(&file)).unwrap();
    store.set("key", item(b"value"), LONG).unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.set("key", item(b"new"), LONG).unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("locked"), "{error}");
    assert_eq!(take(&store, "key").as_deref(), Some(&b"value"[..]), "readers do not wait for writers");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.set("key", item(b"new"), LONG).unwrap());
}

#[test]
fn two_stores_of_one_file_see_each_other_at_once() {
    let (_directory, file) = place();
    let [one, two] = [(); 2].map(|()| DatabaseStore::new(&settings(&file)).unwrap());
    one.set("key", item(b"one"), LONG).unwrap();
    assert_eq!(take(&two, "key").as_deref(), Some(&b"one"[..]));
    assert!(!two.add("key", item(b"two"), LONG).unwrap());
    assert!(two.delete("key").unwrap() && two.add("key", item(b"two"), LONG).unwrap());
    assert_eq!(take(&one, "key").as_deref(), Some(&b"two"[..]));
}
