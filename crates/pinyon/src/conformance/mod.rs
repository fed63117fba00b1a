//! The contract of [`Store`] as test cases, for our own backends and for anybody's (feature `conformance`).
//!
//! ```no_run
//! use pinyon::conformance::{Capabilities, IntegerRange};
//! use pinyon::memory::MemoryStore;
//! use pinyon::settings::MemorySettings;
//!
//! let settings = MemorySettings { name: "example".into(), max_entries: 100_000, ..Default::default() };
//! let capabilities = Capabilities { integers: IntegerRange::Unbounded, ..Capabilities::default() };
//! pinyon::conformance::run(&|| Box::new(MemoryStore::new(&settings)), &capabilities).assert_passed();
//! ```

mod expiry;
mod integers;
mod items;
mod many;
mod redis;
mod size;
mod threads;

pub use redis::run_redis;
#[cfg(feature = "tokio")]
pub use redis::run_redis_on;

use crate::settings::SerializerKind;
use crate::store::{Integer, Item, Store};
use crate::timeout::Expiry;
use crate::value::stored_integer;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What may differ between two stores that both keep the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Which numbers `incr` can hold. Default: 64 bits with a sign.
    pub integers: IntegerRange,
    /// A value of more bytes than this is refused. Default: none is that the suite could send.
    pub max_item_size: Option<usize>,
    /// Flags come back as they were given; otherwise as 0. Default false.
    pub flags: bool,
    /// The integers of `incr` are stored as this serializer writes them; none: as decimal digits. Default none.
    pub serializer: Option<SerializerKind>,
    /// Keys are checked by Memcached's rules; otherwise every key is allowed. Default false.
    pub memcached_keys: bool,
}

impl Capabilities {
    /// An integer as it is stored.
    fn integer(&self, digits: &str) -> Vec<u8> {
        let number = Integer::parse(digits.as_bytes()).expect("an integer");
        self.serializer.map_or_else(
            || digits.as_bytes().to_vec(),
            |serializer| stored_integer::write(serializer, &number).expect("an integer that can be stored"),
        )
    }

    /// The integer in what is stored.
    fn read_integer(&self, bytes: &[u8]) -> Option<Integer> {
        self.serializer.map_or_else(|| Integer::parse(bytes), |serializer| stored_integer::read(serializer, bytes))
    }
}

/// Which numbers `incr` can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntegerRange {
    /// Integers of any size.
    Unbounded,
    /// 64 bits with a sign, and an error beyond them: Redis.
    #[default]
    Signed64,
    /// 64 bits without a sign, and 0 in place of what would be negative: Memcached.
    Unsigned64,
}

/// One rule of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    /// The rule, for example `add_stores_once`.
    pub name: &'static str,
    /// Whether the rule applies to a store with these capabilities.
    pub applies: fn(&Capabilities) -> bool,
    /// Panics if an empty store with these capabilities breaks the rule.
    pub run: fn(&dyn Store, &Capabilities),
}

/// Makes [`Case`]s out of functions, for all stores or for those whose capabilities the function behind `if` accepts.
macro_rules! rules {
    ($($name:ident $(if $applies:path)?),* $(,)?) => {
        vec![$($crate::conformance::Case {
            name: stringify!($name),
            applies: |_capabilities| true $(&& $applies(_capabilities))?,
            run: $name,
        }),*]
    };
}
use rules;

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}

/// How a store did.
#[derive(Debug, Default)]
pub struct Report {
    /// The rules that it keeps.
    pub passed: Vec<&'static str>,
    /// The rules that do not apply to a store with its capabilities.
    pub skipped: Vec<&'static str>,
    /// The rules that it breaks, each with what was found.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Panics if a rule was broken, and names all that were.
    pub fn assert_passed(&self) {
        assert!(self.failed.is_empty() && !self.passed.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, skipped, failed) = (self.passed.len(), self.skipped.len(), self.failed.len());
        write!(f, "conformance: {passed} rules kept, {skipped} that do not apply, {failed} broken")?;
        for (name, found) in &self.failed {
            write!(f, "\n  {name}: {found}")?;
        }
        Ok(())
    }
}

/// All rules.
pub fn cases() -> Vec<Case> {
    [items::cases(), expiry::cases(), integers::cases(), many::cases(), size::cases(), threads::cases()].concat()
}

/// Runs every rule that applies, each on a store of its own that has been cleared.
///
/// The stores are **emptied**: nothing else may use what is behind them meanwhile.
pub fn run(make_store: &dyn Fn() -> Box<dyn Store>, capabilities: &Capabilities) -> Report {
    run_cases(&cases(), make_store, capabilities)
}

fn run_cases(cases: &[Case], make_store: &dyn Fn() -> Box<dyn Store>, capabilities: &Capabilities) -> Report {
    let mut report = Report::default();
    for case in cases {
        if !(case.applies)(capabilities) {
            report.skipped.push(case.name);
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let store = make_store();
            store.clear().expect("clear before the case");
            (case.run)(&*store, capabilities);
        }));
        match outcome {
            Ok(()) => report.passed.push(case.name),
            Err(panic) => report.failed.push((case.name, message_of(&*panic))),
        }
    }
    report
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// Five minutes: longer than any case.
const LONG: Expiry = Expiry::In(Duration::from_secs(300));

fn plain(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) {
    assert!(store.set(key, plain(bytes), LONG).expect("set"), "set refused {} bytes", bytes.len());
}

fn take(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    let mut found = None;
    let hit = store
        .get(key, &mut |item| assert!(found.replace(item.bytes.to_vec()).is_none(), "get visited two items"))
        .expect("get");
    assert_eq!(hit, found.is_some(), "get says otherwise than what it visited");
    found
}

fn take_many(store: &dyn Store, keys: &[&str]) -> Vec<Option<Vec<u8>>> {
    let mut found = vec![None; keys.len()];
    store
        .get_many(keys, &mut |index, item| {
            assert!(found[index].replace(item.bytes.to_vec()).is_none(), "get_many visited index {index} twice");
        })
        .expect("get_many");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use crate::settings::MemorySettings;

    #[test]
    fn a_broken_rule_is_reported_by_name_and_the_others_still_run() {
        let cases = [
            Case { name: "broken", applies: |_| true, run: |_, _| panic!("found {}", 7) },
            Case { name: "kept", applies: |_| true, run: |store, _| put(store, "k", b"v") },
            Case {
                name: "elsewhere",
                applies: |capabilities| capabilities.flags,
                run: |_, _| panic!("not for this store"),
            },
            Case { name: "cleared", applies: |_| true, run: |store, _| assert_eq!(take(store, "k"), None) },
        ];
        let settings = MemorySettings { name: "conformance runner".into(), ..MemorySettings::default() };
        let report = run_cases(&cases, &|| Box::new(MemoryStore::new(&settings)), &Capabilities::default());
        assert_eq!(report.passed, ["kept", "cleared"]);
        assert_eq!(report.skipped, ["elsewhere"]);
        assert_eq!(report.failed, [("broken", "found 7".to_owned())]);
        assert!(report.to_string().ends_with("1 broken\n  broken: found 7"));
        assert!(catch_unwind(|| report.assert_passed()).is_err());
    }

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        let mut names: Vec<_> = cases().iter().map(|case| case.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
