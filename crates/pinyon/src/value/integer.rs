//! Integers as decimal digits, read as leniently as Python's `int()` reads them.

use super::pickle::MAX_DIGITS;
use crate::store::Integer;
use num_bigint::BigInt;

/// Reads what Python's `int(bytes)` reads: ASCII white space around it, a sign, single underscores between digits, any
/// number of leading zeros, at most 4300 digits. None for anything else.
pub fn parse(bytes: &[u8]) -> Option<Integer> {
    let text = trim(bytes);
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    // Most values are no integers: they are told by their first byte.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let mut clean = Vec::new();
    let digits = if digits.contains(&b'_') {
        let lone = |part: &[u8]| part.is_empty();
        if digits.split(|byte| *byte == b'_').any(lone) {
            return None;
        }
        clean.extend(digits.iter().copied().filter(|byte| *byte != b'_'));
        clean.as_slice()
    } else {
        digits
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // 18 digits always fit.
    if digits.len() <= 18 {
        let number = digits.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
        return Some(Integer::Small(if negative { -number } else { number }));
    }
    let number = BigInt::parse_bytes(digits, 10)?;
    Some(Integer::from(if negative { -number } else { number }))
}

/// Python's white space has the vertical tab, Rust's has not.
fn trim(bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = bytes.iter().position(|byte| !space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !space(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_int_reads() {
        for (text, number) in [
            ("0", 0),
            ("42", 42),
            ("-7", -7),
            ("+7", 7),
            ("007", 7),
            (" 12 ", 12),
            ("9 ", 9),
            ("\x0b\t12\r\n", 12),
            ("1_000", 1000),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(Integer::Small(number)), "{text:?}");
        }
        let large = parse(b"1180591620717411303424");
        assert_eq!(large, Some(Integer::Big(BigInt::from(1) << 70)));
    }

    #[test]
    fn refuses_what_python_int_refuses() {
        for text in ["", " ", "-", "+", "+-1", "- 1", "1 2", "_1", "1_", "1__0", "1.0", "0x10", "1e3", "abc", "1\0"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[b'1'; MAX_DIGITS + 1]), None);
        assert!(parse(&[b'1'; MAX_DIGITS]).is_some());
    }
}
