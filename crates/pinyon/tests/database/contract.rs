//! What is true of every database server.

use crate::servers::databases::{Database, PASSWORD_IN_URL};
use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::database::DatabaseStore;
use pinyon::settings::DatabaseSettings;
use pinyon::store::{Integer, Item, Store};
use pinyon::timeout::{Expiry, Ttl};
use pinyon::{Caches, ErrorKind, Timeout};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

pub(crate) const LONG: Expiry = Expiry::In(Duration::from_secs(300));

pub(crate) fn settings(url: &str, table: &str) -> DatabaseSettings {
    DatabaseSettings {
        table: table.into(),
        url: Some(url.to_owned()),
        max_entries: 100_000,
        ..DatabaseSettings::default()
    }
}

/// A store whose table has been made.
pub(crate) fn store(database: &Database, table: &str) -> DatabaseStore {
    let store = DatabaseStore::new(&settings(&database.url(), table)).unwrap();
    store.create_table().unwrap();
    store
}

pub(crate) fn item(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

pub(crate) fn take(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    let mut found = None;
    store.get(key, &mut |item| found = Some(item.bytes.to_vec())).unwrap();
    found
}

/// The suite, with pickles as Django writes them.
pub(crate) fn keeps_the_contract(database: &Database) {
    store(database, "contract");
    let settings = settings(&database.url(), "contract");
    let capabilities = Capabilities {
        integers: IntegerRange::Unbounded,
        serializer: Some(settings.serializer),
        ..Capabilities::default()
    };
    let mut report = conformance::run(&|| Box::new(DatabaseStore::new(&settings).unwrap()), &capabilities);
    // The column has 255 characters, and no zero; see the next test.
    report.failed.retain(|(rule, _)| *rule != "every_key_is_allowed");
    assert!(report.failed.is_empty() && report.passed.len() > 40, "{report}");
}

pub(crate) fn keys_that_the_column_does_not_take_are_refused(database: &Database) {
    let store = store(database, "long_keys");
    for key in ["k".repeat(255), "é".repeat(255), String::new(), "with\r\nlines and spaces \u{7f}".to_owned()] {
        store.check_key(&key).unwrap();
        store.set(&key, item(b"value"), LONG).unwrap();
        assert_eq!(take(&store, &key).as_deref(), Some(&b"value"[..]));
    }
    for key in ["k".repeat(256), "with\0zero".to_owned()] {
        assert_eq!(store.check_key(&key).unwrap_err().kind(), ErrorKind::Key);
    }
}

pub(crate) fn writers_of_the_same_keys_do_not_disturb_each_other(database: &Database) {
    let store = store(database, "crowd");
    store.set("hits", item(b"\x80\x05K\0."), LONG).unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("key{number}")).collect();
    let added: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (store, keys) = (&store, &keys);
                scope.spawn(move || {
                    let mut items: Vec<(&str, Item<'_>)> = keys.iter().map(|key| (key.as_str(), item(b"v"))).collect();
                    if thread % 2 == 0 {
                        items.reverse();
                    }
                    let mut added = 0;
                    for round in 0..20 {
                        store.set_many(&items, LONG).unwrap();
                        store.set("same", item(b"value"), LONG).unwrap();
                        added += usize::from(store.add(&format!("once{round}"), item(b"value"), LONG).unwrap());
                        store.incr("hits", 1).unwrap().unwrap();
                        store.delete_many(&[&*keys[0], &*keys[19], &*keys[7]]).unwrap();
                    }
                    added
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(added, 20, "add is for one of them");
    assert_eq!(store.incr("hits", 0).unwrap(), Some(Integer::Small(80)));
}

pub(crate) fn an_expired_row_is_gone_for_touch_and_free_for_add(database: &Database) {
    let store = store(database, "expired");
    store.set("key", item(b"old"), LONG).unwrap();
    database.ask("UPDATE expired SET expires = '2001-01-01 00:00:00'");
    assert!(!store.touch("key", Expiry::Never).unwrap() && !store.delete("key").unwrap());
    assert_eq!((take(&store, "key"), store.ttl("key").unwrap()), (None, Ttl::Missing));
    assert!(store.add("key", item(b"new"), Expiry::Never).unwrap());
    assert!(!store.add("key", item(b"newer"), LONG).unwrap());
    assert_eq!((take(&store, "key").unwrap(), store.ttl("key").unwrap()), (b"new".to_vec(), Ttl::Never));
}

pub(crate) fn a_full_table_is_culled(database: &Database) {
    store(database, "filled");
    let store =
        DatabaseStore::new(&DatabaseSettings { max_entries: 30, ..settings(&database.url(), "filled") }).unwrap();
    for number in 1..50 {
        store.set(&format!("cull{number:02}"), item(b"value"), LONG).unwrap();
    }
    assert_eq!(database.ask("SELECT COUNT(*) FROM filled").trim(), "29");
}

/// `columns` is a query for the names and types of the columns, `expected` their answer.
pub(crate) fn a_table_is_made_once_as_django_makes_it(database: &Database, columns: &str, expected: &str) {
    let store = DatabaseStore::new(&settings(&database.url(), "made")).unwrap();
    let error = store.set("key", item(b"v4lue"), LONG).unwrap_err();
    let text = error.with_alias("default").to_string();
    assert!(text.contains("pinyon create-table") && text.contains("table 'made'") && !text.contains("v4lue"), "{text}");
    assert!(store.create_table().unwrap());
    assert!(!store.create_table().unwrap());
    assert_eq!(database.ask(columns), expected);
}

pub(crate) fn a_check_says_version_and_rows(database: &Database, product: &str) {
    let store = store(database, "checked");
    store.set("key", item(b"value"), LONG).unwrap();
    let [report] = &store.check()[..] else { panic!("one database") };
    assert!(
        report.server.ends_with(&format!("127.0.0.1:{}/shop, table 'checked'", database.port())),
        "{}",
        report.server
    );
    let info = report.result.as_ref().unwrap();
    let number = info.version.strip_prefix(product).unwrap_or_else(|| panic!("{}", info.version)).trim();
    assert!(number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !number.is_empty(), "{}", info.version);
    assert_eq!(info.entries, Some(1));
}

pub(crate) fn what_is_wrong_with_the_address_is_said_without_the_password(database: &Database) {
    let check = |url: &str| {
        let error = DatabaseStore::new(&settings(url, "cache")).unwrap().set("key", item(b"value"), LONG).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret") && !text.contains("s4cret"), "{text}");
        error
    };
    let url = database.url();
    assert_eq!(check(&url.replace(PASSWORD_IN_URL, "s4cret")).kind(), ErrorKind::Auth);
    assert_eq!(check(&url.replace("/shop", "/nowhere")).kind(), ErrorKind::Config);

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = check(&url.replace(&format!(":{}/", database.port()), &format!(":{nobody}/")));
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.is_retryable() && error.hint().is_some(), "{error}");

    // The system accepts the connection, and then nobody says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = check(&url.replace(&format!(":{}/", database.port()), &format!(":{port}/")));
    assert!(error.is_timeout(), "{error}");
}

pub(crate) fn a_restarted_server_is_found_again(database: &mut Database) {
    let store = store(database, "restarted");
    store.set("key", item(b"value"), LONG).unwrap();
    database.restart();
    assert_eq!(take(&store, "key").as_deref(), Some(&b"value"[..]), "a read is tried again");
    database.restart();
    assert!(store.set("key", item(b"new"), LONG).unwrap(), "a set is tried again");
    database.stop();
    assert!(store.get("key", &mut |_| {}).unwrap_err().is_connection());
    database.restart();
    assert_eq!(take(&store, "key").as_deref(), Some(&b"new"[..]));
}

pub(crate) fn works_within_a_runtime_of_somebody_else(database: &Database) {
    store(database, "within");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let url = format!("database+{}?table=within&KEY_PREFIX=async", database.url());
        let caches = Caches::from_url(&url).unwrap();
        let cache = caches.get("default").unwrap().blocking();
        cache.set("key", "value", Timeout::Default).unwrap();
        assert_eq!(cache.get::<String>("key").unwrap().as_deref(), Some("value"));
        // Closing connections within a runtime is no panic either.
        drop(DatabaseStore::new(&settings(&database.url(), "within")).unwrap().check());
    });
    assert!(database.ask("SELECT cache_key FROM within").contains("async:1:key"));
}
