//! The memory backend: LOCATION and OPTIONS.

use super::fields::{Field, Problems, Section, refuse_doubles, set, suggestion};
use super::model::MemorySettings;
use super::node::{Entry, Node, Value};

const NAMES: &[&str] = &["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES", "SERIALIZER", "ON_BAD_VALUE"];

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

/// What the dictionary says about a memory cache. `lower` are `max_entries` and `cull_frequency` beside OPTIONS, which
/// win over those in OPTIONS as they do in Django.
pub(super) fn read(
    location: Option<&Entry>,
    options: &[Entry],
    lower: &[&Entry],
    problems: &mut Problems<'_>,
) -> MemorySettings {
    let mut settings = MemorySettings::default();
    if let Some(entry) = location {
        set(&mut settings.name, Field::key(entry).text(problems));
    }
    let section = Section { name: "OPTIONS", owner: "the memory backend", names: NAMES };
    refuse_doubles(problems, section, options);
    for entry in options {
        let field = Field::option(section, entry);
        match entry.key.as_str() {
            "MAX_BYTES" => set(&mut settings.max_bytes, max_bytes(&field, problems).map(Some)),
            "SERIALIZER" => set(&mut settings.serializer, field.serializer(problems)),
            "ON_BAD_VALUE" => set(&mut settings.on_bad_value, field.on_bad_value(problems)),
            name @ ("MAX_ENTRIES" | "CULL_FREQUENCY") => limit(name, &field, &mut settings, problems),
            "max_entries" | "cull_frequency" => {
                let hint = suggestion(&entry.key, NAMES);
                field.refuse(problems, "is written in upper case in OPTIONS, in lower case beside it", hint);
            }
            name => field.unknown(problems, name, section),
        }
    }
    for entry in lower {
        limit(&entry.key.to_ascii_uppercase(), &Field::key(entry), &mut settings, problems);
    }
    settings
}

fn limit(name: &str, field: &Field<'_>, settings: &mut MemorySettings, problems: &mut Problems<'_>) {
    if name == "MAX_ENTRIES" {
        set(&mut settings.max_entries, field.integer(problems, i64::MIN..=i64::MAX));
    } else {
        set(&mut settings.cull_frequency, field.integer(problems, 0..=i64::MAX));
    }
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
