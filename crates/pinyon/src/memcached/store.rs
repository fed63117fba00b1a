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
use crate::net::{Answered, Driver, Endpoint, Health, Rules, Servers};
use crate::server_store::{Found, ServerStore};
use crate::settings::{Address, MemcachedSettings};
use crate::store::{Integer, Item, Reach, ServerInfo, ServerReport};
use crate::timeout::{Expiry, Ttl};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// A Memcached cache of one server or several.
#[derive(Debug)]
pub struct MemcachedStore {
    servers: Servers<MetaProtocol>,
    /// Of each server.
    health: Vec<Health>,
    placement: Rendezvous,
    key_prefix: String,
    ignore_exceptions: bool,
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
            (endpoint, MetaProtocol)
        });
        let rules = Rules {
            failures: 1,
            retry_timeout: settings.retry_timeout,
            dead_timeout: settings.dead_timeout,
            patience: settings.connect_timeout + settings.timeout,
        };
        let health = settings.servers.iter().map(|_| Health::new(rules));
        Self {
            servers: Servers::new(servers),
            health: health.collect(),
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

    fn may_ask(&self, server: usize) -> bool {
        self.health.get(server).is_some_and(Health::may_ask)
    }

    /// One command to the server of a key. None if that server is left alone.
    async fn ask<D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        key: &str,
        command: &Command<'_>,
    ) -> Result<Option<Answer<'_, D::Answer>>> {
        self.allows_key(key)?;
        let server = self.placement.server(key);
        if !self.may_ask(server) {
            return Ok(None);
        }
        let start = Instant::now();
        let encode = |out: &mut Vec<u8>| {
            command.encode(&self.key_prefix, 0, out);
            1
        };
        let outcome = driver.exchange(server, command.is_repeatable(), encode).await;
        let outcome = self.note(server, outcome, start).map_err(|error| error.with_operation(command.name()))?;
        Ok(outcome.map(|replies| Answer { replies, server: self.servers.label(server), operation: command.name() }))
    }

    /// Keeps the health of a server: the first failure is an error, the next ones are silence.
    fn note<T>(&self, server: usize, outcome: Result<T>, start: Instant) -> Result<Option<T>> {
        let Some(health) = self.health.get(server) else { return outcome.map(Some) };
        match outcome {
            Ok(answer) => {
                health.succeeded();
                Ok(Some(answer))
            }
            Err(error) if error.is_connection() => {
                let first = health.failed(start.elapsed());
                if first {
                    tracing::warn!(server = self.servers.label(server), %error, "Memcached server failed; its keys are misses");
                }
                if first && !self.ignore_exceptions { Err(error) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// The indexes of the keys that each server has.
    fn group<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<usize>>> {
        let count = self.servers.count();
        let size = keys.size_hint().0.div_ceil(count.max(1));
        let mut groups: Vec<_> = (0..count).map(|_| Vec::with_capacity(size)).collect();
        for (index, key) in keys.enumerate() {
            self.allows_key(key)?;
            if let Some(group) = groups.get_mut(self.placement.server(key)) {
                group.push(index);
            }
        }
        Ok(groups)
    }

    /// One request a server with a command for each of its keys, whose indexes `groups` has. The answers of servers that
    /// could not be asked are missing.
    async fn ask_many<'a, D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        operation: &'static str,
        groups: Vec<Vec<usize>>,
        make: impl Fn(usize) -> Command<'a>,
    ) -> Result<Vec<(Vec<usize>, Answer<'_, D::Answer>)>> {
        let asked: Vec<(usize, Vec<usize>)> = groups
            .into_iter()
            .enumerate()
            .filter(|(server, group)| !group.is_empty() && self.may_ask(*server))
            .collect();
        let make = &make;
        let requests: Vec<_> = asked
            .iter()
            .map(|(server, group)| {
                let encode = move |out: &mut Vec<u8>| {
                    for (opaque, index) in group.iter().enumerate() {
                        make(*index).encode(&self.key_prefix, opaque, out);
                    }
                    group.len()
                };
                (*server, encode)
            })
            .collect();
        let start = Instant::now();
        let outcomes = driver.exchange_many(requests, true).await;
        let mut answers = Vec::with_capacity(outcomes.len());
        let mut failure = None;
        for ((server, group), outcome) in asked.into_iter().zip(outcomes) {
            match self.note(server, outcome, start) {
                Ok(Some(replies)) => {
                    answers.push((group, Answer { replies, server: self.servers.label(server), operation }));
                }
                Ok(None) => {}
                Err(error) => failure = Some(error.with_operation(operation)),
            }
        }
        failure.map_or(Ok(answers), Err)
    }

    /// One command about one key; `otherwise` if its server is left alone.
    async fn one<D: Driver<MetaProtocol>, R>(
        &self,
        driver: &D,
        key: &str,
        command: &Command<'_>,
        otherwise: R,
        judge: impl FnOnce(MetaReply<'_>) -> Result<R>,
    ) -> Result<R> {
        match self.ask(driver, key, command).await? {
            Some(answer) => answer.judge(judge),
            None => Ok(otherwise),
        }
    }

    /// The server has refused an item: whatever the key had before must not stay.
    async fn drop_refused<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str, size: usize) -> Result<()> {
        tracing::warn!(key, size, "Memcached refused a value (larger than its item_size_max?); the key is removed");
        self.one(driver, key, &Command::Delete(key), false, command::found).await.map(drop)
    }

    async fn info<D: Driver<MetaProtocol>>(&self, driver: &D, server: usize) -> Result<ServerInfo> {
        let ask = async |command: Command<'_>| {
            let encode = |out: &mut Vec<u8>| {
                command.encode("", 0, out);
                1
            };
            driver.exchange(server, true, encode).await
        };
        ask(Command::Version).await?;
        let start = Instant::now();
        let answer = ask(Command::Version).await?;
        let round_trip = start.elapsed();
        let version = format!("Memcached {}", String::from_utf8_lossy(first_reply(&answer)?.rest));
        drop(answer);
        let answer = ask(Command::Stats).await?;
        let (parser, bytes) = answer.replies();
        if let Some(health) = self.health.get(server) {
            health.succeeded();
        }
        Ok(ServerInfo {
            round_trip,
            version,
            memory_used: parser.statistic(bytes, "bytes"),
            memory_limit: parser.statistic(bytes, "limit_maxbytes"),
            entries: parser.statistic(bytes, "curr_items"),
        })
    }
}

/// The replies of one server to one request, with what an error about them has to say.
struct Answer<'a, A> {
    replies: A,
    server: &'a str,
    operation: &'static str,
}

impl<A: Answered<MetaProtocol>> Answer<'_, A> {
    /// Judges the reply to a single command.
    fn judge<R>(&self, judge: impl FnOnce(MetaReply<'_>) -> Result<R>) -> Result<R> {
        first_reply(&self.replies).and_then(judge).map_err(|error| self.explain(error))
    }

    /// Judges every reply: its number within the request, the index of its key, and what it says.
    fn judge_all(
        &self,
        group: &[usize],
        mut judge: impl FnMut(usize, usize, MetaReply<'_>) -> Result<()>,
    ) -> Result<()> {
        let (parser, bytes) = self.replies.replies();
        for ((number, index), reply) in group.iter().enumerate().zip(parser.iter(bytes)) {
            judge(number, *index, reply).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    fn explain(&self, error: Error) -> Error {
        error.with_server(self.server).with_operation(self.operation)
    }
}

fn first_reply<A: Answered<MetaProtocol>>(answer: &A) -> Result<MetaReply<'_>> {
    let (parser, bytes) = answer.replies();
    let first = parser.iter(bytes).next();
    first.ok_or_else(|| Error::new(ErrorKind::Protocol, "Memcached sent no answer"))
}

impl ServerStore for MemcachedStore {
    type Protocol = MetaProtocol;

    const BACKEND: &'static str = "memcached";

    fn servers(&self) -> &Servers<MetaProtocol> {
        &self.servers
    }

    fn allows_key(&self, key: &str) -> Result<()> {
        if self.key_prefix.is_empty() {
            check_memcached(key)
        } else {
            check_memcached(&[self.key_prefix.as_str(), key].concat())
        }
    }

    fn items<A: Answered<MetaProtocol>>(answer: &A, visit: &mut dyn FnMut(usize, Item<'_>)) {
        let (parser, bytes) = answer.replies();
        for (opaque, reply) in parser.iter(bytes).enumerate() {
            if let Some(item) = command::item(reply) {
                visit(opaque, item);
            }
        }
    }

    async fn get_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str) -> Result<Found<Self, D::Answer>> {
        let answer = self.ask(driver, key, &Command::Get(key)).await?;
        if let Some(answer) = &answer {
            answer.judge(|reply| command::value(reply, 0).map(drop))?;
        }
        Ok(Found::one(answer.map(|answer| answer.replies)))
    }

    async fn get_many_over<D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        keys: &[&str],
    ) -> Result<Found<Self, D::Answer>> {
        let groups = self.group(keys.iter().copied())?;
        let make = |index: usize| Command::Get(keys.get(index).copied().unwrap_or(""));
        let answers = self.ask_many(driver, "get_many", groups, make).await?;
        for (group, answer) in &answers {
            answer.judge_all(group, |opaque, _, reply| command::value(reply, opaque).map(drop))?;
        }
        Ok(Found::several(answers.into_iter().map(|(group, answer)| (group, answer.replies))))
    }

    async fn set_over<D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> Result<bool> {
        let stored = self.one(driver, key, &Command::Set(key, item, expiry), Stored::No, command::stored).await?;
        if stored == Stored::Refused {
            self.drop_refused(driver, key, item.bytes.len()).await?;
        }
        Ok(stored == Stored::Yes)
    }

    async fn add_over<D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> Result<bool> {
        let stored = self.one(driver, key, &Command::Add(key, item, expiry), Stored::No, command::stored).await?;
        if stored == Stored::Refused {
            tracing::warn!(key, size = item.bytes.len(), "Memcached refused a value (larger than its item_size_max?)");
        }
        Ok(stored == Stored::Yes)
    }

    async fn touch_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str, expiry: Expiry) -> Result<bool> {
        self.one(driver, key, &Command::Touch(key, expiry), false, command::found).await
    }

    async fn delete_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str) -> Result<bool> {
        self.one(driver, key, &Command::Delete(key), false, command::found).await
    }

    async fn has_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str) -> Result<bool> {
        self.one(driver, key, &Command::Has(key), false, command::found).await
    }

    async fn incr_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str, delta: i64) -> Result<Option<Integer>> {
        let sum = |reply: MetaReply<'_>| match command::digits(reply)? {
            None => Ok(None),
            Some(digits) => Integer::parse(digits).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "Memcached answered incr with something other than a number")
            }),
        };
        self.one(driver, key, &Command::Incr(key, delta), None, sum).await
    }

    async fn set_many_over<D: Driver<MetaProtocol>>(
        &self,
        driver: &D,
        items: &[(&str, Item<'_>)],
        expiry: Expiry,
    ) -> Result<Vec<usize>> {
        let groups = self.group(items.iter().map(|(key, _)| *key))?;
        let empty = ("", Item { bytes: &[], flags: 0 });
        let make = |index: usize| {
            let (key, item) = items.get(index).copied().unwrap_or(empty);
            Command::Set(key, item, expiry)
        };
        let answers = self.ask_many(driver, "set_many", groups, make).await?;
        let mut failed = vec![true; items.len()];
        let mut refused = Vec::new();
        for (group, answer) in &answers {
            answer.judge_all(group, |_, index, reply| {
                match command::stored(reply)? {
                    Stored::Refused => refused.push(index),
                    stored => failed[index] = stored != Stored::Yes,
                }
                Ok(())
            })?;
        }
        drop(answers);
        for index in refused {
            self.drop_refused(driver, items[index].0, items[index].1.bytes.len()).await?;
        }
        Ok(failed.iter().enumerate().filter_map(|(index, failed)| failed.then_some(index)).collect())
    }

    async fn delete_many_over<D: Driver<MetaProtocol>>(&self, driver: &D, keys: &[&str]) -> Result<()> {
        let groups = self.group(keys.iter().copied())?;
        let make = |index: usize| Command::Delete(keys.get(index).copied().unwrap_or(""));
        let answers = self.ask_many(driver, "delete_many", groups, make).await?;
        answers
            .iter()
            .try_for_each(|(group, answer)| answer.judge_all(group, |_, _, reply| command::found(reply).map(drop)))
    }

    async fn clear_over<D: Driver<MetaProtocol>>(&self, driver: &D) -> Result<()> {
        let all = self.servers.count();
        let answers = self.ask_many(driver, "clear", vec![vec![0]; all], |_| Command::Clear).await?;
        answers.iter().try_for_each(|(_, answer)| answer.judge(command::acknowledged))?;
        let cleared = answers.len();
        if cleared < all && !self.ignore_exceptions {
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

    async fn ttl_over<D: Driver<MetaProtocol>>(&self, driver: &D, key: &str) -> Result<Ttl> {
        self.one(driver, key, &Command::Ttl(key), Ttl::Missing, command::ttl).await
    }

    async fn check_over<D: Driver<MetaProtocol>>(&self, driver: &D) -> Vec<ServerReport> {
        let mut reports = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let result = self.info(driver, index).await.map_err(|error| error.with_operation("check"));
            reports.push(ServerReport { server: server.label().to_owned(), result });
        }
        reports
    }

    fn reached(self: Arc<Self>) -> Reach {
        Reach::Memcached(self)
    }
}
