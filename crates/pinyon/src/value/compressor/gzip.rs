//! gzip, level 9.

use super::{Compressor, Refused, read_all};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Write};

pub(super) struct Gzip;

impl Compressor for Gzip {
    fn may_begin(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"\x1f\x8b\x08")
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(9));
        encoder.write_all(bytes)?;
        encoder.finish()
    }

    fn decompress(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
        read_all(&mut MultiGzDecoder::new(bytes), most)
    }
}
