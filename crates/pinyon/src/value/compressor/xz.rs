//! lzma as `.xz`, preset 4.

use super::{Compressor, Refused, read_all};
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use std::io::{self, Write};

const PRESET: u32 = 4;
/// The dictionary of the preset, and the smallest that the format has.
const DICTIONARY: std::ops::RangeInclusive<usize> = 4096..=4 << 20;
/// The most that a decoder may need beside its output: the largest preset of the `xz` program needs 65 MiB.
const MAX_DECODER: u64 = 128 << 20;

pub(super) struct Xz;

impl Compressor for Xz {
    fn min_length(&self) -> usize {
        100
    }

    fn may_begin(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"\xfd7zXZ\0")
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut options = LzmaOptions::new_preset(PRESET)?;
        // A dictionary beyond the value finds nothing more, and every call would allocate it.
        let dictionary = bytes.len().clamp(*DICTIONARY.start(), *DICTIONARY.end());
        options.dict_size(u32::try_from(dictionary).unwrap_or(u32::MAX));
        let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64)?;
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(bytes)?;
        encoder.finish()
    }

    fn decompress(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
        let stream = Stream::new_stream_decoder(MAX_DECODER, CONCATENATED).map_err(io::Error::from)?;
        read_all(&mut XzDecoder::new_stream(bytes, stream), most)
    }
}
