//! How a task sends commands.

use super::Wire;
use crate::error::{Error, ErrorKind, Result};
use crate::redis::{Commands, RedisStore, RespProtocol, Results};
use crate::server_store::ServerStore;
use crate::store::Integer;
use std::sync::Arc;
use std::time::Duration;

/// A task of a tokio runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tasks<'a>(pub(super) &'a Arc<RedisStore>);

impl Wire for Tasks<'_> {
    type Answer = crate::net::Reply<RespProtocol>;

    async fn send(&self, commands: &Commands) -> Result<Results<Self::Answer>> {
        if commands.waits() {
            let message = "this command would hold up everything on the connection that all tasks share";
            let hint = "Use the blocking face on a thread, or ask again and again";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(hint));
        }
        self.0.command_over(self.0.servers().tokio(), commands).await
    }

    async fn groups(&self) -> Result<usize> {
        self.0.groups_over(self.0.servers().tokio()).await
    }

    async fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        self.0.incr_over(self.0.servers().tokio(), key, delta).await
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
