//! Values as JSON.

use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// Writes `value` as compact JSON in UTF-8.
///
/// # Errors
/// [`ErrorKind::Value`] if JSON cannot hold it, for example a map whose keys are no text.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Value, "the value cannot be written as JSON").with_source(error))
}

/// Reads JSON as `T`.
///
/// # Errors
/// [`ErrorKind::BadValue`] if the bytes are no JSON; [`ErrorKind::Value`] if the JSON is no `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // The text and source of serde_json's errors quote the value, so only the place is told.
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        // A wrong type near the beginning says nothing of the rest: only whole JSON is sound JSON of another type.
        Category::Data if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => Error::new(
            ErrorKind::Value,
            format!(
                "the cached JSON has another form than the type that was asked for (line {}, column {})",
                error.line(),
                error.column()
            ),
        ),
        _ if bytes.first() == Some(&0x80) => Error::new(ErrorKind::BadValue, "the cached bytes are no JSON")
            .with_hint("They look like a pickle: set SERIALIZER to \"pickle\" to read it"),
        _ => Error::new(ErrorKind::BadValue, "the cached bytes are no JSON"),
    })
}
