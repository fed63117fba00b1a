//! Plain data out of a pickle.

use super::keys::Keys;
#[allow(clippy::wildcard_imports, reason = "instructions by their names")]
use super::opcode::*;
use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString, PyTuple};

/// The value; none if the pickle has an instruction that is not for plain data, or is broken.
pub(super) fn read<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyAny>> {
    if !matches!(bytes, [PROTO, 2..=5, ..]) {
        return None;
    }
    if let Some(text) = lone_text(bytes) {
        return Some(PyString::from_bytes(py, text).ok()?.into_any());
    }
    let (stack, memo) = (Vec::with_capacity(32), Vec::with_capacity(32));
    Reader { py, rest: bytes.get(2..)?, stack, marks: Vec::new(), memo, keys: Keys::default() }.run()
}

/// The text of a pickle that has nothing but one; none for everything else, and for one that has a length of its own.
fn lone_text(bytes: &[u8]) -> Option<&[u8]> {
    let [_, _, FRAME, size @ ..] = bytes else { return None };
    let (size, body) = size.split_first_chunk()?;
    if usize::try_from(u64::from_le_bytes(*size)).ok()? != body.len() {
        return None;
    }
    let (text, length) = match body {
        [SHORT_BINUNICODE, length, text @ ..] => (text, usize::from(*length)),
        [BINUNICODE, a, b, c, d, text @ ..] => (text, usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?),
        _ => return None,
    };
    match text.split_at_checked(length)? {
        (text, [MEMOIZE, STOP]) => Some(text),
        _ => None,
    }
}

struct Reader<'py, 'b> {
    py: Python<'py>,
    rest: &'b [u8],
    stack: Vec<Bound<'py, PyAny>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: Vec<Bound<'py, PyAny>>,
    keys: Keys,
}

impl<'py, 'b> Reader<'py, 'b> {
    fn run(mut self) -> Option<Bound<'py, PyAny>> {
        let py = self.py;
        loop {
            match self.byte()? {
                STOP => {
                    let value = self.pop()?;
                    return self.stack.is_empty().then_some(value);
                }
                FRAME => {
                    let size = usize::try_from(u64::from_le_bytes(self.array()?)).ok()?;
                    if size > self.rest.len() {
                        return None;
                    }
                }
                MEMOIZE => {
                    self.reachable(self.stack.len().checked_sub(1)?)?;
                    self.memo.push(self.stack.last()?.clone());
                }
                BINGET => {
                    let number = self.byte()?;
                    self.recall(usize::from(number))?;
                }
                LONG_BINGET => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.recall(usize::try_from(number).ok()?)?;
                }
                MARK => self.marks.push(self.stack.len()),
                NONE => self.stack.push(py.None().into_bound(py)),
                NEWTRUE => self.stack.push(PyBool::new(py, true).to_owned().into_any()),
                NEWFALSE => self.stack.push(PyBool::new(py, false).to_owned().into_any()),
                BININT => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.integer(i64::from(number))?;
                }
                BININT1 => {
                    let number = self.byte()?;
                    self.integer(i64::from(number))?;
                }
                BININT2 => {
                    let number = u16::from_le_bytes(self.array()?);
                    self.integer(i64::from(number))?;
                }
                LONG1 => {
                    let size = usize::from(self.byte()?);
                    let digits = self.take(size)?;
                    self.long(digits)?;
                }
                BINFLOAT => {
                    let number = f64::from_be_bytes(self.array()?);
                    self.stack.push(PyFloat::new(py, number).into_any());
                }
                SHORT_BINUNICODE => {
                    let size = usize::from(self.byte()?);
                    self.text(size)?;
                }
                BINUNICODE => {
                    let size = u32::from_le_bytes(self.array()?);
                    self.text(usize::try_from(size).ok()?)?;
                }
                SHORT_BINBYTES => {
                    let size = usize::from(self.byte()?);
                    self.bytes(size)?;
                }
                BINBYTES => {
                    let size = u32::from_le_bytes(self.array()?);
                    self.bytes(usize::try_from(size).ok()?)?;
                }
                EMPTY_LIST => self.stack.push(PyList::empty(py).into_any()),
                APPEND => {
                    let item = self.pop()?;
                    self.top::<PyList>()?.append(item).ok()?;
                }
                APPENDS => {
                    let mark = self.mark()?;
                    let list = self.stack.get(mark.checked_sub(1)?)?.cast_exact::<PyList>().ok()?.clone();
                    let items = PyList::new(py, self.stack.drain(mark..)).ok()?;
                    list.set_slice(list.len(), list.len(), &items).ok()?;
                }
                EMPTY_DICT => self.stack.push(PyDict::new(py).into_any()),
                SETITEM => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.top::<PyDict>()?.set_item(key, value).ok()?;
                }
                SETITEMS => self.set_items()?,
                EMPTY_TUPLE => self.stack.push(PyTuple::empty(py).into_any()),
                TUPLE1 => self.tuple(self.stack.len().checked_sub(1)?)?,
                TUPLE2 => self.tuple(self.stack.len().checked_sub(2)?)?,
                TUPLE3 => self.tuple(self.stack.len().checked_sub(3)?)?,
                TUPLE => {
                    let mark = self.marks.pop()?;
                    self.tuple(mark)?;
                }
                _ => return None,
            }
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, size: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(taken)
    }

    fn integer(&mut self, number: i64) -> Option<()> {
        self.stack.push(number.into_pyobject(self.py).ok()?.into_any());
        Some(())
    }

    /// In two's complement; more than eight bytes are for `pickle`.
    fn long(&mut self, digits: &[u8]) -> Option<()> {
        let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
        let mut number = [if negative { 0xff } else { 0 }; 8];
        number.get_mut(..digits.len())?.copy_from_slice(digits);
        self.integer(i64::from_le_bytes(number))
    }

    fn text(&mut self, size: usize) -> Option<()> {
        let text = self.take(size)?;
        let is_key = match self.marks.last() {
            // Within a dictionary, keys and values take turns.
            Some(mark) => {
                let container = mark.checked_sub(1).and_then(|place| self.stack.get(place));
                self.stack.len().wrapping_sub(*mark).is_multiple_of(2) && container.is_some_and(is_dictionary)
            }
            None => self.stack.last().is_some_and(is_dictionary),
        };
        let text = if is_key { self.keys.get(self.py, text)? } else { PyString::from_bytes(self.py, text).ok()? };
        self.stack.push(text.into_any());
        Some(())
    }

    fn bytes(&mut self, size: usize) -> Option<()> {
        let bytes = self.take(size)?;
        self.stack.push(PyBytes::new(self.py, bytes).into_any());
        Some(())
    }

    fn recall(&mut self, number: usize) -> Option<()> {
        self.stack.push(self.memo.get(number)?.clone());
        Some(())
    }

    /// What stands on the stack before the latest mark is not touched by instructions after it.
    fn reachable(&self, height: usize) -> Option<()> {
        (height >= self.marks.last().copied().unwrap_or(0)).then_some(())
    }

    fn pop(&mut self) -> Option<Bound<'py, PyAny>> {
        self.reachable(self.stack.len().checked_sub(1)?)?;
        self.stack.pop()
    }

    /// Ends the latest mark.
    fn mark(&mut self) -> Option<usize> {
        let mark = self.marks.pop()?;
        // The list or dictionary before it.
        self.reachable(mark.checked_sub(1)?)?;
        Some(mark)
    }

    fn top<T: PyTypeInfo>(&self) -> Option<&Bound<'py, T>> {
        self.reachable(self.stack.len().checked_sub(1)?)?;
        self.stack.last()?.cast_exact().ok()
    }

    fn set_items(&mut self) -> Option<()> {
        let mark = self.mark()?;
        let dictionary = self.stack.get(mark.checked_sub(1)?)?.cast_exact::<PyDict>().ok()?.clone();
        let mut items = self.stack.drain(mark..);
        while let Some(key) = items.next() {
            dictionary.set_item(key, items.next()?).ok()?;
        }
        Some(())
    }

    fn tuple(&mut self, start: usize) -> Option<()> {
        self.reachable(start)?;
        let tuple = PyTuple::new(self.py, self.stack.drain(start..)).ok()?;
        self.stack.push(tuple.into_any());
        Some(())
    }
}

fn is_dictionary(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyDict>()
}
