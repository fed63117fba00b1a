//! The contract of a store, kept by memory. Needs no server.

use pinyon::conformance::{self, Capabilities, IntegerRange};
use pinyon::memory::{MemoryStore, Policy};
use pinyon::settings::MemorySettings;
use pinyon::store::{Item, Store};
use pinyon::timeout::Expiry;

fn settings(name: &str) -> MemorySettings {
    MemorySettings { name: name.into(), max_entries: 100_000, ..MemorySettings::default() }
}

fn run(settings: &MemorySettings) {
    let capabilities = Capabilities {
        integers: IntegerRange::Unbounded,
        max_item_size: settings.max_bytes.map(|bytes| usize::try_from(bytes).unwrap()),
        ..Capabilities::default()
    };
    conformance::run(&|| Box::new(MemoryStore::new(settings)), &capabilities).assert_passed();
}

#[test]
fn memory_keeps_the_contract() {
    run(&settings("contract"));
}

#[test]
fn memory_with_max_bytes_keeps_the_contract() {
    run(&MemorySettings { max_bytes: Some(16 * 1024 * 1024), ..settings("contract with max_bytes") });
}

#[test]
fn memory_with_an_admission_policy_keeps_the_contract() {
    let settings = |name: &str| MemorySettings { policy: Policy::TinyLfu, ..settings(name) };
    run(&settings("contract of tinylfu"));
    run(&MemorySettings { max_entries: 1001, ..settings("contract of tinylfu, nearly full") });
    run(&MemorySettings { max_bytes: Some(16 * 1024 * 1024), ..settings("contract of tinylfu with max_bytes") });
}

#[test]
fn stores_of_one_name_share_their_entries_and_have_limits_of_their_own() {
    let wide = MemoryStore::new(&settings("shared"));
    let narrow = MemoryStore::new(&MemorySettings { max_entries: 2, cull_frequency: 0, ..settings("shared") });
    let item = Item { bytes: b"value", flags: 0 };
    for key in ["a", "b", "c"] {
        wide.set(key, item, Expiry::Never).unwrap();
    }
    assert!(narrow.has("a").unwrap() && !MemoryStore::new(&settings("another")).has("a").unwrap());
    narrow.set("d", item, Expiry::Never).unwrap();
    assert_eq!(wide.memory().len(), 1);
}

#[test]
fn a_check_names_the_store_and_what_it_holds() {
    let store = MemoryStore::new(&MemorySettings { max_bytes: Some(1000), ..settings("pages") });
    store.set("key", Item { bytes: b"value", flags: 0 }, Expiry::Never).unwrap();
    let [report] = &store.check()[..] else { panic!("memory is one server") };
    assert_eq!(report.server, "memory 'pages'");
    let info = report.result.as_ref().unwrap();
    assert_eq!(info.version, concat!("Pinyon ", env!("CARGO_PKG_VERSION")));
    assert_eq!((info.entries, info.memory_limit), (Some(1), Some(1000)));
    assert_eq!(info.memory_used, Some(store.memory().bytes()));
}
