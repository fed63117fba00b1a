//! The replies of several servers to commands that belong together, in the order of the commands.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::protocol::{Replies, Token};

/// Replies that were copied from where they arrived.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    tape: Vec<Token>,
    bytes: Vec<u8>,
    count: usize,
}

/// One reply, as [`Gathering`] found it.
#[derive(Clone, Debug, Default)]
struct Part {
    tape: Vec<Token>,
    /// What it has in the bytes of all.
    base: usize,
}

/// Replies that come in any order.
#[derive(Debug)]
pub(super) struct Gathering {
    parts: Vec<Part>,
    bytes: Vec<u8>,
}

impl Gathering {
    /// Of as many commands.
    pub(super) fn new(count: usize) -> Self {
        Self { parts: vec![Part::default(); count], bytes: Vec::new() }
    }

    /// Copies replies, the first of which is that to the first of `numbers`, and so on. A later reply replaces an earlier one.
    pub(super) fn put(&mut self, numbers: &[usize], mut replies: Replies<'_>, step: usize) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(replies.bytes);
        for number in numbers {
            replies = replies.without_first(step - 1);
            let before = replies.tape;
            replies.next();
            let own = before.get(..before.len() - replies.tape.len()).unwrap_or_default();
            if let Some(part) = self.parts.get_mut(*number) {
                *part = Part { tape: own.to_vec(), base };
            }
        }
    }

    /// All of them in order.
    pub(super) fn finish(self) -> Gathered {
        let count = self.parts.len();
        let tape =
            self.parts.into_iter().flat_map(|part| part.tape.into_iter().map(move |token| token.moved(part.base)));
        Gathered { tape: tape.collect(), bytes: self.bytes, count }
    }
}

impl Gathered {
    pub(super) fn replies(&self) -> Replies<'_> {
        Replies { tape: &self.tape, bytes: &self.bytes, left: self.count }
    }
}

impl Token {
    /// The same value in bytes with `base` others before them.
    fn moved(self, base: usize) -> Self {
        match self {
            Self::Status(range) => Self::Status(range.start + base..range.end + base),
            Self::Error(range) => Self::Error(range.start + base..range.end + base),
            Self::Bytes(range) => Self::Bytes(range.start + base..range.end + base),
            other => other,
        }
    }
}
