//! The contract of a store, kept by files. Needs no server.

use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::file::FileStore;
use pinyon::settings::{FileSettings, OnBadValue, SerializerKind};
use std::path::Path;

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

fn run(change: impl FnOnce(&mut FileSettings), integers: IntegerRange) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory.path().join("made by the first entry"));
    change(&mut settings);
    let capabilities = Capabilities { integers, serializer: Some(settings.serializer), ..Capabilities::default() };
    conformance::run(&|| Box::new(FileStore::new(&settings).unwrap()), &capabilities).assert_passed();
    let left = settings.directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(left.filter(|path| path.extension() == Some("tmp".as_ref())).count(), 0);
}

#[test]
fn files_keep_the_contract() {
    run(|_| {}, IntegerRange::Unbounded);
}

#[test]
fn files_with_max_bytes_and_json_keep_the_contract() {
    let change = |settings: &mut FileSettings| {
        settings.max_bytes = Some(64 * 1024 * 1024);
        settings.serializer = SerializerKind::Json;
    };
    run(change, IntegerRange::Unbounded);
}
