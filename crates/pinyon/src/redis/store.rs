//! Redis as a store: which server gets an operation.
//!
//! The first server takes the writes. With replicas, reads go to one of them after the other, as in Django's `RedisCache`.
//! A replica that cannot be asked, or that has no data to give yet, is left alone for a while; the next one is asked
//! instead, and at last the primary. After a replica that did not answer in time the primary is asked at once, so that a
//! read waits for two timeouts at most.

use super::command::{self, Command};
use super::protocol::{Replies, RespProtocol, replies};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Endpoint, Health, Lease, Pool};
use crate::settings::{RedisSettings, TimeoutUnit};
use crate::store::{Integer, Item, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A Redis cache: one primary, perhaps with replicas.
#[derive(Debug)]
pub struct RedisStore {
    /// The primary first.
    pools: Vec<Pool<RespProtocol>>,
    /// Of the replicas, in their order.
    health: Vec<Health>,
    unit: TimeoutUnit,
    next_replica: AtomicUsize,
}

/// How long a replica is left alone after its first failure, and at most.
const REPLICA_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Every store of this process, by its whole effective configuration: making a cache a second time opens no connection.
static STORES: LazyLock<Mutex<HashMap<RedisSettings, Arc<RedisStore>>>> = LazyLock::new(Mutex::default);

impl RedisStore {
    /// A store of its own. Connects with the first operation.
    pub fn new(settings: &RedisSettings) -> Self {
        let pools = settings.servers.iter().map(|server| {
            let endpoint = Endpoint {
                address: server.address.clone(),
                tls: server.tls.clone(),
                label: server.to_string(),
                connect_timeout: settings.connect_timeout,
                timeout: settings.timeout,
                max_connections: settings.max_connections,
            };
            Pool::new(endpoint, RespProtocol::new(server.clone(), settings.protocol, settings.client_name.clone()))
        });
        let pools: Vec<_> = pools.collect();
        let health = pools.iter().skip(1).map(|_| Health::new(REPLICA_PAUSES.0, REPLICA_PAUSES.1)).collect();
        Self { pools, health, unit: settings.timeout_unit, next_replica: AtomicUsize::new(0) }
    }

    /// The store of these settings that the whole process shares.
    pub fn shared(settings: &RedisSettings) -> Arc<Self> {
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(settings) {
            return store.clone();
        }
        let store = Arc::new(Self::new(settings));
        stores.insert(settings.clone(), store.clone());
        store
    }

    /// Number of open connections of this process to all servers of this cache.
    pub fn open_connections(&self) -> usize {
        self.pools.iter().map(Pool::open_connections).sum()
    }

    /// GET. The value can be read where it arrived, for as long as the result lives.
    ///
    /// # Errors
    /// Connection errors, and errors of the server.
    pub fn fetch(&self, key: &str) -> Result<Fetched> {
        let answer = self.run(&Command::Get(key))?;
        answer.judge(|replies| command::bytes(replies).map(drop))?;
        Ok(Fetched { lease: answer.lease })
    }

    /// MGET, as [`RedisStore::fetch`].
    ///
    /// # Errors
    /// Connection errors, and errors of the server.
    pub fn fetch_many(&self, keys: &[&str]) -> Result<FetchedMany> {
        if keys.is_empty() {
            return Ok(FetchedMany { lease: None, keys: 0 });
        }
        let answer = self.run(&Command::GetMany(keys))?;
        answer.judge(|replies| command::many(replies, keys.len(), |_, _| {}))?;
        Ok(FetchedMany { lease: Some(answer.lease), keys: keys.len() })
    }

    fn run<'a>(&'a self, command: &Command<'_>) -> Result<Answer<'a>> {
        let outcome = if command.is_read() { self.read(command) } else { self.ask(0, command) };
        outcome.map_err(|error| error.with_operation(command.name()))
    }

    fn read(&self, command: &Command<'_>) -> Result<Answer<'_>> {
        let replicas = self.health.len();
        let turn = if replicas > 1 { self.next_replica.fetch_add(1, Ordering::Relaxed) } else { 0 };
        for attempt in 0..replicas {
            let replica = turn.wrapping_add(attempt) % replicas;
            let Some(health) = self.health.get(replica).filter(|health| health.may_ask()) else { continue };
            let start = Instant::now();
            let failure = match self.ask(1 + replica, command) {
                Ok(answer) => match answer.judge(command::is_ready) {
                    Ok(()) => {
                        health.succeeded();
                        return Ok(answer);
                    }
                    Err(error) => error,
                },
                Err(error) if error.is_connection() => error,
                Err(error) => return Err(error),
            };
            if health.failed(start.elapsed()) {
                tracing::warn!(error = %failure, "a Redis replica failed; another server is read from");
            }
            if failure.is_timeout() {
                break;
            }
        }
        self.ask(0, command)
    }

    fn ask(&self, server: usize, command: &Command<'_>) -> Result<Answer<'_>> {
        let pool = self.pools.get(server).ok_or_else(|| Error::new(ErrorKind::Config, "the cache has no server"))?;
        let lease = pool.exchange(command.is_repeatable(), |out| command.encode(self.unit, out))?;
        Ok(Answer { lease, server: &pool.endpoint().label, operation: command.name() })
    }

    fn info(&self, server: usize) -> Result<ServerInfo> {
        let key = "pinyon:check";
        self.ask(server, &Command::Has(key))?.judge(command::integer)?;
        let start = Instant::now();
        self.ask(server, &Command::Has(key))?.judge(command::integer)?;
        let round_trip = start.elapsed();
        let answer = self.ask(server, &Command::Info)?;
        answer.judge(|replies| {
            let info = command::bytes(replies.clone().without_first(1))?.unwrap_or_default();
            let number = |name| command::info_field(info, name).and_then(|text| text.parse::<u64>().ok());
            let valkey = command::info_field(info, "valkey_version").map(|version| format!("Valkey {version}"));
            let redis = command::info_field(info, "redis_version").map(|version| format!("Redis {version}"));
            Ok(ServerInfo {
                round_trip,
                version: valkey.or(redis).unwrap_or_else(|| "unknown".to_owned()),
                memory_used: number("used_memory"),
                memory_limit: number("maxmemory").filter(|limit| *limit > 0),
                entries: command::integer(replies.without_first(2)).ok().and_then(|count| u64::try_from(count).ok()),
            })
        })
    }
}

/// The replies to one operation, with what an error about them has to say.
struct Answer<'a> {
    lease: Lease<RespProtocol>,
    server: &'a str,
    operation: &'static str,
}

impl Answer<'_> {
    fn judge<R>(&self, judge: impl FnOnce(Replies<'_>) -> Result<R>) -> Result<R> {
        judge(self.replies()).map_err(|error| error.with_server(self.server).with_operation(self.operation))
    }

    fn replies(&self) -> Replies<'_> {
        let (parser, bytes) = self.lease.replies();
        replies(parser, bytes)
    }
}

/// The answer to a `get`, in the read buffer of the connection, which is kept out of the pool for as long as this lives.
#[derive(Debug)]
pub struct Fetched {
    lease: Lease<RespProtocol>,
}

impl Fetched {
    /// The value, if there is one.
    pub fn item(&self) -> Option<Item<'_>> {
        let (parser, bytes) = self.lease.replies();
        command::bytes(replies(parser, bytes)).ok().flatten().map(|bytes| Item { bytes, flags: 0 })
    }
}

/// The answer to a `get_many`, as [`Fetched`].
#[derive(Debug)]
pub struct FetchedMany {
    lease: Option<Lease<RespProtocol>>,
    keys: usize,
}

impl FetchedMany {
    /// Calls `visit` with the index of the key and the item of every value found.
    pub fn visit(&self, mut visit: impl FnMut(usize, Item<'_>)) {
        if let Some(lease) = &self.lease {
            let (parser, bytes) = lease.replies();
            // Judged when it came: it cannot fail now.
            let _ =
                command::many(replies(parser, bytes), self.keys, |index, bytes| visit(index, Item { bytes, flags: 0 }));
        }
    }
}

impl Store for RedisStore {
    fn backend(&self) -> &'static str {
        "redis"
    }

    fn check_key(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let fetched = self.fetch(key)?;
        Ok(fetched.item().map(visit).is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        self.run(&Command::Set(key, item.bytes, expiry))?.judge(command::check)?;
        Ok(true)
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let answer = self.run(&Command::Add(key, item.bytes, expiry))?;
        answer.judge(|replies| match replies.clone().next() {
            // EXISTS, asked because the entry would be expired at once.
            Some(super::Reply::Integer(existing)) => Ok(existing == 0),
            _ => command::stored(replies),
        })
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        let answer = self.run(&Command::Touch(key, expiry))?;
        let judge = if expiry == Expiry::Never { command::last_of_transaction } else { command::integer };
        answer.judge(judge).map(|touched| touched > 0)
    }

    fn delete(&self, key: &str) -> Result<bool> {
        self.run(&Command::Delete(key))?.judge(command::integer).map(|deleted| deleted > 0)
    }

    fn has(&self, key: &str) -> Result<bool> {
        self.run(&Command::Has(key))?.judge(command::integer).map(|found| found > 0)
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        let mut answer = self.run(&Command::Incr(key, delta, false))?;
        if command::wants_script(answer.replies()) {
            // Its connection goes back first: there may be no second one.
            drop(answer);
            answer = self.run(&Command::Incr(key, delta, true))?;
        }
        answer.judge(|replies| {
            if command::is_not_an_integer(replies.clone()) {
                return Err(Error::new(ErrorKind::NotAnInteger, "the value stored under this key is not an integer")
                    .with_hint("Only an integer can be incremented; set the key to one first"));
            }
            match command::bytes(replies)? {
                None => Ok(None),
                Some(digits) => Integer::parse(digits).map(Some).ok_or_else(|| command::unexpected("an integer")),
            }
        })
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        self.fetch_many(keys)?.visit(visit);
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        if !items.is_empty() {
            let items: Vec<(&str, &[u8])> = items.iter().map(|(key, item)| (*key, item.bytes)).collect();
            self.run(&Command::SetMany(&items, expiry))?.judge(command::check)?;
        }
        Ok(Vec::new())
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        if !keys.is_empty() {
            self.run(&Command::DeleteMany(keys))?.judge(command::check)?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.run(&Command::Clear)?.judge(command::check)
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        self.run(&Command::Ttl(key))?.judge(command::ttl)
    }

    fn check(&self) -> Vec<ServerReport> {
        self.pools
            .iter()
            .enumerate()
            .map(|(server, pool)| ServerReport {
                server: pool.endpoint().label.clone(),
                result: self.info(server).map_err(|error| error.with_operation("check")),
            })
            .collect()
    }
}
