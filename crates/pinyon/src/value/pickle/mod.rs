//! Python's pickle, for serde types.
//!
//! [`to_vec`] writes protocol 5, byte for byte as CPython's own pickler writes the equal Python value; [`from_slice`]
//! reads protocols 0 to 5 into any serde type; [`PythonValue`] is a pickle as a tree, for programs that show or
//! inspect values. Nothing is ever imported, called or executed: an object of a Python class is only described.
//!
//! | Rust (serde) | Python, written | Python, read |
//! |---|---|---|
//! | `bool`, integers up to 128 bits, floats | `bool`, `int`, `float` | the same; an `int` where a float is wanted |
//! | `&str`, `String`, `char` | `str` | `str`, `SafeString`, UTF-8 `bytes` |
//! | `serde_bytes` | `bytes` | `bytes`, `bytearray`, `str` |
//! | `Vec`, sequences | `list` | `list`, `tuple`, `set`, `frozenset`, `deque`; a `Vec<u8>` also `bytes` |
//! | tuples, arrays | `tuple` | the same |
//! | maps, structs | `dict` | `dict`, `OrderedDict`, `defaultdict`, `Counter` |
//! | `None`, `()` | `None` | `None` |
//! | a unit variant | `str`, its name | `str` |
//! | any other variant | `{name: content}` | the same |
//!
//! Source of the format: CPython's `Lib/pickletools.py`, `Lib/pickle.py` and `Modules/_pickle.c`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod construct;
mod deserialize;
mod display;
mod graph;
mod known;
mod literal;
mod machine;
mod opcode;
mod serialize;
#[cfg(test)]
mod tests;
mod value;
mod writer;

use crate::error::{Error, ErrorKind, Result};
use crate::store::Integer;
use serde::{Deserialize, Serialize};

pub(in crate::value) use deserialize::{Scalar, from_scalar};
pub(in crate::value) use display::write_printable;
pub(in crate::value) use graph::MAX_DEPTH;
pub(in crate::value) use literal::MAX_DIGITS;
pub use value::{PythonObject, PythonValue};

/// Reads a pickle of any protocol as `T`. Bytes after its end are ignored, as `pickle.loads` does.
///
/// # Errors
/// * [`ErrorKind::BadValue`]: the bytes are no pickle, or not a whole one.
/// * [`ErrorKind::Value`]: the value is not a `T`. If that is because it is, or holds, a Python object without a Rust
///   form, [`python_class`] names its class.
/// * [`ErrorKind::OutOfRange`]: an integer does not fit.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    let walk = machine::read(bytes)?;
    T::deserialize(deserialize::Reader::new(&walk))
}

/// Writes `value` as a pickle of protocol 5.
///
/// The bytes are those of CPython's `pickle.dumps(value, 5)` for the equal Python value in which no two places share one
/// object, except those that CPython always shares: the empty and the one-character Latin-1 str, the empty and the
/// one-byte bytes, and the names of fields and variants, as Python's compiler shares them. A sequence or map that does
/// not tell its length in advance and has exactly one element is written in an equivalent longer form.
///
/// # Errors
/// [`ErrorKind::Value`] if `value` cannot be serialized or is nested deeper than 200 levels.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut pickler = serialize::Pickler::default();
    value.serialize(&mut pickler)?;
    Ok(pickler.finish())
}

/// Writes an integer of any size, as [`to_vec`] writes one.
pub(in crate::value) fn integer_to_vec(number: &Integer) -> Vec<u8> {
    let mut pickler = serialize::Pickler::default();
    pickler.integer(number);
    pickler.finish()
}

/// Reads a pickle of any protocol as a tree.
///
/// # Errors
/// [`ErrorKind::BadValue`] if the bytes are no pickle; [`ErrorKind::Value`] if the value is nested deeper than 200 levels,
/// contains itself, or uses its parts so often that the tree would be far larger than the pickle.
pub fn read(bytes: &[u8]) -> Result<PythonValue> {
    value::from_walk(&machine::read(bytes)?)
}

/// Reads the pickle at the beginning of `bytes` as a tree; also returns how many bytes it has.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_first(bytes: &[u8]) -> Result<(PythonValue, usize)> {
    let (walk, length) = machine::read_first(bytes)?;
    Ok((value::from_walk(&walk)?, length))
}

/// A value as Python would print it. The same as its `Display`.
pub fn display(value: &PythonValue) -> String {
    value.to_string()
}

/// The dotted path of the Python class without a Rust form that made a read fail; none if something else did.
pub fn python_class(error: &Error) -> Option<&str> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<NoRustForm>().map(|class| class.0.as_str())
}

/// Why a value that Python can use is none that Rust can.
#[derive(Debug)]
struct NoRustForm(String);

impl std::fmt::Display for NoRustForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no Rust form for '{}'", self.0)
    }
}

impl std::error::Error for NoRustForm {}

/// The longest class name that an error repeats.
const MAX_CLASS_NAME: usize = 200;

fn no_rust_form(class: &str) -> Error {
    let class: String = class.chars().filter(|character| !character.is_control()).take(MAX_CLASS_NAME).collect();
    Error::new(
        ErrorKind::Value,
        format!("the cached value is a Python object of class '{class}', which has no Rust form"),
    )
    .with_source(NoRustForm(class))
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadValue, message)
}
