//! Text that was a key of a dictionary lately: the same few field names come again and again, and an object that is there already
//! need not be made, nor its hash be computed again.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Mutex;

/// Longer keys are not kept, so that a table never holds more than some 100 KiB.
const LONGEST: usize = 32;
const SLOTS: usize = 1024;
/// The most tables that are kept: there is more than one only where several threads use the interpreter at a time.
const MOST_TABLES: usize = 8;

struct Slot {
    length: usize,
    text: [u8; LONGEST],
    object: Py<PyString>,
}

/// By hash; the later one wins.
type Table = Vec<Option<Slot>>;

/// The tables that no reader has. Locked for moments only, in which nothing of Python's runs; nobody waits for it.
static TABLES: Mutex<Vec<Table>> = Mutex::new(Vec::new());

/// A table in the hands of one reader, who takes it with the first key and gives it back at its end.
#[derive(Default)]
pub(super) struct Keys(Option<Table>);

impl Keys {
    /// The text of `bytes`; none if they are no text.
    pub(super) fn get<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyString>> {
        let take = || TABLES.try_lock().ok().and_then(|mut tables| tables.pop()).unwrap_or_default();
        let table = self.0.get_or_insert_with(take);
        let mut padded = [0; LONGEST];
        let Some(start) = padded.get_mut(..bytes.len()) else { return PyString::from_bytes(py, bytes).ok() };
        start.copy_from_slice(bytes);
        let place = place(&padded, bytes.len());
        if let Some(Some(slot)) = table.get(place)
            && slot.length == bytes.len()
            && slot.text == padded
        {
            return Some(slot.object.bind(py).clone());
        }
        let made = PyString::from_bytes(py, bytes).ok()?;
        if table.is_empty() {
            table.resize_with(SLOTS, || None);
        }
        if let Some(slot) = table.get_mut(place) {
            *slot = Some(Slot { length: bytes.len(), text: padded, object: made.clone().unbind() });
        }
        Some(made)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(table) = self.0.take()
            && let Ok(mut tables) = TABLES.try_lock()
            && tables.len() < MOST_TABLES
        {
            tables.push(table);
        }
    }
}

fn place(padded: &[u8; LONGEST], length: usize) -> usize {
    let (words, _) = padded.as_chunks::<8>();
    let hash = words.iter().fold(length as u64, |hash, word| {
        (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (hash >> 32) as usize % SLOTS
}
