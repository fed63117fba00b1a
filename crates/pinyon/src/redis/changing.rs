//! A topology that the servers tell, and that changes while the cache is in use: Sentinel and Redis Cluster.
//!
//! It is asked for with the first operation, and again when an answer shows that it is not true any more. Whoever finds that asks
//! again himself: there is no thread and no timer. While one asks, the others go by what was true before.
//!
//! **Time.** An operation is repeated only while it has used up little of its time, so that it does not take much longer than one
//! that is not.
//!
//! **Old primaries.** A server that was replaced may go on answering, with what it had. So an answer over a connection that was
//! opened since the topology was told, and one that comes when another topology is known already, is not taken before somebody
//! says that the server is still the primary.
//!
//! **Fork.** A child of a process in which somebody asks has nobody who does.

use super::cluster::Cluster;
use super::command::{Command, first_error};
use super::group::{Answer, Asking};
use super::protocol::RespProtocol;
use super::sentinel::{Sentinels, Told};
use super::topology::Topology;
use crate::error::{ErrorKind, Result};
use crate::net::{Answered, Driver, Servers};
use arc_swap::ArcSwapOption;
use memchr::memmem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often an operation is repeated at most.
pub(super) const MOST_STEPS: usize = 6;
/// The part of its time that an operation may have used up when it is repeated.
const SHARE: u32 = 4;
/// The shortest time between two questions about the topology, unless something new was learnt, in milliseconds.
const PAUSE: u64 = 50;

/// What tells the topology.
#[derive(Debug)]
pub(super) enum Source {
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Source {
    /// The indexes of the servers that tell.
    pub(super) fn tellers(&self) -> Vec<usize> {
        match self {
            Self::Sentinel(sentinels) => sentinels.indexes().collect(),
            Self::Cluster(cluster) => cluster.seeds().collect(),
        }
    }

    /// After how long the topology is asked for although nothing is wrong with it, in milliseconds.
    fn refresh(&self) -> Option<u64> {
        match self {
            Self::Sentinel(sentinels) => sentinels.refresh().map(millis),
            Self::Cluster(_) => None,
        }
    }
}

/// A topology that changes.
#[derive(Debug)]
pub(super) struct Changing {
    source: Source,
    current: ArcSwapOption<Topology>,
    outdated: AtomicBool,
    /// The process in which somebody asks at the moment; 0: nobody does.
    asking: AtomicU32,
    /// When it was asked for the last time, in milliseconds since `made`.
    asked_at: AtomicU64,
    /// The last question was answered by nobody, which has been logged.
    unanswered: AtomicBool,
    made: Instant,
    timeout: Duration,
}

/// What an outcome says about where to ask.
pub(super) enum Verdict {
    /// Nothing: it is the result.
    Final,
    /// The topology has changed, or a server is gone. True if the command may be given once more.
    Outdated(bool),
    /// The answer may be that of a server that is not the primary any more. True if the command may be given once more if so.
    Doubtful(bool),
    /// This server has the key.
    Moved(usize),
    /// This server has the key already, while it is being moved there; it answers after ASKING.
    Ask(usize),
    /// Some of the keys are being moved: the same server can answer in a moment.
    Again,
}

impl Changing {
    pub(super) fn new(source: Source, timeout: Duration) -> Self {
        Self {
            source,
            current: ArcSwapOption::empty(),
            outdated: AtomicBool::new(false),
            asking: AtomicU32::new(0),
            asked_at: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
            made: Instant::now(),
            timeout,
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// What is known, without asking.
    pub(super) fn known(&self) -> Option<Arc<Topology>> {
        self.current.load_full()
    }

    /// What is true now, as far as is known.
    ///
    /// # Errors
    /// Nothing is known, and nobody tells. Or the primary that is told cannot be asked.
    pub(super) async fn topology<D: Driver<RespProtocol>>(&self, asking: &Asking<'_, D>) -> Result<Arc<Topology>> {
        let known = match self.current.load_full() {
            Some(known) if !self.is_outdated() || self.asked_lately() => return Ok(known),
            known => known,
        };
        let turn = Turn::take(self);
        if turn.is_none()
            && let Some(known) = known
        {
            return Ok(known);
        }
        // Again, since somebody else may have asked just before. While nothing is known, everybody asks for themselves.
        let known = match self.current.load_full() {
            Some(known) if !self.is_outdated() => return Ok(known),
            known => known,
        };
        self.asked_at.store(self.now(), Ordering::Relaxed);
        // Before the question: what is found wrong from now on may be newer than the answer.
        self.outdated.store(false, Ordering::Release);
        let found = match &self.source {
            Source::Sentinel(sentinels) => sentinels.discover(asking, known.as_ref()).await,
            Source::Cluster(cluster) => {
                cluster.discover(asking, known.as_ref()).await.map(|topology| Told { topology, failure: None })
            }
        };
        match (found, known) {
            (Ok(Told { topology, failure }), _) => {
                self.current.store(Some(topology.clone()));
                self.unanswered.store(false, Ordering::Relaxed);
                if failure.is_none()
                    && let Some(turn) = turn
                {
                    turn.has_succeeded();
                }
                failure.map_or(Ok(topology), Err)
            }
            (Err(error), Some(known)) if error.kind() != ErrorKind::Interrupted => {
                if !self.unanswered.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the topology of Redis could not be asked for; what was known is used");
                }
                Ok(known)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Notes that what was `seen` is not true any more.
    pub(super) fn outdate(&self, seen: &Arc<Topology>) {
        if self.is_current(seen) {
            self.outdated.store(true, Ordering::Release);
        }
    }

    fn is_current(&self, seen: &Arc<Topology>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, seen))
    }

    fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
            || self.source.refresh().is_some_and(|after| self.now() >= self.asked_at.load(Ordering::Relaxed) + after)
    }

    fn asked_lately(&self) -> bool {
        self.now() < self.asked_at.load(Ordering::Relaxed) + PAUSE
    }

    fn now(&self) -> u64 {
        millis(self.made.elapsed())
    }

    /// One command, to whoever has its key by now.
    pub(super) async fn run<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        command: &Command<'_>,
    ) -> Result<Answer<'a, D::Answer>> {
        let begun = Instant::now();
        let mut topology = self.topology(asking).await?;
        if topology.group(command.key(), command.group()).is_err() {
            self.outdate(&topology);
            topology = self.topology(asking).await?;
        }
        let mut outcome = self.ask(asking, &topology, command).await?;
        for _ in 0..MOST_STEPS {
            let verdict = self.verdict(asking.servers, &topology, command, &outcome);
            if matches!(verdict, Verdict::Final) {
                break;
            }
            if !matches!(verdict, Verdict::Ask(_) | Verdict::Again) {
                self.outdate(&topology);
            }
            // What is doubtful is not taken for a result, however late it is.
            if !has_time(begun, self.timeout) && !matches!(verdict, Verdict::Doubtful(_)) {
                break;
            }
            // Its connection goes back first: there may be no second one.
            match verdict {
                Verdict::Moved(server) => {
                    drop(outcome);
                    outcome = asking.ask(server, command).await;
                }
                Verdict::Ask(server) => {
                    drop(outcome);
                    outcome = asking.ask_moving(server, command).await;
                }
                Verdict::Outdated(true) | Verdict::Doubtful(true) => {
                    let fresh = self.topology(asking).await?;
                    let answered = outcome.as_ref().ok().map(|answer| answer.server);
                    // The same primary with other replicas is the same primary.
                    let is_result = match (verdict, answered) {
                        (Verdict::Doubtful(_), Some(server)) => is_primary(&fresh, server),
                        _ => Arc::ptr_eq(&fresh, &topology) || outcome.is_err() && !has_time(begun, self.timeout),
                    };
                    if is_result {
                        break;
                    }
                    topology = fresh;
                    drop(outcome);
                    outcome = self.ask(asking, &topology, command).await?;
                }
                Verdict::Again => {
                    drop(outcome);
                    outcome = self.ask(asking, &topology, command).await?;
                }
                Verdict::Outdated(false) | Verdict::Doubtful(false) | Verdict::Final => break,
            }
        }
        outcome
    }

    /// One command, to whoever has its key in a topology. The outer error is that nobody has it.
    async fn ask<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        topology: &Arc<Topology>,
        command: &Command<'_>,
    ) -> Result<Result<Answer<'a, D::Answer>>> {
        let group = topology.group(command.key(), command.group())?;
        let outcome = group.run(asking, command).await;
        if group.has_lost_a_replica() {
            self.outdate(topology);
        }
        Ok(outcome)
    }

    /// What an outcome says about where to ask.
    fn verdict<A: Answered<RespProtocol>>(
        &self,
        servers: &Servers<RespProtocol>,
        topology: &Arc<Topology>,
        command: &Command<'_>,
        outcome: &Result<Answer<'_, A>>,
    ) -> Verdict {
        match (self.told(servers, outcome), outcome) {
            (Verdict::Final, Ok(answer)) => self.doubt(servers, topology, command, answer.server),
            (told, _) => told,
        }
    }

    /// What the server itself, or its absence, says about where to ask.
    pub(super) fn told<A: Answered<RespProtocol>>(
        &self,
        servers: &Servers<RespProtocol>,
        outcome: &Result<Answer<'_, A>>,
    ) -> Verdict {
        match outcome {
            Err(error) if error.is_connection() => Verdict::Outdated(error.is_retryable()),
            Err(_) => Verdict::Final,
            Ok(answer) => match first_error(answer.replies()) {
                Some(text) => self.judge(servers, answer.server, text),
                None => Verdict::Final,
            },
        }
    }

    /// Whether what `server` has answered counts.
    fn doubt(
        &self,
        servers: &Servers<RespProtocol>,
        topology: &Arc<Topology>,
        command: &Command<'_>,
        server: usize,
    ) -> Verdict {
        let Source::Sentinel(sentinels) = &self.source else { return Verdict::Final };
        if sentinels.is_unconfirmed(servers, server) {
            return Verdict::Doubtful(true);
        }
        if !self.is_current(topology)
            && is_primary(topology, server)
            && self.known().is_some_and(|known| !is_primary(&known, server))
        {
            // What was under way while it was replaced may have come to the new one with the rest.
            return Verdict::Doubtful(command.is_repeatable());
        }
        Verdict::Final
    }

    /// What an error of the server with the index `from` says about where to ask.
    pub(super) fn judge(&self, servers: &Servers<RespProtocol>, from: usize, text: &[u8]) -> Verdict {
        match &self.source {
            Source::Sentinel(sentinels) if refuses_writes(text) => {
                sentinels.refuse();
                Verdict::Outdated(true)
            }
            // It was started again, perhaps after another one has taken its place; or it has lost its replicas, perhaps to one.
            Source::Sentinel(_) if text.starts_with(b"LOADING") || text.starts_with(b"NOREPLICAS") => {
                Verdict::Outdated(true)
            }
            Source::Sentinel(_) => Verdict::Final,
            Source::Cluster(cluster) => cluster.judge(servers, from, text),
        }
    }
}

/// Whether a server takes all writes.
fn is_primary(topology: &Topology, server: usize) -> bool {
    topology.only().is_some_and(|group| group.primary() == server)
}

/// True if an operation that began then, of which a step may take `timeout`, may have one step more.
pub(super) fn has_time(begun: Instant, timeout: Duration) -> bool {
    begun.elapsed() < timeout / SHARE
}

/// Whether an error is that of a replica that was to write, or of one that has lost its primary. Within a script, servers before
/// version 7 put their own words before it.
fn refuses_writes(text: &[u8]) -> bool {
    text.starts_with(b"READONLY") || text.starts_with(b"MASTERDOWN") || memmem::find(text, b"-READONLY ").is_some()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The turn of whoever asks. It ends however that ends; unless there was an answer, the next one asks again.
struct Turn<'a> {
    changing: &'a Changing,
    succeeded: bool,
}

impl<'a> Turn<'a> {
    /// None if somebody else of this process asks.
    fn take(changing: &'a Changing) -> Option<Self> {
        let process = crate::process::id();
        let taken = changing
            .asking
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |other| (other != process).then_some(process));
        taken.is_ok().then_some(Self { changing, succeeded: false })
    }

    fn has_succeeded(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            self.changing.outdated.store(true, Ordering::Release);
        }
        self.changing.asking.store(0, Ordering::Release);
    }
}
