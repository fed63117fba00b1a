//! A pickle as a tree, and any serde value as the Python value it would be.

use super::graph::{Id, Node, Object, Walk};
use crate::error::Result;
use num_bigint::BigInt;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A Python value. `Display` prints it as Python would.
#[derive(Clone, Debug, PartialEq)]
pub enum PythonValue {
    /// `None`.
    None,
    /// A `bool`.
    Bool(bool),
    /// An `int` within 64 bits.
    Int(i64),
    /// An `int` beyond 64 bits.
    BigInt(BigInt),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(String),
    /// A `str` with lone surrogates, as the bytes of its encoding by `encode("utf-8", "surrogatepass")`.
    BrokenStr(Vec<u8>),
    /// A `bytes`.
    Bytes(Vec<u8>),
    /// A `bytearray`.
    ByteArray(Vec<u8>),
    /// A `list`.
    List(Vec<PythonValue>),
    /// A `tuple`.
    Tuple(Vec<PythonValue>),
    /// A `set`, in the order in which it was written.
    Set(Vec<PythonValue>),
    /// A `frozenset`, in the order in which it was written.
    FrozenSet(Vec<PythonValue>),
    /// A `dict` or `OrderedDict`, in its order.
    Dict(Vec<(PythonValue, PythonValue)>),
    /// A class or function by its dotted path.
    Global(String),
    /// Anything else: an object of a class that is known by name only.
    Object(Box<PythonObject>),
}

/// A Python object as its pickle describes it. Nothing has been imported or called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PythonObject {
    /// The dotted path of its class, or of the function that makes it: `shop.models.Book`. For a Django model the
    /// application and the class, which is what its pickle holds: `shop.Book`.
    pub class: String,
    /// What the class or function is called with.
    pub arguments: Vec<PythonValue>,
    /// What it is called with by name.
    pub keywords: Vec<(PythonValue, PythonValue)>,
    /// What `__setstate__` gets: usually a dict of attributes.
    pub state: Option<PythonValue>,
    /// What is appended to it, if it is like a list.
    pub items: Vec<PythonValue>,
    /// What is put into it, if it is like a dict.
    pub entries: Vec<(PythonValue, PythonValue)>,
}

/// Copies the values of a walk into a tree.
pub(super) fn from_walk(walk: &Walk<'_>) -> Result<PythonValue> {
    Tree { walk, depth: 0 }.value(walk.root)
}

#[derive(Clone, Copy)]
struct Tree<'w, 'de> {
    walk: &'w Walk<'de>,
    depth: usize,
}

impl Tree<'_, '_> {
    fn value(self, id: Id) -> Result<PythonValue> {
        let node = self.walk.graph.node(id);
        self.walk.pay(match node {
            Node::Str(text) => text.len(),
            Node::BrokenStr(bytes) | Node::Bytes(bytes) | Node::ByteArray(bytes) => bytes.len(),
            Node::BigInt(number) => usize::try_from(number.bits() / 8).unwrap_or(usize::MAX),
            _ => 0,
        })?;
        Ok(match node {
            Node::None => PythonValue::None,
            Node::Bool(value) => PythonValue::Bool(*value),
            Node::Int(number) => PythonValue::Int(*number),
            Node::BigInt(number) => PythonValue::BigInt((**number).clone()),
            Node::Float(number) => PythonValue::Float(*number),
            Node::Str(text) => PythonValue::Str(text.to_string()),
            Node::BrokenStr(bytes) => PythonValue::BrokenStr(bytes.to_vec()),
            Node::Bytes(bytes) => PythonValue::Bytes(bytes.to_vec()),
            Node::ByteArray(bytes) => PythonValue::ByteArray(bytes.to_vec()),
            Node::List(items) => PythonValue::List(self.values(items)?),
            Node::Tuple(items) => PythonValue::Tuple(self.values(items)?),
            Node::Set(items) => PythonValue::Set(self.values(items)?),
            Node::FrozenSet(items) => PythonValue::FrozenSet(self.values(items)?),
            Node::Dict(entries) => PythonValue::Dict(self.entries(entries)?),
            Node::Global(global) => PythonValue::Global(self.paid(global.path())?),
            Node::Object(object) => PythonValue::Object(Box::new(self.object(object)?)),
        })
    }

    fn object(self, object: &Object) -> Result<PythonObject> {
        let inner = self.inner()?;
        let keywords = match object.keywords.map(|keywords| self.walk.graph.node(keywords)) {
            Some(Node::Dict(keywords)) => self.entries(keywords)?,
            _ => Vec::new(),
        };
        Ok(PythonObject {
            class: self.paid(self.walk.graph.class_path(object.class))?,
            arguments: self.values(&object.arguments)?,
            keywords,
            state: object.state.map(|state| inner.value(state)).transpose()?,
            items: self.values(&object.items)?,
            entries: self.entries(&object.entries)?,
        })
    }

    fn paid(self, path: String) -> Result<String> {
        self.walk.pay(path.len())?;
        Ok(path)
    }

    fn inner(self) -> Result<Self> {
        Walk::check_depth(self.depth)?;
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn values(self, ids: &[Id]) -> Result<Vec<PythonValue>> {
        let inner = self.inner()?;
        ids.iter().map(|id| inner.value(*id)).collect()
    }

    fn entries(self, entries: &[(Id, Id)]) -> Result<Vec<(PythonValue, PythonValue)>> {
        let inner = self.inner()?;
        entries.iter().map(|(key, value)| Ok((inner.value(*key)?, inner.value(*value)?))).collect()
    }
}

/// From any format that describes itself, so that a cached value can be read without knowing its type.
impl<'de> Deserialize<'de> for PythonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = PythonValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<PythonValue, E> {
        Ok(i64::try_from(number).map_or_else(|_| PythonValue::BigInt(number.into()), PythonValue::Int))
    }

    fn visit_i128<E>(self, number: i128) -> std::result::Result<PythonValue, E> {
        Ok(i64::try_from(number).map_or_else(|_| PythonValue::BigInt(number.into()), PythonValue::Int))
    }

    fn visit_u128<E>(self, number: u128) -> std::result::Result<PythonValue, E> {
        Ok(i64::try_from(number).map_or_else(|_| PythonValue::BigInt(number.into()), PythonValue::Int))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Str(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Str(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::Bytes(bytes))
    }

    fn visit_unit<E>(self) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::None)
    }

    fn visit_none<E>(self) -> std::result::Result<PythonValue, E> {
        Ok(PythonValue::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<PythonValue, D::Error> {
        PythonValue::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<PythonValue, D::Error> {
        PythonValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<PythonValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(PythonValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<PythonValue, A::Error> {
        let mut dict = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            dict.push(entry);
        }
        Ok(json_number(&dict).unwrap_or(PythonValue::Dict(dict)))
    }
}

/// The number that serde_json (feature `arbitrary_precision`) passes through serde as a map.
fn json_number(dict: &[(PythonValue, PythonValue)]) -> Option<PythonValue> {
    let [(PythonValue::Str(name), PythonValue::Str(digits))] = dict else { return None };
    if name != crate::value::plain::JSON_NUMBER {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(number) => Some(PythonValue::Int(number)),
        Err(_) => match BigInt::parse_bytes(digits.as_bytes(), 10) {
            Some(number) => Some(PythonValue::BigInt(number)),
            None => digits.parse().ok().map(PythonValue::Float),
        },
    }
}
