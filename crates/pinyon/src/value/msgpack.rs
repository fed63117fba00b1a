//! Values as MessagePack: structs as maps with the names of their fields, as Python's msgpack writes a dict.

use crate::error::{Error, ErrorKind, Result};
use rmp_serde::decode;
use serde::{Serialize, de::DeserializeOwned};
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
    let mut deserializer = decode::Deserializer::new(Cursor::new(bytes));
    let value = T::deserialize(&mut deserializer).map_err(|error| failed(&error, bytes))?;
    if usize::try_from(deserializer.position()).ok() != Some(bytes.len()) {
        return Err(bad(bytes));
    }
    Ok(value)
}

/// The text and source of the library's errors may quote the value, so neither is kept.
fn failed(error: &decode::Error, bytes: &[u8]) -> Error {
    match error {
        decode::Error::OutOfRange => {
            Error::new(ErrorKind::OutOfRange, "the cached MessagePack holds an integer that does not fit")
        }
        // The one marker that MessagePack does not use.
        decode::Error::TypeMismatch(marker) if marker.to_u8() == 0xc1 => bad(bytes),
        decode::Error::TypeMismatch(_) | decode::Error::Syntax(_) | decode::Error::LengthMismatch(_) => mismatch(),
        _ => bad(bytes),
    }
}

fn mismatch() -> Error {
    Error::new(ErrorKind::Value, "the cached MessagePack has another form than the type that was asked for")
}

fn bad(bytes: &[u8]) -> Error {
    let error = Error::new(ErrorKind::BadValue, "the cached bytes are no MessagePack");
    if bytes.first() == Some(&0x80) && bytes.last() == Some(&b'.') {
        return error.with_hint("They look like a pickle: set SERIALIZER to \"pickle\" to read it");
    }
    error
}
