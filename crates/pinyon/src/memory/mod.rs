//! Process memory: named stores that all caches of one LOCATION share, with Django's LRU order and culling, or W-TinyLFU.
//!
//! [`Memory`] is the store, for any type of value; [`Policy`] says who leaves when it is full; [`Registry`] keeps one for each
//! name; [`MemoryStore`] is a store of encoded bytes behind [`crate::Store`].
//!
//! # Cost of an entry
//! The bytes of its key, the weight of its value ([`Weigh`]), and [`ENTRY_OVERHEAD`]. `MAX_BYTES` counts exactly this. Measured
//! with 700,000 entries of 100 bytes under keys of 21 on 64-bit Linux: 232 bytes of resident memory an entry, 233 counted.
//! [`Policy::TinyLfu`] takes 4 to 8 more, which are not counted, for how often which key was used.

mod byte_store;
mod clock;
mod engine;
mod expiry_index;
mod policy;
mod registry;
mod shards;
mod slots;
mod store;

pub use byte_store::MemoryStore;
pub use policy::Policy;
pub use registry::Registry;
pub use store::Memory;

use std::ops::Add;
use std::sync::Arc;

/// What an entry costs beyond its key and its value, in bytes: 48 for links, order, expiry and the pointer to the key, 5 to 12
/// in the hash table, and the rest for what the allocator adds to the key and the value, and for the expiry index.
pub const ENTRY_OVERHEAD: usize = 80;

/// What an entry weighs: `MAX_BYTES` is about the sum of these.
fn entry_weight<V: Weigh>(key: &[u8], value: &V) -> u64 {
    (key.len() + value.weight() + ENTRY_OVERHEAD) as u64
}

/// The bytes that a value takes in memory.
pub trait Weigh {
    /// Bytes of the value itself and of what it alone owns on the heap. Must not change while the value is in a cache.
    fn weight(&self) -> usize;
}

impl Weigh for Vec<u8> {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.capacity()
    }
}

impl Weigh for String {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.capacity()
    }
}

impl Weigh for Box<[u8]> {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.len()
    }
}

impl Weigh for Arc<[u8]> {
    /// With the two reference counts beside the bytes.
    fn weight(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.len()
    }
}

/// How much a cache may hold. Given with each call, because in Django the limits belong to an alias, while the store is
/// shared by all aliases of its LOCATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// MAX_ENTRIES: a `set` that finds this many entries or more culls before it stores, even if it overwrites one of
    /// them. Default 300; below 1 every `set` culls. With [`Policy::TinyLfu`], the most that the store holds; below 1, one.
    pub max_entries: i64,
    /// CULL_FREQUENCY: culling removes one entry in this many, rounded down, the least recently used first. Default 3; 0
    /// removes them all; a negative number none, as in Django. Only for [`Policy::Lru`].
    pub cull_frequency: i64,
    /// MAX_BYTES: the most that all entries of the store may weigh together. Default: no limit.
    pub max_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 300, cull_frequency: 3, max_bytes: None }
    }
}

/// What became of an `add`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The key had no value; it has one now, unless the expiry was [`crate::Expiry::Now`].
    Stored,
    /// The key had a value, which stays.
    Exists,
    /// The entry alone would exceed `max_bytes`; the key has no value.
    TooLarge,
}

/// When an entry expires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadline {
    /// The entry does not expire.
    Never,
    /// In seconds of Unix time, as Python's `time.time()` counts them.
    At(f64),
}

/// What a store has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Keys that a `get` or `get_many` found.
    pub hits: u64,
    /// Keys that a `get` or `get_many` did not find.
    pub misses: u64,
    /// Live entries that were removed to make room.
    pub evictions: u64,
    /// Entries that were removed because they had expired.
    pub expired: u64,
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            evictions: self.evictions + other.evictions,
            expired: self.expired + other.expired,
        }
    }
}
