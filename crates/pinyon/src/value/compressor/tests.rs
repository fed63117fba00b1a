use super::{compress, decompress, decompress_within, format, unpack};
use crate::error::ErrorKind;
use crate::settings::CompressorKind::{self, Gzip, Identity, Lz4, Lzma, Zlib, Zstd};
use proptest::prelude::*;

const EVERY_FORMAT: [CompressorKind; 5] = [Zlib, Gzip, Lzma, Lz4, Zstd];

fn compressed(kind: CompressorKind, bytes: &[u8]) -> Vec<u8> {
    compress(kind, bytes).unwrap().expect("long enough")
}

/// Bytes in which nothing repeats.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

#[test]
fn what_was_compressed_comes_back() {
    for kind in EVERY_FORMAT {
        for bytes in [vec![b'x'; 101], vec![b'x'; 3_000_000], noise(101), noise(300_000)] {
            let packed = compressed(kind, &bytes);
            assert!(decompress(kind, &packed).unwrap().as_ref() == Some(&bytes), "{kind:?} of {} bytes", bytes.len());
        }
        assert!(compressed(kind, &[b'x'; 10_000]).len() < 200, "{kind:?}");
    }
}

#[test]
fn short_values_are_left_alone_as_django_redis_leaves_them() {
    for (kind, shortest) in [(Zlib, 16), (Gzip, 16), (Lz4, 16), (Zstd, 16), (Lzma, 101)] {
        assert_eq!(compress(kind, &vec![b'x'; shortest - 1]).unwrap(), None, "{kind:?}");
        assert!(compress(kind, &vec![b'x'; shortest]).unwrap().is_some(), "{kind:?}");
    }
    assert_eq!(compress(Identity, &[b'x'; 1000]).unwrap(), None);
    assert_eq!(decompress(Identity, &[b'x'; 1000]).unwrap(), None);
}

#[test]
fn the_formats_are_told_apart() {
    for kind in EVERY_FORMAT {
        let packed = compressed(kind, &[b'x'; 1000]);
        for other in EVERY_FORMAT {
            assert_eq!(format(other).unwrap().may_begin(&packed), kind == other, "{kind:?} as {other:?}");
        }
        assert_eq!(*unpack(&EVERY_FORMAT, &packed).unwrap(), [b'x'; 1000], "{kind:?}");
        assert_eq!(*unpack(&[Identity], &packed).unwrap(), *packed);
    }
    for plain in [&b""[..], b"x", b"\x80\x05N.", b"[1, 2]", b"\x93\x01\x02\x03", "Börek".as_bytes()] {
        assert_eq!(*unpack(&EVERY_FORMAT, plain).unwrap(), *plain);
    }
}

#[test]
fn damaged_data_is_not_compressed_data() {
    let value = [noise(300), vec![b'x'; 300]].concat();
    for kind in EVERY_FORMAT {
        let packed = compressed(kind, &value);
        for end in 0..packed.len() {
            assert_eq!(decompress(kind, &packed[..end]).unwrap(), None, "{kind:?} cut at {end} of {}", packed.len());
        }
        let followed = [&packed[..], b"something else"].concat();
        assert_eq!(decompress(kind, &followed).unwrap(), None, "{kind:?}");
    }
    assert_eq!(*unpack(&EVERY_FORMAT, b"x\x9cno zlib").unwrap(), *b"x\x9cno zlib");
}

#[test]
fn what_would_become_too_large_is_an_error_and_not_a_value() {
    let bomb = vec![0; 1 << 20];
    for kind in EVERY_FORMAT {
        let packed = compressed(kind, &bomb);
        assert_eq!(decompress_within(kind, &packed, 1 << 20).unwrap().map(|bytes| bytes.len()), Some(1 << 20));
        let error = decompress_within(kind, &packed, (1 << 20) - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue, "{kind:?}");
    }
}

#[test]
fn a_frame_that_only_claims_to_be_large_costs_nothing() {
    // A zstd frame header with a size of 2^62 bytes, and an LZ4 one, with nothing behind them.
    let zstd = [&b"\x28\xb5\x2f\xfd\xe0"[..], &(1_u64 << 62).to_le_bytes(), b"\x01\0\0"].concat();
    assert_eq!(decompress(Zstd, &zstd).unwrap(), None);
    let lz4 = [&b"\x04\x22\x4d\x18\x68\x70"[..], &(1_u64 << 62).to_le_bytes(), b"\0\0\0\0\0"].concat();
    assert_eq!(decompress(Lz4, &lz4).unwrap(), None);
}

proptest! {
    #[test]
    fn no_bytes_do_any_harm(index in 0..5_usize, tail in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
        let kind = EVERY_FORMAT[index];
        let mut packed = compressed(kind, &[&[b'x'; 200][..], &tail].concat());
        let end = packed.len().min(at + tail.len());
        if let Some(damaged) = packed.get_mut(at..end) {
            damaged.copy_from_slice(&tail[..damaged.len()]);
        }
        let _ = decompress_within(kind, &packed, 1 << 20);
        let begun = [&packed[..6.min(packed.len())], &tail].concat();
        let _ = decompress_within(kind, &begun, 1 << 20);
    }
}
