//! Keys as the server sees them.

use crate::backend::{Backend, type_name};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use std::ops::Range;

/// A key of at most so many bytes needs no memory of its own.
const SHORT: usize = 64;

/// UTF-8, or what Python calls `surrogatepass` for the keys that have none.
#[derive(Debug)]
pub(crate) struct MadeKey {
    length: usize,
    short: [u8; SHORT],
    /// All of a key that is not short.
    long: Vec<u8>,
}

/// What keys are written into.
pub(crate) trait KeyBuffer {
    fn length(&self) -> usize;

    fn append(&mut self, part: &[u8]);

    /// What was appended since it had this length.
    fn since(&self, start: usize) -> &[u8];
}

impl KeyBuffer for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn append(&mut self, part: &[u8]) {
        self.extend_from_slice(part);
    }

    fn since(&self, start: usize) -> &[u8] {
        self.get(start..).unwrap_or_default()
    }
}

impl KeyBuffer for MadeKey {
    fn length(&self) -> usize {
        self.length
    }

    #[inline]
    fn append(&mut self, part: &[u8]) {
        let before = self.length;
        self.length += part.len();
        if let Some(room) = self.short.get_mut(before..self.length) {
            room.copy_from_slice(part);
            return;
        }
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.short[..before]);
        }
        self.long.extend_from_slice(part);
    }

    fn since(&self, start: usize) -> &[u8] {
        self.bytes().get(start..).unwrap_or_default()
    }
}

impl MadeKey {
    pub(crate) const fn new() -> Self {
        Self { length: 0, short: [0; SHORT], long: Vec::new() }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut key = Self::new();
        key.append(bytes);
        key
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.short.get(..self.length).unwrap_or(&self.long)
    }

    /// As text; a lone surrogate cannot leave the process.
    pub(crate) fn text(&self) -> PyResult<&str> {
        text(self.bytes())
    }

    /// As text, after [`MadeKey::text`] has said that it is some.
    pub(crate) fn checked(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// As Python has it.
    pub(crate) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        to_python(py, self.bytes())
    }

    /// Of a `str`.
    pub(crate) fn of(text: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = text
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err(format!("a cache key must be a str, not {}", type_name(text))))?;
        if let Ok(text) = text.to_str() {
            return Ok(Self::from_bytes(text.as_bytes()));
        }
        let bytes = text.call_method1(intern!(text.py(), "encode"), ("utf-8", "surrogatepass"))?;
        Ok(Self::from_bytes(bytes.extract()?))
    }
}

impl AsRef<[u8]> for MadeKey {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// The bytes of a key as Python has it.
pub(crate) fn to_python<'py>(py: Python<'py>, made: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if let Ok(text) = std::str::from_utf8(made) {
        return Ok(PyString::new(py, text));
    }
    PyString::from_encoded_object(&PyBytes::new(py, made), Some(c"utf-8"), Some(c"surrogatepass"))
}

fn text(bytes: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(bytes).map_err(|_| {
        PyValueError::new_err("a cache key with a lone surrogate has no UTF-8 form and cannot be sent to a server")
    })
}

/// Several keys, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct MadeKeys {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl MadeKeys {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::with_capacity(count) }
    }

    /// The keys that the caller uses, and the made ones.
    pub(crate) fn make<'py>(
        backend: &Bound<'py, Backend>,
        keys: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Vec<Bound<'py, PyAny>>, Self)> {
        let count = keys.cast::<PyList>().map_or(0, PyListMethods::len);
        let (mut names, mut made) = (Vec::with_capacity(count), Self::with_capacity(count));
        for key in keys.try_iter()? {
            let key = key?;
            made.push(backend, &key, version)?;
            names.push(key);
        }
        Ok((names, made))
    }

    /// Makes one more.
    pub(crate) fn push(
        &mut self,
        backend: &Bound<'_, Backend>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Backend::write_key(backend, key, version, &mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }

    /// Each as its bytes.
    pub(crate) fn all(&self) -> Vec<&[u8]> {
        self.ranges().map(|range| &self.bytes[range]).collect()
    }

    /// Each as text; a lone surrogate cannot leave the process.
    pub(crate) fn texts(&self) -> PyResult<Vec<&str>> {
        // Of bytes that are no text by themselves, no text comes when others stand beside them.
        let all = text(&self.bytes)?;
        Ok(self.ranges().map(|range| &all[range]).collect())
    }

    /// Each as text, after [`MadeKeys::texts`] has said that they are some.
    pub(crate) fn checked(&self) -> Vec<&str> {
        self.texts().unwrap_or_default()
    }

    /// The bytes of the one with this index.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}
