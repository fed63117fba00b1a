//! How much a cache may hold: MAX_ENTRIES, CULL_FREQUENCY and MAX_BYTES, for every backend that culls by itself.

use super::fields::{Field, Problems, set, suggestion};
use super::node::{Entry, Node, Value};

const NAMES: [&str; 3] = ["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES"];

const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

/// What was read, or the defaults.
pub(super) struct Limits {
    pub max_entries: i64,
    pub cull_frequency: i64,
    pub max_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 300, cull_frequency: 3, max_bytes: None }
    }
}

/// Takes `max_entries` and `cull_frequency` beside OPTIONS, which win over those in OPTIONS as they do in Django.
pub(super) fn read_lower(lower: &[&Entry], limits: &mut Limits, problems: &mut Problems<'_>) {
    for entry in lower {
        read(&entry.key.to_ascii_uppercase(), &Field::key(entry), limits, problems);
    }
}

/// Takes one of the options, in OPTIONS or, in lower case, beside it. False if `name` is none of them.
pub(super) fn read(name: &str, field: &Field<'_>, limits: &mut Limits, problems: &mut Problems<'_>) -> bool {
    match name {
        "MAX_ENTRIES" => set(&mut limits.max_entries, field.integer(problems, i64::MIN..=i64::MAX)),
        "CULL_FREQUENCY" => set(&mut limits.cull_frequency, field.integer(problems, 0..=i64::MAX)),
        "MAX_BYTES" => set(&mut limits.max_bytes, max_bytes(field, problems).map(Some)),
        "max_entries" | "cull_frequency" => {
            let hint = suggestion(name, &NAMES);
            field.refuse(problems, "is written in upper case in OPTIONS, in lower case beside it", hint);
        }
        _ => return false,
    }
    true
}

fn max_bytes(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<u64> {
    let bytes = parse_bytes(field.node).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        field.wrong(problems, "a number of bytes above 0, or a string such as '64MB' (10^6) or '64MiB' (2^20)");
    }
    bytes
}

fn parse_bytes(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Int(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => {
            let text = text.trim();
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let unit = text[digits..].trim_start();
            let (_, factor) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
            text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_decimal_or_binary_units() {
        for (text, expected) in [
            ("64MB", Some(64_000_000)),
            ("64 MiB", Some(64 << 20)),
            ("1kib", Some(1024)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("1.5MB", None),
            ("MB", None),
            ("64 megs", None),
            ("99999999999999TB", None),
        ] {
            assert_eq!(parse_bytes(&Node::from(text)), expected, "{text}");
        }
        assert_eq!(parse_bytes(&Node::from(1000)), Some(1000));
        assert_eq!(parse_bytes(&Node::from(-1)), None);
    }
}
