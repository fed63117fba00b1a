//! Redis Cluster: several primaries, each with the keys of some hash slots.
//! (Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.)

use super::changing::Verdict;
use super::group::{Asking, GroupRules};
use super::protocol::RespProtocol;
use super::topology::Topology;
use crate::error::Result;
use crate::net::{Driver, Servers};
use crate::settings::{ClusterSettings, RedisSettings};
use std::sync::Arc;

/// A cluster, by the servers that are asked first.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: RedisSettings,
    rules: GroupRules,
    seeds: Vec<usize>,
}

impl Cluster {
    pub(super) fn new(servers: &Servers<RespProtocol>, settings: &RedisSettings, cluster: &ClusterSettings) -> Self {
        todo!()
    }

    /// The indexes of the servers that LOCATION names.
    pub(super) fn seeds(&self) -> impl Iterator<Item = usize> {
        self.seeds.iter().copied()
    }

    /// Asks for the topology. If it is what is known already, that itself is returned.
    pub(super) async fn discover<D: Driver<RespProtocol>>(
        &self,
        asking: &Asking<'_, D>,
        known: Option<&Arc<Topology>>,
    ) -> Result<Arc<Topology>> {
        todo!()
    }

    /// What an error of the server with the index `from` says about where to ask.
    pub(super) fn judge(&self, servers: &Servers<RespProtocol>, from: usize, text: &[u8]) -> Verdict {
        todo!()
    }
}
