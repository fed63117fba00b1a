//! How a task asks a store.

use super::flight::{Flights, Lead, Wait};
use super::operations::{Access, take};
use crate::error::{Error, ErrorKind, Result};
use crate::net::no_runtime;
use crate::server_store::ServerStore;
use crate::store::{Integer, Item, Reach, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use crate::value::Encoded;
use std::sync::Arc;
use tokio::runtime::Handle;

static FLIGHTS: Flights = Flights::new();

/// A store that a task asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct InTask<'a> {
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) reach: &'a Reach,
}

impl InTask<'_> {
    /// Runs `work` on a thread that may block.
    async fn apart<R: Send + 'static>(&self, work: impl FnOnce(&dyn Store) -> R + Send + 'static) -> Result<R> {
        let store = self.store.clone();
        let runtime = Handle::try_current().map_err(|_| no_runtime())?;
        match runtime.spawn_blocking(move || work(&*store)).await {
            Ok(result) => Ok(result),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(ended) => {
                    Err(Error::new(ErrorKind::Unsupported, "the tokio runtime is being shut down").with_source(ended))
                }
            },
        }
    }
}

/// One operation on every kind of store. `apart` gets what it needs as its own.
macro_rules! ask {
    ($self:ident, $over:ident => $method:ident($($argument:expr),*), apart $apart:expr) => {
        match $self.reach {
            Reach::Redis(store) => store.$over(store.servers().tokio(), $($argument),*).await,
            Reach::Memcached(store) => store.$over(store.servers().tokio(), $($argument),*).await,
            Reach::Immediate => $self.store.$method($($argument),*),
            Reach::Blocking => $self.apart($apart).await?,
        }
    };
}

impl Access for InTask<'_> {
    async fn get<R>(&self, key: &str, read: impl FnOnce(Item<'_>) -> R) -> Result<Option<R>> {
        match self.reach {
            Reach::Redis(store) => Ok(store.get_over(store.servers().tokio(), key).await?.item(read)),
            Reach::Memcached(store) => Ok(store.get_over(store.servers().tokio(), key).await?.item(read)),
            Reach::Immediate => take(&**self.store, key, read),
            Reach::Blocking => {
                let key = key.to_owned();
                let found = self.apart(move |store| take(store, &key, Encoded::of)).await??;
                Ok(found.map(|value| read(value.item())))
            }
        }
    }

    async fn get_many(&self, keys: &[&str], visit: &mut impl FnMut(usize, Item<'_>)) -> Result<()> {
        match self.reach {
            Reach::Redis(store) => store.get_many_over(store.servers().tokio(), keys).await?.visit(visit),
            Reach::Memcached(store) => store.get_many_over(store.servers().tokio(), keys).await?.visit(visit),
            Reach::Immediate => self.store.get_many(keys, visit)?,
            Reach::Blocking => {
                let keys = owned(keys);
                let found = self.apart(move |store| {
                    let mut found = Vec::new();
                    let note = &mut |index, item: Item<'_>| found.push((index, Encoded::of(item)));
                    store.get_many(&borrowed(&keys), note).map(|()| found)
                });
                for (index, value) in found.await?? {
                    visit(index, value.item());
                }
            }
        }
        Ok(())
    }

    async fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        ask!(self, set_over => set(key, item, expiry), apart {
            let (key, value) = (key.to_owned(), Encoded::of(item));
            move |store| store.set(&key, value.item(), expiry)
        })
    }

    async fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        ask!(self, add_over => add(key, item, expiry), apart {
            let (key, value) = (key.to_owned(), Encoded::of(item));
            move |store| store.add(&key, value.item(), expiry)
        })
    }

    async fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        ask!(self, touch_over => touch(key, expiry), apart {
            let key = key.to_owned();
            move |store| store.touch(&key, expiry)
        })
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        ask!(self, delete_over => delete(key), apart {
            let key = key.to_owned();
            move |store| store.delete(&key)
        })
    }

    async fn has(&self, key: &str) -> Result<bool> {
        ask!(self, has_over => has(key), apart {
            let key = key.to_owned();
            move |store| store.has(&key)
        })
    }

    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        ask!(self, incr_over => incr(key, delta), apart {
            let key = key.to_owned();
            move |store| store.incr(&key, delta)
        })
    }

    async fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        ask!(self, set_many_over => set_many(items, expiry), apart {
            let items: Vec<_> = items.iter().map(|(key, item)| ((*key).to_owned(), Encoded::of(*item))).collect();
            move |store| {
                let items: Vec<_> = items.iter().map(|(key, value)| (key.as_str(), value.item())).collect();
                store.set_many(&items, expiry)
            }
        })
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<()> {
        ask!(self, delete_many_over => delete_many(keys), apart {
            let keys = owned(keys);
            move |store| store.delete_many(&borrowed(&keys))
        })
    }

    async fn clear(&self) -> Result<()> {
        ask!(self, clear_over => clear(), apart |store| store.clear())
    }

    async fn ttl(&self, key: &str) -> Result<Ttl> {
        ask!(self, ttl_over => ttl(key), apart {
            let key = key.to_owned();
            move |store| store.ttl(&key)
        })
    }

    async fn check(&self) -> Result<Vec<ServerReport>> {
        Ok(ask!(self, check_over => check(), apart |store| store.check()))
    }

    fn flights(&self) -> &'static Flights {
        &FLIGHTS
    }

    async fn wait(&self, wait: Wait) -> Option<Lead> {
        wait.await
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn borrowed(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}
