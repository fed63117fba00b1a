use super::*;
use crate::memory::ENTRY_OVERHEAD;
use crate::memory::expiry_index::BUCKET_BITS;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

type Value = Box<[u8]>;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// A store whose clock stands still until it is told.
struct Cache {
    memory: Memory<Value>,
    limits: Limits,
}

fn stopped(policy: Policy, engines: usize) -> Memory<Value> {
    let memory = Memory::with_engines(policy, engines, SeedableRandomState::random());
    memory.stopped_at.store(START, Ordering::Relaxed);
    memory
}

impl Cache {
    fn new(max_entries: i64, cull_frequency: i64, max_bytes: Option<u64>) -> Self {
        // Numbers of engines that differ from test to test; what they do may not depend on it.
        let engines = if cull_frequency == 3 { 8 } else { 1 };
        Self { memory: stopped(Policy::Lru, engines), limits: Limits { max_entries, cull_frequency, max_bytes } }
    }

    fn pass(&mut self, nanoseconds: u64) {
        self.memory.stopped_at.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn set(&mut self, key: &[u8], size: usize, expiry: Expiry) -> bool {
        self.memory.set(key, vec![b'v'; size].into(), expiry, &self.limits)
    }

    fn set_number(&mut self, number: u32) -> bool {
        self.set(number.to_string().as_bytes(), 5, nanoseconds(1000 * SECOND))
    }

    fn has(&mut self, number: u32) -> bool {
        self.memory.contains(number.to_string().as_bytes())
    }

    fn get(&mut self, number: u32) -> Option<usize> {
        self.memory.get_with(number.to_string().as_bytes(), |value| value.len())
    }

    fn alive(&mut self, numbers: std::ops::Range<u32>) -> Vec<u32> {
        numbers.filter(|number| self.has(*number)).collect()
    }
}

fn nanoseconds(nanoseconds: u64) -> Expiry {
    Expiry::In(Duration::from_nanos(nanoseconds))
}

#[test]
fn thirty_entries_and_a_frequency_of_three_leave_29_of_49() {
    let mut cache = Cache::new(30, 3, None);
    (1..50).for_each(|number| assert!(cache.set_number(number)));
    assert_eq!(cache.alive(1..50).len(), 29);
}

#[test]
fn thirty_entries_and_a_frequency_of_zero_leave_19_of_49() {
    let mut cache = Cache::new(30, 0, None);
    (1..50).for_each(|number| assert!(cache.set_number(number)));
    assert_eq!(cache.alive(1..50).len(), 19);
}

#[test]
fn a_get_saves_an_entry_from_culling() {
    let mut cache = Cache::new(9, 3, None);
    (0..9).for_each(|number| assert!(cache.set_number(number)));
    (0..6).for_each(|number| assert_eq!(cache.get(number), Some(5)));
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [0, 1, 2, 3, 4, 5, 9]);
}

#[test]
fn a_set_saves_an_entry_from_culling() {
    let mut cache = Cache::new(9, 3, None);
    (0..9).for_each(|number| assert!(cache.set_number(number)));
    cache.limits.max_entries = 100;
    (3..9).for_each(|number| assert!(cache.set_number(number)));
    cache.limits.max_entries = 9;
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn an_update_saves_an_entry_from_culling() {
    let mut cache = Cache::new(9, 3, None);
    (0..9).for_each(|number| assert!(cache.set_number(number)));
    for number in 0..6 {
        let change = |value: &Value| (Some(value.clone()), ());
        assert!(cache.memory.update(number.to_string().as_bytes(), &cache.limits, change).is_some());
    }
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [0, 1, 2, 3, 4, 5, 9]);
}

#[test]
fn contains_touch_and_a_failed_add_save_nothing_from_culling() {
    let mut cache = Cache::new(9, 3, None);
    (0..9).for_each(|number| assert!(cache.set_number(number)));
    assert!(cache.has(0));
    assert!(cache.memory.touch(b"1", Expiry::Never));
    assert_eq!(cache.memory.add(b"2", Box::default(), Expiry::Never, &cache.limits), Added::Exists);
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn overwriting_culls_too() {
    let mut cache = Cache::new(3, 3, None);
    (0..3).for_each(|number| assert!(cache.set_number(number)));
    cache.set_number(2);
    assert_eq!(cache.alive(0..3), [1, 2]);
}

#[test]
fn a_negative_limit_culls_on_every_set_and_stores() {
    let mut cache = Cache::new(-1, 3, None);
    (0..3).for_each(|number| assert!(cache.set_number(number)));
    assert_eq!(cache.alive(0..3), [0, 1, 2]);
    cache.set_number(3);
    assert_eq!(cache.alive(0..4), [1, 2, 3]);
}

#[test]
fn a_negative_frequency_culls_nothing() {
    let mut cache = Cache::new(2, -3, None);
    (0..10).for_each(|number| assert!(cache.set_number(number)));
    assert_eq!(cache.alive(0..10).len(), 10);
}

#[test]
fn expired_entries_leave_before_live_ones() {
    let mut cache = Cache::new(9, 3, None);
    (0..6).for_each(|number| assert!(cache.set_number(number)));
    for number in 6..9_u32 {
        cache.set(number.to_string().as_bytes(), 5, nanoseconds(SECOND));
    }
    cache.pass(2 * SECOND);
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [0, 1, 2, 3, 4, 5, 9]);
    assert_eq!((cache.memory.counters().expired, cache.memory.counters().evictions), (3, 0));
}

#[test]
fn an_entry_expires_at_its_moment_and_not_before() {
    let mut cache = Cache::new(9, 3, None);
    cache.set(b"1", 5, nanoseconds(10));
    cache.pass(9);
    assert!(cache.has(1));
    cache.pass(1);
    assert!(!cache.has(1));
    assert_eq!((cache.memory.len(), cache.memory.bytes()), (0, 0));
}

#[test]
fn an_entry_beyond_max_bytes_is_refused_and_its_old_value_is_gone() {
    let mut cache = Cache::new(300, 3, Some(300));
    assert!(cache.set(b"1", 5, Expiry::Never) && cache.set(b"2", 5, Expiry::Never));
    assert!(!cache.set(b"1", 300, Expiry::Never));
    assert_eq!(cache.alive(0..3), [2]);
    assert_eq!(cache.memory.add(b"1", vec![0; 300].into(), Expiry::Never, &cache.limits), Added::TooLarge);
}

#[test]
fn an_update_beyond_max_bytes_removes_the_entry_and_one_within_makes_room() {
    let mut cache = Cache::new(300, 3, Some(300));
    assert!(cache.set(b"1", 5, Expiry::Never) && cache.set(b"2", 5, Expiry::Never));
    let limits = cache.limits;
    let grow = |size: usize| move |_: &Value| (Some(vec![0; size].into_boxed_slice()), ());
    assert!(cache.memory.update(b"1", &limits, grow(150)).is_some());
    assert_eq!(cache.alive(0..3), [1]);
    assert!(cache.memory.update(b"1", &limits, grow(300)).is_some());
    assert_eq!((cache.memory.len(), cache.memory.bytes()), (0, 0));
}

#[test]
fn an_entry_that_an_update_made_room_for_still_expires_before_a_live_one_leaves() {
    let mut cache = Cache::new(300, 3, Some(400));
    assert!(cache.set(b"old", 5, nanoseconds(SECOND)) && cache.set(b"1", 5, nanoseconds(2 * SECOND)));
    cache.pass(SECOND);
    let grown = |_: &Value| (Some(vec![0; 200].into_boxed_slice()), ());
    assert!(cache.memory.update(b"1", &cache.limits, grown).is_some());
    assert!(cache.set(b"2", 5, Expiry::Never));
    assert_eq!(cache.get(1), Some(200));
    cache.pass(SECOND);
    assert!(cache.set(b"3", 5, Expiry::Never));
    assert_eq!(cache.alive(0..4), [2, 3]);
    assert_eq!((cache.memory.counters().expired, cache.memory.counters().evictions), (2, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Has(u8),
    Set(u8, u16, Option<u64>),
    Add(u8, u16, Option<u64>),
    Touch(u8, Option<u64>),
    Delete(u8),
    Update(u8, u16),
    Pass(u64),
    Clear,
}

impl Step {
    fn key(&self) -> Option<u8> {
        match *self {
            Self::Pass(_) | Self::Clear => None,
            Self::Get(key)
            | Self::Has(key)
            | Self::Delete(key)
            | Self::Update(key, _)
            | Self::Touch(key, _)
            | Self::Set(key, ..)
            | Self::Add(key, ..) => Some(key),
        }
    }
}

/// The same cache, written as plainly as can be: a list, the most recently used entry first.
struct Model {
    entries: Vec<(Vec<u8>, usize, u64)>,
    limits: Limits,
    counters: Counters,
}

impl Model {
    fn weight(key: &[u8], size: usize) -> u64 {
        (key.len() + ENTRY_OVERHEAD + size_of::<Box<[u8]>>() + size) as u64
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|(key, size, _)| Self::weight(key, *size)).sum()
    }

    fn live(&mut self, key: &[u8], now: u64) -> Option<usize> {
        let position = self.entries.iter().position(|entry| entry.0 == key)?;
        if self.entries[position].2 <= now {
            self.entries.remove(position);
            self.counters.expired += 1;
            return None;
        }
        Some(position)
    }

    fn remove_expired(&mut self, now: u64) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.2 > now);
        self.counters.expired += (before - self.entries.len()) as u64;
    }

    fn make_room(&mut self, weight: u64, now: u64) {
        let max_bytes = self.limits.max_bytes.unwrap_or(u64::MAX);
        if self.bytes() + weight > max_bytes {
            self.remove_expired(now);
        }
        while self.bytes() + weight > max_bytes && self.entries.pop().is_some() {
            self.counters.evictions += 1;
        }
    }

    fn get(&mut self, key: &[u8], now: u64) -> Option<usize> {
        let Some(position) = self.live(key, now) else {
            self.counters.misses += 1;
            return None;
        };
        self.counters.hits += 1;
        let entry = self.entries.remove(position);
        self.entries.insert(0, entry);
        Some(self.entries[0].1)
    }

    fn set(&mut self, key: &[u8], size: usize, expires: u64, now: u64) -> bool {
        if expires <= now {
            if let Some(position) = self.live(key, now) {
                self.entries.remove(position);
            }
            return true;
        }
        self.live(key, now);
        let weight = Self::weight(key, size);
        if weight > self.limits.max_bytes.unwrap_or(u64::MAX) {
            self.entries.retain(|entry| entry.0 != key);
            return false;
        }
        if i64::try_from(self.entries.len()).unwrap() >= self.limits.max_entries {
            self.remove_expired(now);
        }
        let len = i64::try_from(self.entries.len()).unwrap();
        if len >= self.limits.max_entries {
            let count = if self.limits.cull_frequency == 0 { len } else { len / self.limits.cull_frequency };
            for _ in 0..count {
                self.entries.pop();
                self.counters.evictions += 1;
            }
        }
        self.entries.retain(|entry| entry.0 != key);
        self.make_room(weight, now);
        self.entries.insert(0, (key.to_vec(), size, expires));
        true
    }

    fn update(&mut self, key: &[u8], size: usize, now: u64) -> Option<usize> {
        let position = self.live(key, now)?;
        let (key, old, expires) = self.entries.remove(position);
        let weight = Self::weight(&key, size);
        if weight <= self.limits.max_bytes.unwrap_or(u64::MAX) {
            if size > old {
                self.make_room(weight, now);
            }
            self.entries.insert(0, (key, size, expires));
        }
        Some(old)
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..12_u8;
    let size = || 0..400_u16;
    // Zero is what has expired already; the others fall into the same bucket or into other ones.
    let lifetime =
        || prop::option::of(prop_oneof![Just(0), 1..1000_u64, 1..(40_u64 << BUCKET_BITS), Just(1000 * SECOND)]);
    prop::collection::vec(
        prop_oneof![
            4 => key().prop_map(Step::Get),
            1 => key().prop_map(Step::Has),
            8 => (key(), size(), lifetime()).prop_map(|(key, size, lifetime)| Step::Set(key, size, lifetime)),
            3 => (key(), size(), lifetime()).prop_map(|(key, size, lifetime)| Step::Add(key, size, lifetime)),
            2 => (key(), lifetime()).prop_map(|(key, lifetime)| Step::Touch(key, lifetime)),
            2 => key().prop_map(Step::Delete),
            3 => (key(), size()).prop_map(|(key, size)| Step::Update(key, size)),
            3 => prop_oneof![1..1000_u64, 1..(10_u64 << BUCKET_BITS)].prop_map(Step::Pass),
            1 => Just(Step::Clear),
        ],
        1..120,
    )
}

/// Does one step to the store and returns what it answered.
fn step(memory: &Memory<Value>, limits: &Limits, step: &Step) -> Option<usize> {
    let expiry = |lifetime: Option<u64>| lifetime.map_or(Expiry::Never, nanoseconds);
    let flag = |flag: bool| Some(usize::from(flag));
    match *step {
        Step::Get(key) => memory.get_with(&key_of(key), |value| value.len()),
        Step::Has(key) => flag(memory.contains(&key_of(key))),
        Step::Set(key, size, lifetime) => flag(memory.set(&key_of(key), value_of(size), expiry(lifetime), limits)),
        Step::Add(key, size, lifetime) => {
            Some(memory.add(&key_of(key), value_of(size), expiry(lifetime), limits) as usize)
        }
        Step::Touch(key, lifetime) => flag(memory.touch(&key_of(key), expiry(lifetime))),
        Step::Delete(key) => flag(memory.delete(&key_of(key))),
        Step::Update(key, size) => memory.update(&key_of(key), limits, |old| (Some(value_of(size)), old.len())),
        Step::Pass(nanoseconds) => {
            memory.stopped_at.fetch_add(nanoseconds, Ordering::Relaxed);
            None
        }
        Step::Clear => {
            memory.clear();
            None
        }
    }
}

fn key_of(number: u8) -> Vec<u8> {
    vec![b'a' + number; usize::from(number)]
}

fn value_of(size: u16) -> Value {
    vec![0; usize::from(size)].into()
}

impl Model {
    fn step(&mut self, step: &Step, now: u64) -> Option<usize> {
        let expires = |lifetime: Option<u64>| lifetime.map_or(NEVER, |lifetime| now + lifetime);
        let flag = |flag: bool| Some(usize::from(flag));
        match *step {
            Step::Get(key) => self.get(&key_of(key), now),
            Step::Has(key) => flag(self.live(&key_of(key), now).is_some()),
            Step::Set(key, size, lifetime) => flag(self.set(&key_of(key), size.into(), expires(lifetime), now)),
            Step::Add(key, size, lifetime) => Some(if self.live(&key_of(key), now).is_some() {
                Added::Exists
            } else if self.set(&key_of(key), size.into(), expires(lifetime), now) {
                Added::Stored
            } else {
                Added::TooLarge
            } as usize),
            Step::Touch(key, lifetime) => {
                let position = self.live(&key_of(key), now);
                match position {
                    Some(position) if expires(lifetime) <= now => _ = self.entries.remove(position),
                    Some(position) => self.entries[position].2 = expires(lifetime),
                    None => {}
                }
                flag(position.is_some())
            }
            Step::Delete(key) => {
                let position = self.live(&key_of(key), now);
                flag(position.map(|position| self.entries.remove(position)).is_some())
            }
            Step::Update(key, size) => self.update(&key_of(key), size.into(), now),
            Step::Pass(_) => None,
            Step::Clear => {
                self.entries.clear();
                None
            }
        }
    }
}

proptest! {
    #[test]
    fn lru_does_what_a_plain_list_does_however_many_engines_there_are(
        steps in steps(),
        engines in prop_oneof![Just(1_usize), Just(2), Just(16)],
        max_entries in -1..10_i64,
        cull_frequency in -1..5_i64,
        max_bytes in prop::option::of(100..1500_u64),
    ) {
        let limits = Limits { max_entries, cull_frequency, max_bytes };
        let memory = stopped(Policy::Lru, engines);
        let mut model = Model { entries: Vec::new(), limits, counters: Counters::default() };
        for one in steps {
            let now = memory.stopped_at.load(Ordering::Relaxed);
            prop_assert_eq!(step(&memory, &limits, &one), model.step(&one, now), "{:?}", one);
            memory.shards.audit();
            let now = memory.stopped_at.load(Ordering::Relaxed);
            let live: Vec<_> = model.entries.iter().filter(|entry| entry.2 > now).collect();
            let keys: Vec<_> = live.iter().map(|entry| entry.0.clone()).collect();
            prop_assert_eq!(memory.keys().into_iter().map(Vec::from).collect::<Vec<_>>(), keys);
            for (key, _, expires) in live {
                prop_assert_eq!(memory.expires(key, &memory.now()), Some(*expires));
            }
            prop_assert_eq!((memory.len(), memory.bytes()), (model.entries.len(), model.bytes()));
            prop_assert!(memory.bytes() <= max_bytes.unwrap_or(u64::MAX));
            prop_assert_eq!(memory.counters(), model.counters);
        }
    }

    /// Which entries leave is the policy's affair; everything else is as with a plain map.
    #[test]
    fn tiny_lfu_keeps_what_was_just_set_and_never_an_old_value_and_its_limits(
        steps in steps(),
        engines in prop_oneof![Just(1_usize), Just(2), Just(16)],
        max_entries in -1..10_i64,
        max_bytes in prop::option::of(100..1500_u64),
    ) {
        let limits = Limits { max_entries, cull_frequency: 3, max_bytes };
        let memory = stopped(Policy::TinyLfu, engines);
        // All that was ever set and not changed since, whether it is still there or not.
        let unlimited = Limits { max_entries: i64::MAX, cull_frequency: 3, max_bytes: None };
        let mut model = Model { entries: Vec::new(), limits: unlimited, counters: Counters::default() };
        for one in steps {
            let now = memory.stopped_at.load(Ordering::Relaxed);
            let key = one.key().map(key_of);
            let was_there = key.as_ref().is_some_and(|key| memory.contains(key));
            if let Some(key) = key.as_ref().filter(|_| !was_there) {
                model.entries.retain(|entry| entry.0 != *key);
            }
            let fits = |size: u16| {
                let weight = Model::weight(key.as_deref().unwrap_or_default(), size.into());
                weight <= max_bytes.unwrap_or(u64::MAX)
            };
            let too_large = match one {
                Step::Set(_, size, lifetime) => lifetime != Some(0) && !fits(size),
                Step::Add(_, size, lifetime) => lifetime != Some(0) && !was_there && !fits(size),
                Step::Update(_, size) => was_there && !fits(size),
                _ => false,
            };
            let (answer, mut expected) = (step(&memory, &limits, &one), model.step(&one, now));
            if too_large {
                expected = match one {
                    Step::Set(..) => Some(0),
                    Step::Add(..) => Some(Added::TooLarge as usize),
                    _ => expected,
                };
                model.entries.retain(|entry| Some(&entry.0) != key.as_ref());
            }
            prop_assert_eq!(answer, expected, "{:?}", one);
            if let Step::Set(..) | Step::Add(..) | Step::Update(..) = one {
                let key = key.unwrap_or_default();
                prop_assert_eq!(memory.contains(&key), model.live(&key, now).is_some(), "just written: {:?}", one);
            }
            memory.shards.audit();
            for key in memory.keys() {
                let entry = model.entries.iter().find(|entry| *entry.0 == *key);
                prop_assert!(entry.is_some(), "an entry that was removed or overwritten came back");
                prop_assert_eq!(memory.expires(&key, &memory.now()), entry.map(|entry| entry.2));
            }
            prop_assert_eq!(memory.shards.each().map(|engine| engine.len()).sum::<usize>(), memory.len());
            prop_assert_eq!(memory.shards.each().map(|engine| engine.bytes()).sum::<u64>(), memory.bytes());
            prop_assert!(i64::try_from(memory.len()).unwrap() <= max_entries.max(1));
            prop_assert!(memory.bytes() <= max_bytes.unwrap_or(u64::MAX));
        }
    }
}
