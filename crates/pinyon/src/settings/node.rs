//! One tree for every source of settings: TOML, JSON, a URL and, in the Python face, a dictionary.

use super::mask::mask_credentials;
use std::fmt;
use std::path::PathBuf;

/// A place in a text; both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Which of the texts that were read: 0, but for the files that a settings.py imports.
    pub source: u16,
}

impl Span {
    /// A place in the one text, or the first.
    pub fn new(line: usize, column: usize) -> Self {
        Self { line, column, source: 0 }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A place in a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, if the settings were in one.
    pub file: Option<PathBuf>,
    /// The place in it.
    pub span: Span,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}, {}", file.display(), self.span),
            None => self.span.fmt(f),
        }
    }
}

/// A value with the place where it was written, if it was written in a text.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it begins; none for a Python dictionary and for a URL.
    pub span: Option<Span>,
}

/// What a setting can be. `Debug` shows the structure but no string, since any of them may be a password.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `None`, `null`; TOML has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    String(String),
    /// A list or a tuple.
    List(Vec<Node>),
    /// A table, an object, a dictionary: in the order in which it was written.
    Table(Vec<Entry>),
    /// A Python object that has no TOML form: what it is, for example `shop.keys.make` for a function.
    Opaque(String),
}

/// One key of a table with its value.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub key_span: Option<Span>,
    /// The value.
    pub node: Node,
}

impl Entry {
    /// An entry without a place.
    pub fn new(key: impl Into<String>, node: impl Into<Node>) -> Self {
        Self { key: key.into(), key_span: None, node: node.into() }
    }
}

impl Node {
    /// A node without a place.
    pub fn new(value: Value) -> Self {
        Self { value, span: None }
    }

    /// A node at a place.
    pub fn at(value: Value, span: Span) -> Self {
        Self { value, span: Some(span) }
    }

    /// A list of nodes without a place.
    pub fn list(items: impl IntoIterator<Item = Node>) -> Self {
        Self::new(Value::List(items.into_iter().collect()))
    }

    /// A table without a place.
    pub fn table<K: Into<String>, N: Into<Node>>(entries: impl IntoIterator<Item = (K, N)>) -> Self {
        Self::new(Value::Table(entries.into_iter().map(|(key, node)| Entry::new(key, node)).collect()))
    }

    /// The entries, if this is a table.
    pub fn as_table(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key`, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_table()?.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// What this is, for an error: the type, and the value where it is a plain one. User names and passwords in
    /// something like a URL are masked.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::String(text) => format!("the string '{}'", mask_credentials(text)),
            Value::Opaque(name) => format!("the Python object {name}"),
            _ => self.kind().to_owned(),
        }
    }

    /// The type of the value, for an error about something that must not be shown.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Opaque(_) => "a Python object",
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::new(Value::String(text.to_owned()))
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::new(Value::String(text))
    }
}

impl From<i64> for Node {
    fn from(number: i64) -> Self {
        Self::new(Value::Int(number))
    }
}

impl From<f64> for Node {
    fn from(number: f64) -> Self {
        Self::new(Value::Float(number))
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::new(Value::Bool(value))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::String(text) => write!(f, "<string of {} bytes>", text.len()),
            Self::List(items) => items.fmt(f),
            Self::Table(entries) => f.debug_map().entries(entries.iter().map(|e| (&e.key, &e.node))).finish(),
            Self::Opaque(name) => write!(f, "<{name}>"),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.key, self.node)
    }
}

/// Turns byte offsets of a text into places.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    source: u16,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self::of(text, 0)
    }

    /// The text with this number.
    pub(super) fn of(text: &'t str, source: u16) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { text, starts, source }
    }

    /// The place of the byte `offset`; beyond the text, its end.
    pub(super) fn span(&self, offset: usize) -> Span {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.as_bytes()[start..offset].iter().filter(|byte| (**byte & 0xc0) != 0x80).count() + 1;
        Span { line, column, source: self.source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_lines_and_characters_from_one() {
        let lines = Lines::new("aé=1\n\nb=2");
        assert_eq!(lines.span(0), Span::new(1, 1));
        assert_eq!(lines.span(3), Span::new(1, 3));
        assert_eq!(lines.span(6), Span::new(2, 1));
        assert_eq!(lines.span(8), Span::new(3, 2));
        assert_eq!(lines.span(99), Span::new(3, 4));
    }

    #[test]
    fn debug_shows_structure_and_no_string() {
        let node = Node::table([("PASSWORD", Node::from("hunter2")), ("db", Node::from(1))]);
        let text = format!("{node:?}");
        assert!(text.contains("PASSWORD") && !text.contains("hunter2"), "{text}");
    }
}
