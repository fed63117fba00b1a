//! Several processes on one directory. Needs no server.

use pinyon::file::FileStore;
use pinyon::settings::{FileSettings, OnBadValue, SerializerKind};
use pinyon::value::stored_integer;
use pinyon::{Expiry, Integer, Item, Store};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const PICKLE: SerializerKind = SerializerKind::Pickle;
const MINUTE: Expiry = Expiry::In(Duration::from_secs(60));
/// How often each process does what it does.
const ROUNDS: u16 = 500;

fn open(directory: &Path) -> FileStore {
    FileStore::new(&FileSettings {
        directory: directory.to_owned(),
        max_entries: 100_000,
        cull_frequency: 3,
        max_bytes: None,
        serializer: PICKLE,
        on_bad_value: OnBadValue::Miss,
    })
    .unwrap()
}

/// One byte over and over; the length follows from the byte.
fn value(number: u16) -> Vec<u8> {
    let byte = u8::try_from(number % 200).unwrap();
    vec![byte; 1 + usize::from(byte) * 100]
}

/// Runs a job of [`job_of_another_process`] in a process of its own.
fn start(job: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "job_of_another_process", "--ignored", "--quiet"])
        .env("PINYON_TEST_JOB", job)
        .env("PINYON_TEST_DIRECTORY", directory)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn finish(children: impl IntoIterator<Item = Child>) {
    for mut child in children {
        assert!(child.wait().unwrap().success(), "the other process failed");
    }
}

#[test]
#[ignore = "started by the tests of this file"]
fn job_of_another_process() {
    let (Ok(job), Ok(directory)) = (std::env::var("PINYON_TEST_JOB"), std::env::var("PINYON_TEST_DIRECTORY")) else {
        return;
    };
    let store = open(Path::new(&directory));
    for round in 0..ROUNDS {
        match job.as_str() {
            "set" => assert!(store.set("key", Item { bytes: &value(round), flags: 0 }, MINUTE).unwrap()),
            "touch" => _ = store.touch("key", if round % 2 == 0 { MINUTE } else { Expiry::Never }).unwrap(),
            "incr" => assert!(store.incr("counter", 1).unwrap().is_some()),
            "add" => {
                let number = Item { bytes: b"\x80\x05K\0.", flags: 0 };
                if store.add(&format!("add-{round}"), number, MINUTE).unwrap() {
                    store.incr("winners", 1).unwrap();
                }
            }
            other => panic!("no job is called {other}"),
        }
    }
}

#[test]
fn a_reader_never_sees_a_broken_value_while_processes_write_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.set("key", Item { bytes: &value(0), flags: 0 }, MINUTE).unwrap();
    let mut children =
        [start("set", directory.path()), start("set", directory.path()), start("touch", directory.path())];
    let mut reads = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) || reads == 0 {
        let found = store.fetch("key").unwrap().expect("the key always has a value");
        let first = found.first().copied().expect("a value that cannot be read");
        assert!(found == value(u16::from(first)), "a torn value");
        reads += 1;
    }
    finish(children);
}

#[test]
fn no_incr_of_several_processes_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let zero = stored_integer::write(PICKLE, &Integer::Small(0)).unwrap();
    store.set("counter", Item { bytes: &zero, flags: 0 }, Expiry::Never).unwrap();
    finish([start("incr", directory.path()), start("incr", directory.path()), start("incr", directory.path())]);
    assert_eq!(store.incr("counter", 0).unwrap(), Some(Integer::Small(3 * i64::from(ROUNDS))));
}

#[test]
fn one_process_wins_every_add() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let zero = stored_integer::write(PICKLE, &Integer::Small(0)).unwrap();
    store.set("winners", Item { bytes: &zero, flags: 0 }, Expiry::Never).unwrap();
    finish([start("add", directory.path()), start("add", directory.path())]);
    assert_eq!(store.incr("winners", 0).unwrap(), Some(Integer::Small(i64::from(ROUNDS))));
}

#[test]
fn a_process_that_is_killed_leaves_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.set("key", Item { bytes: &value(0), flags: 0 }, MINUTE).unwrap();
    for pause in [5, 10, 20, 40] {
        let mut child = start("set", directory.path());
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(store.set("key", Item { bytes: &value(7), flags: 0 }, MINUTE).unwrap());
        assert_eq!(store.fetch("key").unwrap(), Some(value(7)));
    }
}
