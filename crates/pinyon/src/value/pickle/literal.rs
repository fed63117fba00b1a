//! The text that protocol 0 writes: quoted strings, escapes, numbers.

use std::borrow::Cow;

/// The most digits in a decimal integer: CPython's own limit (`sys.int_info.default_max_str_digits`).
pub(in crate::value) const MAX_DIGITS: usize = 4300;

/// Text, or bytes if it is a str with lone surrogates.
pub(super) enum Text<'de> {
    Str(Cow<'de, str>),
    Broken(Cow<'de, [u8]>),
}

/// Decodes what Python encodes with `encode("utf-8", "surrogatepass")`; none if it is not that.
pub(super) fn utf8(bytes: &[u8]) -> Option<Text<'_>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Text::Str(Cow::Borrowed(text))),
        Err(_) => only_surrogates_are_wrong(bytes).then_some(Text::Broken(Cow::Borrowed(bytes))),
    }
}

fn only_surrogates_are_wrong(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let wrong = rest.get(error.valid_up_to()..).unwrap_or_default();
        match wrong {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] => rest = after,
            _ => return false,
        }
    }
    true
}

/// Decodes Python's raw-unicode-escape: Latin-1 with `\uXXXX` and `\UXXXXXXXX`; none if an escape is broken.
pub(super) fn raw_unicode_escape(bytes: &[u8]) -> Option<Text<'_>> {
    if bytes.is_ascii() && !bytes.contains(&b'\\') {
        return std::str::from_utf8(bytes).ok().map(|text| Text::Str(Cow::Borrowed(text)));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut broken = false;
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let (code, after) = match (first, after.split_first()) {
            (b'\\', Some((b'u', digits))) => hex(digits, 4)?,
            (b'\\', Some((b'U', digits))) => hex(digits, 8)?,
            // Any other pair stands for itself, so that in `\\u0041` nothing is escaped.
            (b'\\', Some((&second, after))) => {
                out.push(b'\\');
                (u32::from(second), after)
            }
            _ => (u32::from(first), after),
        };
        rest = after;
        broken |= !push_code_point(&mut out, code)?;
    }
    if broken {
        return Some(Text::Broken(Cow::Owned(out)));
    }
    String::from_utf8(out).ok().map(|text| Text::Str(Cow::Owned(text)))
}

/// Appends a code point; false for a surrogate, none beyond Unicode.
fn push_code_point(out: &mut Vec<u8>, code: u32) -> Option<bool> {
    if let Some(character) = char::from_u32(code) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return Some(true);
    }
    if !(0xd800..0xe000).contains(&code) {
        return None;
    }
    let [.., high, low] = code.to_be_bytes();
    out.extend_from_slice(&[0xed, 0x80 | (high & 0x0f) << 2 | low >> 6, 0x80 | (low & 0x3f)]);
    Some(false)
}

fn hex(bytes: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (digits, after) = bytes.split_at_checked(digits)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((code, after))
}

/// Decodes the `repr` of a Python 2 str: quotes around it and escapes in it; none if it is not that.
pub(super) fn quoted(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let bytes = bytes.trim_ascii_end();
    let (quote, rest) = bytes.split_first()?;
    let (last, inner) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    if !inner.contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            out.push(first);
            rest = after;
            continue;
        }
        let (&escape, after) = after.split_first()?;
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'\\' | b'\'' | b'"' => out.push(escape),
            b'x' => {
                let (code, after) = hex(after, 2)?;
                out.push(u8::try_from(code).ok()?);
                rest = after;
            }
            b'0'..=b'7' => {
                let mut code = u32::from(escape - b'0');
                for _ in 0..2 {
                    let Some((&digit @ b'0'..=b'7', after)) = rest.split_first() else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    rest = after;
                }
                out.push((code & 0xff) as u8);
            }
            other => out.extend_from_slice(&[b'\\', other]),
        }
    }
    Some(Cow::Owned(out))
}
