//! Operations on many keys that several servers have: every server is asked for its keys, all at the same time.
//!
//! Each key has a command of its own, and all commands for one server leave together. (MGET and its like take keys of one slot
//! only.) Keys that have moved meanwhile are asked for again where they are now.

use super::changing::{Changing, MOST_STEPS, Verdict, has_time};
use super::command::write_asking;
use super::group::{Answer, Asking, Group};
use super::protocol::{Reply, RespProtocol, server_error};
use super::topology::Topology;
use crate::error::{Error, Result};
use crate::net::{Answered, Driver};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An operation on many keys.
pub(super) struct Many<'a, K, W> {
    pub(super) operation: &'static str,
    /// A replica can answer.
    pub(super) is_read: bool,
    /// Number of keys.
    pub(super) count: usize,
    /// The key with an index.
    pub(super) key: K,
    /// Writes the command about the key with an index, which has one reply.
    pub(super) write: W,
    pub(super) changing: Option<&'a Changing>,
    /// The longest that one server may take.
    pub(super) timeout: Duration,
}

/// What one server is asked for.
struct Batch {
    server: usize,
    group: Option<Arc<Group>>,
    /// The keys are being moved there.
    moving: bool,
    keys: Vec<usize>,
}

/// Where the key with an index is, if that is not where the topology says.
type Place = (usize, Option<(usize, bool)>);

impl<'k, K: Fn(usize) -> &'k str, W: Fn(usize, &mut Vec<u8>)> Many<'_, K, W> {
    /// Asks for all keys. Each answer comes with the indexes of the keys that its replies are about, in their order; a reply that
    /// says that a key has moved has been followed.
    ///
    /// # Errors
    /// Those of the first server that could not be asked, and what a server says instead of a result.
    pub(super) async fn run<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        fixed: Option<&Topology>,
    ) -> Result<Vec<(Vec<usize>, Answer<'a, D::Answer>)>> {
        let begun = Instant::now();
        let mut answers = Vec::new();
        let mut left: Vec<Place> = (0..self.count).map(|index| (index, None)).collect();
        for step in 0.. {
            let told = match self.changing {
                Some(changing) => Some(changing.topology(asking).await?),
                None => None,
            };
            let Some(topology) = told.as_deref().or(fixed) else { break };
            let batches = self.batches(asking, topology, &left)?;
            let start = Instant::now();
            let requests: Vec<_> =
                batches.iter().map(|batch| (batch.server, |out: &mut Vec<u8>| self.encode(batch, out))).collect();
            let outcomes = asking.driver.exchange_many(requests, true).await;
            left = Vec::new();
            let (mut failure, mut outdated, mut others) = (None, false, self.changing.is_some());
            for (batch, outcome) in batches.into_iter().zip(outcomes) {
                if let Some(group) = &batch.group {
                    group.note(batch.server, outcome.as_ref().err(), start.elapsed());
                }
                match outcome {
                    Ok(replies) => {
                        let answer = asking.answer(batch.server, self.operation, replies, 0);
                        outdated |= self.follow(asking, &batch, &answer, &mut left)?;
                        answers.push((batch.keys, answer));
                    }
                    Err(error) if error.is_connection() => {
                        outdated = true;
                        // A replica is left alone now: the next one is asked, or the primary.
                        others |= batch.group.is_some_and(|group| group.primary() != batch.server);
                        left.extend(batch.keys.into_iter().map(|index| (index, None)));
                        failure = Some(error.with_operation(self.operation));
                    }
                    Err(error) => return Err(error.with_operation(self.operation)),
                }
            }
            if outdated && let (Some(changing), Some(told)) = (self.changing, &told) {
                changing.outdate(told);
            }
            if left.is_empty() {
                break;
            }
            let may_go_on = others && step < MOST_STEPS && has_time(begun, self.timeout);
            if !may_go_on {
                return Err(failure.unwrap_or_else(|| endless().with_operation(self.operation)));
            }
        }
        Ok(answers)
    }

    fn batches<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        topology: &Topology,
        left: &[Place],
    ) -> Result<Vec<Batch>> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut chosen: Vec<(*const Group, usize)> = Vec::new();
        for (index, place) in left {
            let (server, moving, group) = match place {
                Some((server, moving)) => (*server, *moving, None),
                None => {
                    let group = topology.group(Some((self.key)(*index).as_bytes()))?;
                    let known = chosen.iter().find(|(known, _)| *known == Arc::as_ptr(group));
                    let server = match known {
                        Some((_, server)) => *server,
                        None => {
                            let servers = asking.servers;
                            let chosen_now = if self.is_read { group.reader(servers) } else { group.writer(servers) };
                            let server = chosen_now.map_err(|error| error.with_operation(self.operation))?;
                            chosen.push((Arc::as_ptr(group), server));
                            server
                        }
                    };
                    (server, false, Some(group.clone()))
                }
            };
            match batches.iter_mut().find(|batch| batch.server == server && batch.moving == moving) {
                Some(batch) => batch.keys.push(*index),
                None => batches.push(Batch { server, group, moving, keys: vec![*index] }),
            }
        }
        Ok(batches)
    }

    fn encode(&self, batch: &Batch, out: &mut Vec<u8>) -> usize {
        for index in &batch.keys {
            if batch.moving {
                write_asking(out);
            }
            (self.write)(*index, out);
        }
        batch.keys.len() * if batch.moving { 2 } else { 1 }
    }

    /// Finds the keys that a server does not have (any more). True if the topology has changed.
    fn follow<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        batch: &Batch,
        answer: &Answer<'_, D::Answer>,
        left: &mut Vec<Place>,
    ) -> Result<bool> {
        let mut outdated = false;
        let replies = answer.replies().enumerate().filter(|(number, _)| !batch.moving || number % 2 == 1);
        for (index, (_, reply)) in batch.keys.iter().zip(replies) {
            let Reply::Error(text) = reply else { continue };
            let verdict = self.changing.map(|changing| changing.judge(asking.servers, batch.server, text));
            match verdict {
                Some(Verdict::Moved(server)) => {
                    outdated = true;
                    left.push((*index, Some((server, false))));
                }
                Some(Verdict::Ask(server)) => left.push((*index, Some((server, true)))),
                Some(Verdict::Outdated(true)) => {
                    outdated = true;
                    left.push((*index, None));
                }
                Some(Verdict::Outdated(false) | Verdict::Doubtful(_) | Verdict::Final) | None => {
                    let error = server_error(text).with_server(answer.label);
                    return Err(error.with_operation(self.operation));
                }
            }
        }
        Ok(outdated)
    }
}

fn endless() -> Error {
    Error::new(crate::ErrorKind::Unreachable, "the keys are being moved from server to server")
        .with_hint("Try again when the Redis cluster has settled")
}

/// Sums up what counting commands have answered.
pub(super) fn total<A: Answered<RespProtocol>>(answers: &[(Vec<usize>, Answer<'_, A>)]) -> i64 {
    answers
        .iter()
        .flat_map(|(_, answer)| answer.replies())
        .map(|reply| match reply {
            Reply::Integer(number) => number,
            _ => 0,
        })
        .sum()
}
