//! The stores of a process by name: all caches of one LOCATION and POLICY share one.

use super::{Memory, Policy, Weigh};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// LOCATION and POLICY.
type Name = (String, Policy);

/// Stores by name. One in a `static` makes its stores process-wide.
///
/// ```
/// use pinyon::memory::{Policy, Registry};
/// use std::sync::Arc;
///
/// static STORES: Registry<String> = Registry::new();
/// let pages = STORES.open("pages", Policy::Lru, 300);
/// assert!(Arc::ptr_eq(&pages, &STORES.open("pages", Policy::Lru, 10_000)));
/// ```
#[derive(Debug)]
pub struct Registry<V: Weigh> {
    stores: Mutex<BTreeMap<Name, Arc<Memory<V>>>>,
}

impl<V: Weigh> Registry<V> {
    /// A registry without stores.
    pub const fn new() -> Self {
        Self { stores: Mutex::new(BTreeMap::new()) }
    }

    /// The store of this name and policy; made, for about `max_entries`, if there is none yet. It is kept as long as the registry.
    pub fn open(&self, name: &str, policy: Policy, max_entries: i64) -> Arc<Memory<V>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Memory::with_policy(policy, max_entries));
        Arc::clone(stores.entry((name.to_owned(), policy)).or_insert_with(made))
    }

    /// The names and policies that have been opened, sorted.
    pub fn names(&self) -> Vec<(String, Policy)> {
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
    fn one_name_and_policy_is_one_store_and_another_one_is_another() {
        let registry: Registry<String> = Registry::new();
        registry.open("a", Policy::Lru, 300).set(b"k", "v".to_owned(), Expiry::Never, &Limits::default());
        assert_eq!(registry.open("a", Policy::Lru, 5000).get(b"k").as_deref(), Some("v"));
        assert_eq!(registry.open("a", Policy::TinyLfu, 300).get(b"k"), None);
        assert_eq!(registry.open("b", Policy::Lru, 300).get(b"k"), None);
        let name = |name: &str, policy| (name.to_owned(), policy);
        assert_eq!(registry.names(), [name("a", Policy::Lru), name("a", Policy::TinyLfu), name("b", Policy::Lru)]);
    }
}
