//! OPTIONS `CLUSTER` and `READ_FROM_REPLICAS`, and what cannot be together with them.

use super::fields::Problems;
use super::model::{Address, ClusterSettings, RedisPlacement, RedisServer, RedisSettings};
use super::node::{Entry, Value};

/// What OPTIONS or the query of a URL say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) cluster: Option<bool>,
    pub(super) read_from_replicas: Option<bool>,
}

impl Wanted {
    /// Makes the cache one on a cluster if it is wanted.
    ///
    /// # Errors
    /// The server cannot be one of a cluster: why.
    pub(super) fn place(self, server: &RedisServer, settings: &mut RedisSettings) -> Result<(), &'static str> {
        if self.cluster != Some(true) {
            return Ok(());
        }
        let read_from_replicas = self.read_from_replicas == Some(true);
        settings.placement = RedisPlacement::Cluster(ClusterSettings { read_from_replicas });
        if server.database != 0 {
            return Err("a Redis Cluster has no database but 0");
        }
        match server.address {
            Address::Tcp { .. } => Ok(()),
            Address::Unix(_) => Err("the servers of a Redis Cluster tell each other's host and port: name one by them"),
        }
    }

    /// Reports what makes no sense together with the rest of OPTIONS.
    pub(super) fn check(self, options: &[Entry], problems: &mut Problems<'_>) {
        let given = |name: &str| options.iter().find(|entry| entry.key == name);
        if self.cluster == Some(true) {
            let other =
                ["SENTINELS", "sentinels"].into_iter().find_map(given).filter(|entry| !is_empty(&entry.node.value));
            let class = given("CLIENT_CLASS").filter(|entry| {
                let text = match &entry.node.value {
                    Value::String(text) | Value::Opaque(text) => text.as_str(),
                    _ => "",
                };
                ["ShardClient", "SentinelClient"].iter().any(|class| text.ends_with(class))
            });
            if let Some(entry) = other.or(class) {
                let message = format!("OPTIONS '{}' and 'CLUSTER' are given together", entry.key);
                let hint = "A Redis Cluster places keys and replaces servers itself: remove one of the two.".to_owned();
                problems.error(&message, entry.key_span, hint);
            }
        } else if self.read_from_replicas == Some(true) && given("SENTINELS").or_else(|| given("sentinels")).is_none() {
            let span = given("READ_FROM_REPLICAS").and_then(|entry| entry.key_span);
            let hint = "Set 'CLUSTER', or name the replicas in LOCATION behind their primary: then they are read from.";
            problems.error(
                "OPTIONS 'READ_FROM_REPLICAS' is given without 'CLUSTER' or 'SENTINELS'",
                span,
                hint.to_owned(),
            );
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
