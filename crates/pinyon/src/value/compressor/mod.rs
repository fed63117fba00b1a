//! Compressors: what django-redis's `COMPRESSOR` names, one file each.
//!
//! Nothing marks a compressed value. A reader looks at the first bytes, tries, and takes a failure for "not compressed", as
//! django-redis does: short values are not compressed at all.

mod gzip;
mod lz4;
mod xz;
mod zlib;
mod zstd;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::settings::CompressorKind;
use std::borrow::Cow;
use std::io::{self, Read};

/// The most bytes that a value may decompress to: 512 MiB, which is also the most that Redis stores under one key.
pub const MAX_DECOMPRESSED: usize = 512 << 20;

/// One format.
trait Compressor: Sync {
    /// Values of this many bytes or fewer are stored as they are.
    fn min_length(&self) -> usize {
        15
    }

    /// Whether this can be the beginning of compressed data: false for nothing that the format allows.
    fn may_begin(&self, bytes: &[u8]) -> bool;

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>>;

    /// What `bytes` decompress to if that is no more than `most` bytes.
    fn decompress(&self, bytes: &[u8], most: usize) -> std::result::Result<Vec<u8>, Refused>;
}

/// Why bytes were not decompressed.
enum Refused {
    /// They are not of this format: other bytes, or damaged ones.
    Foreign,
    /// They would become more than is allowed.
    TooLarge,
}

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        Self::Foreign
    }
}

/// The format of a kind; none for the one that changes nothing.
fn format(kind: CompressorKind) -> Option<&'static dyn Compressor> {
    match kind {
        CompressorKind::Identity => None,
        CompressorKind::Zlib => Some(&zlib::Zlib),
        CompressorKind::Gzip => Some(&gzip::Gzip),
        CompressorKind::Lzma => Some(&xz::Xz),
        CompressorKind::Lz4 => Some(&lz4::Lz4),
        CompressorKind::Zstd => Some(&zstd::Zstd),
    }
}

/// `bytes` compressed as django-redis does it; none if they are so short that it stores them as they are.
///
/// # Errors
/// [`ErrorKind::Value`] if the library refuses, for example for want of memory.
pub fn compress(kind: CompressorKind, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(format) = format(kind).filter(|format| bytes.len() > format.min_length()) else {
        return Ok(None);
    };
    let compressed = format.compress(bytes);
    compressed
        .map(Some)
        .map_err(|error| Error::new(ErrorKind::Value, format!("{kind:?} cannot compress the value")).with_source(error))
}

/// What `bytes` decompress to; none if they are not of this format, and then they were not compressed, or by another
/// compressor.
///
/// # Errors
/// [`ErrorKind::BadValue`] for what would become more than [`MAX_DECOMPRESSED`] bytes.
pub fn decompress(kind: CompressorKind, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    decompress_within(kind, bytes, MAX_DECOMPRESSED)
}

/// As [`decompress`], with another limit.
pub(super) fn decompress_within(kind: CompressorKind, bytes: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
    let Some(format) = format(kind).filter(|format| format.may_begin(bytes)) else {
        return Ok(None);
    };
    match format.decompress(bytes, most) {
        Ok(decompressed) => Ok(Some(decompressed)),
        Err(Refused::Foreign) => Ok(None),
        Err(Refused::TooLarge) => {
            let message = format!("the cached value decompresses to more than {} MiB", most >> 20);
            Err(Error::new(ErrorKind::BadValue, message))
        }
    }
}

/// `bytes` decompressed by the first of `kinds` that can, or else as they are.
///
/// # Errors
/// As [`decompress`].
pub fn unpack<'b>(kinds: &[CompressorKind], bytes: &'b [u8]) -> Result<Cow<'b, [u8]>> {
    for kind in kinds {
        if let Some(decompressed) = decompress(*kind, bytes)? {
            return Ok(Cow::Owned(decompressed));
        }
    }
    Ok(Cow::Borrowed(bytes))
}

/// All that `reader` gives, unless it is more than `most` bytes.
fn read_all(reader: &mut impl Read, most: usize) -> std::result::Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    reader.take((most as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(Refused::TooLarge) } else { Ok(bytes) }
}
