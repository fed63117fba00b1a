//! What a pickle builds: values that refer to each other by number.
//!
//! A pickle may use one value in many places, and may fill a container after it has been used. So the reader keeps all
//! values in one flat table that borrows strings and bytes from the input: its size is proportional to the input,
//! whatever the input is. Walking the table is what can blow up, and is where [`Walk`] counts.

use crate::error::{Error, ErrorKind, Result};
use num_bigint::BigInt;
use std::borrow::Cow;
use std::cell::Cell;

/// The deepest nesting that is read or written. A thread with a 2 MiB stack must hold it, in a debug build too.
pub(in crate::value) const MAX_DEPTH: usize = 200;
/// What one value costs while walking, in the unit in which strings cost their length.
const NODE_COST: usize = 32;
/// What walking may cost beside the part that grows with the input.
const FREE_COST: usize = 16 << 20;
/// What walking may cost for each byte of input. A value without sharing costs at most half of it.
const COST_PER_BYTE: usize = 64;

/// The place of a value in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// One value.
#[derive(Debug)]
pub(super) enum Node<'de> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(Box<BigInt>),
    Float(f64),
    Str(Cow<'de, str>),
    /// A str with lone surrogates, which UTF-8 has no room for.
    BrokenStr(Cow<'de, [u8]>),
    Bytes(Cow<'de, [u8]>),
    ByteArray(Cow<'de, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    FrozenSet(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Box<Global<'de>>),
    Object(Box<Object>),
}

/// A class or function, by name.
#[derive(Debug)]
pub(super) struct Global<'de> {
    pub(super) module: Cow<'de, str>,
    pub(super) name: Cow<'de, str>,
}

impl Global<'_> {
    /// The dotted path.
    pub(super) fn path(&self) -> String {
        [&self.module, ".", &self.name].concat()
    }
}

/// An instance of a class that is only known by name, as the pickle describes it.
#[derive(Debug)]
pub(super) struct Object {
    /// What is called: a [`Node::Global`], or an object that is callable.
    pub(super) class: Id,
    pub(super) arguments: Vec<Id>,
    pub(super) keywords: Option<Id>,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<Id>,
    pub(super) entries: Vec<(Id, Id)>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Graph<'de> {
    nodes: Vec<Node<'de>>,
}

impl<'de> Graph<'de> {
    /// Adds a value.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] beyond 2^32 values.
    pub(super) fn push(&mut self, node: Node<'de>) -> Result<Id> {
        let id = u32::try_from(self.nodes.len())
            .map_err(|_| Error::new(ErrorKind::BadValue, "the pickle holds more than 2^32 values"))?;
        self.nodes.push(node);
        Ok(Id(id))
    }

    /// The value at `id`.
    pub(super) fn node(&self, id: Id) -> &Node<'de> {
        // Only `push` makes ids and nothing is ever removed, so the second arm is never taken.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// The value at `id`, to be filled.
    pub(super) fn node_mut(&mut self, id: Id) -> Option<&mut Node<'de>> {
        self.nodes.get_mut(id.0 as usize)
    }

    /// The values of a list, tuple or set.
    pub(super) fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) | Node::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// The class or function at `id`, if it is one.
    pub(super) fn global(&self, id: Id) -> Option<&Global<'de>> {
        match self.node(id) {
            Node::Global(global) => Some(global),
            _ => None,
        }
    }

    /// Whether `id` is the class or function `module.name`.
    pub(super) fn is_global(&self, id: Id, module: &str, name: &str) -> bool {
        self.global(id).is_some_and(|global| global.module == module && global.name == name)
    }

    /// The dotted path of what is called to make an object. A callable may itself be an object (`functools.partial`):
    /// then it is the path of its class.
    pub(super) fn class_path(&self, class: Id) -> String {
        let mut class = class;
        for _ in 0..MAX_DEPTH {
            match self.node(class) {
                Node::Global(global) => return global.path(),
                Node::Object(object) => class = object.class,
                _ => break,
            }
        }
        "builtins.object".to_owned()
    }
}

/// A graph with its root and the count of what walking it may still cost.
#[derive(Debug)]
pub(super) struct Walk<'de> {
    pub(super) graph: Graph<'de>,
    pub(super) root: Id,
    left: Cell<usize>,
    /// Whether the integers 0 and 1 are taken where a bool is wanted: pylibmc writes bools so.
    pub(super) ints_as_bools: bool,
    /// Whether bytes are taken where a list of integers is wanted.
    pub(super) bytes_as_lists: bool,
}

impl<'de> Walk<'de> {
    /// A walk over what `input_length` bytes described.
    pub(super) fn new(graph: Graph<'de>, root: Id, input_length: usize) -> Self {
        let left = input_length.saturating_mul(COST_PER_BYTE).saturating_add(FREE_COST);
        Self { graph, root, left: Cell::new(left), ints_as_bools: false, bytes_as_lists: true }
    }

    /// Pays for one value with `length` bytes of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] if the value uses its parts so often that written out it is far larger than its pickle.
    pub(super) fn pay(&self, length: usize) -> Result<()> {
        let cost = length.saturating_add(NODE_COST);
        let left = self.left.get().checked_sub(cost).ok_or_else(|| {
            Error::new(ErrorKind::Value, "the cached value repeats its parts so often that it is too large to read")
        })?;
        self.left.set(left);
        Ok(())
    }

    /// Checks the depth of a value that holds others.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] beyond [`MAX_DEPTH`], and so for every value that contains itself.
    pub(super) fn check_depth(depth: usize) -> Result<()> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Value,
            format!("the cached value is nested deeper than {MAX_DEPTH} levels, or contains itself"),
        ))
    }
}
