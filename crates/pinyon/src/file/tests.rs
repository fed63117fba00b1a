use super::FileStore;
use super::directory::{Directory, unix_now};
use super::format::{self, Head};
use super::lock::Lock;
use crate::error::ErrorKind;
use crate::memory::Deadline;
use crate::settings::{FileSettings, OnBadValue, SerializerKind};
use crate::store::{Integer, Item, Store};
use crate::timeout::{Expiry, Ttl};
use proptest::prelude::*;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The file of the key `:1:foo` with the value "bar" and no timeout, as Django 6.1 writes it.
const FOO: &[u8] = b"\x80\x05N.\x78\x9c\x6b\x60\x9d\xca\xce\x00\x01\x3d\xcc\x49\x89\x45\x53\xf4\x00\x1d\x20\x03\xa8";
const FOO_NAME: &str = "9fe685f2d059d8a11303e9e64be4cc7b.djcache";
/// "bar" as a pickle.
const BAR: &[u8] = b"\x80\x05\x95\x07\0\0\0\0\0\0\0\x8c\x03bar\x94.";

const MINUTE: Expiry = Expiry::In(Duration::from_secs(60));

fn settings(directory: &Path) -> FileSettings {
    FileSettings {
        directory: directory.to_owned(),
        max_entries: 100_000,
        cull_frequency: 3,
        max_bytes: None,
        serializer: SerializerKind::Pickle,
        on_bad_value: OnBadValue::Miss,
    }
}

fn open(change: impl FnOnce(&mut FileSettings)) -> (TempDir, FileStore) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    change(&mut settings);
    (directory, FileStore::new(&settings).unwrap())
}

fn item(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

fn names(directory: &Path, suffix: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name.ends_with(suffix)).collect()
}

fn entries(directory: &Path) -> usize {
    names(directory, ".djcache").len()
}

#[test]
fn a_file_of_djangos_is_read_and_written_under_its_name() {
    let (directory, store) = open(|_| {});
    fs::write(directory.path().join(FOO_NAME), FOO).unwrap();
    assert_eq!(store.fetch(":1:foo").unwrap().as_deref(), Some(BAR));
    assert_eq!(store.ttl(":1:foo").unwrap(), Ttl::Never);
    assert!(store.delete(":1:foo").unwrap());
    store.set(":1:foo", item(BAR), Expiry::Never).unwrap();
    let written = fs::read(directory.path().join(FOO_NAME)).unwrap();
    assert_eq!(written[..6], FOO[..6], "the head, and what zlib begins with at level 6");
    assert_eq!(format::read_value(&written[4..]).unwrap().bytes, BAR);
}

#[test]
fn a_moment_of_expiry_is_a_pickled_float() {
    let written = format::write(Deadline::At(1_700_000_000.5), BAR);
    let mut expected = b"\x80\x05\x95\x0a\0\0\0\0\0\0\0\x47".to_vec();
    expected.extend(1_700_000_000.5_f64.to_be_bytes());
    expected.push(b'.');
    assert_eq!(written[..21], expected);
    assert_eq!(Head::read(&written), Head::Entry { deadline: Deadline::At(1_700_000_000.5), value_at: 21 });
}

#[test]
fn heads_of_every_protocol_are_read_and_others_are_broken() {
    let at = |moment, value_at| Head::Entry { deadline: Deadline::At(moment), value_at };
    assert_eq!(Head::read(b"\x80\x02G\x41\xd9\x54\xfc\x40\x20\0\0.rest"), at(1_700_000_000.5, 12));
    assert_eq!(Head::read(b"\x80\x04J\0\xf1\x53\x65.rest"), at(1_700_000_000.0, 8));
    assert_eq!(Head::read(b"F1.5\n."), at(1.5, 6));
    assert_eq!(Head::read(b"N."), Head::Entry { deadline: Deadline::Never, value_at: 2 });
    for broken in [&b"\0"[..], b"\x80\x05", b"\x80\x05\x8c\x01a.", b"value", b"\x78\x9c"] {
        assert_eq!(Head::read(broken), Head::Broken, "{broken:?}");
    }
}

#[test]
fn an_entry_expires_after_its_moment_and_not_at_it() {
    let head = Head::Entry { deadline: Deadline::At(10.0), value_at: 0 };
    assert!(!head.is_expired(10.0) && head.is_expired(10.1) && !head.is_expired(9.9));
}

#[test]
fn an_empty_file_has_expired_and_is_removed_when_it_is_read() {
    let (directory, store) = open(|_| {});
    for look in
        [|store: &FileStore| store.has(":1:foo").unwrap(), |store: &FileStore| store.fetch(":1:foo").unwrap().is_some()]
    {
        fs::write(directory.path().join(FOO_NAME), b"").unwrap();
        assert!(!look(&store));
        assert_eq!(entries(directory.path()), 0);
    }
    fs::write(directory.path().join(FOO_NAME), format::write(Deadline::At(unix_now() - 1.0), BAR)).unwrap();
    assert!(store.add(":1:foo", item(BAR), MINUTE).unwrap(), "an expired file is none for add");
    assert!(store.has(":1:foo").unwrap());
}

#[test]
fn bytes_after_the_value_are_ignored_and_touch_and_incr_drop_them() {
    let (directory, store) = open(|_| {});
    let path = directory.path().join(FOO_NAME);
    fs::write(&path, [FOO, &b"seventeen more b."[..]].concat()).unwrap();
    assert_eq!(store.fetch(":1:foo").unwrap().as_deref(), Some(BAR));
    assert!(store.touch(":1:foo", Expiry::Never).unwrap());
    assert_eq!(fs::read(&path).unwrap(), FOO);
    fs::write(&path, [&format::write(Deadline::Never, b"\x80\x05K*.")[..], b"garbage"].concat()).unwrap();
    assert_eq!(store.incr(":1:foo", 1).unwrap(), Some(Integer::Small(43)));
    assert_eq!(fs::read(&path).unwrap(), format::write(Deadline::Never, b"\x80\x05K+."));
}

#[test]
fn touch_puts_one_moment_over_another_and_makes_a_new_file_where_there_was_none() {
    use std::os::unix::fs::MetadataExt;
    let (directory, store) = open(|_| {});
    let path = directory.path().join(FOO_NAME);
    let inode = || fs::metadata(&path).unwrap().ino();
    store.set(":1:foo", item(BAR), MINUTE).unwrap();
    let first = File::open(&path).unwrap();
    let before = inode();
    assert!(store.touch(":1:foo", Expiry::In(Duration::from_secs(600))).unwrap());
    assert_eq!(inode(), before);
    assert!(matches!(store.ttl(":1:foo").unwrap(), Ttl::Left(left) if left > Duration::from_secs(500)));
    assert_eq!(store.fetch(":1:foo").unwrap().as_deref(), Some(BAR));
    assert!(store.touch(":1:foo", Expiry::Never).unwrap());
    assert_ne!(inode(), before, "{first:?} keeps its number");
    assert_eq!(fs::read(&path).unwrap(), FOO);
}

#[test]
fn a_broken_file_is_an_item_without_bytes() {
    let (directory, store) = open(|_| {});
    let path = directory.path().join(FOO_NAME);
    for broken in [&b"value"[..], &FOO[..12], b"\x80\x05N.", b"\x80\x05N.no zlib", &[0; 100]] {
        fs::write(&path, broken).unwrap();
        assert_eq!(store.fetch(":1:foo").unwrap().as_deref(), Some(&b""[..]), "{broken:?}");
        assert!(!store.touch(":1:foo", MINUTE).unwrap());
        assert_eq!(store.incr(":1:foo", 1).unwrap_err().kind(), ErrorKind::NotAnInteger);
        assert!(!store.add(":1:foo", item(BAR), MINUTE).unwrap());
    }
    store.set(":1:foo", item(BAR), MINUTE).unwrap();
    assert_eq!(store.fetch(":1:foo").unwrap().as_deref(), Some(BAR));
}

proptest! {
    #[test]
    fn any_bytes_are_an_entry_or_broken(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let bytes = if head { [FOO, &bytes].concat() } else { bytes };
        match Head::read(&bytes) {
            Head::Entry { value_at, .. } => {
                prop_assert!(value_at <= bytes.len());
                if let Some(value) = format::read_value(&bytes[value_at..]) {
                    prop_assert!(value.compressed <= bytes.len() - value_at);
                }
            }
            Head::Broken => prop_assert!(!head),
        }
    }
}

#[test]
fn a_value_that_unpacks_to_too_much_is_none_and_is_not_unpacked() {
    let file = format::write(Deadline::Never, &vec![0; 100_000]);
    assert_eq!(format::unpack(&file[4..], 100_000).unwrap().bytes.len(), 100_000);
    assert!(format::unpack(&file[4..], 99_999).is_none());
}

#[test]
fn a_full_cache_loses_one_entry_in_three_before_it_takes_another() {
    let (directory, store) = open(|settings| settings.max_entries = 30);
    for number in 0..49 {
        store.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    assert_eq!(entries(directory.path()), 29);
    let emptied = store.with_limits(30, 0);
    for number in 100..102 {
        emptied.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    assert_eq!(entries(directory.path()), 1, "CULL_FREQUENCY 0 removes them all");
    store.with_limits(-1, 3).set("last", item(BAR), MINUTE).unwrap();
    assert!(store.has("last").unwrap(), "what is set is there, whatever the limits");
}

#[test]
fn culling_takes_what_has_expired_first() {
    let (directory, store) = open(|settings| settings.max_entries = 30);
    for number in 0..10 {
        let name = Directory::file_name(&format!("old-{number}"));
        fs::write(directory.path().join(name), format::write(Deadline::At(unix_now() - 1.0), BAR)).unwrap();
    }
    for number in 0..21 {
        store.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    assert_eq!(entries(directory.path()), 21);
    for number in 0..21 {
        assert!(store.has(&format!("key-{number}")).unwrap(), "{number}");
    }
}

#[test]
fn a_count_that_went_wrong_is_corrected_before_anything_is_removed() {
    let (directory, store) = open(|settings| settings.max_entries = 30);
    for number in 0..29 {
        store.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    for name in names(directory.path(), ".djcache").iter().take(20) {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    for number in 100..103 {
        store.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    assert_eq!(entries(directory.path()), 12);
}

#[test]
fn what_other_processes_write_is_counted_after_a_while() {
    let (directory, store) = open(|settings| settings.max_entries = 100);
    let other = FileStore::new(&FileSettings { max_entries: 100_000, ..settings(directory.path()) }).unwrap();
    store.set("first", item(BAR), MINUTE).unwrap();
    for number in 0..500 {
        other.set(&format!("other-{number}"), item(BAR), MINUTE).unwrap();
    }
    for number in 0..40 {
        store.set(&format!("key-{number}"), item(BAR), MINUTE).unwrap();
    }
    assert!(entries(directory.path()) < 400, "{} entries", entries(directory.path()));
}

/// Bytes that zlib cannot make smaller.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33).to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn all_files_together_keep_within_max_bytes() {
    let (directory, store) = open(|settings| settings.max_bytes = Some(20_000));
    for number in 0..100 {
        assert!(store.set(&format!("key-{number}"), item(&noise(1000, number)), MINUTE).unwrap());
        let sizes = names(directory.path(), ".djcache").into_iter();
        let total: u64 = sizes.map(|name| directory.path().join(name).metadata().unwrap().len()).sum();
        assert!(total <= 20_000, "{total} bytes");
        assert!(store.has(&format!("key-{number}")).unwrap());
    }
    assert!(entries(directory.path()) >= 12, "one third was removed at a time");
}

#[test]
fn what_alone_exceeds_max_bytes_is_refused_and_the_old_value_is_gone() {
    let (_directory, store) = open(|settings| settings.max_bytes = Some(2000));
    store.set("key", item(BAR), MINUTE).unwrap();
    assert!(!store.add("other", item(&noise(3000, 1)), MINUTE).unwrap());
    assert_eq!(store.set_many(&[("key", item(&noise(3000, 1))), ("more", item(BAR))], MINUTE).unwrap(), [0]);
    assert!(!store.has("key").unwrap() && store.has("more").unwrap() && !store.has("other").unwrap());
}

#[test]
fn temporary_files_of_killed_processes_are_removed_when_they_are_old() {
    let (directory, store) = open(|settings| settings.max_entries = 1);
    let (old, new) = (directory.path().join(".pinyon-old.tmp"), directory.path().join(".pinyon-new.tmp"));
    fs::write(&new, b"").unwrap();
    let two_hours_ago = SystemTime::now() - Duration::from_secs(7200);
    File::create(&old).unwrap().set_modified(two_hours_ago).unwrap();
    File::create(directory.path().join("not ours.tmp")).unwrap().set_modified(two_hours_ago).unwrap();
    store.set("key", item(BAR), MINUTE).unwrap();
    assert!(!old.exists() && new.exists());
    assert_eq!(names(directory.path(), ".tmp").len(), 2);
}

#[test]
fn clear_leaves_what_is_no_entry_and_the_directory() {
    let (directory, store) = open(|_| {});
    fs::write(directory.path().join("not-a-cache-file"), b"mine").unwrap();
    store.set("key", item(BAR), MINUTE).unwrap();
    store.clear().unwrap();
    assert_eq!(entries(directory.path()), 0);
    assert!(directory.path().join("not-a-cache-file").exists());
}

#[test]
fn a_lock_that_is_not_given_back_is_an_error_that_names_it() {
    let (directory, store) = open(|_| {});
    store.set(":1:foo", item(BAR), MINUTE).unwrap();
    let other = Directory::new(directory.path().to_owned());
    let held = other.lock(Lock::of(FOO_NAME)).unwrap();
    assert!(held.is_some());
    let error = store.incr(":1:foo", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains(".pinyon-31.lock"), "{error}");
    assert!(store.has(":1:foo").unwrap(), "reading needs no lock");
    drop(held);
    assert!(store.delete(":1:foo").unwrap());
}
