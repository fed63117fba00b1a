//! Which servers there are, and which of them has a key.

use super::group::Group;
use super::ring::Ring;
use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;

/// The number of hash slots of Redis Cluster.
pub(super) const SLOTS: usize = 16384;

/// The groups of a cache and their keys, at one time.
#[derive(Debug)]
pub(super) struct Topology {
    groups: Vec<Arc<Group>>,
    placement: Placement,
}

/// Which group has a key.
#[derive(Debug)]
pub(super) enum Placement {
    /// There is one group.
    One,
    /// By the ring of django-redis's `ShardClient`.
    Ring(Ring),
    /// By the slots of Redis Cluster: of each the index of its group, or more than there are groups if nobody has it.
    Slots(Box<[u16]>),
}

impl Topology {
    pub(super) fn new(groups: Vec<Arc<Group>>, placement: Placement) -> Self {
        Self { groups, placement }
    }

    /// The group that has a key; the one with a number for a command without a key.
    ///
    /// # Errors
    /// None has it.
    pub(super) fn group(&self, key: Option<&[u8]>, otherwise: usize) -> Result<&Arc<Group>> {
        let Some(key) = key else { return self.groups.get(otherwise).ok_or_else(|| no_group(otherwise)) };
        let index = match &self.placement {
            Placement::One => 0,
            Placement::Ring(ring) => ring.server(key),
            Placement::Slots(groups) => groups.get(slot(key)).copied().map_or(usize::MAX, usize::from),
        };
        self.groups.get(index).ok_or_else(|| {
            Error::new(ErrorKind::Unreachable, "no server of the Redis cluster has the hash slot of this key")
                .with_hint(
                    "The cluster is incomplete: look at CLUSTER INFO, and bring back the servers that are missing",
                )
        })
    }

    /// What keys have in common that can be used by one command: the hash slot, or the server.
    pub(super) fn place(&self, key: &[u8]) -> usize {
        match &self.placement {
            Placement::One => 0,
            Placement::Ring(ring) => ring.server(key),
            Placement::Slots(_) => slot(key),
        }
    }

    /// Whether the same keys are at the same groups.
    pub(super) fn is_same(&self, groups: &[Arc<Group>], slots: &[u16]) -> bool {
        let same_groups = self.groups.len() == groups.len()
            && self.groups.iter().zip(groups).all(|(known, group)| Arc::ptr_eq(known, group));
        same_groups && matches!(&self.placement, Placement::Slots(known) if **known == *slots)
    }

    pub(super) fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// The one group that has all keys; none if keys have to be told apart.
    pub(super) fn only(&self) -> Option<&Arc<Group>> {
        match self.placement {
            Placement::One => self.groups.first(),
            _ => None,
        }
    }
}

fn no_group(number: usize) -> Error {
    let message = format!("the Redis servers that share the keys are fewer than {}", number + 1);
    Error::new(ErrorKind::Unreachable, message).with_hint("They have changed meanwhile; begin again")
}

/// The hash slot of a key: CRC16 (XMODEM) of what stands between the first `{` and the next `}`, if there is something, else
/// of the whole key. (Source: the Redis Cluster specification.)
pub(super) fn slot(key: &[u8]) -> usize {
    let tag = memchr::memchr(b'{', key).and_then(|start| {
        let behind = key.get(start + 1..)?;
        behind.get(..memchr::memchr(b'}', behind)?).filter(|tag| !tag.is_empty())
    });
    usize::from(crc16(tag.unwrap_or(key))) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the Redis Cluster specification, and answers of CLUSTER KEYSLOT.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, expected) in [("foo", 12182), ("bar", 5061), ("", 0), ("{foo}bar", 12182), (":1:{foo}", 12182)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"foo{}{bar}"), usize::from(crc16(b"foo{}{bar}")) % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), usize::from(crc16(b"{bar")) % SLOTS);
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }
}
