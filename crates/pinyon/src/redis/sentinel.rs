//! Redis Sentinel: servers that watch a primary with its replicas, and tell which server is the primary.
//! (Source: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.)

use super::group::{Asking, Group, GroupRules};
use super::protocol::RespProtocol;
use super::topology::{Placement, Topology};
use crate::error::Result;
use crate::net::{Driver, Servers};
use crate::settings::{RedisSettings, SentinelSettings};
use std::sync::Arc;

/// The Sentinels of a cache, and the name that they know its primary by.
#[derive(Debug)]
pub(super) struct Sentinels {
    settings: RedisSettings,
    rules: GroupRules,
    sentinels: Vec<usize>,
}

impl Sentinels {
    pub(super) fn new(servers: &Servers<RespProtocol>, settings: &RedisSettings, sentinel: &SentinelSettings) -> Self {
        todo!()
    }

    /// The indexes of the Sentinels.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.sentinels.iter().copied()
    }

    /// Asks for the topology. If it is what is known already, that itself is returned.
    pub(super) async fn discover<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        known: Option<&Arc<Topology>>,
    ) -> Result<Arc<Topology>> {
        todo!()
    }
}
