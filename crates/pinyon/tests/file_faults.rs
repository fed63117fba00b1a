//! What files do when things break. Needs no server.

use pinyon::file::FileStore;
use pinyon::settings::{FileSettings, OnBadValue, SerializerKind};
use pinyon::{Caches, ErrorKind, Expiry, Item, Store, Timeout};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const ITEM: Item<'_> = Item { bytes: b"\x80\x05K*.", flags: 0 };

fn open(directory: &Path) -> FileStore {
    FileStore::new(&FileSettings {
        directory: directory.to_owned(),
        max_entries: 300,
        cull_frequency: 3,
        max_bytes: None,
        serializer: SerializerKind::Pickle,
        on_bad_value: OnBadValue::Miss,
    })
    .unwrap()
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_the_owner_can_read_files_and_every_directory_that_was_made() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("one/two/three");
    open(&directory).set("key", ITEM, Expiry::Never).unwrap();
    for made in ["one", "one/two", "one/two/three"] {
        assert_eq!(mode(&root.path().join(made)), 0o700, "{made}");
    }
    let [file] = &files(&directory, ".djcache")[..] else { panic!("one entry is one file") };
    assert_eq!(mode(file), 0o600);
    for lock in files(&directory, ".lock") {
        assert_eq!(mode(&lock), 0o600);
    }
}

#[test]
fn without_the_directory_everything_is_a_miss_and_the_next_write_makes_it_again() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("cache");
    let store = open(&directory);
    for round in 0..2 {
        assert!(!store.has("key").unwrap() && !store.get("key", &mut |_| {}).unwrap());
        assert!(!store.touch("key", Expiry::Never).unwrap() && !store.delete("key").unwrap());
        assert_eq!(store.incr("key", 1).unwrap(), None);
        store.delete_many(&["key"]).unwrap();
        store.clear().unwrap();
        assert!(!directory.exists(), "none of these makes the directory");
        if round == 0 {
            store.set("key", ITEM, Expiry::Never).unwrap();
        } else {
            assert!(store.add("key", ITEM, Expiry::Never).unwrap());
        }
        assert!(store.has("key").unwrap());
        fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fs::create_dir(directory.path().join("9fe685f2d059d8a11303e9e64be4cc7b.djcache")).unwrap();
    let outcomes = [
        store.get(":1:foo", &mut |_| {}).map(drop),
        store.set(":1:foo", ITEM, Expiry::Never).map(drop),
        store.add(":1:foo", ITEM, Expiry::Never).map(drop),
        store.delete(":1:foo").map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File);
        assert!(error.to_string().contains("9fe685f2d059d8a11303e9e64be4cc7b.djcache"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("remove it")), "{error}");
        assert_eq!(error.server(), Some(directory.path().to_str().unwrap()));
    }
    assert!(files(directory.path(), ".tmp").is_empty());
    store.set("other", ITEM, Expiry::Never).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error_that_says_so() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("cache");
    fs::write(&file, b"mine").unwrap();
    let store = open(&file);
    let report = store.check().pop().unwrap();
    for error in [store.set("key", ITEM, Expiry::Never).unwrap_err(), report.result.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::File);
        assert!(error.to_string().contains("must name a directory"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_check_counts_files_and_bytes_and_leaves_none() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("cache"));
    store.set("a", ITEM, Expiry::Never).unwrap();
    store.set("b", ITEM, Expiry::Never).unwrap();
    let [report] = &store.check()[..] else { panic!("files are one server") };
    assert_eq!(report.server, root.path().join("cache").to_str().unwrap());
    let info = report.result.as_ref().unwrap();
    let bytes: u64 = files(store.directory(), ".djcache").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!((info.entries, info.memory_used), (Some(2), Some(bytes)));
    assert!(files(store.directory(), ".tmp").is_empty());
}

#[test]
fn a_cache_of_the_dictionary_pickles_everything_and_counts_what_it_cannot_read() {
    let root = tempfile::tempdir().unwrap();
    let toml = format!("[default]\nBACKEND = \"file\"\nLOCATION = \"{}\"", root.path().display());
    let caches = Caches::from_toml(&toml).unwrap();
    let cache = caches.get("default").unwrap();
    let blocking = cache.blocking();
    blocking.set("number", &41, Timeout::Default).unwrap();
    assert_eq!(blocking.incr("number", 1).unwrap(), 42);
    assert_eq!(blocking.get::<i64>("number").unwrap(), Some(42));
    assert_eq!(blocking.show("number").unwrap().as_deref(), Some("42"));
    let [file] = &files(root.path(), ".djcache")[..] else { panic!("one entry is one file") };
    fs::write(file, b"broken").unwrap();
    assert_eq!(blocking.get::<i64>("number").unwrap(), None);
    assert_eq!(cache.stats().bad_values, 1);
    assert_eq!(blocking.get_or_set("number", Timeout::Default, || 7).unwrap(), 7);
    assert_eq!(blocking.get::<i64>("number").unwrap(), Some(7));
}
