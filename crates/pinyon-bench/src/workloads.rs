//! The hot paths without input and output, whose instructions are counted.
//!
//! A workload is made ready first, and tried once; only what [`measured`] calls is counted.

use crate::canned::{Canned, now};
use crate::sample::{self, Product};
use pinyon::key::{KeyMaker, check_memcached, is_portable};
use pinyon::memcached::{MemcachedStore, MetaParser, MetaProtocol, Rendezvous};
use pinyon::memory::{Limits, Memory};
use pinyon::net::Parser;
use pinyon::redis::{RedisStore, RespParser, RespProtocol};
use pinyon::settings::{Address, MemcachedSettings, RedisPlacement, RedisServer, RedisSettings, RingNames};
use pinyon::store::Item;
use pinyon::value::pickle;
use pinyon::{Caches, Expiry, ServerStore, Timeout, Version};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// One operation, again and again.
type Operation = Box<dyn FnMut()>;

/// What is counted.
#[derive(Clone, Copy)]
pub struct Workload {
    /// What it is called in the baseline.
    pub name: &'static str,
    /// How often the operation is done. More often where the layout of a hash table, which differs from run to run, plays a part.
    pub rounds: u32,
    make: fn() -> Operation,
}

const fn workload(name: &'static str, rounds: u32, make: fn() -> Operation) -> Workload {
    Workload { name, rounds, make }
}

/// Every workload, in the order in which they are shown.
pub const ALL: &[Workload] = &[
    workload("memory hit", ENTRIES, memory_hit),
    workload("memory miss", ENTRIES, memory_miss),
    workload("memory set over a value", ENTRIES, memory_overwrite),
    workload("memory set that evicts", ENTRIES, memory_evict),
    workload("memory set with an expiry", ENTRIES, memory_expiry),
    workload("cache get of a struct from memory", 1_000, cache_get),
    workload("key making", 1_000, key_making),
    workload("key check of Memcached", 1_000, key_check),
    workload("pickle serialize", 1_000, pickle_serialize),
    workload("pickle deserialize", 1_000, pickle_deserialize),
    workload("redis get", 1_000, redis_get),
    workload("redis set", 1_000, redis_set),
    workload("redis get_many of 100", 100, redis_get_many),
    workload("redis set_many of 100", 100, redis_set_many),
    workload("redis get from a ring of 3", 1_000, redis_ring),
    workload("RESP parse of a value", 1_000, resp_value),
    workload("RESP parse of 100 values", 100, resp_values),
    workload("memcached get", 1_000, memcached_get),
    workload("memcached set", 1_000, memcached_set),
    workload("memcached get_many of 100", 100, memcached_get_many),
    workload("memcached set_many of 100", 100, memcached_set_many),
    workload("meta parse of a value", 1_000, meta_value),
    workload("meta parse of 100 values", 100, meta_values),
    workload("rendezvous of 3 servers", 1_000, rendezvous),
];

/// The pattern by which callgrind finds [`measured`], however its name is mangled.
pub const MEASURED: &str = "*pinyon_bench*measured*";

impl Workload {
    /// Runs it.
    pub fn run(&self) {
        let mut operation = (self.make)();
        operation();
        measured(&mut operation, self.rounds);
    }
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Does the operation `rounds` times. Callgrind counts from its first instruction to its last.
#[inline(never)]
pub fn measured(operation: &mut Operation, rounds: u32) {
    for _ in 0..rounds {
        operation();
    }
}

/// As many as a store holds when it is full. A third of them leaves at a time, so that this many sets evict three times.
const ENTRIES: u32 = 9_000;
const FULL: usize = ENTRIES as usize;
const LIMITS: Limits = Limits { max_entries: ENTRIES as i64, cull_frequency: 3, max_bytes: None };
/// Django's default.
const EXPIRY: Expiry = Expiry::In(Duration::from_secs(300));

/// A full store, the keys of its entries, and as many that it does not have.
fn full_memory() -> (Memory<Arc<[u8]>>, Vec<String>, Vec<String>) {
    let memory = Memory::new();
    let mut keys = sample::made_keys(2 * FULL);
    let others = keys.split_off(FULL);
    for key in &keys {
        memory.set(key.as_bytes(), shared_value(), Expiry::Never, &LIMITS);
    }
    assert_eq!(memory.len(), FULL);
    (memory, keys, others)
}

/// Keys without end, in an order that no processor foresees and every run repeats.
fn shuffled(mut keys: Vec<String>) -> impl FnMut() -> Arc<str> {
    let mut numbers = sample::Numbers::new(1);
    for last in (1..keys.len()).rev() {
        keys.swap(last, numbers.below(last + 1));
    }
    let keys: Vec<Arc<str>> = keys.into_iter().map(Arc::from).collect();
    let mut next = 0;
    move || {
        next = (next + 1) % keys.len();
        keys[next].clone()
    }
}

fn memory_hit() -> Operation {
    let (memory, keys, _) = full_memory();
    let mut key = shuffled(keys);
    Box::new(move || assert!(black_box(memory.get(black_box(key().as_bytes()))).is_some()))
}

fn memory_miss() -> Operation {
    let (memory, _, others) = full_memory();
    let mut key = shuffled(others);
    Box::new(move || assert!(black_box(memory.get(black_box(key().as_bytes()))).is_none()))
}

/// One more than there are: nothing leaves.
const ROOMY: Limits = Limits { max_entries: LIMITS.max_entries + 1, ..LIMITS };

fn memory_overwrite() -> Operation {
    let (memory, keys, _) = full_memory();
    let (mut key, value) = (shuffled(keys), shared_value());
    Box::new(move || assert!(memory.set(black_box(key().as_bytes()), value.clone(), Expiry::Never, &ROOMY)))
}

fn memory_evict() -> Operation {
    let (memory, _, others) = full_memory();
    let (mut key, value) = (shuffled(others), shared_value());
    Box::new(move || assert!(memory.set(black_box(key().as_bytes()), value.clone(), Expiry::Never, &LIMITS)))
}

/// Each a second later than the one before. With one timeout for all, what expires together, and with it the count, would depend
/// on how fast the machine is.
fn memory_expiry() -> Operation {
    let (memory, keys, _) = full_memory();
    let (mut key, value) = (shuffled(keys), shared_value());
    let mut timeout = Duration::from_secs(300);
    Box::new(move || {
        timeout += Duration::from_secs(1);
        assert!(memory.set(black_box(key().as_bytes()), value.clone(), Expiry::In(timeout), &ROOMY));
    })
}

fn shared_value() -> Arc<[u8]> {
    sample::value().as_bytes().into()
}

fn cache_get() -> Operation {
    let caches = Caches::from_url("memory://").expect("settings");
    let cache = caches.get("default").expect("a cache").clone();
    cache.blocking().set("product", &Product::example(), Timeout::Default).expect("a set");
    Box::new(move || {
        let found: Option<Product> = cache.blocking().get(black_box("product")).expect("a get");
        assert!(black_box(found).is_some());
    })
}

fn key_making() -> Operation {
    let keys = KeyMaker::new("shop", Version::default(), None);
    Box::new(move || assert!(is_portable(&black_box(keys.make(black_box("page:4711"))))))
}

fn key_check() -> Operation {
    Box::new(|| assert!(check_memcached(black_box("shop:1:page:4711")).is_ok()))
}

fn pickle_serialize() -> Operation {
    let product = Product::example();
    Box::new(move || assert!(black_box(pickle::to_vec(black_box(&product))).is_ok()))
}

fn pickle_deserialize() -> Operation {
    let bytes = pickle::to_vec(&Product::example()).expect("a pickle");
    Box::new(move || assert!(black_box(pickle::from_slice::<Product>(black_box(&bytes))).is_ok()))
}

fn address(port: u16) -> Address {
    Address::Tcp { host: "127.0.0.1".to_owned(), port }
}

/// A store that nothing is asked of but by [`Canned`].
fn redis_store() -> RedisStore {
    RedisStore::new(&RedisSettings { servers: vec![RedisServer::new(address(6379))], ..RedisSettings::default() })
}

fn bulk() -> String {
    format!("$100\r\n{}\r\n", sample::value())
}

fn bulks() -> String {
    format!("*100\r\n{}", bulk().repeat(100))
}

fn redis_get() -> Operation {
    redis_get_from(redis_store())
}

fn redis_ring() -> Operation {
    let ports = [6379, 6380, 6381];
    let names = ports.iter().map(|port| format!("redis://127.0.0.1:{port}/0")).collect();
    redis_get_from(RedisStore::new(&RedisSettings {
        servers: ports.iter().map(|port| RedisServer::new(address(*port))).collect(),
        placement: RedisPlacement::Ring(RingNames::new(names)),
        ..RedisSettings::default()
    }))
}

fn redis_get_from(store: RedisStore) -> Operation {
    let driver = Canned::<RespProtocol>::new(bulk().into_bytes(), 1);
    Box::new(move || {
        let found = now(store.get_over(&driver, black_box(":1:page:4711")));
        assert_eq!(found.item(|item| item.bytes.len()), Some(100));
    })
}

fn redis_set() -> Operation {
    let (store, driver, value) = (redis_store(), Canned::<RespProtocol>::new(b"+OK\r\n".to_vec(), 1), sample::value());
    Box::new(move || assert!(now(store.set_over(&driver, black_box(":1:page:4711"), plain(&value), EXPIRY))))
}

fn redis_get_many() -> Operation {
    let (store, driver) = (redis_store(), Canned::<RespProtocol>::new(bulks().into_bytes(), 1));
    let keys = sample::made_keys(100);
    Box::new(move || {
        let mut bytes = 0;
        let found = now(store.get_many_over(&driver, black_box(&sample::borrowed(&keys))));
        found.visit(&mut |_, item| bytes += item.bytes.len());
        assert_eq!(bytes, 10_000);
    })
}

/// Without expiry, which is one MSET.
fn redis_set_many() -> Operation {
    let (store, driver) = (redis_store(), Canned::<RespProtocol>::new(b"+OK\r\n".to_vec(), 1));
    let (keys, value) = (sample::made_keys(100), sample::value());
    Box::new(move || {
        let items: Vec<_> = keys.iter().map(|key| (key.as_str(), plain(&value))).collect();
        assert!(now(store.set_many_over(&driver, black_box(&items), Expiry::Never)).is_empty());
    })
}

fn plain(value: &str) -> Item<'_> {
    Item { bytes: value.as_bytes(), flags: 0 }
}

fn resp_value() -> Operation {
    parse::<RespParser>(bulk(), 1)
}

fn resp_values() -> Operation {
    parse::<RespParser>(bulks(), 1)
}

/// With a parser that has been used before, as that of a connection.
fn parse<P: Parser + 'static>(bytes: String, replies: usize) -> Operation {
    let mut parser = P::default();
    Box::new(move || {
        parser.clear();
        assert!(parser.advance(black_box(bytes.as_bytes()), replies).is_ok());
        assert_eq!((parser.replies(), parser.consumed()), (replies, bytes.len()));
    })
}

fn memcached_store() -> MemcachedStore {
    MemcachedStore::new(&MemcachedSettings { servers: vec![address(11211)], ..MemcachedSettings::default() })
}

/// What `mg` with `f v O` answers for each of so many keys.
fn values(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        // Writing to a String cannot fail.
        let _ = write!(text, "VA 100 f16 O{number}\r\n{}\r\n", sample::value());
        text
    })
}

fn memcached_get() -> Operation {
    let (store, driver) = (memcached_store(), Canned::<MetaProtocol>::new(values(1).into_bytes(), 1));
    Box::new(move || {
        let found = now(store.get_over(&driver, black_box(":1:page:4711")));
        assert_eq!(found.item(|item| item.bytes.len()), Some(100));
    })
}

fn memcached_set() -> Operation {
    let (store, driver) = (memcached_store(), Canned::<MetaProtocol>::new(b"HD\r\n".to_vec(), 1));
    let value = sample::value();
    Box::new(move || assert!(now(store.set_over(&driver, black_box(":1:page:4711"), plain(&value), EXPIRY))))
}

fn memcached_get_many() -> Operation {
    let (store, driver) = (memcached_store(), Canned::<MetaProtocol>::new(values(100).into_bytes(), 100));
    let keys = sample::made_keys(100);
    Box::new(move || {
        let mut bytes = 0;
        let found = now(store.get_many_over(&driver, black_box(&sample::borrowed(&keys))));
        found.visit(&mut |_, item| bytes += item.bytes.len());
        assert_eq!(bytes, 10_000);
    })
}

fn memcached_set_many() -> Operation {
    let (store, driver) = (memcached_store(), Canned::<MetaProtocol>::new(b"HD\r\n".repeat(100), 100));
    let (keys, value) = (sample::made_keys(100), sample::value());
    Box::new(move || {
        let items: Vec<_> = keys.iter().map(|key| (key.as_str(), plain(&value))).collect();
        assert!(now(store.set_many_over(&driver, black_box(&items), EXPIRY)).is_empty());
    })
}

fn meta_value() -> Operation {
    parse::<MetaParser>(values(1), 1)
}

fn meta_values() -> Operation {
    parse::<MetaParser>(values(100), 100)
}

fn rendezvous() -> Operation {
    let servers = Rendezvous::new(&[address(11211), address(11212), address(11213)]);
    Box::new(move || assert!(servers.server(black_box(":1:page:4711")) < 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_workload_does_what_it_says_without_a_server() {
        for workload in ALL {
            workload.run();
        }
    }

    #[test]
    fn every_name_stands_for_one_workload() {
        let names: BTreeSet<_> = ALL.iter().map(|workload| workload.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
