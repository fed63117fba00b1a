//! Integers as a store with [`Layout::Serialized`](super::Layout::Serialized) keeps them: what its `incr` reads and writes.

use super::pickle::{self, PythonValue};
use super::{json, msgpack};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::SerializerKind;
use crate::store::Integer;
use num_bigint::BigInt;

/// Reads the integer in `bytes`; none if they are something else. A pickled bool is an integer, as in Python.
pub fn read(serializer: SerializerKind, bytes: &[u8]) -> Option<Integer> {
    match serializer {
        SerializerKind::Pickle => match pickle::read(bytes).ok()? {
            PythonValue::Bool(value) => Some(Integer::Small(i64::from(value))),
            PythonValue::Int(number) => Some(Integer::Small(number)),
            PythonValue::BigInt(number) => Some(Integer::Big(number)),
            _ => None,
        },
        SerializerKind::Json => Integer::parse(bytes),
        SerializerKind::Msgpack => msgpack::from_slice::<i64>(bytes)
            .map(Integer::Small)
            .or_else(|_| msgpack::from_slice::<u64>(bytes).map(|number| Integer::from(BigInt::from(number))))
            .ok(),
    }
}

/// Writes an integer.
///
/// # Errors
/// [`ErrorKind::OutOfRange`] if the serializer cannot hold it: MessagePack has 64 bits, the others any size.
pub fn write(serializer: SerializerKind, number: &Integer) -> Result<Vec<u8>> {
    match serializer {
        SerializerKind::Pickle => Ok(pickle::integer_to_vec(number)),
        SerializerKind::Json => match number {
            Integer::Small(number) => json::to_vec(number),
            Integer::Big(number) => Ok(number.to_string().into_bytes()),
        },
        SerializerKind::Msgpack => match number {
            Integer::Small(number) => msgpack::to_vec(number),
            Integer::Big(number) => match u64::try_from(number) {
                Ok(number) => msgpack::to_vec(&number),
                Err(_) => Err(Error::new(ErrorKind::OutOfRange, "MessagePack has no integers of more than 64 bits")),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SerializerKind::{Json, Msgpack, Pickle};

    #[test]
    fn integers_come_back_from_every_serializer() {
        for serializer in [Pickle, Json, Msgpack] {
            for number in [0, 1, -1, 255, 65_536, i64::MIN, i64::MAX] {
                let number = Integer::Small(number);
                assert_eq!(read(serializer, &write(serializer, &number).unwrap()), Some(number), "{serializer:?}");
            }
            let beyond = Integer::Small(i64::MAX) + 1;
            assert_eq!(read(serializer, &write(serializer, &beyond).unwrap()), Some(beyond), "{serializer:?}");
        }
        let huge = Integer::Big(BigInt::from(-1) << 200);
        for serializer in [Pickle, Json] {
            assert_eq!(read(serializer, &write(serializer, &huge).unwrap()).as_ref(), Some(&huge));
        }
        assert_eq!(write(Msgpack, &huge).unwrap_err().kind(), ErrorKind::OutOfRange);
    }

    #[test]
    fn pickled_integers_are_cpythons() {
        assert_eq!(write(Pickle, &Integer::Small(42)).unwrap(), b"\x80\x05K*.");
        let beyond = write(Pickle, &(Integer::Small(i64::MAX) + 1)).unwrap();
        assert_eq!(beyond, b"\x80\x05\x95\x0c\0\0\0\0\0\0\0\x8a\x09\0\0\0\0\0\0\0\x80\0.");
    }

    #[test]
    fn a_pickled_bool_is_an_integer_and_other_values_are_none() {
        assert_eq!(read(Pickle, b"\x80\x05\x88."), Some(Integer::Small(1)));
        for serializer in [Pickle, Json, Msgpack] {
            for bytes in [&b""[..], b"value", b"\x80\x05N.", b"1.5"] {
                assert_eq!(read(serializer, bytes), None, "{serializer:?} {bytes:?}");
            }
        }
    }
}
