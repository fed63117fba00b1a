//! Redis as a store: what its operations send, and what the replies mean.

use super::changing::{Changing, Source, Verdict, has_time};
use super::cluster::Cluster;
use super::command::{self, Command, write_key_command, write_set};
use super::group::{Answer, Asking, Group, GroupRules};
use super::many::{Manner, Many};
use super::protocol::{Replies, RespProtocol, replies};
use super::ring::Ring;
use super::sentinel::Sentinels;
use super::topology::{Placement, Topology};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Answered, Driver, Endpoint, Servers};
use crate::server_store::{Found, ServerStore};
use crate::settings::{Address, RedisPlacement, RedisServer, RedisSettings, TimeoutUnit};
use crate::store::{Integer, Item, Reach, ServerInfo, ServerReport};
use crate::timeout::{Expiry, Ttl};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A Redis cache: on one primary, perhaps with replicas; on several servers that share the keys; or on those that Sentinel or a
/// Redis Cluster tells.
#[derive(Debug)]
pub struct RedisStore {
    servers: Servers<RespProtocol>,
    pub(super) arrangement: Arrangement,
    unit: TimeoutUnit,
    timeout: Duration,
}

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Arrangement {
    Fixed(Topology),
    Changing(Box<Changing>),
}

/// Every store of this process, by its whole effective configuration: making a cache a second time opens no connection.
static STORES: LazyLock<Mutex<HashMap<RedisSettings, Arc<RedisStore>>>> = LazyLock::new(Mutex::default);

impl RedisStore {
    /// A store of its own. Connects with the first operation.
    pub fn new(settings: &RedisSettings) -> Self {
        let servers = Servers::new([]);
        let rules = GroupRules::new(settings);
        let arrangement = match &settings.placement {
            RedisPlacement::Replicated => {
                let mut known = settings.servers.iter().map(|server| add(&servers, settings, server));
                let group = Group::new(known.next().unwrap_or(0), known, rules);
                Arrangement::Fixed(Topology::new(vec![Arc::new(group)], Placement::One))
            }
            RedisPlacement::Ring(names) => {
                let known = settings.servers.iter().map(|server| add(&servers, settings, server));
                let groups = known.map(|server| Arc::new(Group::new(server, [], rules))).collect();
                Arrangement::Fixed(Topology::new(groups, Placement::Ring(Ring::new(names.iter()))))
            }
            RedisPlacement::Sentinel(sentinel) => {
                let sentinels = Sentinels::new(&servers, settings, sentinel);
                Arrangement::Changing(Box::new(Changing::new(Source::Sentinel(sentinels), settings.timeout)))
            }
            RedisPlacement::Cluster(cluster) => {
                let cluster = Cluster::new(&servers, settings, cluster);
                Arrangement::Changing(Box::new(Changing::new(Source::Cluster(cluster), settings.timeout)))
            }
        };
        Self { servers, arrangement, unit: settings.timeout_unit, timeout: settings.timeout }
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

    pub(super) fn asking<'a, D>(&'a self, driver: &'a D) -> Asking<'a, D> {
        Asking { servers: &self.servers, unit: self.unit, driver }
    }

    /// One command, to the server that has its key.
    pub(super) async fn run<'a, D: Driver<RespProtocol>>(
        &'a self,
        driver: &'a D,
        command: &Command<'_>,
    ) -> Result<Answer<'a, D::Answer>> {
        let asking = self.asking(driver);
        let outcome = match &self.arrangement {
            Arrangement::Fixed(topology) => match topology.group(command.key(), command.group()) {
                Ok(group) => group.run(&asking, command).await,
                Err(error) => Err(error),
            },
            // In a box of its own: it is several times as large as the other, and would make every operation as large.
            Arrangement::Changing(changing) => Box::pin(changing.run(&asking, command)).await,
        };
        outcome.map_err(|error| error.with_operation(command.name()))
    }

    /// Whether keys have to be told apart by the server that has them: a Redis Cluster, or a ring of servers.
    pub fn is_divided(&self) -> bool {
        match &self.arrangement {
            Arrangement::Fixed(topology) => topology.only().is_none(),
            Arrangement::Changing(changing) => matches!(changing.source(), Source::Cluster(_)),
        }
    }

    /// An operation of which each key has its own command; see [`Many`].
    pub(super) fn many<'k, K, W>(
        &self,
        manner: Manner,
        (count, group): (usize, usize),
        key: K,
        write: W,
    ) -> Many<'_, K, W>
    where
        K: Fn(usize) -> Option<&'k [u8]>,
        W: Fn(usize, &mut Vec<u8>),
    {
        let changing = match &self.arrangement {
            Arrangement::Fixed(_) => None,
            Arrangement::Changing(changing) => Some(&**changing),
        };
        Many { manner, count, key, group, write, changing, timeout: self.timeout }
    }

    pub(super) fn fixed(&self) -> Option<&Topology> {
        match &self.arrangement {
            Arrangement::Fixed(topology) => Some(topology),
            Arrangement::Changing(_) => None,
        }
    }

    /// One command for each of many keys. The answers come with the numbers of their keys if it is a read.
    async fn each<'a, 'k, D: Driver<RespProtocol>>(
        &'a self,
        driver: &'a D,
        (operation, is_read): (&'static str, bool),
        count: usize,
        key: impl Fn(usize) -> &'k str,
        write: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<Vec<(Vec<usize>, Answer<'a, D::Answer>)>> {
        let manner =
            Manner { operation, is_read, is_repeatable: true, keeps_answers: is_read, errors_are_results: false };
        let many = self.many(manner, (count, 0), |number| Some(key(number).as_bytes()), write);
        many.run(&self.asking(driver), self.fixed(), |_, _, _| ()).await
    }

    /// One command to every primary.
    async fn everywhere<'a, D: Driver<RespProtocol>>(
        &'a self,
        driver: &'a D,
        command: &Command<'_>,
    ) -> Result<Vec<Answer<'a, D::Answer>>> {
        let asking = self.asking(driver);
        let changing = match &self.arrangement {
            Arrangement::Fixed(topology) => return self.to_each(&asking, topology, command).await.1,
            Arrangement::Changing(changing) => changing,
        };
        let begun = Instant::now();
        let mut topology = changing.topology(&asking).await?;
        loop {
            let (outdated, outcome) = self.to_each(&asking, &topology, command).await;
            if !outdated {
                return outcome;
            }
            changing.outdate(&topology);
            let fresh = changing.topology(&asking).await?;
            if Arc::ptr_eq(&fresh, &topology) || !has_time(begun, self.timeout) {
                return outcome;
            }
            topology = fresh;
        }
    }

    /// One command to every primary of a topology; and whether that turned out to be a wrong one.
    async fn to_each<'a, D: Driver<RespProtocol>>(
        &'a self,
        asking: &Asking<'a, D>,
        topology: &Topology,
        command: &Command<'_>,
    ) -> (bool, Result<Vec<Answer<'a, D::Answer>>>) {
        let writers = topology.groups().iter().map(|group| group.writer(&self.servers));
        let writers = match writers.collect::<Result<Vec<usize>>>() {
            Ok(writers) => writers,
            Err(error) => return (true, Err(error.with_operation(command.name()))),
        };
        let unit = self.unit;
        let encode = |out: &mut Vec<u8>| command.encode(unit, out);
        let start = Instant::now();
        let outcomes = asking
            .driver
            .exchange_many(writers.iter().map(|server| (*server, encode)).collect(), command.is_repeatable())
            .await;
        let mut answers = Vec::with_capacity(outcomes.len());
        let (mut failure, mut outdated) = (None, false);
        for (group, outcome) in topology.groups().iter().zip(outcomes) {
            group.note(group.primary(), outcome.as_ref().err(), start);
            let outcome = outcome.map(|replies| asking.answer(group.primary(), command.name(), replies, 0));
            if let Arrangement::Changing(changing) = &self.arrangement {
                outdated |= !matches!(changing.told(&self.servers, &outcome), Verdict::Final);
            }
            match outcome {
                Ok(answer) => answers.push(answer),
                Err(error) => failure = failure.or(Some(error.with_operation(command.name()))),
            }
        }
        (outdated, failure.map_or(Ok(answers), Err))
    }

    /// How finely it sends timeouts.
    pub fn timeout_unit(&self) -> TimeoutUnit {
        self.unit
    }

    fn sentinels(&self) -> Option<&Sentinels> {
        match &self.arrangement {
            Arrangement::Changing(changing) => match changing.source() {
                Source::Sentinel(sentinels) => Some(sentinels),
                Source::Cluster(_) => None,
            },
            Arrangement::Fixed(_) => None,
        }
    }

    /// How often a primary has failed in a row, and for how long it is left alone because of that; the second is zero
    /// while it may be asked. Of several primaries, the one that is worst off.
    pub fn breaker(&self) -> (u32, Duration) {
        let mut worst = (0, Duration::ZERO);
        self.groups(|group| {
            let (failures, pause) = group.breaker();
            if (pause, failures) > (worst.1, worst.0) {
                worst = (failures, pause);
            }
        });
        worst
    }

    /// Every group that is known.
    fn groups(&self, mut visit: impl FnMut(&Group)) {
        let known;
        let groups = match &self.arrangement {
            Arrangement::Fixed(topology) => topology.groups(),
            Arrangement::Changing(changing) => {
                known = changing.known();
                known.as_deref().map(Topology::groups).unwrap_or_default()
            }
        };
        for group in groups {
            visit(group);
        }
    }

    /// The servers that a check asks: all that are in use, and those that tell which these are.
    /// And why nobody tells, if so.
    async fn watched<D: Driver<RespProtocol>>(&self, driver: &D) -> (Vec<usize>, Option<Error>) {
        match &self.arrangement {
            Arrangement::Fixed(_) => ((0..self.servers.count()).collect(), None),
            Arrangement::Changing(changing) => {
                let (told, failure) = match changing.topology(&self.asking(driver)).await {
                    Ok(told) => (Some(told), None),
                    Err(error) => (None, Some(error)),
                };
                let of_groups = told.iter().flat_map(|topology| topology.groups()).flat_map(|group| group.servers());
                let mut watched: Vec<usize> = of_groups.collect();
                watched.extend(changing.source().tellers());
                let mut seen = Vec::new();
                watched.retain(|server| {
                    !seen.contains(server) && {
                        seen.push(*server);
                        true
                    }
                });
                (watched, failure)
            }
        }
    }

    async fn info<D: Driver<RespProtocol>>(&self, driver: &D, server: usize) -> Result<ServerInfo> {
        let key = "pinyon:check";
        let asking = self.asking(driver);
        if let Some(sentinels) = self.sentinels().filter(|sentinels| sentinels.indexes().any(|index| index == server)) {
            return sentinels.info(&asking, server).await;
        }
        // A server of a cluster that has not the key says so, which is an answer.
        let answered = |replies: Replies<'_>| match command::integer(replies) {
            Err(error) if self.is_divided() && error.kind() == ErrorKind::Server => Ok(()),
            outcome => outcome.map(drop),
        };
        asking.ask(server, &Command::Has(key)).await?.judge(answered)?;
        let start = Instant::now();
        asking.ask(server, &Command::Has(key)).await?.judge(answered)?;
        let round_trip = start.elapsed();
        let answer = asking.ask(server, &Command::Info).await?;
        answer.judge(|replies| {
            let info = command::bytes(replies.clone().without_first(1))?.unwrap_or_default();
            let number = |name| command::info_field(info, name).and_then(|text| text.parse::<u64>().ok());
            Ok(ServerInfo {
                round_trip,
                version: command::version(info).unwrap_or_else(|| "unknown".to_owned()),
                memory_used: number("used_memory"),
                memory_limit: number("maxmemory").filter(|limit| *limit > 0),
                entries: command::integer(replies.without_first(2)).ok().and_then(|count| u64::try_from(count).ok()),
            })
        })
    }
}

/// Adds a server of a cache to those that are known; returns its index.
pub(super) fn add(servers: &Servers<RespProtocol>, settings: &RedisSettings, server: &RedisServer) -> usize {
    let (endpoint, protocol) = reached(settings, server);
    servers.add(endpoint, protocol)
}

/// The index of the server at an address that other servers tell; it is reached as the first one in `settings` is.
pub(super) fn told(servers: &Servers<RespProtocol>, settings: &RedisSettings, address: &Address) -> usize {
    servers.find_or_add(
        |endpoint| endpoint.address == *address,
        || {
            let model = settings.servers.first().cloned().unwrap_or_else(|| RedisServer::new(address.clone()));
            reached(settings, &RedisServer { address: address.clone(), ..model })
        },
    )
}

/// How a server of a cache is reached.
pub(super) fn reached(settings: &RedisSettings, server: &RedisServer) -> (Endpoint, RespProtocol) {
    let endpoint = Endpoint {
        address: server.address.clone(),
        tls: server.tls.clone(),
        label: server.to_string(),
        connect_timeout: settings.connect_timeout,
        timeout: settings.timeout,
        max_connections: settings.max_connections,
    };
    let reads_from_replicas =
        matches!(&settings.placement, RedisPlacement::Cluster(cluster) if cluster.read_from_replicas);
    let protocol = RespProtocol::new(server.clone(), settings.protocol, settings.client_name.clone());
    (endpoint, protocol.reading_from_replicas(reads_from_replicas))
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
        if self.is_divided() {
            let write = |index: usize, out: &mut Vec<u8>| write_key_command(out, b"GET", at(keys, index));
            let answers = self.each(driver, ("get_many", true), keys.len(), |index| at(keys, index), write).await?;
            return Ok(Found::several(answers.into_iter().map(|(keys, answer)| (keys, answer.replies))));
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
        if self.is_divided() {
            let item = |index: usize| items.get(index).map_or(("", &[][..]), |(key, item)| (*key, item.bytes));
            let sent = expiry.to_whole(self.unit);
            let write = |index: usize, out: &mut Vec<u8>| {
                let (key, bytes) = item(index);
                match sent {
                    Expiry::Now => write_key_command(out, b"DEL", key),
                    _ => write_set(out, key.as_bytes(), bytes, sent, None),
                }
            };
            self.each(driver, ("set_many", false), items.len(), |index| item(index).0, write).await?;
        } else if !items.is_empty() {
            let items: Vec<(&str, &[u8])> = items.iter().map(|(key, item)| (*key, item.bytes)).collect();
            self.run(driver, &Command::SetMany(&items, expiry)).await?.judge(command::check)?;
        }
        Ok(Vec::new())
    }

    async fn delete_many_over<D: Driver<RespProtocol>>(&self, driver: &D, keys: &[&str]) -> Result<()> {
        if self.is_divided() {
            let write = |index: usize, out: &mut Vec<u8>| write_key_command(out, b"DEL", at(keys, index));
            self.each(driver, ("delete_many", false), keys.len(), |index| at(keys, index), write).await?;
        } else if !keys.is_empty() {
            self.run(driver, &Command::DeleteMany(keys)).await?.judge(command::check)?;
        }
        Ok(())
    }

    async fn clear_over<D: Driver<RespProtocol>>(&self, driver: &D) -> Result<()> {
        if !self.is_divided() {
            return self.run(driver, &Command::Clear).await?.judge(command::check);
        }
        for answer in self.everywhere(driver, &Command::Clear).await? {
            answer.judge(command::check)?;
        }
        Ok(())
    }

    async fn ttl_over<D: Driver<RespProtocol>>(&self, driver: &D, key: &str) -> Result<Ttl> {
        self.run(driver, &Command::Ttl(key)).await?.judge(command::ttl)
    }

    async fn check_over<D: Driver<RespProtocol>>(&self, driver: &D) -> Vec<ServerReport> {
        let mut reports = Vec::new();
        let (watched, failure) = self.watched(driver).await;
        for server in watched {
            // Whatever the circuit breaker says: a check is there to find out.
            let result = self.info(driver, server).await.map_err(|error| error.with_operation("check"));
            if result.is_ok() {
                self.groups(|group| group.note(server, None, Instant::now()));
            }
            reports.push(ServerReport { server: self.servers.label(server).to_owned(), result });
        }
        // Each is well, and yet they are no cluster.
        if let (Some(error), Some(first)) = (failure, reports.first_mut())
            && first.result.is_ok()
        {
            first.result = Err(error.with_operation("check"));
        }
        reports
    }

    fn reached(self: Arc<Self>) -> Reach {
        Reach::Redis(self)
    }
}

fn at<'k>(keys: &[&'k str], index: usize) -> &'k str {
    keys.get(index).copied().unwrap_or("")
}
