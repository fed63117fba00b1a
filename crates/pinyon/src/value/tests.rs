use super::codec::{Codec, Layout, flag};
use super::{PythonValue, pickle};
use crate::error::ErrorKind;
use crate::settings::CompressorKind;
use crate::settings::SerializerKind::{self, Json, Msgpack, Pickle};
use crate::store::Item;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use std::io::Write;

const EVERY_SERIALIZER: [SerializerKind; 3] = [Pickle, Json, Msgpack];

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Book {
    id: u32,
    title: String,
    tags: Vec<String>,
}

fn book() -> Book {
    Book { id: 7, title: "Börek".into(), tags: vec!["food".into()] }
}

fn digits(serializer: SerializerKind) -> Codec {
    Codec::new(serializer, Layout::Digits)
}

fn flags(serializer: SerializerKind) -> Codec {
    Codec::new(serializer, Layout::Flags)
}

fn item(bytes: &[u8], flags: u32) -> Item<'_> {
    Item { bytes, flags }
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn round_trip<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(codec: &Codec, value: &T) {
    let encoded = codec.encode(value).unwrap();
    assert_eq!(&codec.decode::<T>(encoded.item()).unwrap(), value, "{codec:?}");
}

#[test]
fn every_value_comes_back_by_every_serializer_in_every_layout() {
    for serializer in EVERY_SERIALIZER {
        for codec in [digits(serializer), flags(serializer), Codec::new(serializer, Layout::Serialized)] {
            round_trip(&codec, &book());
            round_trip(&codec, &vec![Some(book()), None]);
            round_trip(&codec, &42_u8);
            round_trip(&codec, &i64::MIN);
            round_trip(&codec, &u64::MAX);
            round_trip(&codec, &true);
            round_trip(&codec, &1.5);
            round_trip(&codec, &-7.0);
            round_trip(&codec, &"text".to_owned());
            round_trip(&codec, &"42".to_owned());
            round_trip(&codec, &String::new());
            round_trip(&codec, &None::<u32>);
            round_trip(&codec, &Some(5_u32));
            round_trip(&codec, &vec![1_u8, 2, 3]);
            round_trip(&codec, &'x');
            round_trip(&codec, &());
        }
    }
    for codec in [digits(Pickle), flags(Pickle), digits(Msgpack), flags(Msgpack), flags(Json)] {
        round_trip(&codec, &ByteBuf::from(b"42".to_vec()));
    }
    for codec in [digits(Pickle), flags(Pickle), flags(Json), flags(Msgpack)] {
        round_trip(&codec, &u128::MAX);
        round_trip(&codec, &i128::MIN);
    }
}

/// As Django's RedisCache and django-redis write and read.
#[test]
fn redis_integers_are_digits_and_everything_else_is_a_pickle() {
    let codec = digits(Pickle);
    assert_eq!(codec.encode(&-42).unwrap().bytes, b"-42");
    assert_eq!(codec.encode(&u128::MAX).unwrap().bytes, u128::MAX.to_string().as_bytes());
    assert_eq!(codec.encode(&true).unwrap().bytes, b"\x80\x05\x88.");
    assert_eq!(codec.encode("5").unwrap().bytes, pickle::to_vec("5").unwrap());
    assert_eq!(codec.encode(&1.0).unwrap().flags, 0);

    for (bytes, number) in [(&b"1_000"[..], 1000), (b"12 ", 12), (b"+7", 7), (b"-0", 0)] {
        assert_eq!(codec.decode::<i64>(item(bytes, 0)).unwrap(), number);
    }
    assert_eq!(codec.decode::<f64>(item(b"42", 0)).unwrap().to_string(), "42");
    assert_eq!(codec.decode::<i64>(item(b"I42\n.", 0)).unwrap(), 42);
    assert_eq!(
        codec.decode::<PythonValue>(item(b"1180591620717411303424", 0)).unwrap().to_string(),
        "1180591620717411303424"
    );
}

#[test]
fn a_digit_is_no_bool_and_no_text_in_redis() {
    assert_eq!(digits(Pickle).decode::<bool>(item(b"1", 0)).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(digits(Pickle).decode::<String>(item(b"1", 0)).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(digits(Pickle).decode::<u8>(item(b"256", 0)).unwrap_err().kind(), ErrorKind::OutOfRange);
}

/// As pymemcache writes with the serde that Django gives it.
#[test]
fn memcached_flags_say_what_the_bytes_are() {
    let codec = flags(Pickle);
    let encode = |value: &dyn Fn() -> super::Encoded| {
        let encoded = value();
        (encoded.bytes, encoded.flags)
    };
    assert_eq!(encode(&|| codec.encode(Bytes::new(b"ab")).unwrap()), (b"ab".to_vec(), flag::BYTES));
    assert_eq!(encode(&|| codec.encode("abc").unwrap()), (b"abc".to_vec(), flag::TEXT));
    assert_eq!(encode(&|| codec.encode(&42).unwrap()), (b"42".to_vec(), flag::INTEGER));
    assert_eq!(encode(&|| codec.encode(&true).unwrap()), (b"\x80\x05\x88.".to_vec(), flag::PICKLE));
    assert_eq!(encode(&|| codec.encode(&None::<u8>).unwrap()), (b"\x80\x05N.".to_vec(), flag::PICKLE));
    assert_eq!(encode(&|| flags(Json).encode(&[1, 2]).unwrap()), (b"[1,2]".to_vec(), flag::JSON));
    assert_eq!(encode(&|| flags(Msgpack).encode(&[1, 2]).unwrap()), (b"\x92\x01\x02".to_vec(), flag::MSGPACK));
}

#[test]
fn what_pymemcache_and_pylibmc_write_is_read_whatever_the_serializer() {
    for serializer in EVERY_SERIALIZER {
        let codec = flags(serializer);
        assert_eq!(codec.decode::<i64>(item(b"9 ", flag::INTEGER)).unwrap(), 9);
        assert_eq!(codec.decode::<i64>(item(b"-5", flag::LONG)).unwrap(), -5);
        assert!(codec.decode::<bool>(item(b"1", flag::INTEGER)).unwrap());
        assert!(!codec.decode::<bool>(item(b"0", flag::INTEGER)).unwrap());
        assert_eq!(codec.decode::<bool>(item(b"2", flag::INTEGER)).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(codec.decode::<String>(item("é".as_bytes(), flag::TEXT)).unwrap(), "é");
        assert_eq!(codec.decode::<u8>(item(b"K\x07.", flag::PICKLE)).unwrap(), 7);
        assert_eq!(codec.decode::<ByteBuf>(item(b"[1]", flag::BYTES)).unwrap(), b"[1]");
        assert_eq!(codec.decode::<String>(item(b"text", flag::BYTES)).unwrap(), "text");
    }
    assert_eq!(flags(Pickle).decode::<Vec<u8>>(item(b"ab", flag::BYTES)).unwrap(), b"ab");
    let error = flags(Pickle).decode::<String>(item(b"\xff", flag::BYTES)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(flags(Json).decode::<Vec<u32>>(item(b"[1, 2]", flag::BYTES)).unwrap(), [1, 2]);
}

#[test]
fn compressed_values_are_unpacked_up_to_a_limit() {
    let codec = flags(Pickle);
    let pickled = zlib(&pickle::to_vec(&book()).unwrap());
    assert_eq!(codec.decode::<Book>(item(&pickled, flag::ZLIB | flag::PICKLE)).unwrap(), book());
    let text = zlib(&[b'x'; 5000]);
    assert_eq!(codec.decode::<String>(item(&text, flag::ZLIB | flag::TEXT)).unwrap().len(), 5000);
    assert_eq!(codec.decode::<ByteBuf>(item(&zlib(b"ab"), flag::ZLIB)).unwrap(), b"ab");

    let bomb = zlib(&vec![0; (64 << 20) + 1]);
    let error = codec.decode::<ByteBuf>(item(&bomb, flag::ZLIB)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadValue);
    let error = codec.decode::<String>(item(b"no zlib", flag::ZLIB | flag::TEXT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadValue);
}

#[test]
fn foreign_bytes_are_a_bad_value_and_another_type_is_not() {
    for serializer in EVERY_SERIALIZER {
        let codec = digits(serializer);
        let truncated = {
            let mut bytes = codec.encode(&book()).unwrap().bytes;
            bytes.pop();
            bytes
        };
        assert_eq!(codec.decode::<Book>(item(&truncated, 0)).unwrap_err().kind(), ErrorKind::BadValue);
        assert_eq!(codec.decode::<Book>(item(b"", 0)).unwrap_err().kind(), ErrorKind::BadValue);
        assert_eq!(codec.decode::<Book>(item(b"\xc1\xc1", 0)).unwrap_err().kind(), ErrorKind::BadValue);
        let secret = codec.encode("hunter2").unwrap();
        let error = codec.decode::<Vec<u32>>(secret.item()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value, "{serializer:?}");
        assert!(!format!("{error:?}").contains("hunter2") && std::error::Error::source(&error).is_none(), "{error}");
    }
    let pickled = pickle::to_vec(&book()).unwrap();
    for serializer in [Json, Msgpack] {
        let error = digits(serializer).decode::<Book>(item(&pickled, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue, "{serializer:?}");
        assert!(error.hint().unwrap().contains("pickle"), "{serializer:?}");
    }
}

#[test]
fn nesting_is_bounded_by_every_serializer() {
    for (serializer, opening) in [(Pickle, b']'), (Json, b'['), (Msgpack, 0x91)] {
        let deep = vec![opening; 100_000];
        assert!(digits(serializer).decode::<PythonValue>(item(&deep, 0)).is_err(), "{serializer:?}");
        assert!(!digits(serializer).show(item(&deep, 0)).is_empty());
    }
    let nested = [&[0x91; 300][..], &[0x90]].concat();
    assert_eq!(digits(Msgpack).decode::<PythonValue>(item(&nested, 0)).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn neither_debug_nor_error_shows_a_value() {
    let encoded = flags(Pickle).encode("hunter2").unwrap();
    assert_eq!(format!("{encoded:?}"), "Encoded(7 bytes, flags 16)");
}

#[test]
fn a_python_object_is_told_from_another_type() {
    let bytes = b"cdecimal\nDecimal\n(V1.5\ntR.";
    let error = flags(Json).decode::<f64>(item(bytes, flag::PICKLE)).unwrap_err();
    assert_eq!(pickle::python_class(&error), Some("decimal.Decimal"));
    let error = flags(Json).decode::<f64>(item(b"1.5", flag::TEXT)).unwrap_err();
    assert_eq!((error.kind(), pickle::python_class(&error)), (ErrorKind::Value, None));
}

#[test]
fn values_are_shown_readably_whoever_wrote_them() {
    let show = |bytes: &[u8]| digits(Pickle).show(item(bytes, 0));
    assert_eq!(show(b"42"), "42");
    assert_eq!(show(&pickle::to_vec(&book()).unwrap()), "{'id': 7, 'title': 'Börek', 'tags': ['food']}");
    assert_eq!(show(b"cos\nsystem\n(S'exit'\ntR."), "os.system('exit')");
    assert_eq!(show(b"(lp0\nI1\na."), "[1]");
    assert_eq!(show(br#"{"a": [1, 2]}"#), r#"{"a": [1, 2]}"#);
    assert_eq!(
        show("two\nlines of plain text, ending in a dot.".as_bytes()),
        "two\nlines of plain text, ending in a dot."
    );
    assert_eq!(show(b"\x1b[2Jtext"), r"\x1b[2Jtext");
    assert_eq!(show(b""), "");
    assert_eq!(show(b"\x80\x05\x95"), "<unreadable pickle, 3 bytes: 80 05 95>");
    assert_eq!(show(b"\x28\xb5\x2f\xfd\x00"), "<zstd, 5 bytes: 28 b5 2f fd 00>");
    assert!(show(&zlib(&[0; 500])).starts_with("<zlib, "));
    assert!(show(&[0xfe; 100]).ends_with("fe …>"));
    assert!(show(b"\x80\x04]\x94h\x00a.").contains("contains itself"));

    let msgpack = digits(Msgpack).encode(&book()).unwrap();
    assert_eq!(digits(Msgpack).show(msgpack.item()), "{'id': 7, 'title': 'Börek', 'tags': ['food']}");
    let json = digits(Json).encode(&book()).unwrap();
    assert_eq!(digits(Pickle).show(json.item()), r#"{"id":7,"title":"Börek","tags":["food"]}"#);
}

#[test]
fn where_all_is_serialized_integers_are_pickles_too_and_digits_are_none() {
    let codec = Codec::new(Pickle, Layout::Serialized);
    assert_eq!(codec.encode(&42).unwrap().bytes, b"\x80\x05K*.");
    assert_eq!(codec.decode::<i64>(item(b"\x80\x05K*.", 0)).unwrap(), 42);
    assert_eq!(codec.decode::<i64>(item(b"42", 0)).unwrap_err().kind(), ErrorKind::BadValue);
    assert_eq!(codec.show(item(b"\x80\x05K*.", 0)), "42");
}

#[test]
fn flags_tell_text_from_numbers_when_shown() {
    let codec = flags(Pickle);
    assert_eq!(codec.show(item(b"42", flag::TEXT)), "'42'");
    assert_eq!(codec.show(item(b"42 ", flag::INTEGER)), "42");
    assert_eq!(codec.show(item(b"\x80\x05\x88.", flag::PICKLE)), "True");
    assert_eq!(codec.show(item(&zlib(b"packed"), flag::ZLIB | flag::TEXT)), "'packed'");
    assert_eq!(codec.show(item(b"\x00\x01", flag::BYTES)), "<2 bytes: 00 01>");
    assert_eq!(codec.show(item(b"broken", flag::ZLIB | flag::TEXT)), "broken");
    assert_eq!(codec.show(item(b"[1]", flag::JSON)), "[1]");
}

#[test]
fn a_list_of_serializers_writes_with_the_first_and_reads_what_each_wrote() {
    for serializer in EVERY_SERIALIZER {
        let codec = Codec { also_read: EVERY_SERIALIZER.to_vec(), ..digits(serializer) };
        assert_eq!(codec.encode(&book()).unwrap(), digits(serializer).encode(&book()).unwrap());
        round_trip(&codec, &42);
        for writer in EVERY_SERIALIZER {
            let stored = digits(writer).encode(&book()).unwrap();
            assert_eq!(codec.decode::<Book>(stored.item()).unwrap(), book(), "{writer:?} by {codec:?}");
            let stored = digits(writer).encode(&1.5).unwrap();
            assert_eq!(codec.decode::<f64>(stored.item()).unwrap().to_string(), "1.5", "{writer:?} by {codec:?}");
            // A sound value of another type is not handed on to the next serializer.
            assert_eq!(codec.decode::<String>(stored.item()).unwrap_err().kind(), ErrorKind::Value);
        }
        for foreign in [&b""[..], b"{\"", b"\x80\x05\x95", b"\xc1\xc1"] {
            assert_eq!(codec.decode::<Book>(item(foreign, 0)).unwrap_err().kind(), ErrorKind::BadValue, "{foreign:?}");
        }
    }
}

#[test]
fn a_list_of_compressors_writes_with_the_first_and_reads_what_each_wrote() {
    use CompressorKind::{Gzip, Identity, Lz4, Lzma, Zlib, Zstd};
    let of = |compressors: &[CompressorKind]| Codec { compressors: compressors.to_vec(), ..digits(Pickle) };
    let every = [Zlib, Gzip, Lzma, Lz4, Zstd, Identity];
    let text = "text ".repeat(100);
    for kind in every {
        let codec = of(&[kind]);
        let stored = codec.encode(&text).unwrap();
        assert_eq!(stored.bytes.len() < 200, kind != Identity, "{kind:?}: {stored:?}");
        for reader in [codec.clone(), of(&every)] {
            assert_eq!(reader.decode::<String>(stored.item()).unwrap(), text, "{kind:?}");
            assert_eq!(reader.show(stored.item()), format!("'{text}'"));
            // What was short, or written before anything was compressed.
            assert_eq!(reader.decode::<String>(digits(Pickle).encode("x").unwrap().item()).unwrap(), "x");
            assert_eq!(reader.decode::<String>(digits(Pickle).encode(&text).unwrap().item()).unwrap(), text);
        }
        assert_eq!(codec.encode(&i64::MAX).unwrap().bytes, i64::MAX.to_string().as_bytes());
        round_trip(&codec, &None::<u8>);
        round_trip(&codec, &vec![book()]);
        let half = &stored.bytes[..stored.bytes.len() / 2];
        assert_eq!(codec.decode::<String>(item(half, 0)).unwrap_err().kind(), ErrorKind::BadValue, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn any_item_is_decoded_or_refused_and_always_shown(
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        flags in 0_u32..256,
    ) {
        for serializer in EVERY_SERIALIZER {
            for layout in [Layout::Digits, Layout::Flags, Layout::Serialized] {
                let codec = Codec::new(serializer, layout);
                let _ = codec.decode::<serde_json::Value>(item(&bytes, flags));
                let _ = codec.decode::<PythonValue>(item(&bytes, flags));
                let shown = codec.show(item(&bytes, flags));
                prop_assert!(!shown.chars().any(|shown| shown.is_control() && shown != '\n' && shown != '\t'));
            }
        }
    }
}

#[test]
fn a_pickle_of_protocol_4_differs_in_its_second_byte_only() {
    let codec = Codec { pickle_protocol: 4, ..digits(SerializerKind::Pickle) };
    let (four, five) = (codec.encode(&book()).unwrap().bytes, pickle::to_vec(&book()).unwrap());
    assert_eq!(four[..2], [0x80, 4]);
    assert_eq!((five[..2].to_vec(), &four[2..]), (vec![0x80, 5], &five[2..]));
}
