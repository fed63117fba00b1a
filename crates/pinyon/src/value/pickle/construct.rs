//! Which calls in a pickle are only another spelling of a plain value.
//!
//! Older protocols have no opcode for bytes, sets and bytearrays and write them as calls; Python's object protocol goes
//! through functions of `copyreg`, Django's models through `model_unpickle`. Everything else stays an object.

use super::graph::{Id, Node, Object};
use super::machine::Machine;
use crate::error::Result;
use std::borrow::Cow;

impl<'de> Machine<'de> {
    /// The value that `object` describes, or the object itself.
    pub(super) fn construct(&mut self, object: Object) -> Result<Node<'de>> {
        let plain = match self.graph.global(object.class) {
            Some(global) if object.keywords.is_none() => {
                // The names are compared here and copied nowhere.
                match (&*global.module, &*global.name) {
                    ("builtins", "set") => self.elements_as(&object, Node::Set)?,
                    ("builtins", "frozenset") => self.elements_as(&object, Node::FrozenSet)?,
                    ("builtins", "list") => self.elements_as(&object, Node::List)?,
                    ("builtins", "tuple") => self.elements_as(&object, Node::Tuple)?,
                    ("builtins", "dict") | ("collections", "OrderedDict") => self.dict(&object)?,
                    ("builtins", "bytes") => self.bytes_like(&object)?.map(Node::Bytes),
                    ("_codecs", "encode") if object.arguments.len() == 2 => self.bytes_like(&object)?.map(Node::Bytes),
                    ("builtins", "bytearray") => self.bytes_like(&object)?.map(Node::ByteArray),
                    ("copyreg", "_reconstructor" | "__newobj__" | "__newobj_ex__") => self.rebuilt(&object)?,
                    ("django.db.models.base", "model_unpickle") => self.model(&object)?,
                    _ => None,
                }
            }
            _ => None,
        };
        Ok(plain.unwrap_or_else(|| Node::Object(Box::new(object))))
    }

    /// `list(elements)` and the like.
    fn elements_as(&mut self, object: &Object, container: fn(Vec<Id>) -> Node<'de>) -> Result<Option<Node<'de>>> {
        let elements = match object.arguments.as_slice() {
            [] => Some(Vec::new()),
            [only] => self.graph.elements(*only).map(<[Id]>::to_vec),
            _ => None,
        };
        self.pay_copy(elements.as_ref().map_or(0, Vec::len))?;
        Ok(elements.map(container))
    }

    /// `dict()`, `dict({…})` and `dict([[key, value], …])`.
    fn dict(&mut self, object: &Object) -> Result<Option<Node<'de>>> {
        let entries = match object.arguments.as_slice() {
            [] => Some(Vec::new()),
            [only] => match self.graph.node(*only) {
                Node::Dict(entries) => Some(entries.clone()),
                Node::List(pairs) | Node::Tuple(pairs) => pairs
                    .iter()
                    .map(|pair| match self.graph.elements(*pair) {
                        Some([key, value]) => Some((*key, *value)),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            },
            _ => None,
        };
        self.pay_copy(entries.as_ref().map_or(0, Vec::len))?;
        Ok(entries.map(Node::Dict))
    }

    /// `bytes()`, `bytes(b"…")` and `encode("…", "latin1")`: how protocols 0 to 2 write bytes.
    fn bytes_like(&mut self, object: &Object) -> Result<Option<Cow<'de, [u8]>>> {
        let bytes = match object.arguments.as_slice() {
            [] => Some(Cow::Borrowed(&[][..])),
            [only] => match self.graph.node(*only) {
                Node::Bytes(Cow::Borrowed(bytes)) => return Ok(Some(Cow::Borrowed(bytes))),
                Node::Bytes(Cow::Owned(bytes)) => Some(Cow::Owned(bytes.clone())),
                _ => None,
            },
            [text, encoding] => match (self.graph.node(*text), self.graph.node(*encoding)) {
                (Node::Str(text), Node::Str(encoding)) if matches!(&**encoding, "latin1" | "latin-1") => {
                    let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(character).ok()).collect();
                    bytes.map(Cow::Owned)
                }
                _ => None,
            },
            _ => None,
        };
        self.pay_copy(bytes.as_ref().map_or(0, |bytes| bytes.len()))?;
        Ok(bytes)
    }

    /// What `copyreg`'s functions make: an object of the class that is their first argument.
    fn rebuilt(&mut self, object: &Object) -> Result<Option<Node<'de>>> {
        let function = self.graph.global(object.class).map(|global| global.name.clone()).unwrap_or_default();
        let (class, arguments, keywords) = match object.arguments.as_slice() {
            // The base is `object`, which takes nothing, or a type like `str`, which takes its value.
            [class, base, value] if function == "_reconstructor" => {
                let nothing = self.graph.is_global(*base, "builtins", "object");
                (*class, if nothing { Vec::new() } else { vec![*value] }, None)
            }
            [class, arguments, keywords] if function == "__newobj_ex__" => {
                let arguments = self.graph.elements(*arguments).unwrap_or_default().to_vec();
                self.pay_copy(arguments.len())?;
                (*class, arguments, Some(*keywords))
            }
            [class, arguments @ ..] if function == "__newobj__" => (*class, arguments.to_vec(), None),
            _ => return Ok(None),
        };
        if self.graph.global(class).is_none() {
            return Ok(None);
        }
        Ok(Some(Node::Object(Box::new(Object {
            class,
            arguments,
            keywords,
            state: None,
            items: Vec::new(),
            entries: Vec::new(),
        }))))
    }

    /// A Django model, which is named by its application and its class: `shop.Book`.
    fn model(&mut self, object: &Object) -> Result<Option<Node<'de>>> {
        let class = match object.arguments.as_slice() {
            [only] => match (self.graph.node(*only), self.graph.elements(*only)) {
                (Node::Global(_), _) => *only,
                (_, Some(&[application, name])) => {
                    let (application, name) = (self.text_of(application)?, self.text_of(name)?);
                    self.push_global(application, name)?;
                    self.pop()?
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Node::Object(Box::new(Object {
            class,
            arguments: Vec::new(),
            keywords: None,
            state: None,
            items: Vec::new(),
            entries: Vec::new(),
        }))))
    }
}
