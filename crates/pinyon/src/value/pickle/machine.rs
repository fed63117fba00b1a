//! The pickle machine: runs the opcodes of protocols 0 to 5 and imports, calls and executes nothing.
//!
//! Source of the opcodes' meaning: CPython's `Lib/pickletools.py` and `Modules/_pickle.c`. Every opcode adds at most a
//! handful of values to the table, and every length is checked against what is left of the input before it is used, so
//! memory is proportional to the input.

use super::bad;
use super::graph::{Global, Graph, Id, Node, Object, Walk};
use super::literal::{MAX_DIGITS, Text, quoted, raw_unicode_escape, utf8};
use super::opcode as op;
use crate::error::Result;
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use std::borrow::Cow;

/// The newest protocol there is.
const HIGHEST_PROTOCOL: u8 = 5;

/// Reads one pickle. Bytes after its end are ignored, as `pickle.loads` does.
///
/// # Errors
/// [`crate::ErrorKind::BadValue`] if the bytes are no pickle, or not a whole one.
pub(super) fn read(input: &[u8]) -> Result<Walk<'_>> {
    read_first(input).map(|(walk, _)| walk)
}

/// Reads the pickle at the beginning of `input`; also returns how many bytes it has.
///
/// # Errors
/// As [`read`].
pub(super) fn read_first(input: &[u8]) -> Result<(Walk<'_>, usize)> {
    let mut machine = Machine::new(input);
    let root = machine.run()?;
    let length = input.len() - machine.rest.len();
    Ok((Walk::new(machine.graph, root, input.len()), length))
}

pub(super) struct Machine<'de> {
    rest: &'de [u8],
    length: usize,
    pub(super) graph: Graph<'de>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    memoized: usize,
    /// How many elements and bytes may still be copied from one value to another; each honest one is copied once.
    copies_left: usize,
}

impl<'de> Machine<'de> {
    fn new(input: &'de [u8]) -> Self {
        Self {
            rest: input,
            length: input.len(),
            graph: Graph::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memoized: 0,
            copies_left: input.len().saturating_mul(4),
        }
    }

    fn run(&mut self) -> Result<Id> {
        loop {
            match self.byte()? {
                op::STOP => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            op::PROTO => self.protocol(),
            op::FRAME => self.frame(),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop_anything(),
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::INT | op::BININT | op::BININT1 | op::BININT2 | op::LONG | op::LONG1 | op::LONG4 => self.integer(opcode),
            op::FLOAT | op::BINFLOAT => self.float(opcode),
            op::UNICODE | op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.unicode(opcode),
            op::STRING | op::BINSTRING | op::SHORT_BINSTRING => self.old_string(opcode),
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(opcode),
            op::EMPTY_TUPLE => self.push(Node::Tuple(Vec::new())),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::TUPLE => self.collect(Node::Tuple),
            op::EMPTY_LIST => self.push(Node::List(Vec::new())),
            op::LIST => self.collect(Node::List),
            op::EMPTY_SET => self.push(Node::Set(Vec::new())),
            op::FROZENSET => self.collect(Node::FrozenSet),
            op::EMPTY_DICT => self.push(Node::Dict(Vec::new())),
            op::DICT => {
                let entries = pairs(&self.pop_mark()?)?;
                self.push(Node::Dict(entries))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.extend(&[item])
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend(&items)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[(key, value)])
            }
            op::SETITEMS => {
                let entries = pairs(&self.pop_mark()?)?;
                self.set_items(&entries)
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(opcode),
            op::GET | op::BINGET | op::LONG_BINGET => self.get(opcode),
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::OBJ | op::INST => self.make(opcode),
            op::BUILD => self.build(),
            // What is left needs things that only the writing program had: persistent ids, extension codes, buffers.
            other => Err(bad(format!("the bytes are no pickle: unknown opcode 0x{other:02x}"))),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            0..=HIGHEST_PROTOCOL => Ok(()),
            newer => Err(bad(format!("the pickle has protocol {newer}; the newest known is {HIGHEST_PROTOCOL}"))),
        }
    }

    /// A frame has no meaning but that its bytes are there.
    fn frame(&mut self) -> Result<()> {
        let length = self.length_of(8)?;
        if length > self.rest.len() {
            return Err(truncated());
        }
        Ok(())
    }

    fn integer(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            op::BININT1 => Node::Int(i64::from(self.byte()?)),
            op::BININT2 => Node::Int(i64::from(u16::from_le_bytes(self.array()?))),
            op::BININT => Node::Int(i64::from(i32::from_le_bytes(self.array()?))),
            op::LONG1 | op::LONG4 => {
                let length = self.length_of(if opcode == op::LONG1 { 1 } else { 4 })?;
                integer_node(BigInt::from_signed_bytes_le(self.take(length)?))
            }
            _ => match self.line()? {
                b"00" if opcode == op::INT => Node::Bool(false),
                b"01" if opcode == op::INT => Node::Bool(true),
                line => decimal(line.strip_suffix(b"L").unwrap_or(line))?,
            },
        };
        self.push(node)
    }

    fn float(&mut self, opcode: u8) -> Result<()> {
        let number = if opcode == op::BINFLOAT {
            f64::from_be_bytes(self.array()?)
        } else {
            let text = std::str::from_utf8(self.line()?).ok();
            text.and_then(|text| text.parse().ok()).ok_or_else(|| bad("the pickle has a float that is no number"))?
        };
        self.push(Node::Float(number))
    }

    fn unicode(&mut self, opcode: u8) -> Result<()> {
        let text = match opcode {
            op::UNICODE => raw_unicode_escape(self.line()?),
            op::SHORT_BINUNICODE => utf8(self.prefixed(1)?),
            op::BINUNICODE => utf8(self.prefixed(4)?),
            _ => utf8(self.prefixed(8)?),
        };
        match text.ok_or_else(|| bad("the pickle has a str that is not encoded as one"))? {
            Text::Str(text) => self.push(Node::Str(text)),
            Text::Broken(bytes) => self.push(Node::BrokenStr(bytes)),
        }
    }

    /// A str of Python 2: text if it is ASCII, bytes if it is not.
    fn old_string(&mut self, opcode: u8) -> Result<()> {
        let bytes = match opcode {
            op::STRING => quoted(self.line()?).ok_or_else(|| bad("the pickle has a string without its quotes"))?,
            op::SHORT_BINSTRING => Cow::Borrowed(self.prefixed(1)?),
            _ => {
                let length = i32::from_le_bytes(self.array()?);
                let length = usize::try_from(length).map_err(|_| bad("the pickle has a negative length"))?;
                Cow::Borrowed(self.take(length)?)
            }
        };
        let node = match bytes {
            bytes if !bytes.is_ascii() => Node::Bytes(bytes),
            Cow::Borrowed(bytes) => Node::Str(String::from_utf8_lossy(bytes)),
            Cow::Owned(bytes) => Node::Str(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())),
        };
        self.push(node)
    }

    fn bytes(&mut self, opcode: u8) -> Result<()> {
        let width = match opcode {
            op::SHORT_BINBYTES => 1,
            op::BINBYTES => 4,
            _ => 8,
        };
        let bytes = Cow::Borrowed(self.prefixed(width)?);
        self.push(if opcode == op::BYTEARRAY8 { Node::ByteArray(bytes) } else { Node::Bytes(bytes) })
    }

    fn tuple(&mut self, length: usize) -> Result<()> {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn collect(&mut self, container: fn(Vec<Id>) -> Node<'de>) -> Result<()> {
        let items = self.pop_mark()?;
        self.push(container(items))
    }

    fn extend(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        match self.graph.node_mut(target) {
            Some(Node::List(list) | Node::Set(list)) => list.extend_from_slice(items),
            Some(Node::Object(object)) => object.items.extend_from_slice(items),
            _ => return Err(bad("the pickle appends to something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, entries: &[(Id, Id)]) -> Result<()> {
        let target = self.top()?;
        match self.graph.node_mut(target) {
            Some(Node::Dict(dict)) => dict.extend_from_slice(entries),
            Some(Node::Object(object)) => object.entries.extend_from_slice(entries),
            _ => return Err(bad("the pickle sets items of something that is no dict")),
        }
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            op::MEMOIZE => self.memoized,
            op::PUT => memo_index(self.line()?)?,
            op::BINPUT => self.length_of(1)?,
            _ => self.length_of(4)?,
        };
        let top = self.top()?;
        // A writer counts its memo from zero, so an index is never larger than the pickle is long.
        if index > self.length {
            return Err(bad("the pickle has a memo index out of all proportion"));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(index) {
            self.memoized += usize::from(slot.is_none());
            *slot = Some(top);
        }
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            op::GET => memo_index(self.line()?)?,
            op::BINGET => self.length_of(1)?,
            _ => self.length_of(4)?,
        };
        let id = self.memo.get(index).copied().flatten();
        self.stack.push(id.ok_or_else(|| bad("the pickle refers to a value that it does not hold"))?);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let (module, name) = if opcode == op::GLOBAL {
            (self.text_line()?, self.text_line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            (self.text_of(module)?, self.text_of(name)?)
        };
        self.push_global(module, name)
    }

    pub(super) fn push_global(&mut self, module: Cow<'de, str>, name: Cow<'de, str>) -> Result<()> {
        // Protocols 0 to 2 use the names of Python 2.
        let (module, name) = match (&*module, &*name) {
            ("__builtin__", "long") => (Cow::Borrowed("builtins"), Cow::Borrowed("int")),
            ("__builtin__", "unicode") => (Cow::Borrowed("builtins"), Cow::Borrowed("str")),
            ("__builtin__", "xrange") => (Cow::Borrowed("builtins"), Cow::Borrowed("range")),
            ("__builtin__", _) => (Cow::Borrowed("builtins"), name),
            ("copy_reg", _) => (Cow::Borrowed("copyreg"), name),
            _ => (module, name),
        };
        self.push(Node::Global(Box::new(Global { module, name })))
    }

    fn make(&mut self, opcode: u8) -> Result<()> {
        let mut keywords = None;
        let (class, arguments) = match opcode {
            op::OBJ => {
                let mut all = self.pop_mark()?.into_iter();
                (all.next().ok_or_else(|| bad("the pickle makes an object without a class"))?, all.collect())
            }
            op::INST => {
                let arguments = self.pop_mark()?;
                let (module, name) = (self.text_line()?, self.text_line()?);
                self.push_global(module, name)?;
                (self.pop()?, arguments)
            }
            _ => {
                if opcode == op::NEWOBJ_EX {
                    keywords = Some(self.pop()?);
                }
                let arguments = self.pop()?;
                let Node::Tuple(arguments) = self.graph.node(arguments) else {
                    return Err(bad("the pickle makes an object with arguments that are no tuple"));
                };
                let arguments = arguments.clone();
                self.pay_copy(arguments.len())?;
                (self.pop()?, arguments)
            }
        };
        if !matches!(self.graph.node(class), Node::Global(_) | Node::Object(_)) {
            return Err(bad("the pickle makes an object of something that is no class"));
        }
        let node =
            self.construct(Object { class, arguments, keywords, state: None, items: Vec::new(), entries: Vec::new() })?;
        self.push(node)
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.graph.node_mut(target) {
            Some(Node::Object(object)) => object.state = Some(state),
            // An OrderedDict, which is read as a dict, may have attributes; a dict has no place for them.
            Some(Node::Dict(_)) => {}
            _ => return Err(bad("the pickle gives a state to something that is no object")),
        }
        Ok(())
    }

    /// Pays for copying `count` elements or bytes.
    pub(super) fn pay_copy(&mut self, count: usize) -> Result<()> {
        self.copies_left = self
            .copies_left
            .checked_sub(count)
            .ok_or_else(|| bad("the pickle makes objects out of the same parts again and again"))?;
        Ok(())
    }

    /// The text of a str, for the name of a class.
    pub(super) fn text_of(&mut self, id: Id) -> Result<Cow<'de, str>> {
        let text = match self.graph.node(id) {
            Node::Str(Cow::Borrowed(text)) => return Ok(Cow::Borrowed(text)),
            Node::Str(Cow::Owned(text)) => text.clone(),
            _ => return Err(bad("the pickle names a class by something that is no str")),
        };
        self.pay_copy(text.len())?;
        Ok(Cow::Owned(text))
    }

    fn push(&mut self, node: Node<'de>) -> Result<()> {
        let id = self.graph.push(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn fence(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        if self.stack.len() <= self.fence() {
            return Err(underflow());
        }
        self.stack.last().copied().ok_or_else(underflow)
    }

    pub(super) fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Everything above the last mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        if mark > self.stack.len() {
            return Err(underflow());
        }
        Ok(self.stack.split_off(mark))
    }

    /// A value, or a mark if one is on top.
    fn pop_anything(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length of `width` bytes, little-endian.
    fn length_of(&mut self, width: usize) -> Result<usize> {
        let length = match width {
            1 => u64::from(self.byte()?),
            4 => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| truncated())
    }

    fn prefixed(&mut self, width: usize) -> Result<&'de [u8]> {
        let length = self.length_of(width)?;
        self.take(length)
    }

    fn line(&mut self) -> Result<&'de [u8]> {
        let end = memchr::memchr(b'\n', self.rest).ok_or_else(truncated)?;
        let line = self.take(end)?;
        self.byte()?;
        Ok(line)
    }

    fn text_line(&mut self) -> Result<Cow<'de, str>> {
        let line = std::str::from_utf8(self.line()?);
        line.map(Cow::Borrowed).map_err(|_| bad("the pickle has a class name that is no text"))
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (chunks, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad("the pickle has a dict with a key that has no value"));
    }
    Ok(chunks.iter().map(|[key, value]| (*key, *value)).collect())
}

fn integer_node<'de>(number: BigInt) -> Node<'de> {
    number.to_i64().map_or_else(|| Node::BigInt(Box::new(number)), Node::Int)
}

fn decimal<'de>(digits: &[u8]) -> Result<Node<'de>> {
    let number = (digits.len() <= MAX_DIGITS).then(|| BigInt::parse_bytes(digits.trim_ascii(), 10)).flatten();
    number.map(integer_node).ok_or_else(|| bad("the pickle has an int that is no number"))
}

fn memo_index(line: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(line.trim_ascii()).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| bad("the pickle has a memo index that is no number"))
}

fn truncated() -> crate::Error {
    bad("the pickle is truncated")
}

fn underflow() -> crate::Error {
    bad("the pickle uses more values than it holds")
}
