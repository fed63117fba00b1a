//! Python values as the bytes that a server keeps, and back.
//!
//! The forms are the incumbents': Django's `RedisSerializer`, django-redis's serializers and compressors, and pymemcache's
//! `pickle_serde` (with pylibmc's flags read).

use crate::backend::type_name;
use crate::pickle::{self, Pickle};
use pinyon::settings::{CompressorKind, SerializerKind};
use pinyon::value::codec::flag;
use pinyon::value::{compressor, detect};
use pinyon::{Item, Result};
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyInt, PyString};
use std::borrow::Cow;
use std::ops::Range;

/// Values of more bytes than this are compressed and decompressed without holding up other Python threads.
const LARGE: usize = 16 * 1024;

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
    /// The first writes, all are tried in this order to read. Never empty.
    pub serializers: Vec<Serializer>,
    /// The first compresses what was serialized, all are tried in this order to decompress. Only with [`Layout::Digits`].
    pub compressors: Vec<Compressor>,
    /// Memcached's flags for what is serialized: those of the pickle, or Pinyon's own for JSON and MessagePack.
    pub serialized_flags: u32,
    /// Whether [`Layout::Digits`] means what it says, and not that the serializer has the integers too.
    pub integers_as_digits: bool,
}

/// What turns values into bytes and back.
#[derive(Debug)]
pub(crate) struct Serializer {
    /// None for a class of the site: what it writes is not known.
    pub kind: Option<SerializerKind>,
    /// An object with `dumps` and `loads`; none for pickle itself.
    pub object: Option<Py<PyAny>>,
}

/// What makes the bytes fewer.
#[derive(Debug)]
pub(crate) enum Compressor {
    BuiltIn(CompressorKind),
    /// An object of the site with `compress` and `decompress`.
    Python(Py<PyAny>),
}

/// An encoded value, which borrows from Python where it can.
pub(crate) struct Encoded<'py> {
    content: Content<'py>,
    flags: u32,
}

enum Content<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
    Made(Vec<u8>),
}

impl Content<'_> {
    fn as_bytes(&self) -> PyResult<&[u8]> {
        Ok(match self {
            Content::Bytes(bytes) => bytes.as_bytes(),
            Content::Text(text) => text.to_str()?.as_bytes(),
            Content::Made(bytes) => bytes,
        })
    }
}

impl Encoded<'_> {
    pub(crate) fn item(&self) -> PyResult<Item<'_>> {
        Ok(Item { bytes: self.content.as_bytes()?, flags: self.flags })
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
    Made(Vec<u8>),
}

impl Encoded<'_> {
    pub(crate) fn into_owned(self) -> PyResult<OwnedItem> {
        Ok(OwnedItem { content: OwnedContent::of(self.content)?, flags: self.flags })
    }
}

impl OwnedContent {
    fn of(content: Content<'_>) -> PyResult<Self> {
        Ok(match content {
            Content::Bytes(bytes) => Self::Bytes(bytes.into()),
            Content::Text(text) => Self::Text(text.try_into()?),
            Content::Made(bytes) => Self::Made(bytes),
        })
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

impl OwnedItem {
    pub(crate) fn item(&self) -> Item<'_> {
        Item { bytes: self.content.as_bytes(), flags: self.flags }
    }
}

/// Encoded values, of which those that are pickled here lie one behind the other: of a hundred buffers that are all in use at a
/// time, the allocator would make most anew with each call.
pub(crate) struct EncodedMany<'py> {
    made: Vec<u8>,
    places: Vec<(Place<Content<'py>>, u32)>,
}

/// The same, to be kept while others use the interpreter.
pub(crate) struct OwnedMany {
    made: Vec<u8>,
    places: Vec<(Place<OwnedContent>, u32)>,
}

enum Place<C> {
    /// In the common buffer.
    Made(Range<usize>),
    Elsewhere(C),
}

impl<'py> EncodedMany<'py> {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { made: Vec::new(), places: Vec::with_capacity(count) }
    }

    /// # Errors
    /// Those of [`Codec::encode`].
    pub(crate) fn push(&mut self, codec: &Codec, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let start = self.made.len();
        if codec.only_pickles(value) && pickle::append_plain(value, codec.pickle_protocol, &mut self.made) {
            let flags = if codec.layout == Layout::Flags { codec.serialized_flags } else { 0 };
            self.places.push((Place::Made(start..self.made.len()), flags));
        } else {
            let encoded = codec.encode(value)?;
            self.places.push((Place::Elsewhere(encoded.content), encoded.flags));
        }
        Ok(())
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = PyResult<Item<'_>>> {
        self.places.iter().map(|(place, flags)| {
            let bytes = match place {
                Place::Made(range) => self.made.get(range.clone()).unwrap_or_default(),
                Place::Elsewhere(content) => content.as_bytes()?,
            };
            Ok(Item { bytes, flags: *flags })
        })
    }

    pub(crate) fn into_owned(self) -> PyResult<OwnedMany> {
        let owned = |(place, flags)| {
            Ok(match place {
                Place::Made(range) => (Place::Made(range), flags),
                Place::Elsewhere(content) => (Place::Elsewhere(OwnedContent::of(content)?), flags),
            })
        };
        Ok(OwnedMany { made: self.made, places: self.places.into_iter().map(owned).collect::<PyResult<_>>()? })
    }
}

impl OwnedMany {
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.places.iter().map(|(place, flags)| {
            let bytes = match place {
                Place::Made(range) => self.made.get(range.clone()).unwrap_or_default(),
                Place::Elsewhere(content) => content.as_bytes(),
            };
            Item { bytes, flags: *flags }
        })
    }
}

impl Codec {
    /// True if the value is pickled and nothing else is done with it.
    fn only_pickles(&self, value: &Bound<'_, PyAny>) -> bool {
        let pickles = self.serializers.first().is_some_and(|serializer| serializer.object.is_none());
        let has_own_form = match self.layout {
            Layout::Digits => {
                !matches!(self.compressors.first(), None | Some(Compressor::BuiltIn(CompressorKind::Identity)))
                    || self.integers_as_digits && value.is_exact_instance_of::<PyInt>()
            }
            Layout::Flags => {
                value.is_exact_instance_of::<PyString>()
                    || value.is_exact_instance_of::<PyInt>()
                    || value.is_exact_instance_of::<PyBytes>()
            }
            Layout::Serialized => false,
        };
        pickles && !has_own_form
    }

    /// # Errors
    /// Whatever the serializer raises: a value that cannot be pickled is the caller's to know.
    pub(crate) fn encode<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Encoded<'py>> {
        let (content, flags) = match self.layout {
            Layout::Digits if self.integers_as_digits && value.is_exact_instance_of::<PyInt>() => (digits(value)?, 0),
            Layout::Digits => (self.compress(self.serialize(value)?, value.py())?, 0),
            Layout::Serialized => (self.serialize(value)?, 0),
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

    /// A member of a set or a list, a field's value, or, without `raw_integers`, a member of a sorted set, by django-redis's rule:
    /// what is an integer is digits, but for bools and enumerations.
    pub(crate) fn encode_member<'py>(&self, value: &Bound<'py, PyAny>, raw_integers: bool) -> PyResult<Encoded<'py>> {
        let content = if raw_integers && self.integers_as_digits && is_integer(value)? {
            digits(&value.py().get_type::<PyInt>().call1((value,))?)?
        } else {
            self.compress(self.serialize(value)?, value.py())?
        };
        Ok(Encoded { content, flags: 0 })
    }

    /// What [`Codec::encode_member`] made. Without `raw_integers`, digits are an integer only if the serializer cannot read them.
    pub(crate) fn decode_member<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
        raw_integers: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if raw_integers {
            return self.decode(py, Item { bytes, flags: 0 });
        }
        let read = self.deserialize(py, &self.decompress(py, bytes)?);
        match read {
            Err(error) => as_integer(py, bytes)?.ok_or(error),
            read => read,
        }
    }

    fn serialize<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Content<'py>> {
        let py = value.py();
        let made = match self.serializers.first().and_then(|serializer| serializer.object.as_ref()) {
            None => {
                return Ok(match pickle::pickle(value, self.pickle_protocol)? {
                    Pickle::Plain(bytes) => Content::Made(bytes),
                    Pickle::Python(bytes) => Content::Bytes(bytes),
                });
            }
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
                if self.integers_as_digits
                    && let Some(number) = as_integer(py, item.bytes)?
                {
                    return Ok(number);
                }
                self.deserialize(py, &self.decompress(py, item.bytes)?)
            }
            Layout::Flags => self.decode_flags(py, item),
            Layout::Serialized => self.deserialize(py, item.bytes),
        }
    }

    fn decode_flags<'py>(&self, py: Python<'py>, item: Item<'_>) -> PyResult<Bound<'py, PyAny>> {
        if item.flags & flag::ZLIB != 0 {
            let inflated = detached(py, item.bytes, |bytes| compressor::decompress(CompressorKind::Zlib, bytes))?;
            let inflated = inflated.ok_or_else(|| PyValueError::new_err("no zlib data, or truncated"))?;
            return self.decode_flags(py, Item { bytes: &inflated, flags: item.flags & !flag::ZLIB });
        }
        // pymemcache's order.
        if item.flags == 0 {
            Ok(PyBytes::new(py, item.bytes).into_any())
        } else if item.flags & flag::TEXT != 0 {
            Ok(PyString::from_bytes(py, item.bytes)?.into_any())
        } else if item.flags & (flag::INTEGER | flag::LONG) != 0 {
            as_integer(py, item.bytes)?.ok_or_else(|| PyValueError::new_err("an integer that is not one"))
        } else if item.flags == self.serialized_flags {
            self.deserialize(py, item.bytes)
        } else if item.flags & flag::PICKLE != 0 {
            pickle::loads(py, item.bytes)
        } else {
            Ok(PyBytes::new(py, item.bytes).into_any())
        }
    }

    /// The value, by the first serializer that reads it.
    fn deserialize<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if let [serializer] = self.serializers.as_slice() {
            return serializer.loads(py, bytes);
        }
        let mut failure = None;
        for serializer in &self.serializers {
            if serializer.kind.is_some_and(|kind| !detect::may_be(kind, bytes)) {
                continue;
            }
            match serializer.loads(py, bytes) {
                Err(error) if error.is_instance_of::<PyException>(py) => failure = failure.or(Some(error)),
                read => return read,
            }
        }
        Err(failure.unwrap_or_else(|| PyValueError::new_err("none of the serializers in the list writes such bytes")))
    }

    fn compress<'py>(&self, content: Content<'py>, py: Python<'py>) -> PyResult<Content<'py>> {
        match self.compressors.first() {
            None | Some(Compressor::BuiltIn(CompressorKind::Identity)) => Ok(content),
            Some(Compressor::BuiltIn(kind)) => {
                let compressed = detached(py, content.as_bytes()?, |bytes| compressor::compress(*kind, bytes))?;
                Ok(compressed.map_or(content, Content::Made))
            }
            Some(Compressor::Python(object)) => {
                let bytes = PyBytes::new(py, content.as_bytes()?);
                let compressed = object.bind(py).call_method1(intern!(py, "compress"), (bytes,))?;
                Ok(Content::Made(bytes_of(&compressed, "the compressor's compress()")?))
            }
        }
    }

    /// The bytes, decompressed by the first compressor that can, or else as they are.
    fn decompress<'b>(&self, py: Python<'_>, bytes: &'b [u8]) -> PyResult<Cow<'b, [u8]>> {
        for compressor in &self.compressors {
            let decompressed = match compressor {
                Compressor::BuiltIn(kind) => detached(py, bytes, |bytes| compressor::decompress(*kind, bytes))?,
                Compressor::Python(object) => {
                    let argument = PyBytes::new(py, bytes);
                    match object.bind(py).call_method1(intern!(py, "decompress"), (argument,)) {
                        Ok(made) => Some(bytes_of(&made, "the compressor's decompress()")?),
                        // As django-redis: what it cannot decompress was not compressed.
                        Err(error) if error.is_instance_of::<PyException>(py) => None,
                        Err(error) => return Err(error),
                    }
                }
            };
            if let Some(decompressed) = decompressed {
                return Ok(Cow::Owned(decompressed));
            }
        }
        Ok(Cow::Borrowed(bytes))
    }
}

impl Serializer {
    fn loads<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match &self.object {
            None => pickle::loads(py, bytes),
            Some(object) => object.bind(py).call_method1(intern!(py, "loads"), (PyBytes::new(py, bytes),)),
        }
    }
}

/// The result of a method that must return bytes.
fn bytes_of(made: &Bound<'_, PyAny>, method: &str) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = made.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    made.extract().map_err(|_| PyTypeError::new_err(format!("{method} must return bytes, not {}", type_name(made))))
}

/// Does `work`, which uses no Python, on `bytes`; other threads run meanwhile if it may take long.
fn detached<R: Send>(py: Python<'_>, bytes: &[u8], work: impl FnOnce(&[u8]) -> Result<R> + Send) -> PyResult<R> {
    let done = if bytes.len() > LARGE { py.detach(|| work(bytes)) } else { work(bytes) };
    done.map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Whether django-redis would store it as digits.
fn is_integer(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Ok(false);
    }
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(true);
    }
    let enumeration = value.py().import("enum")?.getattr("Enum")?;
    Ok(!value.is_instance(&enumeration)?)
}

fn digits<'py>(number: &Bound<'py, PyAny>) -> PyResult<Content<'py>> {
    if let Ok(small) = number.extract::<i64>() {
        return Ok(Content::Made(itoa::Buffer::new().format(small).into()));
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
