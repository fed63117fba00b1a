//! Redis as a store: which server gets an operation.
//!
//! The first server takes the writes. With replicas, reads go to one of them after the other, as in Django's `RedisCache`.
//! A replica that cannot be asked, or that has no data to give yet, is left alone for a while; the next one is asked
//! instead, and at last the primary. After a replica that did not answer in time the primary is asked at once, so that a
//! read waits for two timeouts at most.

use super::command::{self, Command};
use super::protocol::{Replies, RespProtocol, replies};
use super::raw::{Commands, Results};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Answered, Driver, Endpoint, Health, Lease, Rules, Servers, now};
use crate::server_store::{Found, ServerStore};
use crate::settings::{RedisSettings, TimeoutUnit};
use crate::store::{Integer, Item, Reach, ServerInfo, ServerReport};
use crate::timeout::{Expiry, Ttl};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A Redis cache: one primary, perhaps with replicas.
#[derive(Debug)]
pub struct RedisStore {
    /// The primary first.
    servers: Servers<RespProtocol>,
    /// Of the replicas, in their order.
    health: Vec<Health>,
    /// Of the primary: the circuit breaker.
    breaker: Health,
    /// Why it failed the last time.
    last_failure: Mutex<Option<Error>>,
    unit: TimeoutUnit,
    next_replica: AtomicUsize,
}

/// How long a server is left alone after its first failure, and a replica at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Every store of this process, by its whole effective configuration: making a cache a second time opens no connection.
static STORES: LazyLock<Mutex<HashMap<RedisSettings, Arc<RedisStore>>>> = LazyLock::new(Mutex::default);

impl RedisStore {
    /// A store of its own. Connects with the first operation.
    pub fn new(settings: &RedisSettings) -> Self {
        let servers = settings.servers.iter().map(|server| {
            let endpoint = Endpoint {
                address: server.address.clone(),
                tls: server.tls.clone(),
                label: server.to_string(),
                connect_timeout: settings.connect_timeout,
                timeout: settings.timeout,
                max_connections: settings.max_connections,
            };
            (endpoint, RespProtocol::new(server.clone(), settings.protocol, settings.client_name.clone()))
        });
        let servers = Servers::new(servers);
        let replica = Rules {
            failures: 1,
            retry_timeout: PAUSES.0,
            dead_timeout: PAUSES.1,
            patience: settings.connect_timeout + settings.timeout,
        };
        let primary = Rules { failures: settings.breaker_failures, dead_timeout: settings.breaker_pause, ..replica };
        Self {
            health: servers.all().iter().skip(1).map(|_| Health::new(replica)).collect(),
            servers,
            breaker: Health::new(primary),
            last_failure: Mutex::new(None),
            unit: settings.timeout_unit,
            next_replica: AtomicUsize::new(0),
        }
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

    /// Sends commands as they are worded, to the primary or, if they only read, to whichever server reads go to.
    ///
    /// # Errors
    /// The connection's, and that the server refused a transaction as a whole. That it refused a command is a reply.
    pub async fn command_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        commands: &Commands,
    ) -> Result<Results<D::Answer>> {
        let answer = self.run(driver, &Command::Raw(commands)).await?;
        answer.judge(|replies| commands.results(replies).map(drop))?;
        Ok(Results::new(answer.replies, commands))
    }

    /// [`RedisStore::command_over`] on the calling thread.
    ///
    /// # Errors
    /// Its own.
    pub fn command(&self, commands: &Commands) -> Result<Results<Lease<RespProtocol>>> {
        now(self.command_over(&self.servers.blocking(), commands))
    }

    async fn run<D: Driver<RespProtocol>>(&self, driver: &D, command: &Command<'_>) -> Result<Answer<'_, D::Answer>> {
        let outcome =
            if command.is_read() { self.read(driver, command).await } else { self.ask_primary(driver, command).await };
        outcome.map_err(|error| error.with_operation(command.name()))
    }

    async fn read<D: Driver<RespProtocol>>(&self, driver: &D, command: &Command<'_>) -> Result<Answer<'_, D::Answer>> {
        let replicas = self.health.len();
        let turn = if replicas > 1 { self.next_replica.fetch_add(1, Ordering::Relaxed) } else { 0 };
        for attempt in 0..replicas {
            let replica = turn.wrapping_add(attempt) % replicas;
            let Some(health) = self.health.get(replica).filter(|health| health.may_ask()) else { continue };
            let start = Instant::now();
            let failure = match self.ask(driver, 1 + replica, command).await {
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
        self.ask_primary(driver, command).await
    }

    /// Asks the primary, unless it has failed so often that it is left alone for a while.
    async fn ask_primary<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        command: &Command<'_>,
    ) -> Result<Answer<'_, D::Answer>> {
        if !self.breaker.may_ask() {
            return Err(self.left_alone());
        }
        let start = Instant::now();
        let outcome = self.ask(driver, 0, command).await;
        match &outcome {
            Err(error) if error.is_connection() => {
                self.breaker.failed(start.elapsed());
                *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
            // An error that the server itself tells is an answer.
            _ => self.breaker.succeeded(),
        }
        outcome
    }

    fn left_alone(&self) -> Error {
        let (failures, pause) = (self.breaker.failures(), self.breaker.pause_left().as_millis());
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        let why = last.as_ref().map_or_else(String::new, |last| format!("; the last time: {}", last.message()));
        let message = format!(
            "Redis was not asked: it has failed {failures} times in a row, and is tried again in {pause} ms{why}"
        );
        let error = Error::new(ErrorKind::Unreachable, message).with_server(self.servers.label(0));
        match last.as_ref().and_then(Error::hint) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// How finely it sends timeouts.
    pub fn timeout_unit(&self) -> TimeoutUnit {
        self.unit
    }

    /// How often the primary has failed in a row, and for how long it is left alone because of that; the second is zero
    /// while it may be asked.
    pub fn breaker(&self) -> (u32, Duration) {
        let open = self.breaker.failures() > 0 && self.breaker.is_open();
        (self.breaker.failures(), if open { self.breaker.pause_left() } else { Duration::ZERO })
    }

    async fn ask<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        server: usize,
        command: &Command<'_>,
    ) -> Result<Answer<'_, D::Answer>> {
        let unit = self.unit;
        let replies = driver
            .exchange(server, command.is_repeatable(), move |out: &mut Vec<u8>| command.encode(unit, out))
            .await?;
        Ok(Answer { replies, server: self.servers.label(server), operation: command.name() })
    }

    async fn info<D: Driver<RespProtocol>>(&self, driver: &D, server: usize) -> Result<ServerInfo> {
        let key = "pinyon:check";
        self.ask(driver, server, &Command::Has(key)).await?.judge(command::integer)?;
        let start = Instant::now();
        self.ask(driver, server, &Command::Has(key)).await?.judge(command::integer)?;
        let round_trip = start.elapsed();
        let answer = self.ask(driver, server, &Command::Info).await?;
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
struct Answer<'a, A> {
    replies: A,
    server: &'a str,
    operation: &'static str,
}

impl<A: Answered<RespProtocol>> Answer<'_, A> {
    fn judge<R>(&self, judge: impl FnOnce(Replies<'_>) -> Result<R>) -> Result<R> {
        judge(self.replies()).map_err(|error| error.with_server(self.server).with_operation(self.operation))
    }

    fn replies(&self) -> Replies<'_> {
        let (parser, bytes) = self.replies.replies();
        replies(parser, bytes)
    }
}

impl ServerStore for RedisStore {
    type Protocol = RespProtocol;

    const BACKEND: &'static str = "redis";

    fn servers(&self) -> &Servers<RespProtocol> {
        &self.servers
    }

    fn allows_key(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    fn items<A: Answered<RespProtocol>>(answer: &A, visit: &mut dyn FnMut(usize, Item<'_>)) {
        let (parser, bytes) = answer.replies();
        command::items(replies(parser, bytes), |number, bytes| visit(number, Item { bytes, flags: 0 }));
    }

    async fn get_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str) -> Result<Found<Self, D::Answer>> {
        let answer = self.run(driver, &Command::Get(key)).await?;
        answer.judge(|replies| command::bytes(replies).map(drop))?;
        Ok(Found::one(Some(answer.replies)))
    }

    async fn get_many_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        keys: &[&str],
    ) -> Result<Found<Self, D::Answer>> {
        if keys.is_empty() {
            return Ok(Found::one(None));
        }
        let answer = self.run(driver, &Command::GetMany(keys)).await?;
        answer.judge(|replies| command::many(replies, keys.len()))?;
        Ok(Found::one(Some(answer.replies)))
    }

    async fn set_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> Result<bool> {
        self.run(driver, &Command::Set(key, item.bytes, expiry)).await?.judge(command::check)?;
        Ok(true)
    }

    async fn add_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        key: &str,
        item: Item<'_>,
        expiry: Expiry,
    ) -> Result<bool> {
        let answer = self.run(driver, &Command::Add(key, item.bytes, expiry)).await?;
        answer.judge(|replies| match replies.clone().next() {
            // EXISTS, asked because the entry would be expired at once.
            Some(super::Reply::Integer(existing)) => Ok(existing == 0),
            _ => command::stored(replies),
        })
    }

    async fn touch_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str, expiry: Expiry) -> Result<bool> {
        let answer = self.run(driver, &Command::Touch(key, expiry)).await?;
        let judge = if expiry == Expiry::Never { command::last_of_transaction } else { command::integer };
        answer.judge(judge).map(|touched| touched > 0)
    }

    async fn delete_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str) -> Result<bool> {
        self.run(driver, &Command::Delete(key)).await?.judge(command::integer).map(|deleted| deleted > 0)
    }

    async fn has_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str) -> Result<bool> {
        self.run(driver, &Command::Has(key)).await?.judge(command::integer).map(|found| found > 0)
    }

    async fn incr_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str, delta: i64) -> Result<Option<Integer>> {
        let mut answer = self.run(driver, &Command::Incr(key, delta, false)).await?;
        if command::wants_script(answer.replies()) {
            // Its connection goes back first: there may be no second one.
            drop(answer);
            answer = self.run(driver, &Command::Incr(key, delta, true)).await?;
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

    async fn set_many_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        items: &[(&str, Item<'_>)],
        expiry: Expiry,
    ) -> Result<Vec<usize>> {
        if !items.is_empty() {
            let items: Vec<(&str, &[u8])> = items.iter().map(|(key, item)| (*key, item.bytes)).collect();
            self.run(driver, &Command::SetMany(&items, expiry)).await?.judge(command::check)?;
        }
        Ok(Vec::new())
    }

    async fn delete_many_over<D: Driver<RespProtocol>>(&self, driver: &D, keys: &[&str]) -> Result<()> {
        if !keys.is_empty() {
            self.run(driver, &Command::DeleteMany(keys)).await?.judge(command::check)?;
        }
        Ok(())
    }

    async fn clear_over<D: Driver<RespProtocol>>(&self, driver: &D) -> Result<()> {
        self.run(driver, &Command::Clear).await?.judge(command::check)
    }

    async fn ttl_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str) -> Result<Ttl> {
        self.run(driver, &Command::Ttl(key)).await?.judge(command::ttl)
    }

    async fn check_over<D: Driver<RespProtocol>>(&self, driver: &D) -> Vec<ServerReport> {
        let mut reports = Vec::new();
        for (index, server) in self.servers.all().iter().enumerate() {
            // Whatever the circuit breaker says: a check is there to find out.
            let result = self.info(driver, index).await.map_err(|error| error.with_operation("check"));
            if index == 0 && result.is_ok() {
                self.breaker.succeeded();
            }
            reports.push(ServerReport { server: server.label().to_owned(), result });
        }
        reports
    }

    fn reached(self: Arc<Self>) -> Reach {
        Reach::Redis(self)
    }
}
