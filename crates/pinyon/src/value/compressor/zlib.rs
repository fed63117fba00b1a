//! zlib, level 6.

use super::{Compressor, Refused, read_all};
use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};

pub(super) struct Zlib;

impl Compressor for Zlib {
    /// The format has no magic number, but its two first bytes are a method and a multiple of 31.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        matches!(bytes, [method, flags, ..]
            if method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(bytes)?;
        encoder.finish()
    }

    fn decompress(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
        let mut decoder = ZlibDecoder::new(bytes);
        let decompressed = read_all(&mut decoder, most)?;
        if decoder.into_inner().is_empty() { Ok(decompressed) } else { Err(Refused::Foreign) }
    }
}
