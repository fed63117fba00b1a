//! What Redis can do beyond the contract of a cache: django-redis's methods, typed.
//!
//! Each operation is written once, over what commands are sent through ([`Wire`]); [`faces!`] makes a method of either face
//! of it.

mod entries;
mod hashes;
mod keys;
mod lists;
mod lock;
mod pages;
mod raw;
mod sets;
mod sorted_sets;
#[cfg(feature = "tokio")]
mod task;
mod wire;

pub use entries::Condition;
pub use lists::Place;
pub use lock::{BlockingLock, BlockingLockGuard};
#[cfg(feature = "tokio")]
pub use lock::{Lock, LockGuard};
pub use pages::BlockingPages;
#[cfg(feature = "tokio")]
pub use pages::Pages;
pub use raw::{OwnedReply, Script};
pub use sorted_sets::AddToSorted;
#[cfg(feature = "tokio")]
pub(crate) use task::Tasks;
pub(crate) use wire::{Over, Threads, Wire};

use super::{BlockingCache, Cache};
use crate::error::{Error, ErrorKind, Result};
use crate::redis::RedisStore;
use crate::store::Reach;
use std::sync::Arc;

/// How many keys the server looks at in one round trip of a scan: about a millisecond of its time.
const SCAN_COUNT: u32 = 5000;

/// Makes methods of the async and of the blocking face: `faces! { Async<'_>, Blocking<'_>, Core: methods }`. In place of
/// `<T: Bound>` a method has `[T: Bound]`, and in place of `Result<T>` it returns `T`. `self` in its body is the `Core`,
/// which both faces have a method `over` for.
macro_rules! faces {
    ($asynchronous:ty, $blocking:ty, $core:ident: $(
        $(#[$text:meta])*
        fn $name:ident $([$($generics:tt)*])? (&$this:ident $(, $argument:ident: $type:ty)* $(,)?) -> $result:ty $body:block
    )*) => {
        impl<W: $crate::cache::redis::Wire> $core<'_, W> {
            $(pub(crate) async fn $name $(<$($generics)*>)? (&$this $(, $argument: $type)*)
                -> $crate::error::Result<$result> $body)*
        }

        #[allow(clippy::missing_errors_doc)] // said once, at the face
        #[cfg(feature = "tokio")]
        impl $asynchronous {
            $($(#[$text])*
            pub async fn $name $(<$($generics)*>)? (&self $(, $argument: $type)*) -> $crate::error::Result<$result> {
                let over = self.over(stringify!($name));
                over.named(over.$name($($argument),*).await)
            })*
        }

        #[allow(clippy::missing_errors_doc)] // said once, at the face
        impl $blocking {
            $($(#[$text])*
            pub fn $name $(<$($generics)*>)? (&self $(, $argument: $type)*) -> $crate::error::Result<$result> {
                let over = self.over(stringify!($name));
                over.named($crate::net::now(over.$name($($argument),*)))
            })*
        }
    };
}
use faces;

/// What both faces are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base<'a> {
    cache: &'a Cache,
    store: &'a Arc<RedisStore>,
    scan_count: u32,
}

impl Base<'_> {
    /// The same with another number of keys that a scan looks at.
    fn counting(self, count: u32) -> Self {
        Self { scan_count: count.max(1), ..self }
    }
}

/// The methods of a cache on Redis beyond those of [`Cache`], for tasks of a tokio runtime: [`Cache::redis`].
///
/// Keys, values and versions are those of the cache: `prefix:version:key`, and what its serializer and compressor write.
/// Integers are stored as digits, but for members of sorted sets. A Django site reads and writes the same with
/// `pinyon.django.RedisCache` or django-redis.
///
/// Every method may fail with a connection error ([`Error::is_connection`]), with [`ErrorKind::Server`] if what is stored under the key is
/// of another type (a list, and no set), with [`ErrorKind::Value`] if a value cannot be written, or is no `T`, and with
/// [`ErrorKind::Unsupported`] outside a tokio runtime; only the errors beyond those are listed. A value that cannot be read at all is none, or is left
/// out of what is returned, and counted, unless the settings say `ON_BAD_VALUE = "raise"`: then it is an [`ErrorKind::BadValue`].
///
/// A method that counts what it has done does nothing twice: if its connection is lost before the answer, that is an error.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
pub struct Redis<'a>(Base<'a>);

/// The methods of a cache on Redis beyond those of [`BlockingCache`], for threads that may wait: [`BlockingCache::redis`].
///
/// Keys, values and versions are those of the cache: `prefix:version:key`, and what its serializer and compressor write.
/// Integers are stored as digits, but for members of sorted sets. A Django site reads and writes the same with
/// `pinyon.django.RedisCache` or django-redis.
///
/// Every method may fail with a connection error ([`Error::is_connection`]), with [`ErrorKind::Server`] if what is stored under the key is
/// of another type (a list, and no set), and with [`ErrorKind::Value`] if a value cannot be written, or is no `T`; only the errors
/// beyond those are listed. A value that cannot be read at all is none, or is left out of what is returned, and counted, unless the settings say
/// `ON_BAD_VALUE = "raise"`: then it is an [`ErrorKind::BadValue`].
///
/// A method that counts what it has done does nothing twice: if its connection is lost before the answer, that is an error.
#[derive(Clone, Copy, Debug)]
pub struct BlockingRedis<'a>(Base<'a>);

impl Cache {
    /// What Redis can do beyond the methods of a cache: sets, hashes, lists, sorted sets, locks, keys by a pattern, scripts,
    /// and any command.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this cache is not on Redis.
    #[cfg(feature = "tokio")]
    pub fn redis(&self) -> Result<Redis<'_>> {
        self.redis_base().map(Redis)
    }

    fn redis_base(&self) -> Result<Base<'_>> {
        if let Reach::Redis(store) = &self.shared.reach {
            return Ok(Base { cache: self, store, scan_count: SCAN_COUNT });
        }
        let message = format!("this cache is on {}, not on Redis", self.shared.store.backend());
        let error = Error::new(ErrorKind::Unsupported, message)
            .with_hint("These methods are for a cache whose BACKEND is Redis");
        Err(self.explain(error, "redis"))
    }
}

impl<'a> BlockingCache<'a> {
    /// What Redis can do beyond the methods of a cache: sets, hashes, lists, sorted sets, locks, keys by a pattern, scripts,
    /// and any command.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this cache is not on Redis.
    pub fn redis(&self) -> Result<BlockingRedis<'a>> {
        self.cache.redis_base().map(BlockingRedis)
    }
}

#[cfg(feature = "tokio")]
impl<'a> Redis<'a> {
    /// The same with another number of keys that the server looks at in one round trip of a scan, at least 1; default 5000,
    /// about a millisecond of its time.
    #[must_use]
    pub fn scan_count(self, count: u32) -> Self {
        Self(self.0.counting(count))
    }

    pub(crate) fn over(&self, operation: &'static str) -> Over<'a, Tasks<'a>> {
        Over { base: self.0, wire: Tasks(self.0.store), operation }
    }

    pub(super) async fn clear_prefix(&self) -> Result<()> {
        let over = self.over("clear");
        over.named(over.delete_all().await)
    }
}

impl<'a> BlockingRedis<'a> {
    /// The same with another number of keys that the server looks at in one round trip of a scan, at least 1; default 5000,
    /// about a millisecond of its time.
    #[must_use]
    pub fn scan_count(self, count: u32) -> Self {
        Self(self.0.counting(count))
    }

    pub(crate) fn over(&self, operation: &'static str) -> Over<'a, Threads<'a>> {
        Over { base: self.0, wire: Threads(self.0.store), operation }
    }

    pub(super) fn clear_prefix(&self) -> Result<()> {
        let over = self.over("clear");
        over.named(crate::net::now(over.delete_all()))
    }
}
