//! Redis Sentinel: servers that watch a primary with its replicas, and tell which server is the primary.
//! (Source: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.)
//!
//! One Sentinel is enough, and the one that answered last is asked first. It is not simply believed:
//! - A primary that is new to us has to say itself that it is one (ROLE): an old one is told until it has been replaced.
//! - While the known primary fails or refuses writes, a Sentinel that tells it again may not have heard of its successor: the
//!   others are asked as well.
//! - What is told with an older configuration epoch than was known is taken only if nobody tells anything newer.
//! - A server that connections are opened to again may have been replaced meanwhile: see [`Sentinels::is_unconfirmed`].

use super::group::{Asking, Group, GroupRules};
use super::protocol::{Replies, Reply, RespProtocol, server_error, write_command};
use super::store;
use super::topology::{Placement, Topology};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Driver, Endpoint, Health, Rules, Servers};
use crate::settings::{Address, RedisServer, RedisSettings, SentinelSettings};
use crate::store::ServerInfo;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a Sentinel that failed is left alone at first, and at most. Short: it may be the one that knows the new primary.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How often the replicas are asked for without a reason.
const REFRESH: Duration = Duration::from_secs(5);
const START_HINT: &str =
    "Start the Sentinel, or correct SENTINELS; `redis-cli -h HOST -p 26379 ping` shows whether it answers";
const LOGIN_HINT: &str = "Give user name and password of the Sentinels in SENTINEL_KWARGS; those of the servers stand in LOCATION \
                          or OPTIONS";
/// Flags of a replica that cannot be read from.
const UNFIT: [&str; 4] = ["s_down", "o_down", "disconnected", "master"];

/// The Sentinels of a cache, and the name that they know its primary by.
#[derive(Debug)]
pub(super) struct Sentinels {
    settings: RedisSettings,
    rules: GroupRules,
    service: String,
    read_from_replicas: bool,
    all: Vec<Sentinel>,
    /// The place of the one that answered last.
    first: AtomicUsize,
    /// After this time no further one is asked.
    patience: Duration,
    /// The known primary has refused a write.
    refused: AtomicBool,
    /// The primary that was told last; how many connections to it had been opened then; in which epoch it was told.
    primary: AtomicUsize,
    opened: AtomicU64,
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Sentinel {
    server: usize,
    health: Health,
    last_failure: Mutex<Option<Error>>,
}

/// What Sentinels have told.
pub(super) struct Told {
    pub(super) topology: Arc<Topology>,
    /// Why the primary could not be asked whether it is one: it is the primary all the same, as far as anybody knows.
    pub(super) failure: Option<Error>,
}

/// What one Sentinel tells.
struct Answer {
    epoch: u64,
    primary: usize,
    replicas: Vec<usize>,
    /// The primary itself has said that it is one, or there is no reason to ask.
    is_sure: bool,
    failure: Option<Error>,
    /// Which Sentinel.
    place: usize,
}

impl Sentinels {
    pub(super) fn new(servers: &Servers<RespProtocol>, settings: &RedisSettings, sentinel: &SentinelSettings) -> Self {
        // Sentinels before version 6 know only the second version of the protocol, and nothing here needs the third.
        let own = RedisSettings {
            connect_timeout: sentinel.connect_timeout,
            timeout: sentinel.timeout,
            protocol: 2,
            ..settings.clone()
        };
        let patience = sentinel.connect_timeout + sentinel.timeout;
        let rules = Rules { failures: 1, retry_timeout: PAUSES.0, dead_timeout: PAUSES.1, patience };
        let add = |server: &RedisServer| {
            let (endpoint, protocol) = store::reached(&own, &RedisServer { database: 0, ..server.clone() });
            let label = format!("redis+sentinel://{}/{}", server.address, sentinel.service);
            let server = servers.add(Endpoint { label, ..endpoint }, protocol);
            Sentinel { server, health: Health::new(rules), last_failure: Mutex::new(None) }
        };
        Self {
            settings: settings.clone(),
            rules: GroupRules::new(settings),
            service: sentinel.service.clone(),
            read_from_replicas: sentinel.read_from_replicas,
            all: sentinel.sentinels.iter().map(add).collect(),
            first: AtomicUsize::new(0),
            patience,
            refused: AtomicBool::new(false),
            primary: AtomicUsize::new(usize::MAX),
            opened: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// The indexes of the Sentinels.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.all.iter().map(|sentinel| sentinel.server)
    }

    /// After how long the topology is asked for although nothing is wrong with it: replicas come back without a word.
    pub(super) fn refresh(&self) -> Option<Duration> {
        self.read_from_replicas.then_some(REFRESH)
    }

    /// Notes that the known primary has refused a write, as a replica does.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// True if a connection to the primary has been opened since it was told. The one before was lost, perhaps because the
    /// server was started again or became a replica: it may not be the primary any more, which shows in no answer to a read.
    pub(super) fn is_unconfirmed(&self, servers: &Servers<RespProtocol>, server: usize) -> bool {
        self.primary.load(Ordering::Relaxed) == server
            && self.opened.load(Ordering::Relaxed) != connections(servers, server)
    }

    /// Asks for the topology. If it is what is known already, that itself is returned.
    ///
    /// # Errors
    /// No Sentinel tells a primary.
    pub(super) async fn discover<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        known: Option<&Arc<Topology>>,
    ) -> Result<Told> {
        let begun = Instant::now();
        let group = known.and_then(|known| known.only());
        let refused = self.refused.swap(false, Ordering::Relaxed);
        let is_doubtful = refused || group.is_some_and(|group| group.breaker().0 > 0);
        let known_primary = group.map(|group| group.primary());
        let opened = known_primary.map_or(0, |primary| connections(asking.servers, primary));
        let mut failures = Vec::new();
        let mut best: Option<Answer> = None;
        for (place, sentinel) in self.in_turn() {
            if begun.elapsed() > self.patience {
                break;
            }
            if !sentinel.health.may_ask() {
                failures.extend(sentinel.last_failure());
                continue;
            }
            let mut answer = match self.ask(asking, place, sentinel).await {
                Ok(answer) => answer,
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            if Some(answer.primary) == known_primary {
                answer.is_sure = !is_doubtful;
            } else if best.as_ref().is_some_and(|best| best.primary == answer.primary) {
                continue;
            } else {
                match is_replica(asking, answer.primary).await {
                    Ok(true) => {
                        failures.push(self.misled(asking, sentinel.server, answer.primary));
                        continue;
                    }
                    Ok(false) => answer.is_sure = true,
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                    Err(error) => {
                        answer.failure = Some(error.with_hint(format!(
                            "Sentinel tells this address for the service '{}': it must be reachable from here (see sentinel \
                             announce-ip), with the login and TLS that LOCATION and OPTIONS say",
                            self.service
                        )));
                    }
                }
            }
            let is_final = answer.is_sure && answer.epoch >= self.epoch.load(Ordering::Relaxed);
            if best.as_ref().is_none_or(|best| (answer.is_sure, answer.epoch) > (best.is_sure, best.epoch)) {
                best = Some(answer);
            }
            if is_final {
                break;
            }
        }
        match best {
            Some(answer) => {
                let is_known = known_primary == Some(answer.primary);
                let opened = if is_known { opened } else { connections(asking.servers, answer.primary) };
                Ok(self.settle(asking.servers, known, answer, opened))
            }
            None => Err(self.nobody_tells(asking.servers, &failures)),
        }
    }

    /// The Sentinels with their places, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Sentinel)> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.all.len());
        self.all.iter().enumerate().cycle().skip(first).take(count)
    }

    /// What one Sentinel tells, in one round trip.
    async fn ask<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        place: usize,
        sentinel: &Sentinel,
    ) -> Result<Answer> {
        let start = Instant::now();
        let service = self.service.as_bytes();
        let encode = |out: &mut Vec<u8>| {
            write_command(out, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service]);
            write_command(out, &[b"SENTINEL", b"MASTER", service]);
            if self.read_from_replicas {
                write_command(out, &[b"SENTINEL", b"REPLICAS", service]);
                return 3;
            }
            2
        };
        let told = match asking.driver.exchange(sentinel.server, true, encode).await {
            Ok(replies) => asking.answer(sentinel.server, "sentinel", replies, 0).judge(|replies| self.read(replies)),
            Err(error) => Err(Self::advised(error)),
        };
        match told {
            Ok((primary, epoch, replicas)) => {
                sentinel.health.succeeded();
                let index = |address: &Address| store::told(asking.servers, &self.settings, address);
                let primary = index(&primary);
                let mut replicas: Vec<usize> = replicas.iter().map(index).collect();
                replicas.sort_unstable();
                replicas.dedup();
                replicas.retain(|replica| *replica != primary);
                Ok(Answer { epoch, primary, replicas, is_sure: false, failure: None, place })
            }
            Err(error) => {
                if error.kind() != ErrorKind::Interrupted {
                    if sentinel.health.failed(start.elapsed()) {
                        tracing::warn!(%error, "a Sentinel did not tell the primary; the next one is asked");
                    }
                    *sentinel.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    /// The primary, its epoch, and the replicas that can be read from.
    fn read(&self, mut replies: Replies<'_>) -> Result<(Address, u64, Vec<Address>)> {
        let primary = match replies.next() {
            Some(Reply::Array(mut parts)) => address(parts.next().and_then(text), parts.next().and_then(text)),
            Some(Reply::Error(text)) if !text.starts_with(b"IDONTKNOW") => return Err(server_error(text)),
            _ => None,
        };
        let Some(primary) = primary else { return Err(self.unknown()) };
        let epoch = match replies.next() {
            Some(Reply::Array(fields)) => field(fields, "config-epoch").and_then(|epoch| epoch.parse().ok()),
            _ => None,
        };
        let replicas = match replies.next() {
            Some(Reply::Array(replicas)) => replicas.filter_map(replica).collect(),
            _ => Vec::new(),
        };
        Ok((primary, epoch.unwrap_or(0), replicas))
    }

    /// Makes an answer the topology.
    fn settle(
        &self,
        servers: &Servers<RespProtocol>,
        known: Option<&Arc<Topology>>,
        answer: Answer,
        opened: u64,
    ) -> Told {
        self.first.store(answer.place, Ordering::Relaxed);
        self.epoch.store(answer.epoch, Ordering::Relaxed);
        self.primary.store(answer.primary, Ordering::Relaxed);
        self.opened.store(opened, Ordering::Relaxed);
        let is_known = |topology: &&Arc<Topology>| {
            topology.only().is_some_and(|group| {
                group.servers().eq(std::iter::once(answer.primary).chain(answer.replicas.iter().copied()))
            })
        };
        if let Some(known) = known.filter(is_known) {
            return Told { topology: known.clone(), failure: answer.failure };
        }
        let before = known.and_then(|known| known.only()).map(|group| group.primary());
        let (service, now) = (self.service.as_str(), servers.label(answer.primary));
        let replicas = answer.replicas.len();
        match before {
            Some(before) if before != answer.primary => {
                let before = servers.label(before);
                tracing::warn!(service, before, now, replicas, "Redis Sentinel tells another primary");
            }
            _ => tracing::info!(service, primary = now, replicas, "Redis Sentinel tells the servers"),
        }
        let group = Group::new(answer.primary, answer.replicas, self.rules);
        Told { topology: Arc::new(Topology::new(vec![Arc::new(group)], Placement::One)), failure: answer.failure }
    }

    /// What a health check says about one of the Sentinels.
    pub(super) async fn info<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        server: usize,
    ) -> Result<ServerInfo> {
        let service = self.service.as_bytes();
        let ask = |out: &mut Vec<u8>| {
            write_command(out, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service]);
            1
        };
        asking.driver.exchange(server, true, ask).await.map_err(Self::advised)?;
        let start = Instant::now();
        let replies = asking.driver.exchange(server, true, ask).await?;
        let round_trip = start.elapsed();
        asking.answer(server, "check", replies, 0).judge(|replies| self.read(replies))?;
        let ask = |out: &mut Vec<u8>| {
            write_command(out, &[b"INFO", b"server"]);
            1
        };
        let answer = asking.answer(server, "check", asking.driver.exchange(server, true, ask).await?, 0);
        if let Some(sentinel) = self.all.iter().find(|sentinel| sentinel.server == server) {
            sentinel.health.succeeded();
        }
        answer.judge(|replies| Ok(ServerInfo { round_trip, version: version(replies)?, ..ServerInfo::default() }))
    }

    fn unknown(&self) -> Error {
        let message = format!("Sentinel does not know a service of the name '{}'", self.service);
        Error::new(ErrorKind::Unreachable, message).with_hint(self.name_hint())
    }

    fn name_hint(&self) -> String {
        format!(
            "LOCATION must name what `sentinel monitor NAME …` names in the configuration of the Sentinels, in the same case, \
             instead of '{}'; `redis-cli -p 26379 SENTINEL MASTERS` lists the names",
            self.service
        )
    }

    fn misled<D>(&self, asking: &Asking<'_, D>, sentinel: usize, primary: usize) -> Error {
        let primary = asking.servers.label(primary);
        let message = format!("it tells {primary} for the service '{}', which says that it is a replica", self.service);
        Error::new(ErrorKind::Unreachable, message)
            .with_server(asking.servers.label(sentinel))
            .with_hint("A failover is under way; try again in a moment")
    }

    /// An error of a Sentinel with what to do about it there.
    fn advised(error: Error) -> Error {
        match error.kind() {
            ErrorKind::Auth => error.with_hint(LOGIN_HINT),
            _ if error.is_connection() => error.with_hint(START_HINT),
            _ => error,
        }
    }

    /// One error for what all of them said; none of them may have been asked.
    fn nobody_tells(&self, servers: &Servers<RespProtocol>, failures: &[Error]) -> Error {
        let mut kinds = failures.iter().map(Error::kind);
        let first = kinds.next().unwrap_or(ErrorKind::Unreachable);
        let kind = if kinds.all(|kind| kind == first) { first } else { ErrorKind::Unreachable };
        let said = failures.iter().map(|error| format!("{}: {}", error.server().unwrap_or("?"), error.message()));
        let mut said: Vec<String> = said.collect();
        if said.is_empty() {
            said = self.indexes().map(|server| format!("{}: not asked again yet", servers.label(server))).collect();
        }
        let message = format!("no Sentinel tells the primary of the service '{}': {}", self.service, said.join("; "));
        // A mistake in the settings is for the reader; that one of them is down need not be.
        let hint = failures.iter().filter_map(Error::hint).find(|hint| *hint != START_HINT).unwrap_or(START_HINT);
        Error::new(kind, message).with_hint(hint)
    }
}

impl Sentinel {
    fn last_failure(&self) -> Option<Error> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a server says that it is a replica. One that is not allowed to say what it is, is not.
async fn is_replica<D: Driver<RespProtocol>>(asking: &Asking<'_, D>, server: usize) -> Result<bool> {
    let encode = |out: &mut Vec<u8>| {
        write_command(out, &[b"ROLE"]);
        1
    };
    let replies = asking.driver.exchange(server, true, encode).await?;
    let answer = asking.answer(server, "role", replies, 0);
    Ok(match answer.replies().next() {
        Some(Reply::Array(mut parts)) => parts.next().and_then(text) == Some("slave"),
        _ => false,
    })
}

/// How many connections to a server were ever opened.
fn connections(servers: &Servers<RespProtocol>, server: usize) -> u64 {
    servers.get(server).map_or(0, |server| server.protocol().opened())
}

fn version(replies: Replies<'_>) -> Result<String> {
    let info = super::command::bytes(replies)?.unwrap_or_default();
    Ok(super::command::version(info).unwrap_or_else(|| "unknown".to_owned()))
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named where replies are taken")]
fn text(reply: Reply<'_>) -> Option<&str> {
    match reply {
        Reply::Bytes(bytes) | Reply::Status(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn address(host: Option<&str>, port: Option<&str>) -> Option<Address> {
    let (host, port) = (host.filter(|host| !host.is_empty())?, port?.parse().ok().filter(|port| *port != 0)?);
    Some(Address::Tcp { host: host.to_owned(), port })
}

/// The value of a name in a flat list of names and values.
fn field<'a>(mut fields: Replies<'a>, name: &str) -> Option<&'a str> {
    while let Some(found) = fields.next() {
        let value = fields.next();
        if text(found) == Some(name) {
            return value.and_then(text);
        }
    }
    None
}

/// The address of a replica that is up and has its primary's data.
fn replica(reply: Reply<'_>) -> Option<Address> {
    let Reply::Array(fields) = reply else { return None };
    let flags = field(fields.clone(), "flags").unwrap_or_default();
    let is_unfit = flags.split(',').any(|flag| UNFIT.contains(&flag));
    let is_in_sync = field(fields.clone(), "master-link-status") == Some("ok");
    if is_unfit || !is_in_sync {
        return None;
    }
    address(field(fields.clone(), "ip"), field(fields, "port"))
}
