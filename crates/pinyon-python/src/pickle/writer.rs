//! Plain data as a pickle.

#[allow(clippy::wildcard_imports, reason = "instructions by their names")]
use super::opcode::*;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Deeper nesting is for `pickle`, which has a limit of its own and says so.
const MAX_DEPTH: usize = 64;
/// Longer pickles have several frames; they are for `pickle`.
const MAX_BODY: usize = 60 * 1024;
/// A frame of fewer bytes is not marked.
const SHORTEST_FRAME: usize = 4;
/// How many items of a list or a dictionary are added at once.
const BATCH: usize = 1000;
/// How many places the memo has at first.
const SMALLEST_MEMO: usize = 64;
/// Where the body begins if there is a frame: after PROTO and FRAME.
const HEAD: usize = 11;
/// An instruction with a length, MEMOIZE and STOP.
const SMALLEST: usize = 7;

/// The pickle of `value`; none if not everything in it is plain.
pub(super) fn write(value: &Bound<'_, PyAny>, protocol: u8) -> Option<Vec<u8>> {
    // Text alone, a frequent value, is nearly all that its pickle has.
    let capacity = value.cast_exact::<PyString>().map_or(256, |text| text.len().unwrap_or(0) + HEAD + SMALLEST);
    let mut out = Vec::with_capacity(capacity);
    append(value, protocol, &mut out).then_some(out)
}

/// Appends the pickle of `value`; false, and nothing is appended, if not everything in it is plain.
pub(super) fn append(value: &Bound<'_, PyAny>, protocol: u8, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_written = append_some(value, protocol, out).is_some();
    if !is_written {
        out.truncate(start);
    }
    is_written
}

fn append_some(value: &Bound<'_, PyAny>, protocol: u8, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.extend_from_slice(&[PROTO, protocol, FRAME, 0, 0, 0, 0, 0, 0, 0, 0]);
    Writer { out, start, memo: Memo::default() }.save(value, 0)?;
    out.push(STOP);
    let head = start + HEAD;
    let body = out.len() - head;
    if body < SHORTEST_FRAME {
        out.drain(start + 2..head);
    } else {
        out.get_mut(start + 3..head)?.copy_from_slice(&(body as u64).to_le_bytes());
    }
    Some(())
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the pickle begins in it.
    start: usize,
    memo: Memo,
}

impl Writer<'_> {
    /// None: not plain, or too much.
    fn save(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH || self.out.len() - self.start > MAX_BODY {
            return None;
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            // Lone surrogates are not for us.
            let text = text.to_str().ok()?;
            // Alone, it is referred to by nothing.
            if depth > 0 && self.recall_or_note(value) {
                return Some(());
            }
            self.counted((SHORT_BINUNICODE, BINUNICODE), text.as_bytes())?;
            self.out.push(MEMOIZE);
        } else if value.is_exact_instance_of::<PyInt>() {
            self.integer(value.extract().ok()?);
        } else if let Ok(dictionary) = value.cast_exact::<PyDict>() {
            if !self.recall_or_note(value) {
                self.dictionary(dictionary, depth)?;
            }
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            if !self.recall_or_note(value) {
                self.list(list, depth)?;
            }
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.out.push(BINFLOAT);
            self.out.extend_from_slice(&number.value().to_be_bytes());
        } else if value.is_none() {
            self.out.push(NONE);
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.push(if truth.is_true() { NEWTRUE } else { NEWFALSE });
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            if !self.recall(value) {
                self.tuple(tuple, depth)?;
            }
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            if !self.recall_or_note(value) {
                self.counted((SHORT_BINBYTES, BINBYTES), bytes.as_bytes())?;
                self.out.push(MEMOIZE);
            }
        } else {
            return None;
        }
        Some(())
    }

    fn integer(&mut self, number: i64) {
        let bytes = number.to_le_bytes();
        if let Ok(small) = u8::try_from(number) {
            self.out.extend_from_slice(&[BININT1, small]);
        } else if let Ok(small) = u16::try_from(number) {
            self.out.push(BININT2);
            self.out.extend_from_slice(&small.to_le_bytes());
        } else if let Ok(small) = i32::try_from(number) {
            self.out.push(BININT);
            self.out.extend_from_slice(&small.to_le_bytes());
        } else {
            // In two's complement, in as few bytes as have the sign.
            let same = if number < 0 { number.leading_ones() } else { number.leading_zeros() };
            let size = bytes.len() - (same as usize - 1) / 8;
            self.out.extend_from_slice(&[LONG1, u8::try_from(size).unwrap_or(8)]);
            self.out.extend_from_slice(bytes.get(..size).unwrap_or(&bytes));
        }
    }

    fn counted(&mut self, (short, long): (u8, u8), content: &[u8]) -> Option<()> {
        if content.len() > MAX_BODY {
            return None;
        }
        if let Ok(size) = u8::try_from(content.len()) {
            self.out.extend_from_slice(&[short, size]);
        } else {
            self.out.push(long);
            self.out.extend_from_slice(&u32::try_from(content.len()).ok()?.to_le_bytes());
        }
        self.out.extend_from_slice(content);
        Some(())
    }

    fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Option<()> {
        self.out.extend_from_slice(&[EMPTY_LIST, MEMOIZE]);
        if list.len() == 1 {
            self.save(&list.get_item(0).ok()?, depth + 1)?;
            self.out.push(APPEND);
            return Some(());
        }
        for (index, item) in list.iter().enumerate() {
            if index % BATCH == 0 {
                if index > 0 {
                    self.out.push(APPENDS);
                }
                self.out.push(MARK);
            }
            self.save(&item, depth + 1)?;
        }
        if !list.is_empty() {
            self.out.push(APPENDS);
        }
        Some(())
    }

    fn dictionary(&mut self, dictionary: &Bound<'_, PyDict>, depth: usize) -> Option<()> {
        self.out.extend_from_slice(&[EMPTY_DICT, MEMOIZE]);
        let size = dictionary.len();
        if size == 0 {
            return Some(());
        }
        if size > 1 {
            self.out.push(MARK);
        }
        // Without the lock on the interpreter, somebody may change it meanwhile: then a copy is written.
        #[cfg(Py_GIL_DISABLED)]
        let dictionary = &dictionary.copy().ok()?;
        for (index, (key, value)) in dictionary.iter().enumerate() {
            if index > 0 && index % BATCH == 0 {
                self.out.extend_from_slice(&[SETITEMS, MARK]);
            }
            self.save(&key, depth + 1)?;
            self.save(&value, depth + 1)?;
        }
        // `pickle` ends a full batch before it looks whether there is more.
        if size % BATCH == 0 {
            self.out.extend_from_slice(&[SETITEMS, MARK]);
        }
        self.out.push(if size == 1 { SETITEM } else { SETITEMS });
        Some(())
    }

    fn tuple(&mut self, tuple: &Bound<'_, PyTuple>, depth: usize) -> Option<()> {
        let size = tuple.len();
        if size == 0 {
            self.out.push(EMPTY_TUPLE);
            return Some(());
        }
        if size > 3 {
            self.out.push(MARK);
        }
        for item in tuple.iter_borrowed() {
            self.save(&item, depth + 1)?;
        }
        // It contained itself, by way of a list or a dictionary.
        if self.memo.get(address(tuple)).is_some() {
            return None;
        }
        self.out.push(match size {
            1 => TUPLE1,
            2 => TUPLE2,
            3 => TUPLE3,
            _ => TUPLE,
        });
        self.memo.get_or_insert(address(tuple));
        self.out.push(MEMOIZE);
        Some(())
    }

    /// Refers to a value that has been written already; false if it has not.
    fn recall(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let Some(number) = self.memo.get(address(value)) else { return false };
        self.refer(number);
        true
    }

    /// Refers to a value that has been written already; false if it has not: then it is the next that is memoized.
    fn recall_or_note(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let Some(number) = self.memo.get_or_insert(address(value)) else { return false };
        self.refer(number);
        true
    }

    fn refer(&mut self, number: u32) {
        if let Ok(number) = u8::try_from(number) {
            self.out.extend_from_slice(&[BINGET, number]);
        } else {
            self.out.push(LONG_BINGET);
            self.out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn address(value: &Bound<'_, PyAny>) -> usize {
    value.as_ptr() as usize
}

/// The numbers of objects by their addresses: open addressing, at most half full.
#[derive(Default)]
struct Memo {
    slots: Vec<(usize, u32)>,
    count: u32,
}

impl Memo {
    /// Where an address is, or would be.
    fn place(&self, address: usize) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        // Objects lie 16 bytes apart.
        let mut place = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & mask;
        while let Some((known, _)) = self.slots.get(place) {
            if *known == address || *known == 0 {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    fn get(&self, address: usize) -> Option<u32> {
        self.slots.get(self.place(address)).filter(|(known, _)| *known == address).map(|(_, number)| *number)
    }

    /// The number of an address; none if it has had none, and has the next one now.
    fn get_or_insert(&mut self, address: usize) -> Option<u32> {
        if self.count as usize * 2 >= self.slots.len() {
            self.grow();
        }
        let place = self.place(address);
        let slot = self.slots.get_mut(place)?;
        if slot.0 == address {
            return Some(slot.1);
        }
        *slot = (address, self.count);
        self.count += 1;
        None
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![(0, 0); (self.slots.len() * 4).max(SMALLEST_MEMO)];
        let smaller = std::mem::replace(&mut self.slots, larger);
        for known in smaller.into_iter().filter(|(known, _)| *known != 0) {
            let place = self.place(known.0);
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = known;
            }
        }
    }
}
