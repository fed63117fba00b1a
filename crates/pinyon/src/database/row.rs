//! What is in a row: base64 and seconds; and how many rows go into one statement.

use crate::timeout::{Expiry, Ttl};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31 23:59:59, Python's `datetime.max` without its microseconds: never.
const NEVER: u64 = 253_402_300_799;
/// An expiry in the year 9999 or later means never: a site in another time zone may have written a few hours less.
const NEVER_FROM: u64 = 253_370_764_800;
/// The most rows in one statement, at three parameters a row, and the most bytes: MySQL takes packets of 16 MB.
const ROWS: usize = 500;
const BYTES: usize = 4 << 20;

/// The bytes of a value as text.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of a value. Text that is no base64 is handed on as no bytes at all, which no serializer reads: a broken value.
pub(super) fn decode(text: &str) -> Vec<u8> {
    BASE64.decode(text).unwrap_or_default()
}

pub(super) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now in whole seconds, as Django compares: an entry is there while it expires in a later second.
pub(super) fn now_in_seconds() -> String {
    since_epoch().as_secs().to_string()
}

/// The second in which the entry expires, rounded down as in Django; none if it is expired already.
pub(super) fn expires(expiry: Expiry) -> Option<String> {
    let second = match expiry {
        Expiry::Now => return None,
        Expiry::Never => NEVER,
        Expiry::In(time) => since_epoch().saturating_add(time).as_secs().min(NEVER),
    };
    Some(second.to_string())
}

/// Rows in portions of a size that every database takes in one statement.
pub(super) fn portions<'r, 'k>(rows: &'r [(&'k str, String)]) -> Vec<&'r [(&'k str, String)]> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, (key, value)) in rows.iter().enumerate() {
        let size = key.len() + value.len();
        if index > start && (index - start == ROWS || bytes + size > BYTES) {
            portions.push(&rows[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    portions.push(&rows[start..]);
    portions
}

/// What is left until the second in which an entry expires; that it is missing if the database does not know the second.
pub(super) fn ttl(second: Option<&str>, now: Duration) -> Ttl {
    match second.and_then(|second| second.parse().ok()) {
        None => Ttl::Missing,
        Some(NEVER_FROM..) => Ttl::Never,
        Some(second) => Ttl::Left(Duration::from_secs(second).saturating_sub(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_bounded_in_rows_and_bytes_and_keep_every_row() {
        let rows: Vec<(&str, String)> = (0..1201).map(|_| ("key", "v".to_owned())).collect();
        let sizes: Vec<usize> = portions(&rows).iter().map(|rows| rows.len()).collect();
        assert_eq!(sizes, [500, 500, 201]);
        let large: Vec<(&str, String)> =
            [1, 3 << 20, 3 << 20, 9 << 20, 1].map(|size| ("key", "v".repeat(size))).to_vec();
        let sizes: Vec<usize> = portions(&large).iter().map(|rows| rows.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn an_expiry_is_a_second_and_the_year_9999_at_most() {
        assert_eq!(expires(Expiry::Now), None);
        assert_eq!(expires(Expiry::Never).as_deref(), Some("253402300799"));
        assert_eq!(expires(Expiry::In(Duration::MAX)).as_deref(), Some("253402300799"));
    }

    #[test]
    fn text_that_is_no_base64_is_no_value() {
        assert_eq!(decode("gAVLKi4="), b"\x80\x05K*.");
        for text in ["gAVLKi4", "gAV LKi4=", "N.", "é", "_-=="] {
            assert_eq!(decode(text), b"", "{text}");
        }
    }
}
