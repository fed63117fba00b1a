//! What `LocMemCache` keeps of a value.
//!
//! Exact `str`, `bytes`, `int`, `float`, `bool` and `None` cannot be changed, so they are kept as they are; everything else is
//! pickled. What is small is kept as bytes, from which a hit makes a new object: that takes as long as looking for an object that
//! lies elsewhere, and saves what CPython adds to each object, 49 bytes to a `str`. What is large is not copied, but kept as an object.

use crate::pickle;
use pinyon::memory::Weigh;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

/// Contents of at most so many bytes are small.
const SMALL: usize = 400;

/// A value in memory: two words, so that an entry has 64 bytes.
#[derive(Debug)]
pub(crate) enum LocalValue {
    /// A [`Kind`], then the content.
    Small(Box<[u8]>),
    Object(Box<Object>),
}

const _: () = assert!(size_of::<LocalValue>() == 16);

/// A value that is kept as a Python object.
#[derive(Debug)]
pub(crate) struct Object {
    python: Py<PyAny>,
    pickled: bool,
    weight: u32,
}

/// A value that has been taken out of the store: unpickling may run anybody's code, and is not done under a lock.
pub(crate) enum Taken<'py> {
    Object(Bound<'py, PyAny>),
    Pickle(Bound<'py, PyBytes>),
}

/// What the bytes of a small value are: its first byte.
mod kind {
    /// UTF-8.
    pub(super) const TEXT: u8 = 0;
    pub(super) const BYTES: u8 = 1;
    pub(super) const PICKLE: u8 = 2;
    /// Eight bytes.
    pub(super) const INTEGER: u8 = 3;
    /// Eight bytes.
    pub(super) const FLOAT: u8 = 4;
    pub(super) const FALSE: u8 = 5;
    pub(super) const TRUE: u8 = 6;
    pub(super) const NONE: u8 = 7;
}

impl LocalValue {
    /// Encodes as Django's pickling does: an error is the caller's.
    pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            let characters = text.len()?;
            // A lone surrogate has no UTF-8.
            let utf8 = if characters <= SMALL { text.to_str().ok() } else { None };
            return Ok(match utf8 {
                Some(utf8) if utf8.len() <= SMALL => Self::small(kind::TEXT, utf8.as_bytes()),
                // Up to four bytes a character.
                _ => Self::object(value, 64 + if is_ascii(text) { characters } else { 4 * characters }),
            });
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            let bytes = bytes.as_bytes();
            if bytes.len() <= SMALL {
                return Ok(Self::small(kind::BYTES, bytes));
            }
            return Ok(Self::object(value, 48 + bytes.len()));
        }
        if value.is_none() {
            return Ok(Self::small(kind::NONE, &[]));
        }
        if let Ok(flag) = value.cast_exact::<PyBool>() {
            return Ok(Self::small(if flag.is_true() { kind::TRUE } else { kind::FALSE }, &[]));
        }
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            return Ok(Self::small(kind::FLOAT, &float.value().to_ne_bytes()));
        }
        if value.is_exact_instance_of::<PyInt>() {
            return Ok(match value.extract::<i64>() {
                Ok(integer) => Self::integer(integer),
                Err(_) => Self::object(value, 32 + value.call_method0("bit_length")?.extract::<usize>()? / 7),
            });
        }
        let pickle = pickle::dumps(value, -1)?;
        let bytes = pickle.as_bytes();
        if bytes.len() <= SMALL {
            return Ok(Self::small(kind::PICKLE, bytes));
        }
        let weight = u32::try_from(48 + bytes.len()).unwrap_or(u32::MAX);
        Ok(Self::Object(Box::new(Object { python: pickle.into_any().unbind(), pickled: true, weight })))
    }

    pub(crate) fn integer(integer: i64) -> Self {
        Self::small(kind::INTEGER, &integer.to_ne_bytes())
    }

    /// The value, if it is an integer of 64 bits.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Small(bytes) if bytes[0] == kind::INTEGER => Some(i64::from_ne_bytes(eight(bytes))),
            _ => None,
        }
    }

    /// The value as an object of its own, or its pickle.
    pub(crate) fn take<'py>(&self, py: Python<'py>) -> PyResult<Taken<'py>> {
        let bytes = match self {
            Self::Object(kept) => {
                let object = kept.python.bind(py).clone();
                return Ok(match object.cast_into::<PyBytes>() {
                    Ok(pickle) if kept.pickled => Taken::Pickle(pickle),
                    Ok(bytes) => Taken::Object(bytes.into_any()),
                    Err(error) => Taken::Object(error.into_inner()),
                });
            }
            Self::Small(bytes) => bytes,
        };
        let content = &bytes[1..];
        Ok(Taken::Object(match bytes[0] {
            kind::TEXT => PyString::from_bytes(py, content)?.into_any(),
            kind::BYTES => PyBytes::new(py, content).into_any(),
            kind::INTEGER => PyInt::new(py, i64::from_ne_bytes(eight(bytes))).into_any(),
            kind::FLOAT => PyFloat::new(py, f64::from_ne_bytes(eight(bytes))).into_any(),
            kind::FALSE => PyBool::new(py, false).to_owned().into_any(),
            kind::TRUE => PyBool::new(py, true).to_owned().into_any(),
            kind::NONE => py.None().into_bound(py),
            _ => return Ok(Taken::Pickle(PyBytes::new(py, content))),
        }))
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Small(bytes) => Self::Small(bytes.clone()),
            Self::Object(kept) => {
                let Object { pickled, weight, .. } = **kept;
                Self::Object(Box::new(Object { python: kept.python.clone_ref(py), pickled, weight }))
            }
        }
    }

    /// Whether both are one object, or the same small value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Small(one), Self::Small(other)) => one == other,
            (Self::Object(one), Self::Object(other)) => one.python.is(&other.python),
            _ => false,
        }
    }

    fn small(kind: u8, content: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + content.len());
        bytes.push(kind);
        bytes.extend_from_slice(content);
        Self::Small(bytes.into_boxed_slice())
    }

    /// `bytes` is what the object takes: the fixed parts of CPython's objects, rounded to what its allocator gives.
    fn object(value: &Bound<'_, PyAny>, bytes: usize) -> Self {
        let weight = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self::Object(Box::new(Object { python: value.clone().unbind(), pickled: false, weight }))
    }
}

impl<'py> Taken<'py> {
    /// The pickle as it stands in Django's `_cache`; for what is not pickled here, made now.
    pub(crate) fn pickle(self) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Pickle(pickle) => Ok(pickle),
            Self::Object(object) => pickle::dumps(&object, -1),
        }
    }
}

impl Weigh for LocalValue {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Small(bytes) => bytes.len(),
                Self::Object(kept) => size_of::<Object>() + kept.weight as usize,
            }
    }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes[1..].first_chunk().copied().unwrap_or_default()
}

/// Asked in Python: UTF-8 that Rust asks for would be kept beside the text for as long as that lives.
fn is_ascii(text: &Bound<'_, PyString>) -> bool {
    text.call_method0("isascii").is_ok_and(|ascii| ascii.is_truthy().unwrap_or(false))
}
