//! Values as MessagePack: structs as maps with the names of their fields, as Python's msgpack writes a dict.

use super::pickle::MAX_DEPTH;
use crate::error::{Error, ErrorKind, Result};
use rmp_serde::decode;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::io::Cursor;

/// Writes `value` as MessagePack.
///
/// # Errors
/// [`ErrorKind::Value`] if MessagePack cannot hold it.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value)
        .map_err(|error| Error::new(ErrorKind::Value, "the value cannot be written as MessagePack").with_source(error))
}

/// Reads MessagePack as `T`.
///
/// # Errors
/// [`ErrorKind::BadValue`] if the bytes are not one MessagePack value; [`ErrorKind::Value`] if that value is no `T`;
/// [`ErrorKind::OutOfRange`] if an integer does not fit.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (kind, message) = match read_whole(bytes) {
        Ok(value) => return Ok(value),
        Err(Failure::Type(reason)) => reason,
        Err(Failure::Bytes) => return Err(bad(bytes)),
        Err(Failure::Depth) => {
            let message = format!("the cached MessagePack is nested deeper than {MAX_DEPTH} levels");
            return Err(Error::new(ErrorKind::Value, message));
        }
    };
    // A wrong type near the beginning says nothing of the rest: only whole values are sound ones of another type.
    match read_whole::<IgnoredAny>(bytes) {
        Ok(_) => Err(Error::new(kind, message)),
        Err(_) => Err(bad(bytes)),
    }
}

/// Why bytes could not be read. The text and source of the library's errors may quote the value, so neither is kept.
enum Failure {
    Bytes,
    Depth,
    Type((ErrorKind, &'static str)),
}

fn read_whole<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Failure> {
    let mut deserializer = decode::Deserializer::new(Cursor::new(bytes));
    deserializer.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut deserializer).map_err(|error| match error {
        decode::Error::OutOfRange => {
            Failure::Type((ErrorKind::OutOfRange, "the cached MessagePack holds an integer that does not fit"))
        }
        decode::Error::TypeMismatch(_) | decode::Error::Syntax(_) | decode::Error::LengthMismatch(_) => Failure::Type(
            (ErrorKind::Value, "the cached MessagePack has another form than the type that was asked for"),
        ),
        decode::Error::DepthLimitExceeded => Failure::Depth,
        _ => Failure::Bytes,
    })?;
    match usize::try_from(deserializer.position()) {
        Ok(end) if end == bytes.len() => Ok(value),
        _ => Err(Failure::Bytes),
    }
}

fn bad(bytes: &[u8]) -> Error {
    let error = Error::new(ErrorKind::BadValue, "the cached bytes are no MessagePack");
    if bytes.first() == Some(&0x80) && bytes.last() == Some(&b'.') {
        return error.with_hint("They look like a pickle: set SERIALIZER to \"pickle\" to read it");
    }
    error
}
