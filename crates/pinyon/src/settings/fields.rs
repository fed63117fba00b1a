//! One setting at a time: what it was, what it must be, and the error that says both.

use super::model::{OnBadValue, SerializerKind};
use super::node::{Entry, Location, Node, Span, Value};
use crate::error::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that is wrong with one cache, collected.
pub(super) struct Problems<'a> {
    pub(super) alias: &'a str,
    /// The files that places count.
    pub(super) files: &'a [PathBuf],
    /// Where the cache itself stands, for what is missing in it.
    pub(super) span: Option<Span>,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(alias: &'a str) -> Self {
        Self { alias, files: &[], span: None, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Reports `message` at `span`, with what to do about it.
    pub(super) fn error(&mut self, message: &str, span: Option<Span>, hint: impl Into<Option<String>>) {
        let error = placed(Error::new(ErrorKind::Config, message), span).with_files(self.files).with_alias(self.alias);
        self.errors.push(match hint.into() {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }

    /// Remembers that something was accepted but does not do what its name says.
    pub(super) fn warn(&mut self, message: &str, span: Option<Span>) {
        let place = span.map(|span| Location { file: self.files.get(usize::from(span.source)).cloned(), span });
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        self.warnings.push(format!("cache '{}': {message}{place}", self.alias));
    }
}

/// `error` with its place, where there is one.
pub(super) fn placed(error: Error, span: Option<Span>) -> Error {
    match span {
        Some(span) => error.with_location(Location { file: None, span }),
        None => error,
    }
}

/// Puts `value` into `slot`, if there is one.
pub(super) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// Where options stand, for errors: `OPTIONS`, or the dictionary in OPTIONS, and whose they are.
#[derive(Clone, Copy)]
pub(super) struct Section<'s> {
    /// For example `OPTIONS`.
    pub(super) name: &'s str,
    /// Who has these options, for example `the Redis backend`.
    pub(super) owner: &'s str,
    /// Every name that is allowed, for suggestions.
    pub(super) names: &'s [&'s str],
}

/// One setting with its name.
pub(super) struct Field<'n> {
    /// As it is named in an error: `TIMEOUT`, `OPTIONS 'db'`.
    pub(super) label: String,
    pub(super) node: &'n Node,
    /// Where its name stands.
    pub(super) key_span: Option<Span>,
    /// Never shown.
    secret: bool,
}

impl<'n> Field<'n> {
    /// A key of the cache itself.
    pub(super) fn key(entry: &'n Entry) -> Self {
        Self { label: entry.key.clone(), node: &entry.node, key_span: entry.key_span, secret: false }
    }

    /// An option.
    pub(super) fn option(section: Section<'_>, entry: &'n Entry) -> Self {
        let secret = entry.key.to_ascii_lowercase().contains("pass");
        let label = format!("{} '{}'", section.name, entry.key);
        Self { label, node: &entry.node, key_span: entry.key_span, secret }
    }

    /// Reports that this is not `expected`.
    pub(super) fn wrong(&self, problems: &mut Problems<'_>, expected: &str) {
        let found = if self.secret { self.node.kind().to_owned() } else { self.node.describe() };
        problems.error(&format!("{} is {found}, but must be {expected}", self.label), self.node.span, None);
    }

    /// Reports that this cannot be, and why.
    pub(super) fn refuse(&self, problems: &mut Problems<'_>, reason: &str, hint: impl Into<Option<String>>) {
        problems.error(&format!("{} {reason}", self.label), self.key_span, hint);
    }

    /// Reports that this option does not exist in `section`, with the nearest that does.
    pub(super) fn unknown(&self, problems: &mut Problems<'_>, name: &str, section: Section<'_>) {
        let message = format!("{} is not an option of {}", self.label, section.owner);
        problems.error(&message, self.key_span, suggestion(name, section.names));
    }

    /// Accepts this and says that it does nothing.
    pub(super) fn no_effect(&self, problems: &mut Problems<'_>, reason: &str) {
        problems.warn(&format!("{} has no effect: {reason}", self.label), self.key_span);
    }

    /// [`Self::no_effect`], unless the value is the one that asks for nothing: null, false, 0, an empty table.
    pub(super) fn no_effect_if_set(&self, problems: &mut Problems<'_>, reason: &str) {
        let idle = match &self.node.value {
            Value::Null | Value::Bool(false) | Value::Int(0) => true,
            Value::Float(number) => *number == 0.0,
            Value::String(text) => matches!(text.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off"),
            Value::Table(entries) => entries.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Bool(true) | Value::Int(_) | Value::Opaque(_) => false,
        };
        if !idle {
            self.no_effect(problems, reason);
        }
    }

    /// A string.
    pub(super) fn text(&self, problems: &mut Problems<'_>) -> Option<String> {
        let text = self.node.as_str();
        if text.is_none() {
            self.wrong(problems, "a string");
        }
        text.map(str::to_owned)
    }

    /// A string, into `slot`; null and the empty string are none.
    pub(super) fn optional_text(&self, slot: &mut Option<String>, problems: &mut Problems<'_>) {
        match &self.node.value {
            Value::Null => *slot = None,
            Value::String(text) => *slot = Some(text.clone()).filter(|text| !text.is_empty()),
            _ => self.wrong(problems, "a string"),
        }
    }

    /// The path of a file, into `slot`; null and the empty string are none.
    pub(super) fn optional_path(&self, slot: &mut Option<PathBuf>, problems: &mut Problems<'_>) {
        let mut text = None;
        self.optional_text(&mut text, problems);
        *slot = text.map(PathBuf::from);
    }

    /// A boolean, or its name as an environment variable would have it.
    pub(super) fn flag(&self, problems: &mut Problems<'_>) -> Option<bool> {
        let flag = match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if flag.is_none() {
            self.wrong(problems, "true or false");
        }
        flag
    }

    /// An integer within `range`, or a string of one.
    pub(super) fn integer(&self, problems: &mut Problems<'_>, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let number = self.node.as_integer().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = match (*range.start(), *range.end()) {
                (i64::MIN, i64::MAX) => "an integer".to_owned(),
                (low, i64::MAX) => format!("an integer, {low} or more"),
                (low, high) => format!("an integer from {low} to {high}"),
            };
            self.wrong(problems, &expected);
        }
        number
    }

    /// A count of at least one, into `slot`; null is none.
    pub(super) fn optional_count(&self, slot: &mut Option<usize>, problems: &mut Problems<'_>) {
        if self.node.value == Value::Null {
            *slot = None;
        } else if let Some(count) = self.integer(problems, 1..=i64::from(u32::MAX)) {
            *slot = usize::try_from(count).ok();
        }
    }

    /// A time in `unit`s, more than none of it. Null, which means no limit to the incumbents, keeps the default: no
    /// operation here may wait for ever.
    pub(super) fn time_limit(&self, problems: &mut Problems<'_>, unit: Duration) -> Option<Duration> {
        if self.node.value == Value::Null {
            self.no_effect(problems, "null would wait for ever, so the default limit stays");
            return None;
        }
        self.duration(problems, unit, true)
    }

    /// A time in `unit`s, possibly none.
    pub(super) fn duration(&self, problems: &mut Problems<'_>, unit: Duration, positive: bool) -> Option<Duration> {
        let number = match &self.node.value {
            Value::Float(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 units the fraction does not matter")]
            Value::Int(number) => Some(*number as f64),
            _ => None,
        };
        let duration = number
            .filter(|number| number.is_finite() && *number >= 0.0 && (!positive || *number > 0.0))
            .and_then(|number| Duration::try_from_secs_f64(number * unit.as_secs_f64()).ok());
        if duration.is_none() || (positive && duration == Some(Duration::ZERO)) {
            let name = match unit.as_nanos() {
                1_000 => "microseconds",
                1_000_000 => "milliseconds",
                _ => "seconds",
            };
            self.wrong(
                problems,
                &format!("a number of {name}, {}", if positive { "more than 0" } else { "0 or more" }),
            );
            return None;
        }
        duration
    }

    /// One of `choices` by its name, in any case.
    pub(super) fn choice<T: Copy>(&self, problems: &mut Problems<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.node.as_str();
        let found = choices.iter().find(|(name, _)| text.is_some_and(|text| text.eq_ignore_ascii_case(name)));
        if found.is_none() {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
            self.wrong(problems, &names.join(" or "));
        }
        found.map(|(_, value)| *value)
    }

    /// OPTIONS ON_BAD_VALUE.
    pub(super) fn on_bad_value(&self, problems: &mut Problems<'_>) -> Option<OnBadValue> {
        self.choice(problems, &[("miss", OnBadValue::Miss), ("raise", OnBadValue::Raise)])
    }

    /// OPTIONS SERIALIZER where only the short names are allowed.
    pub(super) fn serializer(&self, problems: &mut Problems<'_>) -> Option<SerializerKind> {
        self.choice(problems, &SERIALIZERS)
    }

    /// The entries of a table.
    pub(super) fn entries(&self, problems: &mut Problems<'_>) -> &'n [Entry] {
        match &self.node.value {
            Value::Table(entries) => return entries,
            Value::Null => {}
            _ => {
                let message = format!("{} is {}, but must be a table", self.label, self.node.kind());
                problems.error(&message, self.node.span, None);
            }
        }
        &[]
    }
}

/// The serializers by their short names.
pub(super) const SERIALIZERS: [(&str, SerializerKind); 3] =
    [("pickle", SerializerKind::Pickle), ("json", SerializerKind::Json), ("msgpack", SerializerKind::Msgpack)];

impl Node {
    /// An integer, or a string or float of one (`int("5")` in Python).
    pub(super) fn as_integer(&self) -> Option<i64> {
        match &self.value {
            Value::Int(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            #[expect(clippy::cast_possible_truncation, reason = "no fraction, and within 2^53")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            _ => None,
        }
    }
}

/// Reports every option that is given twice in different case, as `SOCKET_TIMEOUT` and `socket_timeout`.
pub(super) fn refuse_doubles(problems: &mut Problems<'_>, section: Section<'_>, entries: &[Entry]) {
    for (index, entry) in entries.iter().enumerate() {
        if let Some(first) = entries[..index].iter().find(|first| first.key.eq_ignore_ascii_case(&entry.key)) {
            let reason = format!("and '{}' say the same thing", first.key);
            Field::option(section, entry).refuse(problems, &reason, "Keep one of the two.".to_owned());
        }
    }
}

/// `Did you mean 'x'?` if one of `names` is near `name`, otherwise all of them.
pub(super) fn suggestion(name: &str, names: &[&str]) -> String {
    match nearest(name, names) {
        Some(near) => format!("Did you mean '{near}'?"),
        None => format!("Allowed: {}.", names.join(", ")),
    }
}

/// The one of `names` that is spelled most like `name`, if any is near: case does not count, and one letter in three
/// may be wrong.
pub(super) fn nearest<'s>(name: &str, names: &[&'s str]) -> Option<&'s str> {
    let name = name.to_ascii_lowercase();
    names
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_ascii_lowercase()), *candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(name.chars().count()) / 3)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_ignores_case_and_forgives_one_letter_in_three() {
        let names = ["KEY_PREFIX", "KEY_FUNCTION", "TIMEOUT"];
        assert_eq!(nearest("KEY_PREFX", &names), Some("KEY_PREFIX"));
        assert_eq!(nearest("key_function", &names), Some("KEY_FUNCTION"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(suggestion("colour", &names), "Allowed: KEY_PREFIX, KEY_FUNCTION, TIMEOUT.");
    }
}
