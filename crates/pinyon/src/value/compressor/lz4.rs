//! LZ4 frames.

use super::{Compressor, Refused, read_all};
use lz4_flex::frame::{FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{self, Write};

pub(super) struct Lz4;

impl Compressor for Lz4 {
    fn may_begin(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"\x04\x22\x4d\x18")
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        // With the size, as Python's lz4 writes it.
        let frame = FrameInfo::new().content_size(Some(bytes.len() as u64));
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    }

    fn decompress(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
        let mut decoder = FrameDecoder::new(bytes);
        let decompressed = read_all(&mut decoder, most)?;
        let whole = decoder.into_inner().is_empty() && is_whole(bytes, decompressed.len());
        if whole { Ok(decompressed) } else { Err(Refused::Foreign) }
    }
}

/// Whether the frame has its end, and the length that it claims, if it does: the library takes data that is cut between
/// two blocks for the end.
fn is_whole(bytes: &[u8], length: usize) -> bool {
    let Some(flags) = bytes.get(4) else { return false };
    let checksum = if flags & 0b100 == 0 { 0 } else { 4 };
    let has_end = bytes.len().checked_sub(checksum).is_some_and(|end| bytes[..end].ends_with(&[0; 4]));
    let claimed = bytes.get(6..14).filter(|_| flags & 0b1000 != 0);
    has_end && claimed.is_none_or(|claimed| claimed == (length as u64).to_le_bytes())
}
