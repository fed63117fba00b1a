//! Which serializer wrote some bytes, where a cache reads several.

use crate::settings::SerializerKind;

/// Whether `bytes` can be what `serializer` writes, if they are no integer, which a cache with a list keeps as digits. Of
/// two serializers it is never true:
/// * a pickle ends with `.`; from protocol 2 on it begins with 0x80 and the protocol, before that with an ASCII character;
/// * JSON has two characters or more, begins with an ASCII one and never ends with `.`;
/// * MessagePack that begins with an ASCII character or with 0x80 is that one byte.
pub fn may_be(serializer: SerializerKind, bytes: &[u8]) -> bool {
    match (serializer, bytes) {
        (SerializerKind::Pickle, [0x80, protocol, .., b'.']) => *protocol >= 2,
        (SerializerKind::Pickle, [first, .., b'.']) => first.is_ascii(),
        (SerializerKind::Json, [first, .., last]) => first.is_ascii() && *last != b'.',
        (SerializerKind::Msgpack, [_]) => true,
        (SerializerKind::Msgpack, [first, ..]) => *first > 0x80,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{json, msgpack, pickle};
    use SerializerKind::{Json, Msgpack, Pickle};
    use serde::Serialize;

    fn readers(bytes: &[u8]) -> Vec<SerializerKind> {
        [Pickle, Json, Msgpack].into_iter().filter(|serializer| may_be(*serializer, bytes)).collect()
    }

    #[track_caller]
    fn told_apart<T: Serialize>(value: T) {
        assert_eq!(readers(&pickle::to_vec(&value).unwrap()), [Pickle]);
        assert_eq!(readers(&json::to_vec(&value).unwrap()), [Json]);
        assert_eq!(readers(&msgpack::to_vec(&value).unwrap()), [Msgpack]);
    }

    #[test]
    fn no_value_of_one_serializer_looks_like_another_ones() {
        told_apart(1.5);
        told_apart(true);
        told_apart(None::<u8>);
        told_apart("");
        told_apart("ends with a dot.");
        told_apart(vec![46; 20]);
        told_apart(std::collections::BTreeMap::<String, u8>::new());
        told_apart(vec!["text"; 300]);
        told_apart(u64::MAX);
    }

    #[test]
    fn pickles_of_every_protocol_are_known() {
        for pickled in [&b"I42\n."[..], b"N.", b"(lp0\n.", b"\x80\x02N.", b"\x80\x05\x88."] {
            assert_eq!(readers(pickled), [Pickle], "{pickled:?}");
        }
        assert_eq!(readers(b""), []);
    }
}
