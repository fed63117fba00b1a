//! Objects of Python's standard library that people put into caches, as Python prints them.
//!
//! Source of the packed forms: `__reduce__` and `__getstate__` in CPython's `Lib/_pydatetime.py` and `Lib/uuid.py`.

use super::value::{PythonObject, PythonValue};
use num_bigint::BigInt;

/// The text of a well-known object that is in order; none for every other.
pub(super) fn display(object: &PythonObject) -> Option<String> {
    match object.class.as_str() {
        "datetime.datetime" => datetime(object),
        "datetime.date" => date(object),
        "datetime.time" => time(object),
        "datetime.timedelta" => timedelta(&object.arguments),
        "datetime.timezone" => timezone(&object.arguments),
        "uuid.UUID" => uuid(object.state.as_ref()?),
        _ => None,
    }
}

/// The packed fields and the zone, if there is one.
fn packed<const N: usize>(object: &PythonObject) -> Option<([u8; N], Option<&PythonValue>)> {
    let (first, zone) = match object.arguments.as_slice() {
        [first] => (first, None),
        [first, zone] => (first, Some(zone)),
        _ => return None,
    };
    match first {
        PythonValue::Bytes(bytes) => Some((bytes.as_slice().try_into().ok()?, zone)),
        // Python 2 packed them into a str.
        PythonValue::Str(text) => {
            let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(character).ok()).collect();
            Some((bytes?.try_into().ok()?, zone))
        }
        _ => None,
    }
}

/// The seconds and microseconds where they are not zero, the zone, and the second run of a repeated hour.
fn tail(second: u8, micro: [u8; 3], zone: Option<&PythonValue>, fold: bool) -> String {
    let [high, middle, low] = micro;
    let micro = u32::from_be_bytes([0, high, middle, low]);
    let mut text = match (second, micro) {
        (0, 0) => String::new(),
        (second, 0) => format!(", {second}"),
        (second, micro) => format!(", {second}, {micro}"),
    };
    if fold {
        text.push_str(", fold=1");
    }
    if let Some(zone) = zone {
        text.push_str(", tzinfo=");
        text.push_str(&zone.to_string());
    }
    text
}

fn datetime(object: &PythonObject) -> Option<String> {
    let ([century, year, month, day, hour, minute, second, a, b, c], zone) = packed(object)?;
    let year = u16::from_be_bytes([century, year]);
    let fold = month & 0x80 != 0;
    let month = month & 0x7f;
    Some(format!("datetime.datetime({year}, {month}, {day}, {hour}, {minute}{})", tail(second, [a, b, c], zone, fold)))
}

fn date(object: &PythonObject) -> Option<String> {
    let ([century, year, month, day], _) = packed(object)?;
    Some(format!("datetime.date({}, {month}, {day})", u16::from_be_bytes([century, year])))
}

fn time(object: &PythonObject) -> Option<String> {
    let ([hour, minute, second, a, b, c], zone) = packed(object)?;
    let tail = tail(second, [a, b, c], zone, hour & 0x80 != 0);
    Some(format!("datetime.time({}, {minute}{tail})", hour & 0x7f))
}

fn timedelta(arguments: &[PythonValue]) -> Option<String> {
    let &[PythonValue::Int(days), PythonValue::Int(seconds), PythonValue::Int(micros)] = arguments else { return None };
    let parts: Vec<String> = [("days", days), ("seconds", seconds), ("microseconds", micros)]
        .into_iter()
        .filter(|(_, number)| *number != 0)
        .map(|(name, number)| format!("{name}={number}"))
        .collect();
    Some(match parts.as_slice() {
        [] => "datetime.timedelta(0)".to_owned(),
        parts => format!("datetime.timedelta({})", parts.join(", ")),
    })
}

fn timezone(arguments: &[PythonValue]) -> Option<String> {
    match arguments {
        [PythonValue::Object(offset)]
            if offset.class == "datetime.timedelta"
                && offset.arguments.iter().all(|part| *part == PythonValue::Int(0)) =>
        {
            Some("datetime.timezone.utc".to_owned())
        }
        _ => None,
    }
}

fn uuid(state: &PythonValue) -> Option<String> {
    let PythonValue::Dict(entries) = state else { return None };
    let (_, number) = entries.iter().find(|(key, _)| *key == PythonValue::Str("int".to_owned()))?;
    let number = match number {
        PythonValue::Int(number) => u128::try_from(*number).ok()?,
        PythonValue::BigInt(number) => <&BigInt as TryInto<u128>>::try_into(number).ok()?,
        _ => return None,
    };
    let (first, second, third) = (number >> 96, number >> 80 & 0xffff, number >> 64 & 0xffff);
    let (fourth, fifth) = (number >> 48 & 0xffff, number & 0xffff_ffff_ffff);
    Some(format!("uuid.UUID('{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{fifth:012x}')"))
}
