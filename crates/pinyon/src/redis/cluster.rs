//! Redis Cluster: several primaries, each with the keys of some hash slots.
//! (Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.)

use super::changing::Verdict;
use super::command::{Command, check};
use super::group::{Asking, Group, GroupRules};
use super::protocol::{Replies, Reply, RespProtocol};
use super::raw::Commands;
use super::store::{add, told};
use super::topology::{Placement, SLOTS, Topology};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Driver, Health, Rules, Servers};
use crate::settings::{Address, ClusterSettings, RedisSettings};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A cluster, by the servers that are asked first.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: RedisSettings,
    rules: GroupRules,
    seeds: Vec<usize>,
    reads_from_replicas: bool,
    /// Of the servers that did not tell the topology when they were asked.
    failed: Mutex<HashMap<usize, Arc<Health>>>,
    next: AtomicUsize,
}

/// A range of slots, and the servers that have it, primary first.
type Range = (std::ops::RangeInclusive<usize>, Vec<Address>);

impl Cluster {
    pub(super) fn new(servers: &Servers<RespProtocol>, settings: &RedisSettings, cluster: &ClusterSettings) -> Self {
        Self {
            settings: settings.clone(),
            rules: GroupRules::new(settings),
            seeds: settings.servers.iter().map(|server| add(servers, settings, server)).collect(),
            reads_from_replicas: cluster.read_from_replicas,
            failed: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// The indexes of the servers that LOCATION names.
    pub(super) fn seeds(&self) -> impl Iterator<Item = usize> {
        self.seeds.iter().copied()
    }

    /// Asks for the topology. If it is what is known already, that itself is returned.
    ///
    /// # Errors
    /// Nobody tells.
    pub(super) async fn discover<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        known: Option<&Arc<Topology>>,
    ) -> Result<Arc<Topology>> {
        let mut question = Commands::new("topology").reading(true);
        question.push(&["CLUSTER", "SLOTS"])?;
        let (begun, mut failure) = (Instant::now(), None);
        for server in self.tellers(known) {
            let health = self.health(server);
            if health.as_ref().is_some_and(|health| !health.may_ask()) {
                continue;
            }
            let start = Instant::now();
            let told = match asking.ask(server, &Command::Raw(&question)).await {
                Ok(answer) => answer.judge(|replies| self.ranges(asking.servers, server, replies)),
                Err(error) => Err(error.with_operation("topology")),
            };
            match told {
                Ok(ranges) => {
                    self.forget(server);
                    return Ok(self.topology(asking.servers, &ranges, known));
                }
                Err(error) => {
                    self.note_failure(server, start.elapsed());
                    failure = Some(error);
                }
            }
            if begun.elapsed() > self.settings.timeout {
                break;
            }
        }
        Err(failure.unwrap_or_else(|| {
            let message = "no server of the Redis cluster was asked: all of them have failed just now";
            Error::new(ErrorKind::Unreachable, message)
                .with_hint("Check that the servers in LOCATION run and are reachable from here")
        }))
    }

    /// Whom to ask: the servers that are known to be well, each another time the first, the others, and those of LOCATION.
    fn tellers(&self, known: Option<&Arc<Topology>>) -> Vec<usize> {
        let groups = known.map(|known| known.groups()).unwrap_or_default();
        let (mut tellers, ill): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.breaker().0 == 0);
        if !tellers.is_empty() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % tellers.len();
            tellers.rotate_left(turn);
        }
        let mut all: Vec<usize> = tellers.iter().map(|group| group.primary()).collect();
        let replicas = ill.iter().flat_map(|group| group.servers().skip(1));
        for server in replicas.chain(ill.iter().map(|group| group.primary())).chain(self.seeds()) {
            if !all.contains(&server) {
                all.push(server);
            }
        }
        all
    }

    fn health(&self, server: usize) -> Option<Arc<Health>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get(&server).cloned()
    }

    fn forget(&self, server: usize) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
    }

    fn note_failure(&self, server: usize, cost: Duration) {
        let rules = Rules {
            failures: 1,
            retry_timeout: Duration::from_secs(1),
            dead_timeout: self.settings.breaker_pause,
            patience: self.settings.connect_timeout + self.settings.timeout,
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.entry(server).or_insert_with(|| Arc::new(Health::new(rules))).failed(cost);
    }

    /// What CLUSTER SLOTS has answered.
    fn ranges(&self, servers: &Servers<RespProtocol>, from: usize, mut replies: Replies<'_>) -> Result<Vec<Range>> {
        check(replies.clone()).map_err(|error| {
            let text = error.message();
            let hint = "The server is not part of a Redis Cluster: remove OPTIONS \"CLUSTER\", or name one that is";
            if text.contains("cluster support disabled") { error.with_hint(hint) } else { error }
        })?;
        let Some(Reply::Array(ranges)) = replies.next() else { return Err(super::command::unexpected("hash slots")) };
        let ranges: Vec<Range> = ranges.filter_map(|range| self.range(servers, from, range)).collect();
        if ranges.is_empty() {
            return Err(Error::new(ErrorKind::Unreachable, "the Redis server knows of no hash slot that anybody has")
                .with_hint("Is it part of the cluster yet? Look at CLUSTER NODES"));
        }
        Ok(ranges)
    }

    /// One range with its servers; none if its primary cannot be reached by what was told.
    fn range(&self, servers: &Servers<RespProtocol>, from: usize, range: Reply<'_>) -> Option<Range> {
        let Reply::Array(mut parts) = range else { return None };
        let (Reply::Integer(first), Reply::Integer(last)) = (parts.next()?, parts.next()?) else { return None };
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        let primary = Self::address(servers, from, parts.next()?)?;
        let replicas = parts.filter(|_| self.reads_from_replicas);
        let replicas = replicas.filter_map(|replica| Self::address(servers, from, replica));
        Some((first..=last.min(SLOTS - 1), std::iter::once(primary).chain(replicas).collect()))
    }

    /// Host, port, identifier, and what else is known of a server.
    fn address(servers: &Servers<RespProtocol>, from: usize, server: Reply<'_>) -> Option<Address> {
        let Reply::Array(mut parts) = server else { return None };
        let host = match parts.next()? {
            Reply::Bytes(host) | Reply::Status(host) => std::str::from_utf8(host).ok()?,
            _ => "",
        };
        let Reply::Integer(port) = parts.next()? else { return None };
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        // A server whose name is not known to the others may have a number.
        let mut number = || match parts.nth(1) {
            Some(Reply::Array(more)) => {
                let mut more = more.skip_while(|name| *name != Reply::Bytes(b"ip"));
                match more.nth(1) {
                    Some(Reply::Bytes(ip)) => std::str::from_utf8(ip).ok(),
                    _ => None,
                }
            }
            _ => None,
        };
        let host = if host == "?" { number()? } else { host };
        at(servers, from, host, port)
    }

    /// The topology of these ranges, with the groups that are known already.
    fn topology(
        &self,
        servers: &Servers<RespProtocol>,
        ranges: &[Range],
        known: Option<&Arc<Topology>>,
    ) -> Arc<Topology> {
        let mut ranges: Vec<&Range> = ranges.iter().collect();
        // A primary keeps its number as long as its first slot is its own.
        ranges.sort_by_key(|(slots, _)| *slots.start());
        let known_groups = known.map(|known| known.groups()).unwrap_or_default();
        let mut groups: Vec<Arc<Group>> = Vec::new();
        let mut slots = vec![u16::MAX; SLOTS].into_boxed_slice();
        for (range, addresses) in ranges {
            let members = addresses.iter().map(|address| told(servers, &self.settings, address));
            let mut members: Vec<usize> = members.collect();
            let Some(primary) = members.first().copied() else { continue };
            // In whatever order the replicas are told.
            if let Some(replicas) = members.get_mut(1..) {
                replicas.sort_unstable();
            }
            let number = groups.iter().position(|group| group.primary() == primary).unwrap_or_else(|| {
                let same = known_groups.iter().find(|group| group.servers().eq(members.iter().copied()));
                let made = || Arc::new(Group::new(primary, members.iter().copied().skip(1), self.rules));
                groups.push(same.cloned().unwrap_or_else(made));
                groups.len() - 1
            });
            if let (Some(slots), Ok(number)) = (slots.get_mut(range.clone()), u16::try_from(number)) {
                slots.fill(number);
            }
        }
        match known {
            Some(known) if known.is_same(&groups, &slots) => known.clone(),
            _ => Arc::new(Topology::new(groups, Placement::Slots(slots))),
        }
    }

    /// What an error of the server with the index `from` says about where to ask.
    pub(super) fn judge(&self, servers: &Servers<RespProtocol>, from: usize, text: &[u8]) -> Verdict {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let mut words = text.split(' ');
        let word = words.next().unwrap_or_default();
        match word {
            "MOVED" | "ASK" => {
                // The slot, and `host:port`. A host may have colons in it, and may be missing.
                let address = words.nth(1).and_then(|address| address.trim_end().rsplit_once(':'));
                let address = address.filter(|(host, _)| *host != "?").and_then(|(host, port)| {
                    at(servers, from, host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?)
                });
                match address.map(|address| told(servers, &self.settings, &address)) {
                    Some(server) if word == "ASK" => Verdict::Ask(server),
                    Some(server) => Verdict::Moved(server),
                    None => Verdict::Outdated(true),
                }
            }
            "TRYAGAIN" => Verdict::Again,
            "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Verdict::Outdated(true),
            _ => Verdict::Final,
        }
    }
}

/// The address of a server that `from` has told; no host is that of `from` itself.
fn at(servers: &Servers<RespProtocol>, from: usize, host: &str, port: u16) -> Option<Address> {
    if !host.is_empty() {
        return Some(Address::Tcp { host: host.to_owned(), port });
    }
    match &servers.get(from)?.endpoint.address {
        Address::Tcp { host, .. } => Some(Address::Tcp { host: host.clone(), port }),
        Address::Unix(_) => None,
    }
}
