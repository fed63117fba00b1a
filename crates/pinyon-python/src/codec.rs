//! Python values as the bytes that a server keeps, and back.
//!
//! The forms are the incumbents': Django's `RedisSerializer` and pymemcache's `pickle_serde` (with pylibmc's flags read).

use crate::backend::type_name;
use crate::hooks::hooks;
use pinyon::Item;
use pinyon::value::codec::flag;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyInt, PyString};

/// The largest value that a compressed one may become: 512 MiB.
const MAX_DECOMPRESSED: usize = 512 * 1024 * 1024;

/// How values are laid out in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Redis: exact integers as digits, everything else pickled; told apart by looking.
    Digits,
    /// Memcached: str, bytes and int as they are, everything else pickled; told apart by flags.
    Flags,
    /// Files and database rows: everything is pickled, integers too.
    Serialized,
}

/// Encodes and decodes the values of one cache.
#[derive(Debug)]
pub(crate) struct Codec {
    pub layout: Layout,
    /// The pickle protocol; -1 is the highest.
    pub pickle_protocol: i32,
    /// An object with `dumps` and `loads` in place of pickle.
    pub serializer: Option<Py<PyAny>>,
    /// Memcached's flags for what is serialized: those of the pickle, or Pinyon's own for JSON and MessagePack.
    pub serialized_flags: u32,
    /// Whether integers are digits beside that serializer too.
    pub serializer_keeps_integers: bool,
}

/// An encoded value, which borrows from Python where it can.
pub(crate) struct Encoded<'py> {
    content: Content<'py>,
    flags: u32,
}

enum Content<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
    Digits(String),
}

impl Encoded<'_> {
    pub(crate) fn item(&self) -> PyResult<Item<'_>> {
        let bytes = match &self.content {
            Content::Bytes(bytes) => bytes.as_bytes(),
            Content::Text(text) => text.to_str()?.as_bytes(),
            Content::Digits(digits) => digits.as_bytes(),
        };
        Ok(Item { bytes, flags: self.flags })
    }
}

/// An encoded value that can be kept while others use the interpreter.
pub(crate) struct OwnedItem {
    content: OwnedContent,
    flags: u32,
}

enum OwnedContent {
    Bytes(PyBackedBytes),
    Text(PyBackedStr),
    Digits(String),
}

impl Encoded<'_> {
    pub(crate) fn into_owned(self) -> PyResult<OwnedItem> {
        let content = match self.content {
            Content::Bytes(bytes) => OwnedContent::Bytes(bytes.into()),
            Content::Text(text) => OwnedContent::Text(text.try_into()?),
            Content::Digits(digits) => OwnedContent::Digits(digits),
        };
        Ok(OwnedItem { content, flags: self.flags })
    }
}

impl OwnedItem {
    pub(crate) fn item(&self) -> Item<'_> {
        let bytes = match &self.content {
            OwnedContent::Bytes(bytes) => &**bytes,
            OwnedContent::Text(text) => text.as_bytes(),
            OwnedContent::Digits(digits) => digits.as_bytes(),
        };
        Item { bytes, flags: self.flags }
    }
}

impl Codec {
    /// # Errors
    /// Whatever the serializer raises: a value that cannot be pickled is the caller's to know.
    pub(crate) fn encode<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Encoded<'py>> {
        let keeps_integers = self.serializer.is_none() || self.serializer_keeps_integers;
        let (content, flags) = match self.layout {
            Layout::Digits if keeps_integers && value.is_exact_instance_of::<PyInt>() => (digits(value)?, 0),
            Layout::Digits | Layout::Serialized => (self.serialize(value)?, 0),
            Layout::Flags => match value.cast_exact::<PyString>() {
                Ok(text) => (Content::Text(text.clone()), flag::TEXT),
                Err(_) if value.is_exact_instance_of::<PyInt>() => (digits(value)?, flag::INTEGER),
                Err(_) => match value.cast_exact::<PyBytes>() {
                    Ok(bytes) => (Content::Bytes(bytes.clone()), 0),
                    Err(_) => (self.serialize(value)?, self.serialized_flags),
                },
            },
        };
        Ok(Encoded { content, flags })
    }

    fn serialize<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Content<'py>> {
        let py = value.py();
        let made = match &self.serializer {
            None => hooks(py)?.dumps.bind(py).call1((value, self.pickle_protocol))?,
            Some(serializer) => serializer.bind(py).call_method1(intern!(py, "dumps"), (value,))?,
        };
        if let Ok(bytes) = made.cast::<PyBytes>() {
            return Ok(Content::Bytes(bytes.clone()));
        }
        // json.dumps gives text, and redis-py takes it.
        match made.cast::<PyString>() {
            Ok(text) => Ok(Content::Text(text.clone())),
            Err(_) => match made.extract::<Vec<u8>>() {
                Ok(bytes) => Ok(Content::Bytes(PyBytes::new(py, &bytes))),
                Err(_) => Err(PyTypeError::new_err(format!(
                    "the serializer's dumps() must return bytes or str, not {}",
                    type_name(&made)
                ))),
            },
        }
    }

    /// # Errors
    /// The bytes cannot be read: truncated, overwritten, or of a class that does not exist any more.
    pub(crate) fn decode<'py>(&self, py: Python<'py>, item: Item<'_>) -> PyResult<Bound<'py, PyAny>> {
        match self.layout {
            Layout::Digits => {
                if (self.serializer.is_none() || self.serializer_keeps_integers)
                    && let Some(number) = as_integer(py, item.bytes)?
                {
                    return Ok(number);
                }
                self.deserialize(py, item.bytes)
            }
            Layout::Flags => self.decode_flags(py, item),
            Layout::Serialized => self.deserialize(py, item.bytes),
        }
    }

    fn decode_flags<'py>(&self, py: Python<'py>, item: Item<'_>) -> PyResult<Bound<'py, PyAny>> {
        if item.flags & flag::ZLIB != 0 {
            let inflated = inflate(py, item.bytes)?;
            return self.decode_flags(py, Item { bytes: inflated.as_bytes(), flags: item.flags & !flag::ZLIB });
        }
        // pymemcache's order.
        if item.flags == 0 {
            Ok(PyBytes::new(py, item.bytes).into_any())
        } else if item.flags & flag::TEXT != 0 {
            Ok(PyString::from_encoded_object(&PyBytes::new(py, item.bytes), Some(c"utf-8"), None)?.into_any())
        } else if item.flags & (flag::INTEGER | flag::LONG) != 0 {
            as_integer(py, item.bytes)?.ok_or_else(|| PyValueError::new_err("an integer that is not one"))
        } else if item.flags == self.serialized_flags {
            self.deserialize(py, item.bytes)
        } else if item.flags & flag::PICKLE != 0 {
            hooks(py)?.loads.bind(py).call1((PyBytes::new(py, item.bytes),))
        } else {
            Ok(PyBytes::new(py, item.bytes).into_any())
        }
    }

    fn deserialize<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let bytes = PyBytes::new(py, bytes);
        match &self.serializer {
            None => hooks(py)?.loads.bind(py).call1((bytes,)),
            Some(serializer) => serializer.bind(py).call_method1(intern!(py, "loads"), (bytes,)),
        }
    }
}

fn digits<'py>(number: &Bound<'py, PyAny>) -> PyResult<Content<'py>> {
    if let Ok(small) = number.extract::<i64>() {
        return Ok(Content::Digits(itoa::Buffer::new().format(small).to_owned()));
    }
    // Beyond 64 bits; `str()` would refuse more than 4300 digits, and so would the `int()` that reads them.
    Ok(Content::Text(number.str()?))
}

/// `int(bytes)` where it does not raise: surrounding white space, a sign and underscores are allowed.
pub(crate) fn as_integer<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    // What starts neither with a digit, a sign nor white space is no integer, and a pickle starts with 0x80.
    match bytes.first() {
        Some(first) if first.is_ascii_digit() || matches!(first, b'+' | b'-') || first.is_ascii_whitespace() => {}
        Some(0x0b) => {}
        _ => return Ok(None),
    }
    if let Some(small) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok()) {
        return Ok(Some(small.into_pyobject(py)?.into_any()));
    }
    match py.get_type::<PyInt>().call1((PyBytes::new(py, bytes),)) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyValueError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

fn inflate<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let decompressor = hooks(py)?.decompressobj.bind(py).call0()?;
    let inflated = decompressor.call_method1(intern!(py, "decompress"), (PyBytes::new(py, bytes), MAX_DECOMPRESSED))?;
    if !decompressor.getattr(intern!(py, "eof"))?.extract::<bool>()? {
        return Err(PyValueError::new_err("compressed data that is truncated, or too large"));
    }
    Ok(inflated.cast_into()?)
}
