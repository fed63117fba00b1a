//! The database backend: LOCATION and OPTIONS.

use super::fields::{Field, Problems, Section, refuse_doubles, set};
use super::limits::{self, Limits};
use super::model::{DatabaseSettings, OnBadValue, SerializerKind};
use super::node::{Entry, Span};

/// The options of the database backend.
pub(super) const NAMES: &[&str] =
    &["DATABASE_URL", "CREATE_TABLE", "MAX_ENTRIES", "CULL_FREQUENCY", "SERIALIZER", "ON_BAD_VALUE"];

/// What the dictionary says about a cache in a database. `lower` are `max_entries` and `cull_frequency` beside OPTIONS;
/// `place` is where the cache stands, for a LOCATION that is missing.
pub(super) fn read(
    location: Option<&Entry>,
    options: &[Entry],
    lower: &[&Entry],
    place: Option<Span>,
    problems: &mut Problems<'_>,
) -> DatabaseSettings {
    let table = location.map_or(Some(String::new()), |entry| Field::key(entry).text(problems));
    if table.as_deref() == Some("") {
        let hint = "Name the table, for example LOCATION = \"cache_table\".".to_owned();
        problems.error("LOCATION is missing", place, hint);
    }
    let section = Section { name: "OPTIONS", owner: "the database backend", names: NAMES };
    refuse_doubles(problems, section, options);
    let (mut serializer, mut on_bad_value) = (SerializerKind::default(), OnBadValue::default());
    let (mut limits, mut url, mut create_table) = (Limits::default(), None, false);
    for entry in options {
        let field = Field::option(section, entry);
        match entry.key.as_str() {
            "DATABASE_URL" => set(&mut url, field.text(problems).map(Some)),
            "CREATE_TABLE" => set(&mut create_table, field.flag(problems)),
            "SERIALIZER" => set(&mut serializer, field.serializer(problems)),
            "ON_BAD_VALUE" => set(&mut on_bad_value, field.on_bad_value(problems)),
            "MAX_BYTES" => field.unknown(problems, "MAX_BYTES", section),
            name if limits::read(name, &field, &mut limits, problems) => {}
            name => field.unknown(problems, name, section),
        }
    }
    limits::read_lower(lower, &mut limits, problems);
    let Limits { max_entries, cull_frequency, .. } = limits;
    let table = table.unwrap_or_default();
    DatabaseSettings { table, url, create_table, max_entries, cull_frequency, serializer, on_bad_value }
}
