//! Operations on many keys that several servers have: every server is asked for its keys, all at the same time.
//!
//! Each key has a command of its own, and all commands for one server leave together. (MGET and its like take keys of one slot
//! only.) Keys that have moved meanwhile are asked for again where they are now.

use super::changing::{Changing, MOST_STEPS, Verdict, has_time};
use super::command::{is_unready, write_asking};
use super::group::{Answer, Asking, Group};
use super::protocol::{Reply, RespProtocol, server_error};
use super::topology::Topology;
use crate::error::{Error, Result};
use crate::net::Driver;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about how it is asked")]
pub(super) struct Manner {
    pub(super) operation: &'static str,
    /// A replica can answer.
    pub(super) is_read: bool,
    /// Doing it twice is as good as doing it once.
    pub(super) is_repeatable: bool,
    /// The answers are returned, and not only shown.
    pub(super) keeps_answers: bool,
    /// What a server says instead of a result is a result.
    pub(super) errors_are_results: bool,
}

/// An operation on many keys.
pub(super) struct Many<'a, K, W> {
    pub(super) manner: Manner,
    /// Number of commands, each with one reply.
    pub(super) count: usize,
    /// The key of the command with a number, if it has one.
    pub(super) key: K,
    /// The number of the group that answers what has no key.
    pub(super) group: usize,
    /// Writes the command with a number.
    pub(super) write: W,
    pub(super) changing: Option<&'a Changing>,
    /// The longest that one server may take.
    pub(super) timeout: Duration,
}

/// What one server is asked for.
struct Batch {
    server: usize,
    group: Option<Arc<Group>>,
    /// Some of the keys are being moved there. ASKING changes nothing for the others.
    moving: bool,
    commands: Vec<usize>,
}

impl Batch {
    /// The number of replies to a command.
    fn step(&self) -> usize {
        if self.moving { 2 } else { 1 }
    }
}

/// The number of a command, and where its key is, if that is not where the topology says.
type Left = (usize, Option<(usize, bool)>);

/// What came of asking every server once.
#[derive(Default)]
struct Round {
    left: Vec<Left>,
    /// The topology is not true any more.
    outdated: bool,
    /// Something is left that only another topology can help.
    failure: Option<Error>,
}

impl<'k, K, W> Many<'_, K, W>
where
    K: Fn(usize) -> Option<&'k [u8]>,
    W: Fn(usize, &mut Vec<u8>),
{
    /// Asks for everything. Each answer is shown with the numbers of the commands that its replies are about, in their order, and
    /// the number of replies to each of them; replies that say that a key has moved come before those that follow.
    ///
    /// # Errors
    /// Those of the first server that could not be asked, and what a server says instead of a result.
    pub(super) async fn run<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        fixed: Option<&Topology>,
        mut show: impl FnMut(&[usize], usize, &Answer<'a, D::Answer>),
    ) -> Result<Vec<(Vec<usize>, Answer<'a, D::Answer>)>> {
        let begun = Instant::now();
        let mut answers: Vec<(Vec<usize>, Answer<'a, D::Answer>)> = Vec::new();
        let mut round = Round { left: (0..self.count).map(|number| (number, None)).collect(), ..Round::default() };
        let mut before: Option<Arc<Topology>> = None;
        for step in 0..=MOST_STEPS {
            let told = match self.changing {
                Some(changing) => Some(changing.topology(asking).await?),
                None => None,
            };
            let Some(topology) = told.as_deref().or(fixed) else { break };
            let is_new = before.as_ref().zip(told.as_ref()).is_some_and(|(before, told)| !Arc::ptr_eq(before, told));
            if let Some(failure) = round.failure.take().filter(|_| !is_new) {
                return Err(failure);
            }
            round = match self.batches(asking, topology, &round.left) {
                Ok(batches) => self.ask(asking, batches, &mut answers, &mut show).await?,
                Err(error) => Round { left: round.left, outdated: true, failure: Some(error) },
            };
            if round.outdated
                && let (Some(changing), Some(told)) = (self.changing, &told)
            {
                changing.outdate(told);
            }
            if round.left.is_empty() {
                break;
            }
            if self.changing.is_none() || step == MOST_STEPS || !has_time(begun, self.timeout) {
                return Err(round.failure.unwrap_or_else(endless).with_operation(self.manner.operation));
            }
            before = told;
        }
        Ok(answers)
    }

    /// Asks every server once.
    async fn ask<'a, D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'a, D>,
        mut batches: Vec<Batch>,
        answers: &mut Vec<(Vec<usize>, Answer<'a, D::Answer>)>,
        show: &mut impl FnMut(&[usize], usize, &Answer<'a, D::Answer>),
    ) -> Result<Round> {
        // An answer holds its connection, and there may be no second one: what that server has answered is asked for again.
        for batch in &mut batches {
            for (commands, _) in answers.extract_if(.., |(_, answer)| answer.server == batch.server) {
                batch.commands.extend(
                    commands.into_iter().filter(|command| !batch.commands.contains(command)).collect::<Vec<_>>(),
                );
            }
        }
        let start = Instant::now();
        let requests: Vec<_> =
            batches.iter().map(|batch| (batch.server, |out: &mut Vec<u8>| self.encode(batch, out))).collect();
        let outcomes = asking.driver.exchange_many(requests, self.manner.is_repeatable).await;
        let mut round = Round::default();
        for (batch, outcome) in batches.into_iter().zip(outcomes) {
            if let Some(group) = &batch.group {
                group.note(batch.server, outcome.as_ref().err(), start);
            }
            match outcome {
                Ok(replies) => {
                    let answer = asking.answer(batch.server, self.manner.operation, replies, 0);
                    show(&batch.commands, batch.step(), &answer);
                    self.follow(asking, &batch, &answer, start, &mut round)?;
                    if self.manner.keeps_answers {
                        answers.push((batch.commands, answer));
                    }
                }
                Err(error) if self.changing.is_some() && error.is_retryable() => {
                    round.outdated = true;
                    round.left.extend(batch.commands.into_iter().map(|number| (number, None)));
                    // A replica is left alone now: the next one is asked, or the primary.
                    if batch.group.is_none_or(|group| group.primary() == batch.server) {
                        round.failure = Some(error.with_operation(self.manner.operation));
                    }
                }
                Err(error) => {
                    if error.is_connection()
                        && let Some(changing) = self.changing
                        && let Some(known) = changing.known()
                    {
                        changing.outdate(&known);
                    }
                    return Err(error.with_operation(self.manner.operation));
                }
            }
        }
        Ok(round)
    }

    fn batches<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        topology: &Topology,
        left: &[Left],
    ) -> Result<Vec<Batch>> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut chosen: Vec<(*const Group, usize)> = Vec::new();
        for (number, place) in left {
            let (server, moving, group) = if let Some((server, moving)) = place {
                (*server, *moving, None)
            } else {
                let group =
                    topology.group((self.key)(*number), self.group).map_err(|error| self.of_operation(error))?;
                let known = chosen.iter().find(|(known, _)| *known == Arc::as_ptr(group));
                let server = if let Some((_, server)) = known {
                    *server
                } else {
                    let servers = asking.servers;
                    let server = if self.manner.is_read { group.reader(servers) } else { group.writer(servers) };
                    let server = server.map_err(|error| self.of_operation(error))?;
                    chosen.push((Arc::as_ptr(group), server));
                    server
                };
                (server, false, Some(group.clone()))
            };
            match batches.iter_mut().find(|batch| batch.server == server) {
                Some(batch) => {
                    batch.moving |= moving;
                    batch.group = batch.group.take().or(group);
                    batch.commands.push(*number);
                }
                None => batches.push(Batch { server, group, moving, commands: vec![*number] }),
            }
        }
        Ok(batches)
    }

    fn of_operation(&self, error: Error) -> Error {
        error.with_operation(self.manner.operation)
    }

    fn encode(&self, batch: &Batch, out: &mut Vec<u8>) -> usize {
        for number in &batch.commands {
            if batch.moving {
                write_asking(out);
            }
            (self.write)(*number, out);
        }
        batch.commands.len() * batch.step()
    }

    /// Finds the commands that a server could not answer, or not any more.
    fn follow<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        batch: &Batch,
        answer: &Answer<'_, D::Answer>,
        start: Instant,
        round: &mut Round,
    ) -> Result<()> {
        let replies = answer.replies().enumerate().filter(|(number, _)| !batch.moving || number % 2 == 1);
        let replica = batch.group.as_ref().filter(|group| group.primary() != batch.server);
        for (number, (_, reply)) in batch.commands.iter().zip(replies) {
            let Reply::Error(text) = reply else { continue };
            if let Some(group) = replica.filter(|_| self.changing.is_some() && is_unready(text)) {
                group.note_failure(batch.server, &server_error(text), start.elapsed());
                round.left.push((*number, None));
                continue;
            }
            match self.changing.map(|changing| changing.judge(asking.servers, batch.server, text)) {
                Some(Verdict::Moved(server)) => {
                    round.outdated = true;
                    round.left.push((*number, Some((server, false))));
                }
                Some(Verdict::Ask(server)) => round.left.push((*number, Some((server, true)))),
                Some(Verdict::Again) => round.left.push((*number, None)),
                Some(Verdict::Outdated(true)) => {
                    round.outdated = true;
                    round.left.push((*number, None));
                    round.failure = Some(self.of_operation(server_error(text).with_server(answer.label)));
                }
                Some(Verdict::Outdated(false) | Verdict::Doubtful(_) | Verdict::Final) | None
                    if self.manner.errors_are_results => {}
                Some(Verdict::Outdated(false) | Verdict::Doubtful(_) | Verdict::Final) | None => {
                    return Err(self.of_operation(server_error(text).with_server(answer.label)));
                }
            }
        }
        Ok(())
    }
}

fn endless() -> Error {
    Error::new(crate::ErrorKind::Unreachable, "the keys are being moved from server to server")
        .with_hint("Try again when the Redis cluster has settled")
}
