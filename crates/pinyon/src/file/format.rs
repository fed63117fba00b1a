//! One entry as bytes: the pickled moment of expiry, and behind it the value, compressed by zlib.
//!
//! Source: Django's `django/core/cache/backends/filebased.py` (`_write_content`, `_is_expired`).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

use crate::memory::Deadline;
use crate::value::pickle::{self, PythonValue};
use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
use num_traits::ToPrimitive;
use std::io::{Read, Write};

/// No head is longer: a float has 21 bytes in protocol 5, and an integer of Python's would have to be absurd.
pub(super) const MAX_HEAD: usize = 64;

/// The most bytes that a value may unpack to: 512 MiB.
const MAX_UNPACKED: u64 = 512 << 20;

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Head {
    /// An entry, and where its value begins.
    Entry { deadline: Deadline, value_at: usize },
    /// Something else.
    Broken,
}

impl Head {
    /// Reads the first [`MAX_HEAD`] bytes of a file, or all that it has. An empty file is an entry that has expired.
    pub(super) fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Entry { deadline: Deadline::At(f64::NEG_INFINITY), value_at: 0 };
        }
        let Ok((expiry, value_at)) = pickle::read_first(bytes.get(..MAX_HEAD).unwrap_or(bytes)) else {
            return Self::Broken;
        };
        let moment = match expiry {
            PythonValue::None => return Self::Entry { deadline: Deadline::Never, value_at },
            PythonValue::Float(moment) => Some(moment),
            PythonValue::Int(moment) => moment.to_f64(),
            _ => None,
        };
        moment.map_or(Self::Broken, |moment| Self::Entry { deadline: Deadline::At(moment), value_at })
    }

    /// Whether the entry has expired at `now`, in seconds of Unix time. At the very moment it has not, as in Django.
    pub(super) fn is_expired(self, now: f64) -> bool {
        matches!(self, Self::Entry { deadline: Deadline::At(moment), .. } if moment < now)
    }
}

/// The whole file of an entry.
pub(super) fn write(deadline: Deadline, value: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(head(deadline), Compression::default());
    // Writing into memory does not fail.
    let _ = encoder.write_all(value);
    encoder.finish().unwrap_or_default()
}

/// What stands before the value.
pub(super) fn head(deadline: Deadline) -> Vec<u8> {
    let expiry = match deadline {
        Deadline::Never => None,
        Deadline::At(moment) => Some(moment),
    };
    pickle::to_vec(&expiry).unwrap_or_default()
}

/// A value that was unpacked.
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    /// How many compressed bytes it had. What follows is garbage, as Django's `touch` leaves it.
    pub(super) compressed: usize,
}

/// Unpacks what follows the head. None if that is no whole zlib stream, or one of an absurd size.
pub(super) fn read_value(compressed: &[u8]) -> Option<Value> {
    unpack(compressed, MAX_UNPACKED)
}

/// As [`read_value`]; none for more than `most` bytes.
pub(super) fn unpack(compressed: &[u8], most: u64) -> Option<Value> {
    let mut decoder = ZlibDecoder::new(compressed);
    let mut bytes = Vec::with_capacity(compressed.len().saturating_mul(3));
    (&mut decoder).take(most + 1).read_to_end(&mut bytes).ok()?;
    let whole = bytes.len() as u64 <= most;
    whole.then_some(Value { bytes, compressed: usize::try_from(decoder.total_in()).ok()? })
}
