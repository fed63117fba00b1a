//! Text that was a key of a dictionary lately: the same few field names come again and again, and an object that is there already
//! need not be made, nor its hash be computed again.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Mutex;

/// Longer keys are not kept, so that this never holds more than some 100 KiB.
const LONGEST: usize = 32;
const SLOTS: usize = 1024;

struct Slot {
    length: usize,
    text: [u8; LONGEST],
    object: Py<PyString>,
}

/// By hash; the later one wins. Locked for moments only, in which nothing of Python's runs.
static KEYS: Mutex<Vec<Option<Slot>>> = Mutex::new(Vec::new());

/// The text of `bytes`; none if they are no text.
pub(super) fn get<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyString>> {
    let mut padded = [0; LONGEST];
    let Some(start) = padded.get_mut(..bytes.len()) else { return PyString::from_bytes(py, bytes).ok() };
    start.copy_from_slice(bytes);
    let place = place(&padded, bytes.len());
    // Whoever cannot have it at once does without.
    if let Ok(keys) = KEYS.try_lock()
        && let Some(Some(slot)) = keys.get(place)
        && slot.length == bytes.len()
        && slot.text == padded
    {
        return Some(slot.object.bind(py).clone());
    }
    let made = PyString::from_bytes(py, bytes).ok()?;
    let mut before = None;
    if let Ok(mut keys) = KEYS.try_lock() {
        if keys.is_empty() {
            keys.resize_with(SLOTS, || None);
        }
        if let Some(slot) = keys.get_mut(place) {
            before = slot.replace(Slot { length: bytes.len(), text: padded, object: made.clone().unbind() });
        }
    }
    drop(before);
    Some(made)
}

fn place(padded: &[u8; LONGEST], length: usize) -> usize {
    let (words, _) = padded.as_chunks::<8>();
    let hash = words.iter().fold(length as u64, |hash, word| {
        (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (hash >> 32) as usize % SLOTS
}
