//! What VALUE on the command line stands for.

use crate::failure::Failure;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// A value to be stored.
pub(crate) enum Given {
    /// A str in Python.
    Text(String),
    /// An int.
    Integer(i128),
    /// What JSON can say.
    Json(Json),
}

impl Given {
    /// Reads the text as it is, as an integer, or as JSON. The text is not repeated in an error.
    pub(crate) fn read(text: &str, int: bool, json: bool) -> Result<Self, Failure> {
        if int {
            let number = text.parse().map_err(|_| {
                Failure::usage("VALUE is no integer of up to 128 bits", "Leave --int out to store it as text")
            })?;
            return Ok(Self::Integer(number));
        }
        if json {
            return serde_json::from_str(text).map(Self::Json).map_err(|error| {
                let place = format!("VALUE is no JSON (line {}, column {})", error.line(), error.column());
                Failure::usage(place, "A text in JSON has double quotes; leave --json out to store VALUE as text")
            });
        }
        Ok(Self::Text(text.to_owned()))
    }
}

/// A JSON value whose entries keep the order in which they were given, as a Python dict does.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Dict(Vec<(String, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Dict(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut dict: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, Json>()? {
            // The last one wins, at the place of the first, as in Python.
            match dict.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => dict.push((key, value)),
            }
        }
        Ok(Json::Dict(dict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_order_and_numbers() {
        let text = r#"{"b":[1,-2,2.5,18446744073709551615,null,true],"a":"x"}"#;
        let read: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let read: Json = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"a":3,"b":2}"#);
    }
}
