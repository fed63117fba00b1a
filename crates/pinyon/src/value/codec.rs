//! From a value to what a server stores, and back.

use super::pickle::{Scalar, from_scalar};
use super::plain::{Plain, classify, integer_digits};
use super::{compressor, detect, integer, json, msgpack, pickle, show};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{CompressorKind, SerializerKind};
use crate::store::Item;
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::fmt;

/// Memcached's client flags, as pymemcache (`serde.py`) and pylibmc (`_pylibmcmodule.h`) use them.
pub mod flag {
    /// Bytes as they are.
    pub const BYTES: u32 = 0;
    /// A pickle.
    pub const PICKLE: u32 = 1;
    /// Decimal digits; pylibmc writes a bool so, as `0` or `1`.
    pub const INTEGER: u32 = 2;
    /// Decimal digits, as pylibmc writes an int.
    pub const LONG: u32 = 4;
    /// zlib; the other flags say what is inside.
    pub const ZLIB: u32 = 8;
    /// UTF-8 text.
    pub const TEXT: u32 = 16;
    /// JSON; Pinyon's own. pymemcache returns the bytes of a value whose flags it does not know.
    pub const JSON: u32 = 32;
    /// MessagePack; Pinyon's own.
    pub const MSGPACK: u32 = 64;
}

/// The most bytes that a value which Memcached keeps compressed may unpack to.
const MAX_UNPACKED: usize = 64 << 20;

/// What is stored beside the serializer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Redis, and memory in Rust: integers are decimal digits, everything else is serialized; no flags.
    Digits,
    /// Memcached: as pymemcache and pylibmc, flags tell what the bytes are. bytes, str and integers are stored as they
    /// are whatever the serializer is; the rest is a pickle ([`flag::PICKLE`]), JSON ([`flag::JSON`]) or MessagePack
    /// ([`flag::MSGPACK`]).
    Flags,
    /// Files and database rows: everything is serialized, integers too; no flags. [`stored_integer`](super::stored_integer)
    /// reads and writes the integers.
    Serialized,
}

/// How the values of one cache are written and read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codec {
    /// What writes everything that is not stored as it is.
    pub serializer: SerializerKind,
    /// How the backend stores values.
    pub layout: Layout,
    /// Serializers that are read beside that one, in the order in which they are tried. Default none.
    pub also_read: Vec<SerializerKind>,
    /// With [`Layout::Digits`], what the serializer writes is compressed by the first of these, and decompressed by the
    /// first that can. Default none.
    pub compressors: Vec<CompressorKind>,
    /// The protocol of pickles: 4 or 5, which differ in their second byte only for what is written here. Default 5.
    pub pickle_protocol: u8,
}

/// A value as a server stores it.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Memcached's client flags; 0 except with [`Layout::Flags`].
    pub flags: u32,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes, flags {})", self.bytes.len(), self.flags)
    }
}

impl Encoded {
    /// A copy of what a store has.
    pub fn of(item: Item<'_>) -> Self {
        Self { bytes: item.bytes.to_vec(), flags: item.flags }
    }

    /// The value, borrowed for a store.
    pub fn item(&self) -> Item<'_> {
        Item { bytes: &self.bytes, flags: self.flags }
    }
}

impl Codec {
    /// One serializer, and nothing is compressed.
    pub fn new(serializer: SerializerKind, layout: Layout) -> Self {
        Self { serializer, layout, also_read: Vec::new(), compressors: Vec::new(), pickle_protocol: 5 }
    }

    /// Encodes `value`.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the serializer cannot write it.
    pub fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Encoded> {
        match self.layout {
            Layout::Digits => {
                let bytes = match integer_digits(value) {
                    Some(digits) => digits.into_bytes(),
                    None => self.encode_serialized(value)?,
                };
                Ok(Encoded { bytes, flags: 0 })
            }
            Layout::Serialized => Ok(Encoded { bytes: self.serialize(value)?, flags: 0 }),
            Layout::Flags => {
                let (bytes, flags) = match classify(value) {
                    Plain::Integer(digits) => (digits.into_bytes(), flag::INTEGER),
                    Plain::Str(text) => (text.into_bytes(), flag::TEXT),
                    Plain::Bytes(bytes) => (bytes, flag::BYTES),
                    Plain::Other => (self.serialize(value)?, self.flag()),
                };
                Ok(Encoded { bytes, flags })
            }
        }
    }

    /// Decodes an item as `T`.
    ///
    /// With [`Layout::Digits`], whatever Python's `int()` reads is an integer, and the rest is for the compressors and
    /// serializers: the first that reads it. A serializer of a list is not asked if it cannot have written the bytes
    /// ([`detect::may_be`]). With
    /// [`Layout::Flags`], the flags say what it is, whatever the serializer; no flags mean bytes, which are read as text
    /// where text is wanted, and by the serializer if it is JSON or MessagePack and neither bytes nor text are wanted. An
    /// integer 0 or 1 is taken as a bool there, since pylibmc writes bools so.
    ///
    /// # Errors
    /// * [`ErrorKind::BadValue`]: bytes that are not what they should be: truncated, foreign, another serializer's.
    /// * [`ErrorKind::Value`]: a sound value that is no `T`; [`pickle::python_class`] tells whether it is a Python object.
    /// * [`ErrorKind::OutOfRange`]: an integer that does not fit `T`.
    pub fn decode<T: DeserializeOwned>(&self, item: Item<'_>) -> Result<T> {
        match self.layout {
            Layout::Digits => match integer::parse(item.bytes) {
                Some(number) => from_scalar(Scalar::Integer(number), false),
                None => self.deserialize(&compressor::unpack(&self.compressors, item.bytes)?),
            },
            Layout::Serialized => self.deserialize(item.bytes),
            Layout::Flags => {
                let bytes = unpack(item)?;
                self.decode_flagged(&bytes, item.flags)
            }
        }
    }

    /// Encodes a member of a Redis sorted set: the serializer has the integers too, as with django-redis.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the serializer cannot write it.
    pub fn encode_serialized<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>> {
        self.compress(self.serialize(value)?)
    }

    /// Decodes what [`Codec::encode_serialized`] made. Digits are an integer only if the serializer cannot read them.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_serialized<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        let read = compressor::unpack(&self.compressors, bytes).and_then(|bytes| self.deserialize(&bytes));
        match (read, integer::parse(bytes)) {
            (Err(error), Some(number)) if error.kind() == ErrorKind::BadValue => {
                from_scalar(Scalar::Integer(number), false)
            }
            (read, _) => read,
        }
    }

    /// An item in readable form, whoever wrote it: a value as Python would print it, text and JSON as they are, anything
    /// else as its length and first bytes. Pickles are never executed. Never fails; nothing in the result can control a
    /// terminal.
    pub fn show(&self, item: Item<'_>) -> String {
        let (bytes, meaning) = match self.layout {
            Layout::Digits => {
                let unpacked = compressor::unpack(&self.compressors, item.bytes);
                (unpacked.unwrap_or(Cow::Borrowed(item.bytes)), Meaning::Unknown)
            }
            Layout::Serialized => (Cow::Borrowed(item.bytes), Meaning::Serialized(self.serializer)),
            Layout::Flags => match unpack(item) {
                Ok(bytes) => (bytes, meaning(item.flags)),
                Err(_) => (Cow::Borrowed(item.bytes), Meaning::Unknown),
            },
        };
        show::show(&bytes, meaning, self.serializer)
    }

    fn decode_flagged<T: DeserializeOwned>(&self, bytes: &[u8], flags: u32) -> Result<T> {
        match meaning(flags) {
            Meaning::Text => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| Error::new(ErrorKind::BadValue, "the cached text is not valid UTF-8"))?;
                from_scalar(Scalar::Str(text), false)
            }
            Meaning::Integer => {
                let number = integer::parse(bytes)
                    .ok_or_else(|| Error::new(ErrorKind::BadValue, "the cached integer is no number"))?;
                from_scalar(Scalar::Integer(number), true)
            }
            Meaning::Serialized(serializer) => deserialize(serializer, bytes),
            Meaning::Unknown => {
                // With another serializer a list is JSON or MessagePack and never the bytes themselves.
                let lists = self.serializer == SerializerKind::Pickle;
                let as_bytes = from_scalar(Scalar::Bytes { bytes, lists }, false);
                match self.serializer {
                    SerializerKind::Pickle => as_bytes,
                    other => as_bytes.or_else(|_| deserialize(other, bytes)),
                }
            }
        }
    }

    fn serialize<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>> {
        match self.serializer {
            SerializerKind::Pickle => {
                let mut pickle = pickle::to_vec(value)?;
                if let Some(protocol) = pickle.get_mut(1) {
                    *protocol = self.pickle_protocol;
                }
                Ok(pickle)
            }
            SerializerKind::Json => json::to_vec(value),
            SerializerKind::Msgpack => msgpack::to_vec(value),
        }
    }

    fn compress(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let Some(first) = self.compressors.first() else { return Ok(bytes) };
        Ok(compressor::compress(*first, &bytes)?.unwrap_or(bytes))
    }

    /// The value, by the first serializer that reads it.
    fn deserialize<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        if self.also_read.is_empty() {
            return deserialize(self.serializer, bytes);
        }
        let mut failure = None;
        for serializer in std::iter::once(self.serializer).chain(self.also_read.iter().copied()) {
            if !detect::may_be(serializer, bytes) {
                continue;
            }
            match deserialize(serializer, bytes) {
                Err(error) if error.kind() == ErrorKind::BadValue => failure = failure.or(Some(error)),
                read => return read,
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::new(ErrorKind::BadValue, "the cached bytes are of none of the serializers in the list")
        }))
    }

    fn flag(&self) -> u32 {
        match self.serializer {
            SerializerKind::Pickle => flag::PICKLE,
            SerializerKind::Json => flag::JSON,
            SerializerKind::Msgpack => flag::MSGPACK,
        }
    }
}

/// What flags say of the bytes.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Text,
    Integer,
    Serialized(SerializerKind),
    /// Nothing: bytes, or another program's flags.
    Unknown,
}

/// In the order in which pymemcache looks at them.
fn meaning(flags: u32) -> Meaning {
    let has = |flag| flags & flag != 0;
    if has(flag::TEXT) {
        Meaning::Text
    } else if has(flag::INTEGER | flag::LONG) {
        Meaning::Integer
    } else if has(flag::PICKLE) {
        Meaning::Serialized(SerializerKind::Pickle)
    } else if has(flag::JSON) {
        Meaning::Serialized(SerializerKind::Json)
    } else if has(flag::MSGPACK) {
        Meaning::Serialized(SerializerKind::Msgpack)
    } else {
        Meaning::Unknown
    }
}

fn deserialize<T: DeserializeOwned>(serializer: SerializerKind, bytes: &[u8]) -> Result<T> {
    match serializer {
        SerializerKind::Pickle => pickle::from_slice(bytes),
        SerializerKind::Json => json::from_slice(bytes),
        SerializerKind::Msgpack => msgpack::from_slice(bytes),
    }
}

/// The bytes of an item, decompressed if its flags say so.
fn unpack(item: Item<'_>) -> Result<Cow<'_, [u8]>> {
    if item.flags & flag::ZLIB == 0 {
        return Ok(Cow::Borrowed(item.bytes));
    }
    match compressor::decompress_within(CompressorKind::Zlib, item.bytes, MAX_UNPACKED)? {
        Some(unpacked) => Ok(Cow::Owned(unpacked)),
        None => Err(Error::new(ErrorKind::BadValue, "the cached value is no zlib data")),
    }
}
