//! The stores of a process by name: all caches of one LOCATION share one.

use super::{Memory, Weigh};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Stores by name. One in a `static` makes its stores process-wide.
///
/// ```
/// use pinyon::memory::Registry;
/// use std::sync::Arc;
///
/// static STORES: Registry<String> = Registry::new();
/// assert!(Arc::ptr_eq(&STORES.open("pages"), &STORES.open("pages")));
/// ```
#[derive(Debug)]
pub struct Registry<V: Weigh> {
    stores: Mutex<BTreeMap<String, Arc<Memory<V>>>>,
}

impl<V: Weigh> Registry<V> {
    /// A registry without stores.
    pub const fn new() -> Self {
        Self { stores: Mutex::new(BTreeMap::new()) }
    }

    /// The store of this name; made if there is none yet. It is kept as long as the registry.
    pub fn open(&self, name: &str) -> Arc<Memory<V>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = stores.get(name) {
            return Arc::clone(memory);
        }
        let memory = Arc::new(Memory::new());
        stores.insert(name.to_owned(), Arc::clone(&memory));
        memory
    }

    /// The names that have been opened, sorted.
    pub fn names(&self) -> Vec<String> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl<V: Weigh> Default for Registry<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expiry;
    use crate::memory::Limits;

    #[test]
    fn one_name_is_one_store_and_another_name_is_another() {
        let registry: Registry<String> = Registry::new();
        registry.open("a").set(b"k", "v".to_owned(), Expiry::Never, &Limits::default());
        assert_eq!(registry.open("a").get(b"k").as_deref(), Some("v"));
        assert_eq!(registry.open("b").get(b"k"), None);
        assert_eq!(registry.names(), ["a", "b"]);
    }
}
