//! A primary with its replicas, which all have the same keys.
//!
//! The primary takes the writes. With replicas, reads go to one of them after the other, as in Django's `RedisCache`. A replica
//! that cannot be asked, or that has no data to give yet, is left alone for a while; the next one is asked instead, and at last
//! the primary. After a replica that did not answer in time the primary is asked at once, so that a read waits for two timeouts
//! at most.

use super::command::{self, Command};
use super::protocol::{Replies, RespProtocol, replies};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Answered, Driver, Health, Rules, Servers};
use crate::settings::{RedisSettings, TimeoutUnit};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server is left alone after its first failure, and a replica at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// When the servers of a group are left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupRules {
    primary: Rules,
    replica: Rules,
}

impl GroupRules {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        let replica = Rules {
            failures: 1,
            retry_timeout: PAUSES.0,
            dead_timeout: PAUSES.1,
            patience: settings.connect_timeout + settings.timeout,
        };
        let primary = Rules { failures: settings.breaker_failures, dead_timeout: settings.breaker_pause, ..replica };
        Self { primary, replica }
    }
}

/// A primary, perhaps with replicas.
#[derive(Debug)]
pub(super) struct Group {
    primary: usize,
    replicas: Vec<(usize, Health)>,
    /// Of the primary: the circuit breaker.
    breaker: Health,
    /// Why it failed the last time.
    last_failure: Mutex<Option<Error>>,
    next_replica: AtomicUsize,
    /// A replica has failed since somebody has asked.
    lost_a_replica: AtomicBool,
}

/// Whom to ask, and through what.
pub(super) struct Asking<'a, D> {
    pub(super) servers: &'a Servers<RespProtocol>,
    pub(super) unit: TimeoutUnit,
    pub(super) driver: &'a D,
}

impl<'a, D: Driver<RespProtocol>> Asking<'a, D> {
    /// One command to one server, whatever is known about its health.
    pub(super) async fn ask(&self, server: usize, command: &Command<'_>) -> Result<Answer<'a, D::Answer>> {
        let unit = self.unit;
        let encode = move |out: &mut Vec<u8>| command.encode(unit, out);
        let replies = self.driver.exchange(server, command.is_repeatable(), encode).await?;
        Ok(self.answer(server, command.name(), replies, 0))
    }

    /// One command to a server of a cluster that is about to get the key.
    pub(super) async fn ask_moving(&self, server: usize, command: &Command<'_>) -> Result<Answer<'a, D::Answer>> {
        let unit = self.unit;
        let encode = move |out: &mut Vec<u8>| {
            command::write_asking(out);
            1 + command.encode(unit, out)
        };
        let replies = self.driver.exchange(server, command.is_repeatable(), encode).await?;
        Ok(self.answer(server, command.name(), replies, 1))
    }

    /// What the server with an index has replied; the first `skipped` replies are none to the operation.
    pub(super) fn answer(
        &self,
        server: usize,
        operation: &'static str,
        replies: D::Answer,
        skipped: usize,
    ) -> Answer<'a, D::Answer> {
        Answer { replies, server, label: self.servers.label(server), operation, skipped }
    }
}

impl Group {
    /// Of servers by their indexes.
    pub(super) fn new(primary: usize, replicas: impl IntoIterator<Item = usize>, rules: GroupRules) -> Self {
        Self {
            primary,
            replicas: replicas.into_iter().map(|server| (server, Health::new(rules.replica))).collect(),
            breaker: Health::new(rules.primary),
            last_failure: Mutex::new(None),
            next_replica: AtomicUsize::new(0),
            lost_a_replica: AtomicBool::new(false),
        }
    }

    /// The index of the server that takes the writes.
    pub(super) fn primary(&self) -> usize {
        self.primary
    }

    /// The indexes of all its servers, the primary first.
    pub(super) fn servers(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.primary).chain(self.replicas.iter().map(|(server, _)| *server))
    }

    /// One command, to the server that has to answer it.
    pub(super) async fn run<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        command: &Command<'_>,
    ) -> Result<Answer<'a, D::Answer>> {
        if command.is_read() { self.read(asking, command).await } else { self.ask_primary(asking, command).await }
    }

    async fn read<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        command: &Command<'_>,
    ) -> Result<Answer<'a, D::Answer>> {
        for (server, health) in self.replicas_in_turn() {
            if !health.may_ask() {
                continue;
            }
            let start = Instant::now();
            let failure = match asking.ask(server, command).await {
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
            self.lose(health, &failure, start.elapsed());
            if failure.is_timeout() {
                break;
            }
        }
        self.ask_primary(asking, command).await
    }

    fn replicas_in_turn(&self) -> impl Iterator<Item = (usize, &Health)> {
        let count = self.replicas.len();
        let turn = if count > 1 { self.next_replica.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        self.replicas.iter().cycle().skip(turn).take(count).map(|(server, health)| (*server, health))
    }

    /// Asks the primary, unless it has failed so often that it is left alone for a while.
    async fn ask_primary<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        command: &Command<'_>,
    ) -> Result<Answer<'a, D::Answer>> {
        let primary = self.writer(asking.servers)?;
        let start = Instant::now();
        let outcome = asking.ask(primary, command).await;
        self.note(primary, outcome.as_ref().err(), start);
        outcome
    }

    /// The server that takes the writes.
    ///
    /// # Errors
    /// It is left alone for a while.
    pub(super) fn writer(&self, servers: &Servers<RespProtocol>) -> Result<usize> {
        if self.breaker.may_ask() { Ok(self.primary) } else { Err(self.left_alone(servers)) }
    }

    /// A server that may be read from.
    ///
    /// # Errors
    /// All of them are left alone for a while.
    pub(super) fn reader(&self, servers: &Servers<RespProtocol>) -> Result<usize> {
        let replica = self.replicas_in_turn().find(|(_, health)| health.may_ask());
        replica.map_or_else(|| self.writer(servers), |(server, _)| Ok(server))
    }

    /// Keeps the health of one of its servers, which was asked at `start`.
    pub(super) fn note(&self, server: usize, error: Option<&Error>, start: Instant) {
        // An error that the server itself tells is an answer.
        if let Some(error) = error.filter(|error| error.is_connection()) {
            self.note_failure(server, error, start.elapsed());
        } else if server == self.primary {
            self.breaker.succeeded();
        } else if let Some((_, health)) = self.replicas.iter().find(|(replica, _)| *replica == server) {
            health.succeeded();
        }
    }

    /// Notes that one of its servers could not answer.
    pub(super) fn note_failure(&self, server: usize, error: &Error, cost: Duration) {
        if server == self.primary {
            self.breaker.failed(cost);
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        } else if let Some((_, health)) = self.replicas.iter().find(|(replica, _)| *replica == server) {
            self.lose(health, error, cost);
        }
    }

    fn lose(&self, replica: &Health, error: &Error, cost: Duration) {
        self.lost_a_replica.store(true, Ordering::Relaxed);
        if replica.failed(cost) {
            tracing::warn!(%error, "a Redis replica failed; another server is read from");
        }
    }

    /// Whether a replica has failed since this was asked for the last time.
    pub(super) fn has_lost_a_replica(&self) -> bool {
        self.lost_a_replica.load(Ordering::Relaxed) && self.lost_a_replica.swap(false, Ordering::Relaxed)
    }

    fn left_alone(&self, servers: &Servers<RespProtocol>) -> Error {
        let (failures, pause) = (self.breaker.failures(), self.breaker.pause_left().as_millis());
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        let why = last.as_ref().map_or_else(String::new, |last| format!("; the last time: {}", last.message()));
        let message = format!(
            "Redis was not asked: it has failed {failures} times in a row, and is tried again in {pause} ms{why}"
        );
        let error = Error::new(ErrorKind::Unreachable, message).with_server(servers.label(self.primary));
        match last.as_ref().and_then(Error::hint) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// How often the primary has failed in a row, and for how long it is left alone because of that.
    pub(super) fn breaker(&self) -> (u32, Duration) {
        let open = self.breaker.failures() > 0 && self.breaker.is_open();
        (self.breaker.failures(), if open { self.breaker.pause_left() } else { Duration::ZERO })
    }
}

/// The replies to one operation, with what an error about them has to say.
pub(super) struct Answer<'a, A> {
    pub(super) replies: A,
    /// The server that gave them.
    pub(super) server: usize,
    pub(super) label: &'a str,
    pub(super) operation: &'static str,
    /// How many of the replies are none to the operation.
    pub(super) skipped: usize,
}

impl<A: Answered<RespProtocol>> Answer<'_, A> {
    pub(super) fn judge<R>(&self, judge: impl FnOnce(Replies<'_>) -> Result<R>) -> Result<R> {
        judge(self.replies()).map_err(|error| error.with_server(self.label).with_operation(self.operation))
    }

    pub(super) fn replies(&self) -> Replies<'_> {
        let (parser, bytes) = self.replies.replies();
        replies(parser, bytes).without_first(self.skipped)
    }
}
