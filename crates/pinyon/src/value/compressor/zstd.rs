//! zstd, level 3.

use super::{Compressor, Refused, read_all};
use ::zstd::bulk;
use ::zstd::stream::read::Decoder;
use ::zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};
use std::cell::RefCell;
use std::io;

const LEVEL: i32 = 3;
/// A frame that says it holds no more than this is decompressed in one step; a larger claim has to prove itself.
const ONE_STEP: usize = 16 << 20;

thread_local! {
    // Making a context costs more than using it on a value of a few kilobytes.
    static ENCODER: RefCell<Option<bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Calls `work` with this thread's context, which `make` makes the first time.
fn with<C, R>(
    slot: &RefCell<Option<C>>,
    make: impl FnOnce() -> io::Result<C>,
    work: impl FnOnce(&mut C) -> io::Result<R>,
) -> io::Result<R> {
    let mut slot = slot.borrow_mut();
    let context = match slot.take() {
        Some(context) => context,
        None => make()?,
    };
    work(slot.insert(context))
}

pub(super) struct Zstd;

impl Compressor for Zstd {
    fn may_begin(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"\x28\xb5\x2f\xfd")
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        ENCODER.with(|slot| with(slot, || bulk::Compressor::new(LEVEL), |encoder| encoder.compress(bytes)))
    }

    fn decompress(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
        if let Some(size) = small_frame(bytes).filter(|size| *size <= most) {
            let decoded =
                DECODER.with(|slot| with(slot, bulk::Decompressor::new, |decoder| decoder.decompress(bytes, size)));
            return Ok(decoded?);
        }
        read_all(&mut Decoder::with_buffer(bytes)?, most)
    }
}

/// The size of the content, if `bytes` are one frame that has a size, and a small one.
fn small_frame(bytes: &[u8]) -> Option<usize> {
    let size = usize::try_from(get_frame_content_size(bytes).ok()??).ok()?;
    let whole = find_frame_compressed_size(bytes).is_ok_and(|length| length == bytes.len());
    (whole && size <= ONE_STEP).then_some(size)
}
