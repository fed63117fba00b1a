//! The memory backend: LOCATION and OPTIONS.

use super::fields::{Field, Problems, Section, refuse_doubles, set};
use super::limits::{self, Limits};
use super::model::MemorySettings;
use super::node::Entry;
use crate::memory::Policy;

const NAMES: &[&str] = &["MAX_ENTRIES", "CULL_FREQUENCY", "MAX_BYTES", "POLICY", "SERIALIZER", "ON_BAD_VALUE"];

/// What the dictionary says about a memory cache. `lower` are `max_entries` and `cull_frequency` beside OPTIONS.
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
    let mut limits = Limits::default();
    for entry in options {
        let field = Field::option(section, entry);
        match entry.key.as_str() {
            "POLICY" => set(&mut settings.policy, field.choice(problems, &Policy::NAMES)),
            "SERIALIZER" => set(&mut settings.serializer, field.serializer(problems)),
            "ON_BAD_VALUE" => set(&mut settings.on_bad_value, field.on_bad_value(problems)),
            name if limits::read(name, &field, &mut limits, problems) => {}
            name => field.unknown(problems, name, section),
        }
    }
    limits::read_lower(lower, &mut limits, problems);
    let Limits { max_entries, cull_frequency, max_bytes } = limits;
    MemorySettings { max_entries, cull_frequency, max_bytes, ..settings }
}
