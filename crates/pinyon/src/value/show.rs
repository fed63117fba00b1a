//! Bytes in readable form when nobody says for certain what they are.

use super::codec::Meaning;
use super::pickle::{self, PythonValue, write_printable};
use super::{integer, msgpack};
use crate::settings::SerializerKind;

/// How many bytes of something unreadable are shown.
const PREVIEW: usize = 24;

/// `bytes` as what they are meant to be, or else as what they look like.
pub(super) fn show(bytes: &[u8], meaning: Meaning, serializer: SerializerKind) -> String {
    let said = match meaning {
        Meaning::Integer => integer::parse(bytes).map(|number| number.to_string()),
        Meaning::Text => std::str::from_utf8(bytes).ok().map(|text| PythonValue::Str(text.to_owned()).to_string()),
        Meaning::Serialized(SerializerKind::Pickle) => show_pickle(bytes),
        Meaning::Serialized(SerializerKind::Msgpack) => show_msgpack(bytes),
        Meaning::Serialized(SerializerKind::Json) | Meaning::Unknown => None,
    };
    said.unwrap_or_else(|| guess(bytes, serializer))
}

fn guess(bytes: &[u8], serializer: SerializerKind) -> String {
    // From protocol 2 on a pickle begins with 0x80 and the protocol, which no text does.
    if let [0x80, 2..=5, ..] = bytes
        && let Some(text) = show_pickle(bytes)
    {
        return text;
    }
    if let Some(number) = integer::parse(bytes) {
        return number.to_string();
    }
    if serializer == SerializerKind::Msgpack
        && let Some(text) = show_msgpack(bytes)
    {
        return text;
    }
    if let Some(text) = readable_text(bytes) {
        // Protocols 0 and 1 look like text but end in a way that text hardly does.
        let old_pickle = (serializer == SerializerKind::Pickle && bytes.ends_with(b".")).then(|| show_pickle(bytes));
        return old_pickle.flatten().unwrap_or(text);
    }
    show_pickle(bytes).filter(|_| bytes.ends_with(b".")).unwrap_or_else(|| preview(bytes))
}

/// The pickle as a value; why not, if it is one that cannot be shown; none if it is no pickle.
fn show_pickle(bytes: &[u8]) -> Option<String> {
    match pickle::read(bytes) {
        Ok(value) => Some(value.to_string()),
        Err(error) if error.kind() == crate::ErrorKind::Value => {
            Some(format!("<pickle of {} bytes: {}>", bytes.len(), error.message()))
        }
        Err(_) => None,
    }
}

fn show_msgpack(bytes: &[u8]) -> Option<String> {
    msgpack::from_slice::<PythonValue>(bytes).ok().map(|value| value.to_string())
}

/// Text as it is, but for characters that could control a terminal; none if it is binary.
fn readable_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.contains('\0') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            _ => write_printable(&mut out, character).ok()?,
        }
    }
    Some(out)
}

fn preview(bytes: &[u8]) -> String {
    let kind = match bytes {
        [0x80, 2..=5, ..] => "unreadable pickle, ",
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => "zlib, ",
        [0x1f, 0x8b, ..] => "gzip, ",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd, ",
        [0x04, 0x22, 0x4d, 0x18, ..] => "lz4, ",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz, ",
        _ => "",
    };
    let shown: Vec<String> = bytes.iter().take(PREVIEW).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > PREVIEW { " …" } else { "" };
    format!("<{kind}{} bytes: {}{more}>", bytes.len(), shown.join(" "))
}
