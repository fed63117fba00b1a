//! What the RESP parser holds, whatever the bytes and however they are cut.

use super::protocol::{Reply, RespParser, replies, server_error, write_command};
use crate::ErrorKind;
use crate::net::{Malformed, Parser};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<RespParser, Malformed> {
    let mut parser = RespParser::default();
    parser.advance(bytes, usize::MAX)?;
    Ok(parser)
}

/// The replies as text that can be compared.
fn shown(parser: &RespParser, bytes: &[u8]) -> String {
    replies(parser, bytes).map(|reply| show(&reply)).collect::<Vec<_>>().join(" ")
}

fn show(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Array(elements) => {
            format!("[{}]", elements.clone().map(|element| show(&element)).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    shown(&parse(bytes).expect("valid"), bytes).replace(' ', "")
}

#[test]
fn every_type_of_both_versions_is_read() {
    assert_eq!(text(b"+OK\r\n"), format!("{:?}", Reply::Status(b"OK")).replace(' ', ""));
    assert_eq!(text(b":-12\r\n"), "Integer(-12)");
    assert_eq!(text(b"$-1\r\n_\r\n*-1\r\n"), "NilNilNil");
    assert_eq!(text(b"#t\r\n#f\r\n"), "Integer(1)Integer(0)");
    assert_eq!(text(b"$3\r\na\r\n\r\n"), "Bytes([97,13,10])");
    assert_eq!(text(b"=7\r\ntxt:abc\r\n"), "Bytes([97,98,99])");
    assert_eq!(text(b",1.5\r\n(123\r\n"), "Bytes([49,46,53])Bytes([49,50,51])");
    assert_eq!(text(b"*2\r\n*1\r\n:1\r\n%1\r\n+a\r\n:2\r\n"), "[[Integer(1)][Status([97])Integer(2)]]");
    assert_eq!(text(b"!5\r\nERR x\r\n"), "Error([69,82,82,32,120])");
    assert_eq!(text(b"*0\r\n:7\r\n"), "[]Integer(7)");
}

#[test]
fn out_of_band_data_and_attributes_answer_nothing() {
    let bytes = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:3\r\n:1\r\n*2\r\n|1\r\n+a\r\n*1\r\n:9\r\n:2\r\n:3\r\n:4\r\n";
    let parser = parse(bytes).expect("valid");
    assert_eq!(parser.replies(), 3);
    assert_eq!(text(bytes), "Integer(1)[Integer(2)Integer(3)]Integer(4)");
    assert_eq!(parser.consumed(), bytes.len());
}

#[test]
fn an_unfinished_reply_says_how_much_is_missing() {
    let parser = parse(b"$10\r\nabc").expect("valid so far");
    assert_eq!((parser.replies(), parser.consumed(), parser.missing()), (0, 0, 9));
}

#[test]
fn what_is_not_resp_is_refused() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"ERROR\r\n",
        b"$3\r\nabcd\r\n",
        b"$99999999999\r\n",
        b"$-2\r\n",
        b":1x\r\n",
        b"#x\r\n",
        b"+a\rb\r\n",
        b"*x\r\n",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
    assert!(parse(&vec![b'+'; 70_000]).is_err(), "an endless line");
    assert!(parse(b"*1\r\n".repeat(100).as_slice()).is_err(), "endless nesting");
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    let parser = parse(b"*500000000\r\n*500000000\r\n").expect("nothing wrong yet");
    assert_eq!((parser.replies(), shown(&parser, b"").len()), (0, 0));
}

#[test]
fn server_errors_have_kinds_and_hints() {
    for (text, kind) in [
        (&b"NOAUTH Authentication required."[..], ErrorKind::Auth),
        (b"WRONGPASS invalid username-password pair", ErrorKind::Auth),
        (b"ERR invalid password", ErrorKind::Auth),
        (b"READONLY You can't write against a read only replica.", ErrorKind::Server),
        (b"OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Server),
        (b"MOVED 3999 127.0.0.1:6381", ErrorKind::Server),
    ] {
        let error = server_error(text);
        assert_eq!(error.kind(), kind);
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(server_error(b"ERR something else").hint(), None);
}

fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let bulk = proptest::collection::vec(any::<u8>(), 0..40)
        .prop_map(|bytes| [format!("${}\r\n", bytes.len()).as_bytes(), bytes.as_slice(), b"\r\n"].concat());
    let leaf = prop_oneof![
        Just(b"_\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        "[a-z]{0,9}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
        "[a-z]{0,9}".prop_map(|text| format!("-ERR {text}\r\n").into_bytes()),
        bulk,
    ];
    leaf.prop_recursive(4, 40, 6, |element| {
        proptest::collection::vec(element, 0..6)
            .prop_map(|parts| [format!("*{}\r\n", parts.len()).into_bytes(), parts.concat()].concat())
    })
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_replies(
        stream in proptest::collection::vec(any_reply(), 1..8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let count = stream.len();
        let bytes = stream.concat();
        let whole = parse(&bytes).expect("valid");
        prop_assert_eq!(whole.replies(), count);
        prop_assert_eq!(whole.consumed(), bytes.len());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut pieces = RespParser::default();
        for end in ends {
            pieces.advance(&bytes[..end], usize::MAX).expect("valid");
            prop_assert!(pieces.consumed() <= end);
        }
        prop_assert_eq!(shown(&pieces, &bytes), shown(&whole, &bytes));
        prop_assert_eq!(pieces.consumed(), bytes.len());
    }

    #[test]
    fn garbage_is_an_error_or_incomplete_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut parser = RespParser::default();
        let _ = parser.advance(&bytes, usize::MAX);
        let _ = shown(&parser, &bytes);
        prop_assert!(parser.consumed() <= bytes.len());
    }

    #[test]
    fn a_broken_stream_never_panics(
        stream in proptest::collection::vec(any_reply(), 1..5),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = stream.concat();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let mut parser = RespParser::default();
        let _ = parser.advance(&bytes, usize::MAX);
        let _ = shown(&parser, &bytes);
    }

    #[test]
    fn a_command_reads_back_as_an_array_of_its_parts(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..6)) {
        let mut out = Vec::new();
        write_command(&mut out, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let parser = parse(&out).expect("valid");
        let Some(Reply::Array(elements)) = replies(&parser, &out).next() else { panic!("an array") };
        let read: Vec<Vec<u8>> = elements.map(|element| match element {
            Reply::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(read, parts);
    }
}
