//! Lines of settings files without what may be a password.
//!
//! A line is shown with its names and numbers. The content of a string is shown only if the string is a key, or a plain
//! word at the place of the mistake, beside no key that sounds like a secret; comments are cut off.

use std::ops::Range;

/// A line that may be shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The text.
    pub(crate) text: String,
    /// What to underline, in bytes of `text`.
    pub(crate) marked: Range<usize>,
}

/// What stands for a string that is not shown.
const MASK: &str = "***";

/// Line `number` of `text`, with the token at `column` marked; both count from 1, columns in characters.
pub(crate) fn line(text: &str, number: usize, column: usize) -> Option<Line> {
    let source = text.lines().nth(number.checked_sub(1)?)?;
    let start: usize = text.split_inclusive('\n').take(number - 1).map(str::len).sum();
    let end = start + source.len();
    let at = start + source.char_indices().nth(column.saturating_sub(1)).map_or(source.len(), |(at, _)| at);
    let secret = names_a_secret(source);
    let mut shown = String::new();
    let mut marked = None;
    let mut here = start;
    for piece in pieces(text).into_iter().filter(|piece| piece.meets(start, end)) {
        let (from, to) = (piece.range.start.max(start), piece.range.end.min(end));
        plain(&text[here..from], here, at, &mut shown, &mut marked);
        here = to;
        if !piece.is_string {
            continue;
        }
        let content = &text[from..to];
        let whole = piece.range == (from..to);
        let is_key = whole && is_key(&text[start..from], &text[to..end]);
        let is_word = whole && !secret && from == at && content.chars().all(is_word_or_quote);
        let begin = shown.len();
        if is_key || is_word {
            shown.push_str(content);
        } else {
            shown.push_str(&mask(content, whole));
        }
        if (from..to).contains(&at) {
            marked = Some(begin..shown.len());
        }
    }
    plain(&text[here..end], here, at, &mut shown, &mut marked);
    let text = shown.trim_end().to_owned();
    let last = text.char_indices().last().map_or(0..0, |(at, last)| at..at + last.len_utf8());
    let marked = marked.filter(|range| range.end <= text.len()).unwrap_or(last);
    Some(Line { text, marked })
}

/// Text outside of strings and comments; the token at `at` is marked if it is in it.
fn plain(text: &str, from: usize, at: usize, shown: &mut String, marked: &mut Option<Range<usize>>) {
    if let Some(offset) = at.checked_sub(from).filter(|offset| *offset < text.len()) {
        let rest = &text[offset..];
        let word = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(rest.len());
        let length = if word == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { word };
        *marked = Some(shown.len() + offset..shown.len() + offset + length);
    }
    shown.push_str(text);
}

/// What stands for a string: its quotes, if it has both in this line.
fn mask(string: &str, whole: bool) -> String {
    match string.chars().next().filter(|_| whole) {
        Some(quote) => format!("{quote}{MASK}{quote}"),
        None => MASK.to_owned(),
    }
}

fn is_word_or_quote(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '"' | '\'')
}

fn names_a_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["pass", "secret", "token", "credential", "auth", "pwd"].iter().any(|word| line.contains(word))
}

/// Whether the string between these two is the key of a dictionary or an index: `{"x": `, `CACHES["x"]`, `"x" = `.
fn is_key(before: &str, after: &str) -> bool {
    let (before, after) = (before.trim_end(), after.trim_start());
    let opens = before.is_empty() || before.ends_with(['{', ',']);
    let indexed = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ']'));
    (opens && after.starts_with(':'))
        || (before.is_empty() && after.starts_with('='))
        || (before.strip_suffix('[').is_some_and(indexed) && after.starts_with(']'))
}

/// A string with its quotes, or a comment.
struct Piece {
    range: Range<usize>,
    is_string: bool,
}

impl Piece {
    fn meets(&self, start: usize, end: usize) -> bool {
        self.range.start < end && self.range.end > start
    }
}

/// The strings and comments of TOML, JSON or Python. A string that is not closed ends with its line, or, if it has three
/// quotes, with the text.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['"', '\'', '#', '/']) {
        let start = at + found;
        let rest = &text[start..];
        let (length, is_string) = match rest.as_bytes() {
            [quote @ (b'"' | b'\''), ..] => (string(rest, *quote as char), true),
            [b'#', ..] | [b'/', b'/', ..] => (rest.find('\n').unwrap_or(rest.len()), false),
            [b'/', b'*', ..] => (rest.find("*/").map_or(rest.len(), |end| end + 2), false),
            _ => {
                at = start + 1;
                continue;
            }
        };
        pieces.push(Piece { range: start..start + length, is_string });
        at = start + length;
    }
    pieces
}

/// How long the string is that `text` begins with.
fn string(text: &str, quote: char) -> usize {
    let three: String = std::iter::repeat_n(quote, 3).collect();
    let long = text.starts_with(&three);
    let opening = if long { 3 } else { 1 };
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(opening) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if !long => return at,
            _ if long && text[at..].starts_with(&three) => return at + 3,
            _ if !long && character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, number: usize, column: usize) -> (String, String) {
        let line = line(text, number, column).unwrap();
        (line.text.clone(), line.text[line.marked].to_owned())
    }

    #[test]
    fn the_token_at_the_place_is_marked() {
        assert_eq!(shown("a\n  \"TIMEOT\": 5,", 2, 3), ("  \"TIMEOT\": 5,".into(), "\"TIMEOT\"".into()));
        assert_eq!(shown("TIMEOT = 5", 1, 1).1, "TIMEOT");
        assert_eq!(shown("é = -1.5", 1, 5).1, "-1.5");
        assert_eq!(shown("x = {", 1, 5).1, "{");
        assert_eq!(shown("BACKEND = 'memroy'", 1, 11), ("BACKEND = 'memroy'".into(), "'memroy'".into()));
        assert_eq!(shown("CACHES['a']['LOCATION'] = 1", 1, 1).0, "CACHES['a']['LOCATION'] = 1");
        assert_eq!(shown("a = 1", 1, 99).1, "1");
        assert_eq!(line("a", 2, 1), None);
        assert_eq!(line("", 1, 1), None);
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        for (text, number, column) in [
            ("LOCATION = 'redis://:hunter2@h'", 1, 12),
            ("x = {'A': 'hunter2', 'TIMEOT': 1}", 1, 22),
            ("x = {'PASSWORD': 'hunter2'}", 1, 18),
            ("x = ['hunter2']", 1, 5),
            ("PASSWORD = 'hunter2", 1, 12),
            ("x = 1  # hunter2", 1, 1),
            ("x = 1  // hunter2", 1, 1),
            ("x = '''\nhunter2\n'''", 2, 1),
            ("x = \"\"\"a\nhunter2\"\"\"; y = 1", 2, 12),
            ("x = 'it\\'s hunter2'", 1, 1),
            ("x = f(\"hunter2\")", 1, 1),
            ("x = 'hunter2' if y else ''", 1, 19),
        ] {
            let (line, _) = shown(text, number, column);
            assert!(!line.contains("hunter2"), "{text} is shown as {line}");
        }
    }
}
