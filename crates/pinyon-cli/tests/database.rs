//! Caches in an SQLite database, on the command line. Needs no server.
#![cfg(feature = "sqlite")]

mod program;

use program::{pinyon, settings, text};

const SQL: &str = r#"CREATE TABLE "pages" (
    "cache_key" varchar(255) NOT NULL PRIMARY KEY,
    "value" text NOT NULL,
    "expires" datetime NOT NULL
);
CREATE INDEX "pages_expires" ON "pages" ("expires");
"#;

#[test]
fn a_database_url_is_a_cache_that_outlives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("database+sqlite://{}/cache.sqlite3", folder.path().display());
    assert_eq!(pinyon(["set", "hits", "41", "--int", "--timeout", "never", "--url", &url]).said(), "stored\n");
    assert_eq!(pinyon(["incr", "hits", "--url", &url]).said(), "42\n");
    assert_eq!(pinyon(["ttl", "hits", "--url", &url]).said(), "never\n");
    assert_eq!(pinyon(["get", "hits", "--url", &url]).said(), "42\n");
    let table = pinyon(["check", "--url", &url]).said();
    for part in ["database", "cache.sqlite3, table 'pinyon_cache'", "SQLite 3.", "All 1 answer."] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    assert_eq!(pinyon(["delete", "hits", "none", "--url", &url]).said(), "deleted 1 of 2\n");
}

#[test]
fn create_table_prints_djangos_sql_or_makes_the_table_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("db.sqlite3");
    let file = settings(
        folder.path(),
        "caches.toml",
        &format!(
            "[default]\nBACKEND = 'memory'\n[pages]\nBACKEND = 'django.core.cache.backends.db.DatabaseCache'\n\
             LOCATION = 'pages'\nOPTIONS = {{ DATABASE_URL = 'sqlite://{}' }}",
            database.display()
        ),
    );
    let complaint = pinyon(["get", "key", "-a", "pages", "--settings", text(&file)]).failed(1);
    assert!(
        complaint.contains("hint: Check that the file is there") && complaint.contains("create-table"),
        "{complaint}"
    );
    assert_eq!(pinyon(["create-table", "--sql", "--settings", text(&file)]).said(), SQL);
    assert!(!database.exists());
    assert_eq!(pinyon(["create-table", "--settings", text(&file)]).said(), "Cache table 'pages' created.\n");
    let again = pinyon(["create-table", "-a", "pages", "--settings", text(&file)]).said();
    assert_eq!(again, "Cache table 'pages' already exists.\n");
    assert_eq!(pinyon(["set", "key", "value", "-a", "pages", "--settings", text(&file)]).said(), "stored\n");
    assert_eq!(pinyon(["get", "key", "-a", "pages", "--settings", text(&file)]).said(), "'value'\n");
}

#[test]
fn create_table_says_why_there_is_nothing_to_make() {
    let complaint = pinyon(["create-table", "--url", "memory://"]).failed(2);
    assert!(complaint.contains("no cache of the settings is in a database"), "{complaint}");
    let complaint = pinyon(["create-table", "-a", "default", "--url", "memory://"]).failed(2);
    assert!(complaint.contains("cache 'default' is not in a database"), "{complaint}");
    let complaint = pinyon(["create-table", "-a", "pagse", "--url", "memory://"]).failed(2);
    assert!(complaint.contains("'pagse'") && complaint.contains("The settings have 'default'"), "{complaint}");

    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), "caches.toml", "[default]\nBACKEND = 'database'\nLOCATION = 'pages'");
    let complaint = pinyon(["create-table", "--settings", text(&file)]).failed(2);
    assert!(complaint.contains("cache 'default', create-table: OPTIONS has no DATABASE_URL"), "{complaint}");

    let checked = pinyon(["check", "--settings", text(&file)]);
    assert!(checked.stdout.contains("\ndefault\n  OPTIONS has no DATABASE_URL"), "{}", checked.stdout);
}

#[test]
fn a_dummy_cache_answers_and_keeps_nothing() {
    assert_eq!(pinyon(["set", "key", "value", "--url", "dummy://"]).said(), "stored\n");
    assert!(pinyon(["get", "key", "--url", "dummy://"]).failed(1).contains("has no key 'key'"));
    assert!(pinyon(["check", "--url", "dummy://"]).said().contains("All 1 answer."));
}
