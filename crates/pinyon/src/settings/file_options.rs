//! The file backend: LOCATION and OPTIONS.

use super::fields::{Field, Problems, Section, refuse_doubles, set};
use super::limits::{self, Limits};
use super::model::{FileSettings, OnBadValue, SerializerKind};
use super::node::{Entry, Span};
use std::path::PathBuf;

const NAMES: &[&str] = &["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES", "SERIALIZER", "ON_BAD_VALUE"];

/// What the dictionary says about a cache of files. `lower` are `max_entries` and `cull_frequency` beside OPTIONS; `place`
/// is where the cache stands, for a LOCATION that is missing.
pub(super) fn read(
    location: Option<&Entry>,
    options: &[Entry],
    lower: &[&Entry],
    place: Option<Span>,
    problems: &mut Problems<'_>,
) -> FileSettings {
    let directory = location.map_or(Some(String::new()), |entry| Field::key(entry).text(problems));
    if directory.as_deref() == Some("") {
        let hint = "Name a directory that only the site can write to, for example LOCATION = \"/var/tmp/shop_cache\".";
        problems.error("LOCATION is missing", place, hint.to_owned());
    }
    let section = Section { name: "OPTIONS", owner: "the file backend", names: NAMES };
    refuse_doubles(problems, section, options);
    let (mut serializer, mut on_bad_value) = (SerializerKind::default(), OnBadValue::default());
    let mut limits = Limits::default();
    for entry in options {
        let field = Field::option(section, entry);
        match entry.key.as_str() {
            "SERIALIZER" => set(&mut serializer, field.serializer(problems)),
            "ON_BAD_VALUE" => set(&mut on_bad_value, field.on_bad_value(problems)),
            name if limits::read(name, &field, &mut limits, problems) => {}
            name => field.unknown(problems, name, section),
        }
    }
    limits::read_lower(lower, &mut limits, problems);
    let Limits { max_entries, cull_frequency, max_bytes } = limits;
    let directory = PathBuf::from(directory.unwrap_or_default());
    FileSettings { directory, max_entries, cull_frequency, max_bytes, serializer, on_bad_value }
}
