//! A topology that the servers tell, and that changes while the cache is in use: Sentinel and Redis Cluster.
//!
//! It is asked for with the first operation, and again when an answer shows that it is not true any more. Whoever finds that asks
//! again himself: there is no thread and no timer. While one asks, the others go by what was true before.
//!
//! **Time.** An operation is repeated only while it has used up little of its time, so that it does not take much longer than one
//! that is not.

use super::cluster::Cluster;
use super::command::{Command, first_error};
use super::group::{Answer, Asking};
use super::protocol::RespProtocol;
use super::sentinel::Sentinels;
use super::topology::Topology;
use crate::error::Result;
use crate::net::{Answered, Driver, Servers};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
}

/// A topology that changes.
#[derive(Debug)]
pub(super) struct Changing {
    source: Source,
    current: ArcSwapOption<Topology>,
    outdated: AtomicBool,
    /// Somebody asks at the moment.
    asking: AtomicBool,
    /// When it was asked for the last time, in milliseconds since `made`.
    asked_at: AtomicU64,
    made: Instant,
    timeout: Duration,
}

/// What an outcome says about where to ask.
pub(super) enum Verdict {
    /// Nothing: it is the result.
    Final,
    /// The topology has changed, or a server is gone. True if the command may be given once more.
    Outdated(bool),
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
            asking: AtomicBool::new(false),
            asked_at: AtomicU64::new(0),
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
    /// Nothing is known, and nobody tells.
    pub(super) async fn topology<D: Driver<RespProtocol>>(&self, asking: &Asking<'_, D>) -> Result<Arc<Topology>> {
        let known = self.current.load_full();
        if let Some(known) = known.clone().filter(|_| !self.outdated.load(Ordering::Acquire)) {
            return Ok(known);
        }
        if let Some(known) = &known
            && (self.asked_lately() || self.asking.swap(true, Ordering::Acquire))
        {
            return Ok(known.clone());
        }
        let _turn = Turn(&self.asking);
        self.asked_at.store(self.now(), Ordering::Relaxed);
        let found = match &self.source {
            Source::Sentinel(sentinels) => sentinels.discover(asking, known.as_ref()).await,
            Source::Cluster(cluster) => cluster.discover(asking, known.as_ref()).await,
        };
        match (found, known) {
            (Ok(found), _) => {
                self.current.store(Some(found.clone()));
                self.outdated.store(false, Ordering::Release);
                Ok(found)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "the topology of Redis could not be asked for; what was known is used");
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Notes that what was `seen` is not true any more.
    pub(super) fn outdate(&self, seen: &Arc<Topology>) {
        if self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, seen)) {
            self.outdated.store(true, Ordering::Release);
        }
    }

    fn asked_lately(&self) -> bool {
        self.now() < self.asked_at.load(Ordering::Relaxed) + PAUSE
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
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
        let mut outcome = topology.group(command.key(), command.group())?.run(asking, command).await;
        for _ in 0..MOST_STEPS {
            let verdict = self.verdict(asking.servers, &outcome);
            if matches!(verdict, Verdict::Final) {
                break;
            }
            if !matches!(verdict, Verdict::Ask(_) | Verdict::Again) {
                self.outdate(&topology);
            }
            if !has_time(begun, self.timeout) {
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
                Verdict::Outdated(true) => {
                    let fresh = self.topology(asking).await?;
                    if Arc::ptr_eq(&fresh, &topology) {
                        break;
                    }
                    topology = fresh;
                    drop(outcome);
                    outcome = topology.group(command.key(), command.group())?.run(asking, command).await;
                }
                Verdict::Again => {
                    drop(outcome);
                    outcome = topology.group(command.key(), command.group())?.run(asking, command).await;
                }
                Verdict::Outdated(false) | Verdict::Final => break,
            }
        }
        outcome
    }

    /// What an outcome says about where to ask.
    pub(super) fn verdict<A: Answered<RespProtocol>>(
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

    /// What an error of the server with the index `from` says about where to ask.
    pub(super) fn judge(&self, servers: &Servers<RespProtocol>, from: usize, text: &[u8]) -> Verdict {
        match &self.source {
            Source::Sentinel(_) if text.starts_with(b"READONLY") => Verdict::Outdated(true),
            Source::Sentinel(_) => Verdict::Final,
            Source::Cluster(cluster) => cluster.judge(servers, from, text),
        }
    }
}

/// True if an operation that began then, of which a step may take `timeout`, may have one step more.
pub(super) fn has_time(begun: Instant, timeout: Duration) -> bool {
    begun.elapsed() < timeout / SHARE
}

/// Ends with whoever asks, however that ends.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
