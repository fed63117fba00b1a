//! The ring of django-redis's `ShardClient`: which of several servers has a key.
//!
//! Every server has 128 points, the SHA-256 of `<its URL>:<number>` in hexadecimal; the points are ordered as text. A key belongs
//! to the last point that is not after the SHA-256 of the key: of what stands between the last `{` and the last `}` behind
//! it, if there are such. (Source: `django_redis/hash_ring.py` and `django_redis/client/sharded.py`, version 7.)

use sha2::{Digest, Sha256};

const POINTS: usize = 128;

/// Servers by their points.
#[derive(Debug)]
pub(super) struct Ring {
    points: Vec<([u8; 32], usize)>,
}

impl Ring {
    /// Of the URLs of servers as LOCATION has them; an index stands for each.
    pub(super) fn new<'a>(nodes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut points: Vec<_> = nodes
            .into_iter()
            .enumerate()
            .flat_map(|(index, node)| {
                (0..POINTS).map(move |number| (hash(format!("{node}:{number}").as_bytes()), index))
            })
            .collect();
        // Digests are ordered as their hexadecimal texts are.
        points.sort_unstable();
        Self { points }
    }

    /// The index of the server that has a key.
    pub(super) fn server(&self, key: &[u8]) -> usize {
        let hash = hash(hashed_part(key));
        let after = self.points.partition_point(|(point, _)| *point <= hash);
        // Before the first point is the last one.
        let point = if after > 0 { self.points.get(after - 1) } else { self.points.last() };
        point.map_or(0, |(_, server)| *server)
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What the regular expression `.*\{(.*)\}.*` finds, or the whole key. Its dot does not fit a line feed.
fn hashed_part(key: &[u8]) -> &[u8] {
    let line = key.split(|byte| *byte == b'\n').next().unwrap_or(key);
    let Some(end) = line.iter().rposition(|byte| *byte == b'}') else { return key };
    let Some(start) = line.iter().take(end).rposition(|byte| *byte == b'{') else { return key };
    line.get(start + 1..end).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_django_redis_has_them() {
        let ring = Ring::new(["redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/2"]);
        for (key, server) in [(":1:a", 0), (":1:b", 1), (":1:c", 0), (":1:foo", 0), (":1:user:1", 0)] {
            assert_eq!(ring.server(key.as_bytes()), server, "{key}");
        }
    }

    #[test]
    fn a_tag_decides_for_its_key() {
        for (key, part) in [
            (":1:{a}:b", "a"),
            (":1:{a}{b}c", "b"),
            (":1:{{a}}", "a}"),
            (":1:{}", ""),
            (":1:}a{", ":1:}a{"),
            (":1:{a\n}", ":1:{a\n}"),
            ("{a}\n{b}", "a"),
        ] {
            assert_eq!(hashed_part(key.as_bytes()), part.as_bytes(), "{key:?}");
        }
    }
}
