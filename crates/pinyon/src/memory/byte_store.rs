//! A memory cache behind [`Store`]: encoded bytes in a store that is shared by name.

use super::{Added, Limits, Memory, Registry};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::MemorySettings;
use crate::store::{Integer, Item, Reach, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use std::sync::Arc;
use std::time::Instant;

static STORES: Registry<Arc<[u8]>> = Registry::new();

/// A cache in the memory of this process. Caches with the same name share one store, each with limits of its own.
///
/// Flags are not kept: every item has flags 0. No method fails but `incr`.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    name: String,
    limits: Limits,
    memory: Arc<Memory<Arc<[u8]>>>,
}

impl MemoryStore {
    /// The store that is named in the settings; made if this process has none of that name.
    pub fn new(settings: &MemorySettings) -> Self {
        Self {
            name: settings.name.clone(),
            limits: Limits {
                max_entries: settings.max_entries,
                cull_frequency: settings.cull_frequency,
                max_bytes: settings.max_bytes,
            },
            memory: STORES.open(&settings.name, settings.policy, settings.max_entries),
        }
    }

    /// What is behind it, for counters and inspection.
    pub fn memory(&self) -> &Arc<Memory<Arc<[u8]>>> {
        &self.memory
    }
}

fn plain_item(bytes: &[u8]) -> Item<'_> {
    Item { bytes, flags: 0 }
}

impl Store for MemoryStore {
    fn backend(&self) -> &'static str {
        "memory"
    }

    fn check_key(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        // Decoding may be long and may use the cache again: not under the lock.
        let value = self.memory.get(key.as_bytes());
        if let Some(bytes) = &value {
            visit(plain_item(bytes));
        }
        Ok(value.is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        Ok(self.memory.set(key.as_bytes(), item.bytes.into(), expiry, &self.limits))
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        Ok(self.memory.add(key.as_bytes(), item.bytes.into(), expiry, &self.limits) == Added::Stored)
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        Ok(self.memory.touch(key.as_bytes(), expiry))
    }

    fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.memory.delete(key.as_bytes()))
    }

    fn has(&self, key: &str) -> Result<bool> {
        Ok(self.memory.contains(key.as_bytes()))
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        let sum = self.memory.update(key.as_bytes(), &self.limits, |bytes| {
            let sum = Integer::parse(bytes).map(|number| number + delta);
            (sum.as_ref().map(|sum| sum.to_string().into_bytes().into()), sum)
        });
        match sum {
            None => Ok(None),
            Some(Some(sum)) => Ok(Some(sum)),
            Some(None) => Err(Error::new(ErrorKind::NotAnInteger, "the value of this key is not an integer")
                .with_operation("incr")
                .with_hint("incr and decr work on values that were set as integers.")),
        }
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        let mut found: Vec<(usize, Arc<[u8]>)> = Vec::with_capacity(keys.len());
        self.memory.get_many_with(keys, |index, bytes| found.push((index, Arc::clone(bytes))));
        for (index, bytes) in &found {
            visit(*index, plain_item(bytes));
        }
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        // The copies are made before the store is locked.
        let items: Vec<(&str, Arc<[u8]>)> = items.iter().map(|(key, item)| (*key, item.bytes.into())).collect();
        Ok(self.memory.set_many(items, expiry, &self.limits))
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        self.memory.delete_many(keys);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.memory.clear();
        Ok(())
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        Ok(self.memory.ttl(key.as_bytes()))
    }

    fn check(&self) -> Vec<ServerReport> {
        let start = Instant::now();
        let (entries, bytes) = (self.memory.len(), self.memory.bytes());
        vec![ServerReport {
            server: format!("memory '{}'", self.name),
            result: Ok(ServerInfo {
                round_trip: start.elapsed(),
                version: concat!("Pinyon ", env!("CARGO_PKG_VERSION")).to_owned(),
                memory_used: Some(bytes),
                memory_limit: self.limits.max_bytes,
                entries: Some(entries as u64),
            }),
        }]
    }

    fn reach(self: Arc<Self>) -> Reach {
        Reach::Immediate
    }
}
