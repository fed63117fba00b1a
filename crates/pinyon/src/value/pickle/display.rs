//! Values as Python prints them.

use super::known;
use super::literal::MAX_DIGITS;
use super::value::{PythonObject, PythonValue};
use std::fmt::{self, Display, Formatter, Write};

/// As Python's `repr`. Objects of classes that are not loaded here are shown by class, arguments and state:
/// `decimal.Decimal('1.5')`, `<shop.Book {'id': 1}>`. Nothing in it can control a terminal.
impl Display for PythonValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Self::Int(number) => write!(f, "{number}"),
            // Python refuses to print more digits; 10 bits are at least 3 of them.
            Self::BigInt(number) if number.bits() > (MAX_DIGITS as u64) * 10 / 3 => {
                write!(f, "<int of {} bits>", number.bits())
            }
            Self::BigInt(number) => write!(f, "{number}"),
            Self::Float(number) => write_float(f, *number),
            Self::Str(text) => write_str(f, text),
            Self::BrokenStr(bytes) => write_str(f, &String::from_utf8_lossy(bytes)),
            Self::Bytes(bytes) => write_bytes(f, bytes),
            Self::ByteArray(bytes) => {
                f.write_str("bytearray(")?;
                write_bytes(f, bytes)?;
                f.write_char(')')
            }
            Self::List(items) => write_all(f, "[", items, "]"),
            Self::Tuple(items) => write_all(f, "(", items, if items.len() == 1 { ",)" } else { ")" }),
            Self::Set(items) if items.is_empty() => f.write_str("set()"),
            Self::Set(items) => write_all(f, "{", items, "}"),
            Self::FrozenSet(items) if items.is_empty() => f.write_str("frozenset()"),
            Self::FrozenSet(items) => write_all(f, "frozenset({", items, "})"),
            Self::Dict(entries) => write_dict(f, entries),
            Self::Global(path) => write_path(f, path),
            Self::Object(object) => Display::fmt(object, f),
        }
    }
}

impl Display for PythonObject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(text) = known::display(self) {
            return f.write_str(&text);
        }
        let stateful = self.state.as_ref().filter(|state| **state != PythonValue::None);
        if stateful.is_some() {
            f.write_char('<')?;
        }
        write_path(f, &self.class)?;
        let called = !self.arguments.is_empty()
            || !self.keywords.is_empty()
            || !self.items.is_empty()
            || !self.entries.is_empty();
        if called || stateful.is_none() {
            f.write_char('(')?;
            self.write_arguments(f)?;
            f.write_char(')')?;
        }
        match stateful {
            Some(state) => write!(f, " {state}>"),
            None => Ok(()),
        }
    }
}

impl PythonObject {
    fn write_arguments(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for argument in &self.arguments {
            write!(f, "{separator}{argument}")?;
            separator = ", ";
        }
        for (name, value) in &self.keywords {
            f.write_str(separator)?;
            match name {
                PythonValue::Str(name) => write_path(f, name)?,
                other => write!(f, "{other}")?,
            }
            write!(f, "={value}")?;
            separator = ", ";
        }
        if !self.items.is_empty() {
            f.write_str(separator)?;
            write_all(f, "[", &self.items, "]")?;
            separator = ", ";
        }
        if !self.entries.is_empty() {
            f.write_str(separator)?;
            write_dict(f, &self.entries)?;
        }
        Ok(())
    }
}

fn write_all(f: &mut Formatter<'_>, open: &str, items: &[PythonValue], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    f.write_str(close)
}

fn write_dict(f: &mut Formatter<'_>, entries: &[(PythonValue, PythonValue)]) -> fmt::Result {
    f.write_char('{')?;
    for (index, (key, value)) in entries.iter().enumerate() {
        write!(f, "{}{key}: {value}", if index == 0 { "" } else { ", " })?;
    }
    f.write_char('}')
}

/// The shortest digits that give the same float, with an exponent where Python's `repr` has one.
fn write_float(f: &mut Formatter<'_>, number: f64) -> fmt::Result {
    if number.is_nan() {
        return f.write_str("nan");
    }
    if number.is_infinite() {
        return f.write_str(if number > 0.0 { "inf" } else { "-inf" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            write!(f, "{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
        _ if number.fract() == 0.0 => write!(f, "{number}.0"),
        _ => write!(f, "{number}"),
    }
}

fn quote_for(single: bool, double: bool) -> char {
    if single && !double { '"' } else { '\'' }
}

fn write_str(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    f.write_char(quote)?;
    for character in text.chars() {
        if character == quote || character == '\\' {
            f.write_char('\\')?;
            f.write_char(character)?;
        } else {
            write_printable(f, character)?;
        }
    }
    f.write_char(quote)
}

fn write_bytes(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    write!(f, "b{quote}")?;
    for byte in bytes {
        match char::from(*byte) {
            character if character == quote || character == '\\' => write!(f, "\\{character}")?,
            character if byte.is_ascii() => write_printable(f, character)?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(quote)
}

/// A name from a pickle, which may be anything.
fn write_path(f: &mut Formatter<'_>, path: &str) -> fmt::Result {
    let path = path.strip_prefix("builtins.").unwrap_or(path);
    path.chars().try_for_each(|character| write_printable(f, character))
}

/// The character, or its escape if it has no glyph of its own: such characters can hide text or control a terminal.
pub(in crate::value) fn write_printable(f: &mut impl Write, character: char) -> fmt::Result {
    match character {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        _ if !is_invisible(character) => f.write_char(character),
        _ => match u32::from(character) {
            code @ 0..=0xff => write!(f, "\\x{code:02x}"),
            code @ 0x100..=0xffff => write!(f, "\\u{code:04x}"),
            code => write!(f, "\\U{code:08x}"),
        },
    }
}

fn is_invisible(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
                | '\u{f0000}'..='\u{10ffff}'
        )
}
