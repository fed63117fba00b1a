//! Pickles of plain data, written and read in Rust; everything else is for Python's `pickle`.
//!
//! Most cached values are None, bools, integers, floats, text, bytes, and lists, tuples and dictionaries of them. What is written
//! for these is byte for byte what `pickle.dumps` writes in protocol 4 or 5, shared and recursive references included; what is
//! read is what `pickle.loads` reads. A value with anything else in it, also a subclass of these, is handed to `pickle` as a
//! whole, and so is a pickle with any other instruction, or one that is broken: its errors are Python's own.
//!
//! Source of the format: CPython's `Lib/pickletools.py` and what its `pickle` writes, which `test_pickle.py` compares.

mod keys;
mod reader;
mod writer;

use crate::hooks::hooks;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The highest protocol, which `-1` stands for.
const HIGHEST: u8 = 5;

/// Instructions, by their names in `pickletools`.
mod opcode {
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const FRAME: u8 = 0x95;
    pub(super) const STOP: u8 = b'.';
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const MARK: u8 = b'(';
    pub(super) const NONE: u8 = b'N';
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const SHORT_BINBYTES: u8 = b'C';
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE2: u8 = 0x86;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const TUPLE: u8 = b't';
}

/// `pickle.dumps(value, protocol)` for the backends in Python.
#[pyfunction]
pub(crate) fn pickle_dumps<'py>(value: &Bound<'py, PyAny>, protocol: i32) -> PyResult<Bound<'py, PyBytes>> {
    dumps(value, protocol)
}

/// `pickle.loads(data)` for the backends in Python.
#[pyfunction]
pub(crate) fn pickle_loads<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    loads(py, data)
}

/// A pickle, as what it was made in.
pub(crate) enum Pickle<'py> {
    /// Of plain data.
    Plain(Vec<u8>),
    /// By `pickle`.
    Python(Bound<'py, PyBytes>),
}

/// `pickle.dumps(value, protocol)`.
///
/// # Errors
/// Those of `pickle`.
pub(crate) fn dumps<'py>(value: &Bound<'py, PyAny>, protocol: i32) -> PyResult<Bound<'py, PyBytes>> {
    Ok(match pickle(value, protocol)? {
        Pickle::Plain(bytes) => PyBytes::new(value.py(), &bytes),
        Pickle::Python(bytes) => bytes,
    })
}

/// `pickle.dumps(value, protocol)` without a Python object for what was made in Rust.
///
/// # Errors
/// Those of `pickle`.
pub(crate) fn pickle<'py>(value: &Bound<'py, PyAny>, protocol: i32) -> PyResult<Pickle<'py>> {
    let py = value.py();
    if let Some(bytes) = ours(protocol).and_then(|protocol| writer::write(value, protocol)) {
        return Ok(Pickle::Plain(bytes));
    }
    Ok(Pickle::Python(hooks(py)?.dumps.bind(py).call1((value, protocol))?.cast_into()?))
}

/// Appends `pickle.dumps(value, protocol)` if that is made in Rust; otherwise false, and nothing is appended.
pub(crate) fn append_plain(value: &Bound<'_, PyAny>, protocol: i32, out: &mut Vec<u8>) -> bool {
    ours(protocol).is_some_and(|protocol| writer::append(value, protocol, out))
}

/// The protocol, if it is one that is written here.
fn ours(protocol: i32) -> Option<u8> {
    match protocol {
        -1 => Some(HIGHEST),
        4 | 5 => u8::try_from(protocol).ok(),
        _ => None,
    }
}

/// `pickle.loads(bytes)`.
///
/// # Errors
/// Those of `pickle`.
pub(crate) fn loads<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match reader::read(py, bytes) {
        Some(value) => Ok(value),
        None => hooks(py)?.loads.bind(py).call1((PyBytes::new(py, bytes),)),
    }
}
