//! The bytes of a protocol 5 pickle: opcodes, frames and the memo, laid out as CPython's C pickler lays them out.
//!
//! Source: CPython's `Modules/_pickle.c` (`_Pickler_Write`, `_Pickler_CommitFrame`, `_Pickler_OpcodeBoundary`, `save_*`).

use super::opcode as op;
use hashbrown::HashMap;

/// A frame is closed before the first value that begins when it has this many bytes; larger texts stand outside frames.
const FRAME_TARGET: usize = 64 * 1024;
/// A shorter frame is written without its header.
const FRAME_MINIMUM: usize = 4;
/// The opcode and eight bytes of length.
const FRAME_HEADER: usize = 9;

/// Objects of which CPython only ever has one, so that their second use is a reference to the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shared {
    EmptyStr,
    Character(char),
    EmptyBytes,
    Byte(u8),
    Name(&'static str),
}

/// A pickle in the making.
pub(super) struct Writer {
    out: Vec<u8>,
    frame_start: Option<usize>,
    memoized: u32,
    shared: Places,
}

/// Room for most values, so that they are not moved while they grow.
const USUAL: usize = 256;

impl Default for Writer {
    fn default() -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.extend_from_slice(&[op::PROTO, 5]);
        Self { out, frame_start: None, memoized: 0, shared: Places::default() }
    }
}

/// As many as are faster looked through than hashed.
const FEW: usize = 16;

/// Where shared objects are in the memo.
#[derive(Default)]
struct Places {
    few: Vec<(Shared, u32)>,
    /// All of them, if they are more than a few.
    many: HashMap<Shared, u32, foldhash::fast::RandomState>,
}

impl Places {
    /// The place of an object, which is `next` if it has none.
    fn get_or_insert(&mut self, shared: Shared, next: u32) -> u32 {
        if self.many.is_empty() {
            if let Some((_, place)) = self.few.iter().find(|(other, _)| *other == shared) {
                return *place;
            }
            if self.few.len() < FEW {
                self.few.push((shared, next));
                return next;
            }
            self.many.extend(self.few.drain(..));
        }
        *self.many.entry(shared).or_insert(next)
    }
}

impl Writer {
    /// Ends the pickle.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write(&[op::STOP]);
        self.commit_frame();
        self.out
    }

    /// To be called before each value: a full frame ends here.
    pub(super) fn begin_value(&mut self) {
        let full = |start: usize| self.out.len() - start - FRAME_HEADER >= FRAME_TARGET;
        if self.frame_start.is_some_and(full) {
            self.commit_frame();
        }
    }

    /// Appends `bytes` to the frame.
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.frame_start.is_none() {
            self.frame_start = Some(self.out.len());
            self.out.extend_from_slice(&[0; FRAME_HEADER]);
        }
        self.out.extend_from_slice(bytes);
    }

    fn commit_frame(&mut self) {
        let Some(start) = self.frame_start.take() else { return };
        let header_end = start + FRAME_HEADER;
        let length = self.out.len() - header_end;
        if length < FRAME_MINIMUM {
            self.out.drain(start..header_end);
            return;
        }
        if let Some(header) = self.out.get_mut(start..header_end) {
            header.copy_from_slice(&long_header(op::FRAME, length));
        }
    }

    /// Gives the value just written the next place in the memo.
    pub(super) fn memoize(&mut self) {
        self.write(&[op::MEMOIZE]);
        self.memoized = self.memoized.wrapping_add(1);
    }

    /// Writes a reference if `shared` has been written before, and else notes that it is written now.
    fn is_written(&mut self, shared: Shared) -> bool {
        let next = self.memoized;
        let index = self.shared.get_or_insert(shared, next);
        if index == next {
            return false;
        }
        match u8::try_from(index) {
            Ok(index) => self.write(&[op::BINGET, index]),
            Err(_) => self.write_with_number(op::LONG_BINGET, index.to_le_bytes()),
        }
        true
    }

    fn write_with_number<const N: usize>(&mut self, opcode: u8, number: [u8; N]) {
        self.write(&[opcode]);
        self.write(&number);
    }

    /// The opcode, the length and the bytes of a str or bytes; long ones outside of any frame.
    fn sized(&mut self, [short, long, huge]: [u8; 3], bytes: &[u8]) {
        let huge_header: [u8; FRAME_HEADER];
        let length = bytes.len();
        let header: &[u8] = match (u8::try_from(length), u32::try_from(length)) {
            (Ok(length), _) => &[short, length],
            (_, Ok(length)) => {
                let [a, b, c, d] = length.to_le_bytes();
                &[long, a, b, c, d]
            }
            _ => {
                huge_header = long_header(huge, length);
                &huge_header
            }
        };
        if length >= FRAME_TARGET {
            self.commit_frame();
            self.out.extend_from_slice(header);
            self.out.extend_from_slice(bytes);
        } else {
            self.write(header);
            self.write(bytes);
        }
    }

    /// A str.
    pub(super) fn str(&mut self, text: &str) {
        self.begin_value();
        let shared = match text.len() {
            0 => Some(Shared::EmptyStr),
            1 | 2 => single_latin1(text).map(Shared::Character),
            _ => None,
        };
        self.text(text, shared);
    }

    /// The name of a field or variant, which Python's compiler shares between all its uses.
    pub(super) fn name(&mut self, name: &'static str) {
        self.begin_value();
        let shared = match name.len() {
            0 => Shared::EmptyStr,
            _ => single_latin1(name).map_or(Shared::Name(name), Shared::Character),
        };
        self.text(name, Some(shared));
    }

    fn text(&mut self, text: &str, shared: Option<Shared>) {
        if shared.is_some_and(|shared| self.is_written(shared)) {
            return;
        }
        self.sized([op::SHORT_BINUNICODE, op::BINUNICODE, op::BINUNICODE8], text.as_bytes());
        self.memoize();
    }

    /// A bytes object.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.begin_value();
        let shared = match bytes {
            [] => Some(Shared::EmptyBytes),
            [byte] => Some(Shared::Byte(*byte)),
            _ => None,
        };
        if shared.is_some_and(|shared| self.is_written(shared)) {
            return;
        }
        self.sized([op::SHORT_BINBYTES, op::BINBYTES, op::BINBYTES8], bytes);
        self.memoize();
    }

    /// A value that is one opcode.
    pub(super) fn constant(&mut self, opcode: u8) {
        self.begin_value();
        self.write(&[opcode]);
    }

    /// A float.
    pub(super) fn float(&mut self, number: f64) {
        self.begin_value();
        self.write_with_number(op::BINFLOAT, number.to_be_bytes());
    }

    /// An int of up to 64 bits.
    pub(super) fn int(&mut self, number: i64) {
        let Ok(small) = i32::try_from(number) else { return self.long(&number.to_le_bytes()) };
        self.begin_value();
        match (u8::try_from(small), u16::try_from(small)) {
            (Ok(number), _) => self.write(&[op::BININT1, number]),
            (_, Ok(number)) => self.write_with_number(op::BININT2, number.to_le_bytes()),
            _ => self.write_with_number(op::BININT, small.to_le_bytes()),
        }
    }

    /// An int of more than 32 bits, as two's complement with the lowest byte first and any number of sign bytes.
    pub(super) fn long(&mut self, bytes: &[u8]) {
        self.begin_value();
        let mut bytes = bytes;
        // CPython writes no sign byte that the byte before it implies.
        while let [.., before, last] = bytes {
            let implied = if *before & 0x80 == 0 { 0 } else { 0xff };
            if *last != implied {
                break;
            }
            bytes = bytes.split_last().map_or(bytes, |(_, rest)| rest);
        }
        match u8::try_from(bytes.len()) {
            Ok(length) => self.write(&[op::LONG1, length]),
            // More than 2^31 bytes do not occur: the largest integers come from decimal digits in a JSON number.
            Err(_) => self.write_with_number(op::LONG4, u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()),
        }
        self.write(bytes);
    }
}

/// An opcode with a length of eight bytes.
fn long_header(opcode: u8, length: usize) -> [u8; FRAME_HEADER] {
    let mut header = [opcode; FRAME_HEADER];
    if let Some((_, number)) = header.split_first_mut() {
        number.copy_from_slice(&(length as u64).to_le_bytes());
    }
    header
}

fn single_latin1(text: &str) -> Option<char> {
    let mut characters = text.chars();
    let first = characters.next()?;
    (characters.next().is_none() && u32::from(first) < 0x100).then_some(first)
}
