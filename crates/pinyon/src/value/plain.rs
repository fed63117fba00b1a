//! Which values are stored as they are: integers, and with Memcached also text and bytes.

use serde::ser::{Error as _, Impossible, Serialize, SerializeStruct, Serializer};
use std::fmt::{self, Display};

/// The name of the struct as which serde_json (feature `arbitrary_precision`) passes a number through serde, and of its
/// only field, which holds the number's text.
pub(super) const JSON_NUMBER: &str = "$serde_json::private::Number";

/// What a value is, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// An integer of any width, as decimal digits. A bool is none.
    Integer(String),
    /// Text: a str, a char, or a unit variant by its name.
    Str(String),
    /// Bytes: what calls `serialize_bytes`, as `serde_bytes` does. A `Vec<u8>` by itself is a list of integers.
    Bytes(Vec<u8>),
    /// Anything else.
    Other,
}

/// Classifies `value` and encodes nothing. `Some(value)` and newtypes are what they hold.
pub fn classify<T: Serialize + ?Sized>(value: &T) -> Plain {
    value.serialize(Classifier { text: true }).unwrap_or(Plain::Other)
}

/// The digits of an integer; none for anything else. Copies no text, unlike [`classify`].
pub fn integer_digits<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    match value.serialize(Classifier { text: false }) {
        Ok(Plain::Integer(digits)) => Some(digits),
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Classifier {
    /// Whether text and bytes are wanted too.
    text: bool,
}

/// Ends the classification of a value that is not plain.
#[derive(Debug)]
pub(super) struct NotPlain;

impl Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a plain value")
    }
}

impl std::error::Error for NotPlain {}

impl serde::ser::Error for NotPlain {
    fn custom<T: Display>(_message: T) -> Self {
        Self
    }
}

/// Collects the text of a number of serde_json.
#[derive(Default)]
pub(super) struct JsonNumber {
    pub(super) digits: String,
}

impl JsonNumber {
    /// Takes the only field.
    pub(super) fn field<T: Serialize + ?Sized>(&mut self, value: &T) {
        if let Plain::Str(digits) = classify(value) {
            self.digits = digits;
        }
    }
}

impl SerializeStruct for JsonNumber {
    type Ok = Plain;
    type Error = NotPlain;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _key: &'static str, value: &T) -> Result<(), NotPlain> {
        self.field(value);
        Ok(())
    }

    fn end(self) -> Result<Plain, NotPlain> {
        let digits = self.digits.strip_prefix('-').unwrap_or(&self.digits);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Plain::Integer(self.digits));
        }
        Err(NotPlain)
    }
}

macro_rules! integers {
    ($($method:ident $type:ty;)*) => {
        $(
            fn $method(self, number: $type) -> Result<Plain, NotPlain> {
                Ok(Plain::Integer(itoa::Buffer::new().format(number).to_owned()))
            }
        )*
    };
}

macro_rules! not_plain {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(not_plain!(@one $method ($($argument),*) $result);)*
    };
    (@one $method:ident () $result:ty) => {
        fn $method(self) -> Result<$result, NotPlain> {
            Err(NotPlain)
        }
    };
    (@one $method:ident ($a:ty) $result:ty) => {
        fn $method(self, _: $a) -> Result<$result, NotPlain> {
            Err(NotPlain)
        }
    };
    (@one $method:ident ($a:ty, $b:ty) $result:ty) => {
        fn $method(self, _: $a, _: $b) -> Result<$result, NotPlain> {
            Err(NotPlain)
        }
    };
    (@one $method:ident ($a:ty, $b:ty, $c:ty, $d:ty) $result:ty) => {
        fn $method(self, _: $a, _: $b, _: $c, _: $d) -> Result<$result, NotPlain> {
            Err(NotPlain)
        }
    };
}

type Never = Impossible<Plain, NotPlain>;

impl Serializer for Classifier {
    type Ok = Plain;
    type Error = NotPlain;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = JsonNumber;
    type SerializeStructVariant = Never;

    integers! {
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_u128 u128;
    }

    not_plain! {
        serialize_bool(bool) -> Plain;
        serialize_f32(f32) -> Plain;
        serialize_f64(f64) -> Plain;
        serialize_none() -> Plain;
        serialize_unit() -> Plain;
        serialize_unit_struct(&'static str) -> Plain;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }

    fn serialize_char(self, character: char) -> Result<Plain, NotPlain> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<Plain, NotPlain> {
        if self.text { Ok(Plain::Str(text.to_owned())) } else { Err(NotPlain) }
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Plain, NotPlain> {
        if self.text { Ok(Plain::Bytes(bytes.to_vec())) } else { Err(NotPlain) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Plain, NotPlain> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Plain, NotPlain> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Plain, NotPlain> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Plain, NotPlain> {
        Err(NotPlain)
    }

    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<JsonNumber, NotPlain> {
        if name == JSON_NUMBER { Ok(JsonNumber::default()) } else { Err(NotPlain::custom("")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Id(u64);
    #[derive(Serialize)]
    enum Color {
        Red,
        Rgb(u8),
    }

    #[test]
    fn integers_of_every_width_are_digits_and_bools_are_not() {
        assert_eq!(classify(&-5_i8), Plain::Integer("-5".into()));
        assert_eq!(classify(&u128::MAX), Plain::Integer(u128::MAX.to_string()));
        assert_eq!(classify(&i128::MIN), Plain::Integer(i128::MIN.to_string()));
        assert_eq!(classify(&Some(Id(7))), Plain::Integer("7".into()));
        assert_eq!(integer_digits(&7_u16), Some("7".into()));
        assert_eq!(classify(&true), Plain::Other);
        assert_eq!(classify(&1.0), Plain::Other);
    }

    #[test]
    fn json_numbers_are_integers_exactly_if_they_look_like_one() {
        let classify_json = |text: &str| classify(&serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(classify_json("-42"), Plain::Integer("-42".into()));
        assert_eq!(classify_json("42.0"), Plain::Other);
        assert_eq!(classify_json("1e3"), Plain::Other);
        assert_eq!(classify_json("[1]"), Plain::Other);
    }

    #[test]
    fn json_numbers_in_a_program_with_arbitrary_precision_are_integers_too() {
        #[derive(Serialize)]
        #[serde(rename = "$serde_json::private::Number")]
        struct Number {
            #[serde(rename = "$serde_json::private::Number")]
            digits: &'static str,
        }
        assert_eq!(classify(&Number { digits: "-42" }), Plain::Integer("-42".into()));
        assert_eq!(classify(&Number { digits: "42.0" }), Plain::Other);
        assert_eq!(classify(&Number { digits: "1e3" }), Plain::Other);
    }

    #[test]
    fn text_and_bytes_are_themselves_where_they_are_wanted() {
        assert_eq!(classify("abc"), Plain::Str("abc".into()));
        assert_eq!(classify(&Color::Red), Plain::Str("Red".into()));
        assert_eq!(classify(&Color::Rgb(1)), Plain::Other);
        assert_eq!(classify(serde_bytes::Bytes::new(b"ab")), Plain::Bytes(b"ab".to_vec()));
        assert_eq!(classify(&vec![1_u8]), Plain::Other);
        assert_eq!(classify(&None::<u8>), Plain::Other);
        assert_eq!(integer_digits("abc"), None);
    }
}
