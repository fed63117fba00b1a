//! Integers where integers are serialized like everything else, and `incr` has to read and write them.

use super::{Codec, Layout, msgpack, pickle};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::SerializerKind;
use crate::store::Integer;
use num_traits::ToPrimitive;
use pickle::PythonValue;

/// `bytes`, an integer in [`Layout::Serialized`], and `delta` together, in the same form, and the sum.
///
/// # Errors
/// * [`ErrorKind::NotAnInteger`] if the bytes are something else; a bool and a float are, too.
/// * [`ErrorKind::OutOfRange`] if the serializer cannot write the sum: pickle has 128 bits here, MessagePack 64.
pub(crate) fn add(serializer: SerializerKind, bytes: &[u8], delta: i64) -> Result<(Vec<u8>, Integer)> {
    let number = match serializer {
        // Neither executed nor trusted, as every pickle here.
        SerializerKind::Pickle => integer(pickle::read(bytes)),
        SerializerKind::Msgpack => integer(msgpack::from_slice(bytes)),
        SerializerKind::Json => Integer::parse(bytes),
    };
    let sum = number.ok_or_else(not_an_integer)? + delta;
    let bytes = match (&sum, serializer) {
        (_, SerializerKind::Json) => sum.to_string().into_bytes(),
        (Integer::Small(number), _) => Codec { serializer, layout: Layout::Serialized }.encode(number)?.bytes,
        (Integer::Big(number), SerializerKind::Pickle) => {
            pickle::to_vec(&number.to_i128().ok_or_else(|| too_large(128))?)?
        }
        (Integer::Big(_), SerializerKind::Msgpack) => return Err(too_large(64)),
    };
    Ok((bytes, sum))
}

fn integer(value: Result<PythonValue>) -> Option<Integer> {
    match value {
        Ok(PythonValue::Int(number)) => Some(Integer::Small(number)),
        Ok(PythonValue::BigInt(number)) => Some(Integer::Big(number)),
        _ => None,
    }
}

fn not_an_integer() -> Error {
    Error::new(ErrorKind::NotAnInteger, "the value of this key is not an integer")
        .with_hint("incr and decr work on values that were set as integers.")
}

fn too_large(bits: u32) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("the sum would have more than {bits} bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(serializer: SerializerKind, bytes: &[u8], delta: i64) -> Result<Vec<u8>, ErrorKind> {
        add(serializer, bytes, delta).map(|(bytes, _)| bytes).map_err(|error| error.kind())
    }

    #[test]
    fn integers_are_read_and_written_by_the_serializer() {
        // pickle.dumps(41, 5), pickle.dumps(42, 5), pickle.dumps(2**63, 5).
        assert_eq!(sum(SerializerKind::Pickle, b"\x80\x05K\x29.", 1).unwrap(), b"\x80\x05K\x2a.");
        let max = pickle::to_vec(&i64::MAX).unwrap();
        let beyond = sum(SerializerKind::Pickle, &max, 1).unwrap();
        assert_eq!(beyond, b"\x80\x05\x95\x0c\0\0\0\0\0\0\0\x8a\x09\0\0\0\0\0\0\0\x80\0.");
        assert_eq!(sum(SerializerKind::Pickle, &beyond, -1).unwrap(), max);
        assert_eq!(sum(SerializerKind::Json, b"41", 1).unwrap(), b"42");
        assert_eq!(sum(SerializerKind::Msgpack, &[41], 1).unwrap(), [42]);
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for value in [&b"\x80\x05\x88."[..], b"\x80\x05N.", b"41", b"", b"\x80\x05"] {
            assert_eq!(sum(SerializerKind::Pickle, value, 1), Err(ErrorKind::NotAnInteger), "{value:?}");
        }
        assert_eq!(sum(SerializerKind::Json, b"true", 1), Err(ErrorKind::NotAnInteger));
        assert_eq!(sum(SerializerKind::Msgpack, &[0xc3], 1), Err(ErrorKind::NotAnInteger));
    }

    #[test]
    fn a_sum_that_cannot_be_written_is_out_of_range() {
        let largest = pickle::to_vec(&i128::MAX).unwrap();
        assert_eq!(sum(SerializerKind::Pickle, &largest, 1), Err(ErrorKind::OutOfRange));
        let largest = msgpack::to_vec(&i64::MAX).unwrap();
        assert_eq!(sum(SerializerKind::Msgpack, &largest, 1), Err(ErrorKind::OutOfRange));
    }
}
