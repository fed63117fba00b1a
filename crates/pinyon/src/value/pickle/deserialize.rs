//! From a pickle to serde types.

use super::graph::{Graph, Id, Node, Object, Walk};
use super::no_rust_form;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Integer;
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use std::borrow::Cow;

/// A value that stands for itself, without a serializer.
pub(in crate::value) enum Scalar<'de> {
    Integer(Integer),
    Str(&'de str),
    Bytes {
        bytes: &'de [u8],
        /// Whether they may be read as a list of integers, as they may out of a pickle.
        lists: bool,
    },
}

/// Reads a bare value as `T`, by the rules of [`super::from_slice`]; with `ints_as_bools`, 0 and 1 are bools too.
pub(in crate::value) fn from_scalar<'de, T: Deserialize<'de>>(scalar: Scalar<'de>, ints_as_bools: bool) -> Result<T> {
    let bytes_as_lists = !matches!(scalar, Scalar::Bytes { lists: false, .. });
    let (node, length) = match scalar {
        Scalar::Integer(Integer::Small(number)) => (Node::Int(number), 8),
        Scalar::Integer(Integer::Big(number)) => (Node::BigInt(Box::new(number)), 8),
        Scalar::Str(text) => (Node::Str(Cow::Borrowed(text)), text.len()),
        Scalar::Bytes { bytes, .. } => (Node::Bytes(Cow::Borrowed(bytes)), bytes.len()),
    };
    let mut graph = Graph::default();
    let root = graph.push(node)?;
    let mut walk = Walk::new(graph, root, length);
    walk.ints_as_bools = ints_as_bools;
    walk.bytes_as_lists = bytes_as_lists;
    T::deserialize(Reader::new(&walk))
}

/// What serde can make of a value.
enum Shape<'w, 'de> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(&'w BigInt),
    Float(f64),
    Str(&'w Cow<'de, str>),
    Bytes(&'w Cow<'de, [u8]>),
    Seq(&'w [Id]),
    Map(&'w [(Id, Id)]),
}

impl Shape<'_, '_> {
    /// The shape by the words of serde; the value in it is never shown.
    fn unexpected(&self) -> Unexpected<'static> {
        match self {
            Self::None => Unexpected::Unit,
            Self::Bool(_) => Unexpected::Bool(false),
            Self::Int(_) | Self::BigInt(_) => Unexpected::Signed(0),
            Self::Float(_) => Unexpected::Float(0.0),
            Self::Str(_) => Unexpected::Str(""),
            Self::Bytes(_) => Unexpected::Bytes(b""),
            Self::Seq(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        }
    }
}

/// One value of a walk, to be read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'w, 'de> {
    walk: &'w Walk<'de>,
    id: Id,
    depth: usize,
}

impl<'w, 'de> Reader<'w, 'de> {
    pub(super) fn new(walk: &'w Walk<'de>) -> Self {
        Self { walk, id: walk.root, depth: 0 }
    }

    fn child(self, id: Id) -> Self {
        Self { id, depth: self.depth + 1, ..self }
    }

    fn shape(self) -> Result<Shape<'w, 'de>> {
        let shape = match self.walk.graph.node(self.id) {
            Node::None => Shape::None,
            Node::Bool(value) => Shape::Bool(*value),
            Node::Int(number) => Shape::Int(*number),
            Node::BigInt(number) => Shape::BigInt(number),
            Node::Float(number) => Shape::Float(*number),
            Node::Str(text) => Shape::Str(text),
            Node::Bytes(bytes) | Node::ByteArray(bytes) => Shape::Bytes(bytes),
            Node::List(items) | Node::Tuple(items) | Node::Set(items) | Node::FrozenSet(items) => Shape::Seq(items),
            Node::Dict(entries) => Shape::Map(entries),
            Node::BrokenStr(_) => {
                return Err(Error::new(
                    ErrorKind::Value,
                    "the cached value holds a str with lone surrogates, which has no Rust form",
                ));
            }
            Node::Global(global) => return Err(no_rust_form(&global.path())),
            Node::Object(object) => {
                self.plain_form(object).ok_or_else(|| no_rust_form(&self.walk.graph.class_path(object.class)))?
            }
        };
        self.walk.pay(match &shape {
            Shape::Str(text) => text.len(),
            Shape::Bytes(bytes) => bytes.len(),
            _ => 0,
        })?;
        if matches!(shape, Shape::Seq(_) | Shape::Map(_)) {
            Walk::check_depth(self.depth)?;
        }
        Ok(shape)
    }

    /// The value of those well-known objects that are only a dict, a list or a str with other methods.
    fn plain_form(self, object: &'w Object) -> Option<Shape<'w, 'de>> {
        let graph = &self.walk.graph;
        let class = graph.global(object.class)?;
        match (&*class.module, &*class.name) {
            ("collections", "defaultdict") => Some(Shape::Map(&object.entries)),
            ("collections", "Counter") => match object.arguments.first().map(|first| graph.node(*first)) {
                Some(Node::Dict(entries)) => Some(Shape::Map(entries)),
                _ => Some(Shape::Map(&object.entries)),
            },
            ("collections", "deque") => Some(Shape::Seq(&object.items)),
            ("django.utils.safestring", "SafeString" | "SafeText") => match graph.node(*object.arguments.first()?) {
                Node::Str(text) => Some(Shape::Str(text)),
                _ => None,
            },
            _ => None,
        }
    }

    fn visit<V: Visitor<'de>>(self, shape: &Shape<'w, 'de>, visitor: V) -> Result<V::Value> {
        match shape {
            Shape::None => visitor.visit_unit(),
            Shape::Bool(value) => visitor.visit_bool(*value),
            Shape::Int(number) => visitor.visit_i64(*number),
            Shape::BigInt(number) => visit_big(number, visitor),
            Shape::Float(number) => visitor.visit_f64(*number),
            Shape::Str(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Shape::Str(Cow::Owned(text)) => visitor.visit_str(text),
            Shape::Bytes(Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
            Shape::Bytes(Cow::Owned(bytes)) => visitor.visit_bytes(bytes),
            Shape::Seq(items) => {
                let mut items = Items { reader: self, rest: items.iter() };
                let value = visitor.visit_seq(&mut items)?;
                if items.rest.len() == 0 { Ok(value) } else { Err(too_long("list")) }
            }
            Shape::Map(entries) => {
                let mut entries = Entries { reader: self, rest: entries.iter(), value: None };
                let value = visitor.visit_map(&mut entries)?;
                if entries.rest.len() == 0 { Ok(value) } else { Err(too_long("dict")) }
            }
        }
    }
}

fn too_long(what: &str) -> Error {
    Error::new(ErrorKind::Value, format!("the cached value holds a {what} with more elements than expected"))
}

fn visit_big<'de, V: Visitor<'de>>(number: &BigInt, visitor: V) -> Result<V::Value> {
    if let Some(number) = number.to_u64() {
        return visitor.visit_u64(number);
    }
    if let Some(number) = number.to_i128() {
        return visitor.visit_i128(number);
    }
    match number.to_u128() {
        Some(number) => visitor.visit_u128(number),
        None => Err(Error::new(ErrorKind::OutOfRange, "the cached value holds an int of more than 128 bits")),
    }
}

macro_rules! deserialize_narrow_integer {
    ($($method:ident $name:literal;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                match self.shape()? {
                    Shape::BigInt(number) if number.to_u64().is_none() => {
                        Err(Error::invalid_value(Unexpected::Signed(0), &$name))
                    }
                    shape => self.visit(&shape, visitor),
                }
            }
        )*
    };
}

macro_rules! deserialize_any_shape {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                self.visit(&self.shape()?, visitor)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Error;

    deserialize_any_shape! {
        deserialize_any deserialize_i128 deserialize_u128 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_map deserialize_identifier
    }

    deserialize_narrow_integer! {
        deserialize_i8 "i8";
        deserialize_i16 "i16";
        deserialize_i32 "i32";
        deserialize_i64 "i64";
        deserialize_u8 "u8";
        deserialize_u16 "u16";
        deserialize_u32 "u32";
        deserialize_u64 "u64";
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.shape()? {
            Shape::Int(number @ (0 | 1)) if self.walk.ints_as_bools => visitor.visit_bool(number == 1),
            shape => self.visit(&shape, visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.shape()? {
            Shape::BigInt(number) => match number.to_f64().filter(|number| number.is_finite()) {
                Some(number) => visitor.visit_f64(number),
                None => Err(Error::invalid_value(Unexpected::Signed(0), &"a float")),
            },
            shape => self.visit(&shape, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.walk.graph.node(self.id) {
            Node::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.shape()? {
            Shape::Bytes(bytes) if self.walk.bytes_as_lists => {
                let mut bytes = bytes.iter().copied();
                let value = visitor.visit_seq(serde::de::value::SeqDeserializer::<_, Error>::new(&mut bytes))?;
                if bytes.len() == 0 { Ok(value) } else { Err(too_long("bytes object")) }
            }
            shape => self.visit(&shape, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.shape()? {
            Shape::Str(text) => {
                let variant: StrDeserializer<'_, Error> = text.as_ref().into_deserializer();
                visitor.visit_enum(variant)
            }
            Shape::Map(&[(variant, content)]) => {
                visitor.visit_enum(Variant { variant: self.child(variant), content: self.child(content) })
            }
            shape => Err(Error::invalid_type(
                shape.unexpected(),
                &format!("a variant of {name}: a str, or a dict of one entry").as_str(),
            )),
        }
    }

    /// What is not wanted may be anything, an object without a Rust form too.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

struct Items<'w, 'de> {
    reader: Reader<'w, 'de>,
    rest: std::slice::Iter<'w, Id>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.rest.next().map(|id| seed.deserialize(self.reader.child(*id))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Entries<'w, 'de> {
    reader: Reader<'w, 'de>,
    rest: std::slice::Iter<'w, (Id, Id)>,
    value: Option<Id>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(*value);
        seed.deserialize(self.reader.child(*key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let value = self.value.take().ok_or_else(|| Error::custom("a map's value was asked for before its key"))?;
        seed.deserialize(self.reader.child(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A variant with content, as a dict of one entry.
struct Variant<'w, 'de> {
    variant: Reader<'w, 'de>,
    content: Reader<'w, 'de>,
}

impl<'w, 'de> EnumAccess<'de> for Variant<'w, 'de> {
    type Error = Error;
    type Variant = Reader<'w, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant)> {
        Ok((seed.deserialize(self.variant)?, self.content))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }
}
