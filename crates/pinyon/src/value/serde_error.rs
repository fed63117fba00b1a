//! Serde's errors as errors of this crate: they name types, never values.

use crate::error::{Error, ErrorKind};
use serde::de::{Expected, Unexpected};
use std::fmt::Display;

impl serde::ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(ErrorKind::Value, message.to_string())
    }
}

/// Serde's own texts quote the value that was found; a cached value must not end up in a log, so these do not.
impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(ErrorKind::Value, message.to_string())
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(ErrorKind::Value, format!("the cached value holds {}, expected {expected}", name(found)))
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        let kind = match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) => ErrorKind::OutOfRange,
            _ => ErrorKind::Value,
        };
        Self::new(kind, format!("the cached value holds {} that does not fit, expected {expected}", name(found)))
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            ErrorKind::Value,
            format!("the cached value names an unknown variant, expected one of: {}", expected.join(", ")),
        )
    }

    fn unknown_field(_field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            ErrorKind::Value,
            format!("the cached value has an unknown field, expected only: {}", expected.join(", ")),
        )
    }
}

/// What was found, by the name that Python has for it.
fn name(found: Unexpected) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a bool",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an int",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "a str",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "None",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a dict",
        // Serde reports integers of 128 bits in this form, with the number in it.
        Unexpected::Other(other) if other.starts_with("integer") => "an int",
        _ => "something else",
    }
}
