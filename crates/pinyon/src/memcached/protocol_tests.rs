//! What the meta parser holds, whatever the bytes and however they are cut.

use super::protocol::{MetaParser, MetaProtocol, Status};
use crate::net::{Malformed, Parser, Protocol};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<MetaParser, Malformed> {
    let mut parser = MetaParser::default();
    parser.advance(bytes, usize::MAX)?;
    Ok(parser)
}

fn shown(parser: &MetaParser, bytes: &[u8]) -> String {
    parser.iter(bytes).map(|reply| format!("{reply:?}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_reply_is_read_with_its_flags_and_value() {
    let bytes = b"HD t300\r\nVA 3 f16 O7\r\na\r\n\r\nVA 0 f0\r\n\r\nEN\r\nNF\r\nNS\r\nMN\r\nSERVER_ERROR object too large for cache\r\n";
    let parser = parse(bytes).expect("valid");
    let replies: Vec<_> = parser.iter(bytes).collect();
    assert_eq!(replies.len(), 8);
    assert_eq!(replies[0].number::<i64>(b't'), Some(300));
    assert_eq!(
        (replies[1].value, replies[1].number::<u32>(b'f'), replies[1].number::<usize>(b'O')),
        (&b"a\r\n"[..], Some(16), Some(7))
    );
    assert_eq!((replies[2].status, replies[2].value), (Status::Value, &b""[..]));
    assert_eq!(replies[3].status, Status::Missing);
    assert_eq!(replies[5].status, Status::NotStored);
    assert_eq!(replies[7].rest, b"object too large for cache");
    assert_eq!(parser.consumed(), bytes.len());
}

#[test]
fn statistics_belong_to_the_end_that_follows_them() {
    let bytes = b"STAT pid 12\r\nSTAT bytes 4096\r\nEND\r\n";
    let parser = parse(bytes).expect("valid");
    assert_eq!(
        (parser.replies(), parser.statistic(bytes, "bytes"), parser.statistic(bytes, "limit")),
        (1, Some(4096), None)
    );
}

#[test]
fn what_is_not_memcached_is_refused() {
    for bytes in [
        &b"-ERR unknown command 'version'\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n",
        b"VA x\r\n",
        b"VA 2 f0\r\nabcd\r\n",
        b"HD\n",
        b"\r\n",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
    assert!(parse(&[b'x'; 9000]).is_err(), "an endless line");
    assert!(parse(b"VA 99999999999 f0\r\n").is_err(), "an endless value");
}

#[test]
fn a_server_before_1_6_is_refused_by_name() {
    let bytes = b"VERSION 1.5.22\r\n";
    let error = MetaProtocol.welcome(&parse(bytes).expect("valid"), bytes).unwrap_err();
    assert!(error.to_string().contains("1.5.22") && error.to_string().contains("1.6"), "{error}");
    let bytes = b"VERSION 1.6.18\r\n";
    assert!(MetaProtocol.welcome(&parse(bytes).expect("valid"), bytes).is_ok());
    let bytes = b"ERROR\r\n";
    assert!(MetaProtocol.welcome(&parse(bytes).expect("valid"), bytes).is_err());
}

fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let value = (proptest::collection::vec(any::<u8>(), 0..60), any::<u32>()).prop_map(|(bytes, flags)| {
        [format!("VA {} f{flags} O3\r\n", bytes.len()).as_bytes(), bytes.as_slice(), b"\r\n"].concat()
    });
    prop_oneof![
        Just(b"HD\r\n".to_vec()),
        Just(b"EN\r\n".to_vec()),
        Just(b"NS O4\r\n".to_vec()),
        Just(b"STAT a 1\r\nEND\r\n".to_vec()),
        "[ -~]{0,30}".prop_map(|text| format!("CLIENT_ERROR {text}\r\n").into_bytes()),
        value,
    ]
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
        prop_assert_eq!((whole.replies(), whole.consumed()), (count, bytes.len()));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut pieces = MetaParser::default();
        for end in ends {
            pieces.advance(&bytes[..end], usize::MAX).expect("valid");
            prop_assert!(pieces.consumed() <= end);
        }
        prop_assert_eq!(shown(&pieces, &bytes), shown(&whole, &bytes));
    }

    #[test]
    fn garbage_is_an_error_or_incomplete_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut parser = MetaParser::default();
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
        let mut parser = MetaParser::default();
        let _ = parser.advance(&bytes, usize::MAX);
        let _ = shown(&parser, &bytes);
    }
}
