//! A lock between processes, compatible with redis-py's and the Python face's: a key that holds the token of whoever holds
//! the lock.

use super::entries::milliseconds;
use super::wire::{Over, Threads, Wire};
use super::{Base, BlockingRedis, SCAN_COUNT, Script, faces};
#[cfg(feature = "tokio")]
use super::{Redis, Tasks};
use crate::cache::Cache;
use crate::error::Result;
use crate::net::now;
use crate::redis::{RedisStore, Reply};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

// Each does nothing, and answers 0, unless the token is that of the holder.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
return 1
",
    )
});
/// ARGV[2]: milliseconds, ARGV[3]: '1' if they are added to those that are left.
static EXTEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local left = ARGV[3] == '1' and redis.call('pttl', KEYS[1]) or 0
redis.call('pexpire', KEYS[1], math.max(left, 0) + ARGV[2])
return 1
",
    )
});

/// How a lock is taken.
#[derive(Clone, Copy, Debug)]
struct Terms {
    lease: Option<Duration>,
    pause: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lease: None, pause: Duration::from_millis(100) }
    }
}

/// One hold of a lock: its key on the server, and the token that says that it is this one.
#[derive(Debug)]
struct Hold {
    cache: Cache,
    store: Arc<RedisStore>,
    made: String,
    token: String,
    terms: Terms,
}

impl Hold {
    fn new(base: &Base<'_>, key: &str, terms: Terms) -> Result<Self> {
        let made = base.cache.make_key(key, "lock")?;
        Ok(Self { cache: base.cache.clone(), store: base.store.clone(), made, token: new_token(), terms })
    }

    fn at<'a, W>(&'a self, wire: W, operation: &'static str) -> AtLock<'a, W> {
        let base = Base { cache: &self.cache, store: &self.store, scan_count: SCAN_COUNT };
        AtLock { over: Over { base, wire, operation }, hold: self }
    }
}

/// The operations on a lock, through a wire.
#[derive(Debug)]
struct AtLock<'a, W> {
    over: Over<'a, W>,
    hold: &'a Hold,
}

impl<W: Wire> AtLock<'_, W> {
    fn named<R>(&self, outcome: Result<R>) -> Result<R> {
        self.over.named(outcome)
    }

    /// Takes the lock, and tries again until the time is over; returns whether it was taken.
    async fn take(&self, within: Duration) -> Result<bool> {
        let Terms { lease, pause } = self.hold.terms;
        // Further away than the clock can tell is never.
        let until = Instant::now().checked_add(within);
        let lease = lease.map(|lease| milliseconds(lease.max(Duration::from_millis(1))));
        let mut words = vec![b"SET".as_slice(), self.hold.made.as_bytes(), self.hold.token.as_bytes(), b"NX"];
        if let Some(lease) = &lease {
            words.extend([b"PX", lease.as_bytes()]);
        }
        loop {
            let taken = matches!(self.over.write(&words).await?.reply()?, Reply::Status(_));
            if taken || until.is_some_and(|until| Instant::now() + pause > until) {
                return Ok(taken);
            }
            self.over.wire.pause(pause).await;
        }
    }

    async fn give_back(&self) -> Result<bool> {
        self.ask(&RELEASE, &[]).await
    }

    async fn extend_by(&self, time: Duration, add: bool) -> Result<bool> {
        let time = milliseconds(time.max(Duration::from_millis(1)));
        self.ask(&EXTEND, &[time.as_bytes(), if add { b"1" } else { b"0" }]).await
    }

    async fn ask(&self, script: &Script, arguments: &[&[u8]]) -> Result<bool> {
        let start = [self.hold.made.as_bytes(), self.hold.token.as_bytes()];
        let reply = self.over.run_script(script, 1, &[&start, arguments].concat()).await?;
        Ok(reply.integer() == Some(1))
    }
}

faces! { LockGuard, BlockingLockGuard, AtLock:
    /// Holds the lock `time` longer than it has left; returns whether it is still held here. One without a lease gets one.
    fn extend(&self, time: Duration) -> bool {
        self.extend_by(time, true).await
    }

    /// Holds the lock for `time` from now; returns whether it is still held here.
    fn renew(&self, time: Duration) -> bool {
        self.extend_by(time, false).await
    }

    /// Whether the lock is still held here, and not over.
    fn is_ours(&self) -> bool {
        // The primary knows who holds it.
        let holder = self.over.repeat(&[b"GET", self.hold.made.as_bytes()]).await?;
        Ok(holder.bytes()? == Some(self.hold.token.as_bytes()))
    }
}

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Whether anybody holds the lock of a key.
    fn is_locked(&self, key: &str) -> bool {
        let made = self.key(key)?;
        self.repeat(&[b"EXISTS", made.as_bytes()]).await?.flag()
    }
}

/// A lock that one task, thread or process at a time holds, of all that name its key: [`Redis::lock`].
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct Lock<'a> {
    redis: Redis<'a>,
    key: &'a str,
    terms: Terms,
}

/// A lock that one task, thread or process at a time holds, of all that name its key: [`BlockingRedis::lock`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct BlockingLock<'a> {
    redis: BlockingRedis<'a>,
    key: &'a str,
    terms: Terms,
}

#[cfg(feature = "tokio")]
impl<'a> Redis<'a> {
    /// The lock of a key, which the Python face and redis-py share: `cache.lock(key)`. Nothing is sent before it is acquired.
    pub fn lock(&self, key: &'a str) -> Lock<'a> {
        Lock { redis: *self, key, terms: Terms::default() }
    }
}

impl<'a> BlockingRedis<'a> {
    /// The lock of a key, which the Python face and redis-py share: `cache.lock(key)`. Nothing is sent before it is acquired.
    pub fn lock(&self, key: &'a str) -> BlockingLock<'a> {
        BlockingLock { redis: *self, key, terms: Terms::default() }
    }
}

/// What both locks say in the same way.
macro_rules! terms {
    ($lock:ident) => {
        impl $lock<'_> {
            /// The lock is free after this time, in whole milliseconds, even if nobody releases it. Default: never. Give it
            /// one: a process that dies while it holds a lock without a lease leaves it taken for ever.
            pub fn lease(mut self, lease: Duration) -> Self {
                self.terms.lease = Some(lease);
                self
            }

            /// How long it waits between two tries; default 100 ms.
            pub fn retry_every(mut self, pause: Duration) -> Self {
                self.terms.pause = pause;
                self
            }
        }
    };
}
#[cfg(feature = "tokio")]
terms!(Lock);
terms!(BlockingLock);

#[cfg(feature = "tokio")]
#[allow(clippy::missing_errors_doc)] // those of `Redis`
impl Lock<'_> {
    /// Takes the lock, and waits for it as long as it takes.
    pub async fn acquire(&self) -> Result<LockGuard> {
        loop {
            if let Some(guard) = self.acquire_within(Duration::MAX).await? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock if nobody holds it; none if somebody does.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        self.acquire_within(Duration::ZERO).await
    }

    /// Takes the lock, and waits for it no longer than `limit`; none if that was too short.
    pub async fn acquire_within(&self, limit: Duration) -> Result<Option<LockGuard>> {
        // Made before the server is asked: if this future is dropped while it waits, the guard gives back what the server may
        // have given.
        let mut guard = LockGuard { hold: Arc::new(Hold::new(&self.redis.0, self.key, self.terms)?), is_held: true };
        let outcome = {
            let lock = guard.over("lock");
            lock.over.named(lock.take(limit).await)
        };
        guard.is_held = matches!(outcome, Ok(true));
        outcome.map(|taken| taken.then_some(guard))
    }
}

#[allow(clippy::missing_errors_doc)] // those of `BlockingRedis`
impl BlockingLock<'_> {
    /// Takes the lock, and waits for it as long as it takes.
    pub fn acquire(&self) -> Result<BlockingLockGuard> {
        loop {
            if let Some(guard) = self.acquire_within(Duration::MAX)? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock if nobody holds it; none if somebody does.
    pub fn try_acquire(&self) -> Result<Option<BlockingLockGuard>> {
        self.acquire_within(Duration::ZERO)
    }

    /// Takes the lock, and waits for it no longer than `limit`; none if that was too short.
    pub fn acquire_within(&self, limit: Duration) -> Result<Option<BlockingLockGuard>> {
        let hold = Hold::new(&self.redis.0, self.key, self.terms)?;
        let lock = hold.at(Threads(&hold.store), "lock");
        let taken = lock.over.named(now(lock.take(limit)))?;
        Ok(taken.then_some(BlockingLockGuard { hold, is_held: true }))
    }
}

/// A lock that is held. [`LockGuard::release`] it: that waits for the server, and says whether the lock was held to the end.
///
/// Dropping it cannot wait. It starts a task of the runtime that gives the lock back and tells nobody how that went; outside a
/// runtime, or if the runtime ends before, the lock stays taken until its lease is over. The same is done for a future of
/// [`Lock::acquire`] that is dropped while the server may be giving it the lock.
#[cfg(feature = "tokio")]
#[derive(Debug)]
#[must_use = "a lock that is dropped is given back"]
pub struct LockGuard {
    hold: Arc<Hold>,
    is_held: bool,
}

#[cfg(feature = "tokio")]
impl LockGuard {
    /// Gives the lock back; returns whether it was still held here: false if its lease was over.
    ///
    /// # Errors
    /// Those of [`Redis`]. The lock may be taken then until its lease is over.
    pub async fn release(mut self) -> Result<bool> {
        let hold = self.hold.clone();
        let lock = hold.at(Tasks(&hold.store), "release");
        let outcome = lock.give_back().await;
        // Only now: a future that is dropped before leaves it to the guard.
        self.is_held = false;
        lock.over.named(outcome)
    }

    /// What says that it is this holder, as it stands on the server: 32 hexadecimal digits.
    pub fn token(&self) -> &str {
        &self.hold.token
    }

    fn over(&self, operation: &'static str) -> AtLock<'_, Tasks<'_>> {
        self.hold.at(Tasks(&self.hold.store), operation)
    }
}

#[cfg(feature = "tokio")]
impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.is_held
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let hold = self.hold.clone();
            // On the same connection as what took it, so behind that.
            drop(runtime.spawn(async move { hold.at(Tasks(&hold.store), "release").give_back().await.map(drop) }));
        }
    }
}

/// A lock that is held. Dropping it gives it back, and does not say whether that went well:
/// [`BlockingLockGuard::release`] does.
#[derive(Debug)]
#[must_use = "a lock that is dropped is given back"]
pub struct BlockingLockGuard {
    hold: Hold,
    is_held: bool,
}

impl BlockingLockGuard {
    /// Gives the lock back; returns whether it was still held here: false if its lease was over.
    ///
    /// # Errors
    /// Those of [`BlockingRedis`]. The lock may be taken then until its lease is over.
    pub fn release(mut self) -> Result<bool> {
        self.is_held = false;
        let lock = self.over("release");
        lock.over.named(now(lock.give_back()))
    }

    /// What says that it is this holder, as it stands on the server: 32 hexadecimal digits.
    pub fn token(&self) -> &str {
        &self.hold.token
    }

    fn over(&self, operation: &'static str) -> AtLock<'_, Threads<'_>> {
        self.hold.at(Threads(&self.hold.store), operation)
    }
}

impl Drop for BlockingLockGuard {
    fn drop(&mut self) {
        if self.is_held {
            // Who wants to know calls `release`.
            let _ = now(self.over("release").give_back());
        }
    }
}

/// 128 bits in hexadecimal digits that no other holder has: the standard library's random numbers, the process and the time.
fn new_token() -> String {
    let here = (std::process::id(), SystemTime::now());
    let [first, second] = [(); 2].map(|()| RandomState::new().hash_one(here));
    format!("{first:016x}{second:016x}")
}
