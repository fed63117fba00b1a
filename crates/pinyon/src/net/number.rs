//! Numbers in replies, read from their bytes.

use std::str::FromStr;

/// So many digits are always less than 2^63.
const MOST_DIGITS: usize = 18;

/// The number that `text` is, as `str::parse` reads it. What a server usually sends, a few digits and nothing else, is not looked
/// at twice.
pub(crate) fn number<T: TryFrom<u64> + FromStr>(text: &[u8]) -> Option<T> {
    match few_digits(text) {
        Some(number) => T::try_from(number).ok(),
        None => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

#[inline]
fn few_digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > MOST_DIGITS {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_is_what_parse_says_it_is() {
        let texts = ["", "0", "7", "007", "-1", "-0", "+5", "+", "-", " 1", "1 ", "1_0", "x", "1x", "4294967296", "é"];
        let long = ["999999999999999999", "9223372036854775807", "9223372036854775808", "18446744073709551616"];
        for text in texts.into_iter().chain(long) {
            assert_eq!(number::<i64>(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(number::<u64>(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(number::<u32>(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(number::<usize>(text.as_bytes()), text.parse().ok(), "{text}");
        }
        assert_eq!(number::<u64>(b"1\xff"), None);
    }
}
