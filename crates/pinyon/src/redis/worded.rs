//! [`Commands`] that a caller words, sent to the servers that have their keys.

use super::command::Command;
use super::gathered::Gathering;
use super::group::Answer;
use super::many::Manner;
use super::protocol::{HASH_TAG_HINT, RespProtocol};
use super::raw::{Commands, Results};
use super::store::{Arrangement, RedisStore};
use super::topology::slot;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Driver, Lease, now};
use crate::server_store::ServerStore as _;

impl RedisStore {
    /// Sends commands as they are worded, to the primary or, if they only read, to whichever server reads go to. Where several
    /// primaries share the keys, each command goes to the one that has its keys, and all of them are asked at the same time.
    ///
    /// # Errors
    /// The connection's, and that the server refused a transaction as a whole. That it refused a command is a reply.
    /// [`ErrorKind::Unsupported`], and nothing is sent: no server has all the keys of one command, or of a transaction.
    pub async fn command_over<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        commands: &Commands,
    ) -> Result<Results<D::Answer>> {
        if self.is_divided() {
            self.check_places(commands)?;
        }
        let is_fixed_to_one = matches!(&self.arrangement, Arrangement::Fixed(topology) if topology.only().is_some());
        if commands.count() > 1 && !commands.is_transaction() && !is_fixed_to_one {
            return self.commands_to_several(driver, commands).await;
        }
        let answer = self.run(driver, &Command::Raw(commands)).await?;
        answer.judge(|replies| commands.results(replies).map(drop))?;
        Ok(Results::new(answer.replies, answer.skipped, commands))
    }

    /// [`RedisStore::command_over`] on the calling thread.
    ///
    /// # Errors
    /// Its own.
    pub fn command(&self, commands: &Commands) -> Result<Results<Lease<RespProtocol>>> {
        now(self.command_over(&self.servers().blocking(), commands))
    }

    async fn commands_to_several<D: Driver<RespProtocol>>(
        &self,
        driver: &D,
        commands: &Commands,
    ) -> Result<Results<D::Answer>> {
        let manner = Manner {
            operation: commands.name(),
            is_read: commands.is_read(),
            is_repeatable: commands.is_repeatable(),
            keeps_answers: false,
            errors_are_results: true,
        };
        let mut gathering = Gathering::new(commands.count());
        let many = self.many(
            manner,
            (commands.count(), commands.group()),
            |number| commands.key_of(number),
            |number, out| out.extend_from_slice(commands.command(number)),
        );
        let show =
            |numbers: &[usize], step, answer: &Answer<'_, D::Answer>| gathering.put(numbers, answer.replies(), step);
        many.run(&self.asking(driver), self.fixed(), show).await?;
        Ok(Results::several(gathering.finish()))
    }

    /// # Errors
    /// No server has all the keys of one of the commands, or of the transaction that they are.
    fn check_places(&self, commands: &Commands) -> Result<()> {
        let place = |key: &[u8]| match &self.arrangement {
            Arrangement::Fixed(topology) => topology.place(key),
            Arrangement::Changing(_) => slot(key),
        };
        let mut last: Option<(usize, usize)> = None;
        for (number, key) in commands.keys() {
            let here = place(key);
            let together = |number_before: usize| commands.is_transaction() || number_before == number;
            if last.is_some_and(|(number_before, before)| together(number_before) && before != here) {
                let what = if commands.is_transaction() { "transaction" } else { "command" };
                let message = format!("the keys of this {what} are on different servers, or in different hash slots");
                let error = Error::new(ErrorKind::Unsupported, message).with_operation(commands.name());
                return Err(error.with_hint(HASH_TAG_HINT));
            }
            last = Some((number, here));
        }
        Ok(())
    }

    /// How many primaries share the keys, as far as is known now: [`Commands::on_group`] takes numbers below it.
    ///
    /// # Errors
    /// Nobody tells which servers there are.
    pub async fn groups_over<D: Driver<RespProtocol>>(&self, driver: &D) -> Result<usize> {
        match &self.arrangement {
            Arrangement::Fixed(topology) => Ok(topology.groups().len()),
            Arrangement::Changing(changing) => Ok(changing.topology(&self.asking(driver)).await?.groups().len()),
        }
    }

    /// [`RedisStore::groups_over`] on the calling thread.
    ///
    /// # Errors
    /// Its own.
    pub fn count_groups(&self) -> Result<usize> {
        now(self.groups_over(&self.servers().blocking()))
    }
}
