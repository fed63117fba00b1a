use super::*;
use proptest::prelude::*;

type Value = Box<[u8]>;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// An engine with a clock that stands still until it is told.
struct Cache {
    engine: Engine<Value>,
    now: u64,
    limits: Limits,
}

impl Cache {
    fn new(max_entries: i64, cull_frequency: i64, max_bytes: Option<u64>) -> Self {
        Self { engine: Engine::new(), now: START, limits: Limits { max_entries, cull_frequency, max_bytes } }
    }

    fn set(&mut self, key: &[u8], size: usize, expires: u64) -> bool {
        let value = vec![b'v'; size].into();
        self.engine.set(key, value, expires, self.now, &self.limits, &mut Removed::new())
    }

    fn set_number(&mut self, number: u32) -> bool {
        self.set(number.to_string().as_bytes(), 5, START + 1000 * SECOND)
    }

    fn has(&mut self, number: u32) -> bool {
        self.engine.contains(number.to_string().as_bytes(), self.now, &mut Removed::new())
    }

    fn get(&mut self, number: u32) -> Option<usize> {
        self.engine.get(number.to_string().as_bytes(), self.now, &mut Removed::new()).map(|value| value.len())
    }

    fn alive(&mut self, numbers: std::ops::Range<u32>) -> Vec<u32> {
        numbers.filter(|number| self.has(*number)).collect()
    }
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
    let (now, limits) = (cache.now, cache.limits);
    for number in 0..6 {
        let key = number.to_string();
        let change = |value: &Value| (Some(value.clone()), ());
        assert!(cache.engine.update(key.as_bytes(), now, &limits, &mut Removed::new(), change).is_some());
    }
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [0, 1, 2, 3, 4, 5, 9]);
}

#[test]
fn contains_touch_and_a_failed_add_save_nothing_from_culling() {
    let mut cache = Cache::new(9, 3, None);
    (0..9).for_each(|number| assert!(cache.set_number(number)));
    let (now, limits) = (cache.now, cache.limits);
    assert!(cache.has(0));
    assert!(cache.engine.touch(b"1", NEVER, now, &mut Removed::new()));
    let added = cache.engine.add(b"2", Box::default(), NEVER, now, &limits, &mut Removed::new());
    assert_eq!(added, Added::Exists);
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
        cache.set(number.to_string().as_bytes(), 5, START + SECOND);
    }
    cache.now = START + 2 * SECOND;
    cache.set_number(9);
    assert_eq!(cache.alive(0..10), [0, 1, 2, 3, 4, 5, 9]);
    assert_eq!((cache.engine.counters().expired, cache.engine.counters().evictions), (3, 0));
}

#[test]
fn an_entry_expires_at_its_moment_and_not_before() {
    let mut cache = Cache::new(9, 3, None);
    cache.set(b"1", 5, START + 10);
    cache.now = START + 9;
    assert!(cache.has(1));
    cache.now = START + 10;
    assert!(!cache.has(1));
    assert_eq!((cache.engine.len(), cache.engine.bytes()), (0, 0));
}

#[test]
fn an_entry_beyond_max_bytes_is_refused_and_its_old_value_is_gone() {
    let mut cache = Cache::new(300, 3, Some(300));
    assert!(cache.set(b"1", 5, NEVER) && cache.set(b"2", 5, NEVER));
    assert!(!cache.set(b"1", 300, NEVER));
    assert_eq!(cache.alive(0..3), [2]);
    let added = cache.engine.add(b"1", vec![0; 300].into(), NEVER, START, &cache.limits, &mut Removed::new());
    assert_eq!(added, Added::TooLarge);
}

#[test]
fn an_update_beyond_max_bytes_removes_the_entry_and_one_within_makes_room() {
    let mut cache = Cache::new(300, 3, Some(300));
    assert!(cache.set(b"1", 5, NEVER) && cache.set(b"2", 5, NEVER));
    let limits = cache.limits;
    let grow = |size: usize| move |_: &Value| (Some(vec![0; size].into_boxed_slice()), ());
    assert!(cache.engine.update(b"1", START, &limits, &mut Removed::new(), grow(150)).is_some());
    assert_eq!(cache.alive(0..3), [1]);
    assert!(cache.engine.update(b"1", START, &limits, &mut Removed::new(), grow(300)).is_some());
    assert_eq!((cache.engine.len(), cache.engine.bytes()), (0, 0));
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
    Expires(u8),
    Pass(u64),
    Clear,
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
        let weight = Self::weight(key, size);
        if weight > self.limits.max_bytes.unwrap_or(u64::MAX) {
            return false;
        }
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

impl<V: Weigh> Engine<V> {
    /// Checks everything that must hold between two operations, and lists the entries.
    fn audit(&self) -> Vec<(Vec<u8>, u64)> {
        let (mut entries, mut bytes, mut index, mut newer) = (Vec::new(), 0, self.newest, NIL);
        while index != NIL {
            let slot = &self.slots[index as usize];
            assert_eq!(slot.newer, newer);
            assert_eq!(self.find(self.hasher.hash_one(&*slot.key), &slot.key), Some(index));
            bytes += slot.weight();
            entries.push((slot.key.to_vec(), slot.expires));
            newer = std::mem::replace(&mut index, slot.older);
        }
        assert_eq!((self.oldest, bytes, entries.len()), (newer, self.bytes, self.table.len()));

        let mut in_buckets = 0;
        for (bucket, first) in &self.buckets {
            let (mut index, mut previous) = (*first, NIL);
            assert_ne!(index, NIL, "an empty bucket was left behind");
            while index != NIL {
                let slot = &self.slots[index as usize];
                assert_eq!((slot.bucket_previous, bucket_of(slot.expires)), (previous, Some(*bucket)));
                in_buckets += 1;
                previous = std::mem::replace(&mut index, slot.bucket_next);
            }
        }
        assert_eq!(in_buckets, entries.iter().filter(|(_, expires)| *expires != NEVER).count());

        let (mut free, mut index) = (0, self.free);
        while index != NIL {
            let slot = &self.slots[index as usize];
            assert!(slot.value.is_none() && slot.key.is_empty());
            free += 1;
            index = slot.older;
        }
        assert_eq!(free + entries.len(), self.slots.len());
        entries
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
            1 => key().prop_map(Step::Expires),
            3 => prop_oneof![1..1000_u64, 1..(10_u64 << BUCKET_BITS)].prop_map(Step::Pass),
            1 => Just(Step::Clear),
        ],
        1..120,
    )
}

proptest! {
    #[test]
    fn the_engine_does_what_a_plain_list_does(
        steps in steps(),
        max_entries in -1..10_i64,
        cull_frequency in -1..5_i64,
        max_bytes in prop::option::of(100..1500_u64),
    ) {
        let limits = Limits { max_entries, cull_frequency, max_bytes };
        let mut engine: Engine<Value> = Engine::new();
        let mut model = Model { entries: Vec::new(), limits, counters: Counters::default() };
        let mut now = START;
        let removed = &mut Removed::new();
        let key_of = |number: u8| vec![b'a' + number; usize::from(number)];
        let value = |size: u16| vec![0; usize::from(size)].into_boxed_slice();
        for step in steps {
            let expires = |lifetime: Option<u64>| lifetime.map_or(NEVER, |lifetime| now + lifetime);
            match step {
                Step::Get(key) => {
                    let got = engine.get(&key_of(key), now, removed).map(|value| value.len());
                    prop_assert_eq!(got, model.get(&key_of(key), now));
                }
                Step::Has(key) => {
                    let has = engine.contains(&key_of(key), now, removed);
                    prop_assert_eq!(has, model.live(&key_of(key), now).is_some());
                }
                Step::Set(key, size, lifetime) => {
                    let stored = engine.set(&key_of(key), value(size), expires(lifetime), now, &limits, removed);
                    prop_assert_eq!(stored, model.set(&key_of(key), size.into(), expires(lifetime), now));
                }
                Step::Add(key, size, lifetime) => {
                    let added = engine.add(&key_of(key), value(size), expires(lifetime), now, &limits, removed);
                    let expected = if model.live(&key_of(key), now).is_some() {
                        Added::Exists
                    } else if model.set(&key_of(key), size.into(), expires(lifetime), now) {
                        Added::Stored
                    } else {
                        Added::TooLarge
                    };
                    prop_assert_eq!(added, expected);
                }
                Step::Touch(key, lifetime) => {
                    let touched = engine.touch(&key_of(key), expires(lifetime), now, removed);
                    let position = model.live(&key_of(key), now);
                    prop_assert_eq!(touched, position.is_some());
                    match position {
                        Some(position) if expires(lifetime) <= now => _ = model.entries.remove(position),
                        Some(position) => model.entries[position].2 = expires(lifetime),
                        None => {}
                    }
                }
                Step::Delete(key) => {
                    let deleted = engine.delete(&key_of(key), now, removed);
                    let position = model.live(&key_of(key), now);
                    prop_assert_eq!(deleted, position.is_some());
                    position.map(|position| model.entries.remove(position));
                }
                Step::Update(key, size) => {
                    let change = |old: &Value| (Some(value(size)), old.len());
                    let updated = engine.update(&key_of(key), now, &limits, removed, change);
                    prop_assert_eq!(updated, model.update(&key_of(key), size.into(), now));
                }
                Step::Expires(key) => {
                    let entry = model.entries.iter().find(|entry| entry.0 == key_of(key) && entry.2 > now);
                    prop_assert_eq!(engine.expires(&key_of(key), now), entry.map(|entry| entry.2));
                }
                Step::Pass(nanoseconds) => now += nanoseconds,
                Step::Clear => {
                    engine.clear();
                    model.entries.clear();
                }
            }
            let listed: Vec<_> = model.entries.iter().map(|(key, _, expires)| (key.clone(), *expires)).collect();
            prop_assert_eq!(engine.audit(), listed);
            prop_assert_eq!(engine.bytes(), model.bytes());
            prop_assert!(engine.bytes() <= max_bytes.unwrap_or(u64::MAX));
            prop_assert_eq!(engine.counters(), model.counters);
            let live: Vec<_> = model.entries.iter().filter(|entry| entry.2 > now).map(|entry| entry.0.clone()).collect();
            prop_assert_eq!(engine.keys(now).into_iter().map(Vec::from).collect::<Vec<_>>(), live);
        }
    }
}
