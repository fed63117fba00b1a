//! Which server has a key: rendezvous hashing, exactly as pymemcache 4.0 does it.
//!
//! Every server scores every key; the highest score wins. The score is murmur3 (32 bits, seed 0) of `"{node}-{key}"`, where
//! node is `host:port` (IPv6 without brackets) or the path of a unix socket. pymemcache hashes the low eight bits of each
//! code point, not UTF-8 bytes. Equal scores: the node that sorts last.

use crate::settings::Address;

/// The placement of keys on several servers.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    nodes: Vec<String>,
}

impl Rendezvous {
    /// For servers in the order of the settings, which does not matter.
    pub fn new(servers: &[Address]) -> Self {
        let nodes = servers.iter().map(|server| match server {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(path) => path.display().to_string(),
        });
        Self { nodes: nodes.collect() }
    }

    /// The index of the server that has a made key (without pymemcache's own `key_prefix`, which is not hashed).
    pub fn server(&self, key: &str) -> usize {
        if self.nodes.len() < 2 {
            return 0;
        }
        let score = |node: &str| murmur3_32(node.chars().chain(['-']).chain(key.chars()).map(low_byte));
        let best = self.nodes.iter().enumerate().max_by_key(|(_, node)| (score(node), node.as_str()));
        best.map_or(0, |(index, _)| index)
    }
}

#[allow(clippy::cast_possible_truncation)] // the rule is the low eight bits
fn low_byte(character: char) -> u8 {
    character as u32 as u8
}

/// MurmurHash3 for 32 bits with seed 0 (Austin Appleby, public domain: <https://github.com/aappleby/smhasher>).
fn murmur3_32(bytes: impl Iterator<Item = u8>) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (mut hash, mut length, mut block) = (0_u32, 0_u32, 0_u32);
    for byte in bytes {
        block |= u32::from(byte) << (8 * (length % 4));
        length = length.wrapping_add(1);
        if length % 4 == 0 {
            hash = (hash ^ scramble(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            block = 0;
        }
    }
    // A tail of nothing scrambles to nothing.
    hash ^= scramble(block);
    hash ^= length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn murmur_has_pymemcaches_values() {
        let hash = |text: &str| murmur3_32(text.chars().map(low_byte));
        for (text, value) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("abc", 0xb3dd_93fa),
            ("abcd", 0x43ed_676a),
            ("hello, world", 0x149b_bb7f),
            ("é", 0x44c6_d4b2),
            ("日本", 0x451e_010d),
        ] {
            assert_eq!(hash(text), value, "{text}");
        }
    }

    #[test]
    fn keys_lie_where_pymemcache_puts_them() {
        let two = Rendezvous::new(&[tcp("127.0.0.1", 16311), tcp("127.0.0.1", 16312)]);
        for (key, server) in [(":1:a", 0), (":1:foo", 1), (":1:user:1", 1), (":1:é", 0), (":1:key-with-ü", 1)] {
            assert_eq!(two.server(key), server, "{key}");
        }
        let three = Rendezvous::new(&[tcp("172.31.0.1", 11211), tcp("172.31.0.2", 11211), tcp("172.31.0.3", 11211)]);
        let placed: Vec<usize> = (0..6).map(|n| three.server(&format!(":1:k{n}")) + 1).collect();
        assert_eq!(placed, [1, 2, 3, 2, 3, 3]);
    }

    #[test]
    fn one_server_has_every_key() {
        assert_eq!(Rendezvous::new(&[tcp("::1", 11211)]).server("anything"), 0);
    }
}
