use super::*;
use proptest::prelude::*;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Book {
    id: u32,
    title: String,
    price: Option<f64>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Event {
    Opened,
    Sold(u32),
    Moved(u32, String),
    Renamed { from: String, to: String },
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn round_trip<T: Serialize + for<'de> Deserialize<'de> + PartialEq + Debug>(value: &T) {
    let bytes = to_vec(value).unwrap();
    assert_eq!(&from_slice::<T>(&bytes).unwrap(), value);
}

fn shown(bytes: &[u8]) -> String {
    read(bytes).unwrap().to_string()
}

/// The vectors of the contract, made by CPython.
#[test]
fn writes_the_reference_vectors() {
    assert_eq!(to_vec(&()).unwrap(), hex("80 05 4e 2e"));
    assert_eq!(to_vec(&None::<u8>).unwrap(), hex("80 05 4e 2e"));
    assert_eq!(to_vec(&true).unwrap(), hex("80 05 88 2e"));
    let float = hex("80 05 95 0a00000000000000 47 41d954fc40200000 2e");
    assert_eq!(to_vec(&1_700_000_000.5).unwrap(), float);
    assert_eq!(to_vec("abc").unwrap(), hex("80 05 95 0700000000000000 8c 03 616263 94 2e"));
    assert_eq!(to_vec(serde_bytes::Bytes::new(b"abc")).unwrap(), hex("80 05 95 0700000000000000 43 03 616263 94 2e"));
    assert_eq!(to_vec(&(1, 2)).unwrap(), hex("80 05 95 0700000000000000 4b01 4b02 86 94 2e"));
    assert_eq!(to_vec(&"x".repeat(300)).unwrap()[11..16], hex("58 2c010000"));
    assert_eq!(to_vec(&42).unwrap(), hex("80 05 4b 2a 2e"));
}

#[test]
fn every_serde_type_comes_back() {
    round_trip(&Book { id: 7, title: "Börek".into(), price: Some(9.5) });
    round_trip(&vec![Book { id: 7, title: String::new(), price: None }]);
    for event in [
        Event::Opened,
        Event::Sold(3),
        Event::Moved(3, "shelf".into()),
        Event::Renamed { from: "a".into(), to: "b".into() },
    ] {
        round_trip(&event);
    }
    round_trip(&BTreeMap::from([(1_i64, vec!['a', 'é']), (2, vec![])]));
    round_trip(&BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    round_trip(&(1_u8, -2_i8, [3_u16, 4], Some(5.5_f32)));
    round_trip(&serde_bytes::ByteBuf::from(vec![0, 255, 10]));
    round_trip(&(i128::MIN, i128::MAX, u128::MAX, i64::MIN, u64::MAX, -129_i64, i64::from(i32::MIN) - 1));
    round_trip(&"x".repeat(200_000));
    round_trip(&(0..5000).collect::<Vec<u32>>());
    round_trip(&());
}

#[test]
fn repeated_field_names_are_written_once() {
    let books: Vec<Book> = (0..3).map(|id| Book { id, title: format!("title {id}"), price: None }).collect();
    let bytes = to_vec(&books).unwrap();
    assert_eq!(bytes.windows(5).filter(|window| window == b"price").count(), 1);
    assert_eq!(from_slice::<Vec<Book>>(&bytes).unwrap(), books);
}

#[test]
fn many_field_names_are_written_once_each() {
    const NAMES: [&str; 40] = {
        let all = "name00name01name02name03name04name05name06name07name08name09name10name11name12name13name14name15name16\
                   name17name18name19name20name21name22name23name24name25name26name27name28name29name30name31name32name33\
                   name34name35name36name37name38name39";
        let (mut names, mut number) = ([""; 40], 0);
        while number < 40 {
            names[number] = all.split_at(number * 6).1.split_at(6).0;
            number += 1;
        }
        names
    };
    struct Wide(u8);
    impl Serialize for Wide {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct("Wide", NAMES.len())?;
            for name in NAMES {
                fields.serialize_field(name, &self.0)?;
            }
            fields.end()
        }
    }
    let bytes = to_vec(&[Wide(1), Wide(2), Wide(3)]).unwrap();
    for name in NAMES {
        assert_eq!(bytes.windows(6).filter(|window| *window == name.as_bytes()).count(), 1, "{name}");
    }
    let read: Vec<BTreeMap<String, u8>> = from_slice(&bytes).unwrap();
    let expected = |value| NAMES.iter().map(|name| ((*name).to_owned(), value)).collect::<BTreeMap<_, _>>();
    assert_eq!(read, [1, 2, 3].map(expected));
}

#[test]
fn a_map_of_unknown_length_is_read_back() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Flat {
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }
    round_trip(&Flat { rest: HashMap::from([("only".into(), 1)]) });
    round_trip(&Flat { rest: (0..1000).map(|number| (number.to_string(), 7)).collect() });
}

#[test]
fn a_json_value_is_its_python_value() {
    let text = r#"{"a":[1,-2,2.5,null,true,"x"],"b":{}}"#;
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let bytes = to_vec(&value).unwrap();
    assert_eq!(shown(&bytes), "{'a': [1, -2, 2.5, None, True, 'x'], 'b': {}}");
    assert_eq!(from_slice::<serde_json::Value>(&bytes).unwrap(), value);
}

#[test]
fn a_json_number_keeps_all_its_digits_in_a_program_with_arbitrary_precision() {
    /// As serde_json passes a number through serde with that feature.
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Number {
        #[serde(rename = "$serde_json::private::Number")]
        digits: &'static str,
    }
    let numbers = ["1180591620717411303424", "-2", "2.5"].map(|digits| Number { digits });
    assert_eq!(shown(&to_vec(&numbers).unwrap()), "(1180591620717411303424, -2, 2.5)");
}

#[test]
fn an_object_without_a_rust_form_is_an_error_that_names_its_class() {
    // A class that does not exist, with a state, as protocol 2 writes it.
    let bytes = b"\x80\x02cshop.models\nBook\nq\x00)\x81q\x01}q\x02X\x02\x00\x00\x00idq\x03K\x01sb.";
    let error = from_slice::<BTreeMap<String, u32>>(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(python_class(&error), Some("shop.models.Book"));
    assert_eq!(
        error.message(),
        "the cached value is a Python object of class 'shop.models.Book', which has no Rust form"
    );
    assert_eq!(shown(bytes), "<shop.models.Book {'id': 1}>");
}

#[test]
fn a_call_is_recorded_and_not_made() {
    let bytes = b"cos\nsystem\n(S'exit 1'\ntR.";
    assert_eq!(python_class(&from_slice::<String>(bytes).unwrap_err()), Some("os.system"));
    assert_eq!(shown(bytes), "os.system('exit 1')");
}

#[test]
fn a_type_mismatch_names_types_and_never_the_value() {
    let secret = to_vec("hunter2").unwrap();
    let error = from_slice::<u32>(&secret).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(error.message(), "the cached value holds a str, expected u32");
    assert_eq!(python_class(&error), None);
    let error = from_slice::<Event>(&secret).unwrap_err();
    assert!(!error.to_string().contains("hunter2") && error.message().contains("Opened"), "{error}");
    let error = from_slice::<Vec<u8>>(&to_vec(&BTreeMap::from([("hunter2", 1)])).unwrap()).unwrap_err();
    assert_eq!(error.message(), "the cached value holds a dict, expected a sequence");
}

#[test]
fn an_integer_that_does_not_fit_is_out_of_range_and_not_shown() {
    for number in [300_i128, -1, i128::from(i64::MAX), i128::from(u64::MAX) + 1, i128::MAX] {
        let error = from_slice::<u8>(&to_vec(&number).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
        assert!(!error.message().contains(&number.to_string()), "{error}");
    }
    let huge = [&b"\x80\x02\x8a\xc8"[..], &[1; 200], b"."].concat();
    assert_eq!(from_slice::<i128>(&huge).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert!(from_slice::<f64>(&to_vec(&u128::MAX).unwrap()).unwrap() > 3.4e38);
}

#[test]
fn an_ignored_field_may_hold_anything() {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u32,
    }
    let bytes = b"}(X\x02\x00\x00\x00idK\x07X\x01\x00\x00\x00xcos\nsystem\nu.";
    assert_eq!(from_slice::<OnlyId>(bytes).unwrap().id, 7);
}

#[test]
fn a_value_that_contains_itself_is_an_error() {
    let list_in_itself = b"\x80\x04]\x94h\x00a.";
    assert_eq!(read(list_in_itself).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(from_slice::<serde_json::Value>(list_in_itself).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn a_shared_value_is_read_in_every_place() {
    let bytes = b"\x80\x04]\x94(]\x94(K\x01K\x02eh\x01e.";
    assert_eq!(from_slice::<Vec<Vec<u8>>>(bytes).unwrap(), [[1, 2], [1, 2]]);
    assert_eq!(shown(bytes), "[[1, 2], [1, 2]]");
}

/// Each list holds the one before it ten times: a few hundred bytes that would be 10^40 values.
#[test]
fn a_small_pickle_cannot_become_a_large_value() {
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for level in 0..40_u8 {
        bomb.extend_from_slice(b"]\x94(");
        for _ in 0..10 {
            bomb.extend_from_slice(&[b'h', level]);
        }
        bomb.push(b'e');
    }
    bomb.push(b'.');
    assert_eq!(read(&bomb).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(from_slice::<serde_json::Value>(&bomb).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn one_list_cannot_be_copied_into_many_sets() {
    let mut bomb = b"\x80\x02c__builtin__\nset\nq\x00](".to_vec();
    bomb.extend_from_slice(&[b'N'; 10_000]);
    bomb.extend_from_slice(b"e\x85q\x01");
    for _ in 0..10_000 {
        bomb.extend_from_slice(b"h\x00h\x01R0");
    }
    bomb.push(b'.');
    assert_eq!(read(&bomb).unwrap_err().kind(), ErrorKind::BadValue);
}

#[test]
fn a_length_beyond_the_end_is_an_error_before_anything_is_allocated() {
    for bytes in [
        &b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."[..],
        b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        b"B\xff\xff\xff\xffabc.",
        b"X\xff\xff\xff\x7fabc.",
        b"T\xff\xff\xff\xffabc.",
        b"\x8b\xff\xff\xff\x7f.",
        b"\x8b\xff\xff\xff\xff.",
        b"Nr\xff\xff\xff\xff.",
        b"Np4000000000\n.",
    ] {
        assert_eq!(read(bytes).unwrap_err().kind(), ErrorKind::BadValue, "{bytes:02x?}");
    }
}

#[test]
fn what_is_no_pickle_is_a_bad_value() {
    for bytes in [
        &b""[..],
        b".",
        b"hello",
        b"\x80",
        b"\x80\x06N.",
        b"(.",
        b"(NNd0",
        b"(Nd.",
        b"h\x00.",
        b"Na.",
        b"NNR.",
        b"K\x01b.",
        b"X\x01\x00\x00\x00\xff.",
        b"Ix\n.",
        b"Fx\n.",
        b"Sx\n.",
        b"P1\n.",
        b"(1",
        b"NQ.",
        b"\x82\x01.",
        b"K\x01)\x81.",
    ] {
        let error = from_slice::<serde_json::Value>(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadValue, "{bytes:02x?}: {error}");
    }
}

#[test]
fn bytes_after_the_end_are_ignored() {
    assert_eq!(from_slice::<u8>(b"K\x07.rest of an older, longer value").unwrap(), 7);
}

#[test]
fn nesting_is_bounded_in_both_directions() {
    let deep = |depth| [&vec![b']'; depth][..], &vec![b'a'; depth - 1], b"."].concat();
    assert!(read(&deep(200)).is_ok());
    assert_eq!(read(&deep(201)).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(from_slice::<serde_json::Value>(&deep(100_000)).unwrap_err().kind(), ErrorKind::Value);

    let nest = |depth: usize| (1..depth).fold(serde_json::json!([]), |inner, _| serde_json::json!([inner]));
    assert!(from_slice::<serde_json::Value>(&to_vec(&nest(200)).unwrap()).is_ok());
    assert_eq!(to_vec(&nest(201)).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn text_is_shown_as_python_shows_it() {
    let show = |text: &str| PythonValue::Str(text.to_owned()).to_string();
    assert_eq!(show("it's"), r#""it's""#);
    assert_eq!(show(r#"'"\"#), r#"'\'"\\'"#);
    assert_eq!(show("\x1b[31m\u{202e}\n\u{85}é"), r"'\x1b[31m\u202e\n\x85é'");
    assert_eq!(PythonValue::Bytes(b"a\x00\xff'".to_vec()).to_string(), r#"b"a\x00\xff'""#);
    assert_eq!(PythonValue::Tuple(vec![PythonValue::Int(1)]).to_string(), "(1,)");
    assert_eq!(display(&PythonValue::BigInt(num_bigint::BigInt::from(1) << 20_000)), "<int of 20001 bits>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = read(&bytes) {
            let _ = value.to_string();
        }
        let _ = from_slice::<serde_json::Value>(&bytes);
    }

    /// Random bytes seldom get past the first opcode; these are all opcodes and small operands.
    #[test]
    fn any_opcodes_give_a_value_or_an_error(
        bytes in proptest::collection::vec(
            proptest::sample::select(&b"\x00\x01\x02(.012FIJKLMNRSTUVXabcd}eghijl]opqrst)uGBC\x80\x81\x85\x86\x87\x88\
                \x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\n'"[..]),
            0..60,
        )
    ) {
        let bytes = [&bytes[..], b"."].concat();
        if let Ok(value) = read(&bytes) {
            let _ = value.to_string();
        }
        let _ = from_slice::<serde_json::Value>(&bytes);
    }

    #[test]
    fn a_truncated_pickle_is_a_bad_value(numbers in proptest::collection::vec(any::<i64>(), 0..50), cut in any::<prop::sample::Index>()) {
        let whole = to_vec(&(numbers, "text", 1.5, [Some(true), None])).unwrap();
        let error = read(&whole[..cut.index(whole.len())]).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::BadValue);
    }

    #[test]
    fn a_damaged_pickle_gives_a_value_or_an_error(
        numbers in proptest::collection::vec(any::<i64>(), 0..50),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = to_vec(&BTreeMap::from([("numbers", &numbers), ("again", &numbers)])).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(value) = read(&bytes) {
            let _ = value.to_string();
        }
        let _ = from_slice::<BTreeMap<String, Vec<i64>>>(&bytes);
    }
}
