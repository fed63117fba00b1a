//! Memcached as a store: several servers, each asked for its keys, all at the same time.
//!
//! The first failure of a server is the caller's to hear of. From then on its keys are misses, without a word and mostly
//! without a wait, until it answers again. Keys are never moved to another server, as pymemcache does after some failures:
//! when the server came back, values would come back with it that had been overwritten elsewhere.

use super::command::{self, Command, Stored};
use super::placement::Rendezvous;
use super::protocol::{MetaProtocol, MetaReply};
use crate::error::{Error, ErrorKind, Result};
use crate::key::check_memcached;
use crate::net::{Endpoint, Health, Lease, Outgoing, Pool, exchange_many};
use crate::settings::{Address, MemcachedSettings};
use crate::store::{Integer, Item, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// A Memcached cache of one server or several.
#[derive(Debug)]
pub struct MemcachedStore {
    servers: Vec<Server>,
    placement: Rendezvous,
    key_prefix: String,
    ignore_exceptions: bool,
}

#[derive(Debug)]
struct Server {
    pool: Pool<MetaProtocol>,
    health: Health,
}

/// Every store of this process, by its whole effective configuration: making a cache a second time opens no connection.
static STORES: LazyLock<Mutex<HashMap<MemcachedSettings, Arc<MemcachedStore>>>> = LazyLock::new(Mutex::default);

impl MemcachedStore {
    /// A store of its own. Connects with the first operation.
    pub fn new(settings: &MemcachedSettings) -> Self {
        let servers = settings.servers.iter().map(|address| {
            let endpoint = Endpoint {
                address: address.clone(),
                tls: None,
                label: match address {
                    Address::Tcp { .. } => format!("memcached://{address}"),
                    Address::Unix(_) => format!("unix:{address}"),
                },
                connect_timeout: settings.connect_timeout,
                timeout: settings.timeout,
                max_connections: settings.max_connections,
            };
            Server {
                pool: Pool::new(endpoint, MetaProtocol),
                health: Health::new(settings.retry_timeout, settings.dead_timeout),
            }
        });
        Self {
            servers: servers.collect(),
            placement: Rendezvous::new(&settings.servers),
            key_prefix: settings.key_prefix.clone(),
            ignore_exceptions: settings.ignore_exceptions,
        }
    }

    /// The store of these settings that the whole process shares.
    pub fn shared(settings: &MemcachedSettings) -> Arc<Self> {
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
        self.servers.iter().map(|server| server.pool.open_connections()).sum()
    }

    /// A `get` whose value can be read where it arrived, for as long as the result lives.
    ///
    /// # Errors
    /// Connection errors of a server that has been well so far, errors of the server, and [`ErrorKind::Key`].
    pub fn fetch(&self, key: &str) -> Result<Fetched> {
        let lease = self.ask(key, &Command::Get(key))?;
        if let Some(lease) = &lease {
            self.judge(lease, key, "get", |reply| command::value(reply, 0).map(drop))?;
        }
        Ok(Fetched { lease })
    }

    /// A `get_many`, as [`MemcachedStore::fetch`]: one round trip a server, all servers at the same time.
    ///
    /// # Errors
    /// As [`MemcachedStore::fetch`]. The servers that are well have been asked all the same.
    pub fn fetch_many(&self, keys: &[&str]) -> Result<FetchedMany> {
        let groups = self.group(keys.iter().copied())?;
        let answers =
            self.ask_many("get_many", true, groups, |index| Command::Get(keys.get(index).copied().unwrap_or("")))?;
        for answer in &answers {
            answer.judge("get_many", |opaque, _, reply| command::value(reply, opaque).map(drop))?;
        }
        Ok(FetchedMany { groups: answers.into_iter().map(|answer| (answer.group, answer.lease)).collect() })
    }

    /// One command to the server of a key. None if that server is left alone.
    fn ask(&self, key: &str, command: &Command<'_>) -> Result<Option<Lease<MetaProtocol>>> {
        self.check_key(key)?;
        match self.servers.get(self.placement.server(key)) {
            Some(server) => self.ask_server(server, command),
            None => Err(Error::new(ErrorKind::Config, "the cache has no server")),
        }
        .map_err(|error| error.with_operation(command.name()))
    }

    fn ask_server(&self, server: &Server, command: &Command<'_>) -> Result<Option<Lease<MetaProtocol>>> {
        if !server.health.may_ask() {
            return Ok(None);
        }
        let start = Instant::now();
        let outcome = server.pool.exchange(command.is_repeatable(), |out| {
            command.encode(&self.key_prefix, 0, out);
            1
        });
        self.note(server, outcome, start)
    }

    /// Keeps the health of a server: the first failure is an error, the next ones are silence.
    fn note<T>(&self, server: &Server, outcome: Result<T>, start: Instant) -> Result<Option<T>> {
        match outcome {
            Ok(lease) => {
                server.health.succeeded();
                Ok(Some(lease))
            }
            Err(error) if error.is_connection() => {
                let first = server.health.failed(start.elapsed());
                if first {
                    tracing::warn!(server = server.pool.endpoint().label, %error, "Memcached server failed; its keys are misses");
                }
                if first && !self.ignore_exceptions { Err(error) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// The indexes of the keys that each server has.
    fn group<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<usize>>> {
        let mut groups = vec![Vec::new(); self.servers.len()];
        for (index, key) in keys.enumerate() {
            self.check_key(key)?;
            if let Some(group) = groups.get_mut(self.placement.server(key)) {
                group.push(index);
            }
        }
        Ok(groups)
    }

    /// One request a server with a command for each of its keys, whose indexes `groups` has. The answers of servers that
    /// could not be asked are missing.
    fn ask_many<'a>(
        &self,
        operation: &'static str,
        repeatable: bool,
        groups: Vec<Vec<usize>>,
        make: impl Fn(usize) -> Command<'a>,
    ) -> Result<Vec<Answer<'_>>> {
        let asked: Vec<(&Server, Vec<usize>)> = self
            .servers
            .iter()
            .zip(groups)
            .filter(|(server, group)| !group.is_empty() && server.health.may_ask())
            .collect();
        let encoders: Vec<_> = asked
            .iter()
            .map(|(_, group)| {
                |out: &mut Vec<u8>| {
                    for (opaque, index) in group.iter().enumerate() {
                        make(*index).encode(&self.key_prefix, opaque, out);
                    }
                    group.len()
                }
            })
            .collect();
        let outgoing: Vec<Outgoing<'_, MetaProtocol>> =
            asked.iter().zip(&encoders).map(|((server, _), encode)| Outgoing { pool: &server.pool, encode }).collect();
        let start = Instant::now();
        let outcomes = if outgoing.is_empty() { Vec::new() } else { exchange_many(&outgoing, repeatable) };
        drop(outgoing);
        drop(encoders);
        let mut answers = Vec::with_capacity(outcomes.len());
        let mut failure = None;
        for ((server, group), outcome) in asked.into_iter().zip(outcomes) {
            match self.note(server, outcome, start) {
                Ok(Some(lease)) => answers.push(Answer { server: &server.pool.endpoint().label, group, lease }),
                Ok(None) => {}
                Err(error) => failure = Some(error.with_operation(operation)),
            }
        }
        failure.map_or(Ok(answers), Err)
    }

    fn judge<R>(
        &self,
        lease: &Lease<MetaProtocol>,
        key: &str,
        operation: &'static str,
        judge: impl FnOnce(MetaReply<'_>) -> Result<R>,
    ) -> Result<R> {
        judge(first_reply(lease)?).map_err(|error| {
            let server = self.servers.get(self.placement.server(key));
            let label = server.map_or_else(String::new, |server| server.pool.endpoint().label.clone());
            error.with_server(label).with_operation(operation)
        })
    }

    /// One command about one key; `otherwise` if its server is left alone.
    fn one<R>(
        &self,
        key: &str,
        command: &Command<'_>,
        otherwise: R,
        judge: impl FnOnce(MetaReply<'_>) -> Result<R>,
    ) -> Result<R> {
        match self.ask(key, command)? {
            Some(lease) => self.judge(&lease, key, command.name(), judge),
            None => Ok(otherwise),
        }
    }

    /// The server has refused an item: whatever the key had before must not stay.
    fn drop_refused(&self, key: &str, size: usize) -> Result<()> {
        tracing::warn!(key, size, "Memcached refused a value (larger than its item_size_max?); the key is removed");
        self.one(key, &Command::Delete(key), false, command::found).map(drop)
    }

    fn info(server: &Server) -> Result<ServerInfo> {
        let ask = |command: &Command<'_>| {
            server.pool.exchange(true, |out| {
                command.encode("", 0, out);
                1
            })
        };
        ask(&Command::Version)?;
        let start = Instant::now();
        let lease = ask(&Command::Version)?;
        let round_trip = start.elapsed();
        let version = format!("Memcached {}", String::from_utf8_lossy(first_reply(&lease)?.rest));
        drop(lease);
        let lease = ask(&Command::Stats)?;
        let (parser, bytes) = lease.replies();
        server.health.succeeded();
        Ok(ServerInfo {
            round_trip,
            version,
            memory_used: parser.statistic(bytes, "bytes"),
            memory_limit: parser.statistic(bytes, "limit_maxbytes"),
            entries: parser.statistic(bytes, "curr_items"),
        })
    }
}

/// The replies of one server to its part of an operation.
struct Answer<'a> {
    server: &'a str,
    /// The indexes of the keys that it was asked about.
    group: Vec<usize>,
    lease: Lease<MetaProtocol>,
}

impl Answer<'_> {
    /// Judges every reply: its number within the request, the index of its key, and what it says.
    fn judge(
        &self,
        operation: &'static str,
        mut judge: impl FnMut(usize, usize, MetaReply<'_>) -> Result<()>,
    ) -> Result<()> {
        let (parser, bytes) = self.lease.replies();
        for ((number, index), reply) in self.group.iter().enumerate().zip(parser.iter(bytes)) {
            judge(number, *index, reply).map_err(|error| error.with_server(self.server).with_operation(operation))?;
        }
        Ok(())
    }
}

fn first_reply(lease: &Lease<MetaProtocol>) -> Result<MetaReply<'_>> {
    let (parser, bytes) = lease.replies();
    let first = parser.iter(bytes).next();
    first.ok_or_else(|| Error::new(ErrorKind::Protocol, "Memcached sent no answer"))
}

/// The answer to a `get`, in the read buffer of the connection, which is kept out of the pool for as long as this lives.
#[derive(Debug)]
pub struct Fetched {
    lease: Option<Lease<MetaProtocol>>,
}

impl Fetched {
    /// The value with its flags, if there is one.
    pub fn item(&self) -> Option<Item<'_>> {
        let reply = first_reply(self.lease.as_ref()?).ok()?;
        command::value(reply, 0).ok().flatten()
    }
}

/// The answer to a `get_many`, as [`Fetched`].
#[derive(Debug)]
pub struct FetchedMany {
    groups: Vec<(Vec<usize>, Lease<MetaProtocol>)>,
}

impl FetchedMany {
    /// Calls `visit` with the index of the key and the item of every value found, server by server.
    pub fn visit(&self, mut visit: impl FnMut(usize, Item<'_>)) {
        for (group, lease) in &self.groups {
            let (parser, bytes) = lease.replies();
            for ((opaque, index), reply) in group.iter().enumerate().zip(parser.iter(bytes)) {
                // Judged when it came: it cannot fail now.
                if let Ok(Some(item)) = command::value(reply, opaque) {
                    visit(*index, item);
                }
            }
        }
    }
}

impl Store for MemcachedStore {
    fn backend(&self) -> &'static str {
        "memcached"
    }

    fn check_key(&self, key: &str) -> Result<()> {
        if self.key_prefix.is_empty() {
            check_memcached(key)
        } else {
            check_memcached(&[self.key_prefix.as_str(), key].concat())
        }
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let fetched = self.fetch(key)?;
        Ok(fetched.item().map(visit).is_some())
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let stored = self.one(key, &Command::Set(key, item, expiry), Stored::No, command::stored)?;
        if stored == Stored::Refused {
            self.drop_refused(key, item.bytes.len())?;
        }
        Ok(stored == Stored::Yes)
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let stored = self.one(key, &Command::Add(key, item, expiry), Stored::No, command::stored)?;
        if stored == Stored::Refused {
            tracing::warn!(key, size = item.bytes.len(), "Memcached refused a value (larger than its item_size_max?)");
        }
        Ok(stored == Stored::Yes)
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.one(key, &Command::Touch(key, expiry), false, command::found)
    }

    fn delete(&self, key: &str) -> Result<bool> {
        self.one(key, &Command::Delete(key), false, command::found)
    }

    fn has(&self, key: &str) -> Result<bool> {
        self.one(key, &Command::Has(key), false, command::found)
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        self.one(key, &Command::Incr(key, delta), None, |reply| match command::digits(reply)? {
            None => Ok(None),
            Some(digits) => Integer::parse(digits).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "Memcached answered incr with something other than a number")
            }),
        })
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        self.fetch_many(keys)?.visit(visit);
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        let groups = self.group(items.iter().map(|(key, _)| *key))?;
        let empty = ("", Item { bytes: &[], flags: 0 });
        let answers = self.ask_many("set_many", true, groups, |index| {
            let (key, item) = items.get(index).copied().unwrap_or(empty);
            Command::Set(key, item, expiry)
        })?;
        let mut failed = vec![true; items.len()];
        let mut refused = Vec::new();
        for answer in &answers {
            answer.judge("set_many", |_, index, reply| {
                match command::stored(reply)? {
                    Stored::Refused => refused.push(index),
                    stored => failed[index] = stored != Stored::Yes,
                }
                Ok(())
            })?;
        }
        drop(answers);
        for index in refused {
            self.drop_refused(items[index].0, items[index].1.bytes.len())?;
        }
        Ok(failed.iter().enumerate().filter_map(|(index, failed)| failed.then_some(index)).collect())
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        let groups = self.group(keys.iter().copied())?;
        let answers = self
            .ask_many("delete_many", true, groups, |index| Command::Delete(keys.get(index).copied().unwrap_or("")))?;
        answers.iter().try_for_each(|answer| answer.judge("delete_many", |_, _, reply| command::found(reply).map(drop)))
    }

    fn clear(&self) -> Result<()> {
        let every_server = vec![vec![0]; self.servers.len()];
        let answers = self.ask_many("clear", true, every_server, |_| Command::Clear)?;
        answers.iter().try_for_each(|answer| answer.judge("clear", |_, _, reply| command::acknowledged(reply)))?;
        if answers.len() < self.servers.len() && !self.ignore_exceptions {
            let (cleared, all) = (answers.len(), self.servers.len());
            return Err(Error::new(
                ErrorKind::Unreachable,
                format!("only {cleared} of {all} Memcached servers could be asked to clear their entries"),
            )
            .with_operation("clear")
            .with_hint(
                "The entries of the others are still there if they come back without a restart; clear again then",
            ));
        }
        Ok(())
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        self.one(key, &Command::Ttl(key), Ttl::Missing, command::ttl)
    }

    fn check(&self) -> Vec<ServerReport> {
        self.servers
            .iter()
            .map(|server| ServerReport {
                server: server.pool.endpoint().label.clone(),
                result: Self::info(server).map_err(|error| error.with_operation("check")),
            })
            .collect()
    }
}
