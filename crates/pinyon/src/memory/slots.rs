//! Where entries are: places that are used again, and the two-way lists that run through them.

use super::Weigh;
use std::ops::{Index, IndexMut};

/// No slot: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// 48 bytes and the value: one cache line for a value of two words. Whether a slot is free is told by the pointer to the key,
/// so that needs no room.
pub(super) struct Entry<V> {
    /// [`super::clock::NEVER`], or nanoseconds of Unix time.
    pub expires: u64,
    pub key: Box<[u8]>,
    pub value: V,
    /// The policy's own.
    pub mark: u64,
    pub newer: u32,
    pub older: u32,
    pub bucket_previous: u32,
    pub bucket_next: u32,
}

impl<V: Weigh> Entry<V> {
    pub(super) fn weight(&self) -> u64 {
        super::entry_weight(&self.key, &self.value)
    }
}

/// Slots that are made together: 4 KiB of entries of 64 bytes.
const PIECE: usize = 64;

/// Aligned to a line of the processor's cache, so that an entry of 64 bytes lies in one line and not in two.
#[repr(align(64))]
struct Piece<V>([Option<Entry<V>>; PIECE]);

/// In pieces, because a vector that grows leaves holes behind and has room for up to twice as many.
pub(super) struct Slots<V> {
    pieces: Vec<Box<Piece<V>>>,
    /// How many have ever been used; those behind them are empty.
    len: usize,
    free: Vec<u32>,
}

impl<V> Slots<V> {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), len: 0, free: Vec::new() }
    }

    pub(super) fn insert(&mut self, entry: Entry<V>) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        *self.slot_mut(index) = Some(entry);
        index
    }

    fn grow(&mut self) -> u32 {
        if self.len == self.pieces.len() * PIECE {
            self.pieces.push(Box::new(Piece([const { None }; PIECE])));
        }
        let index = u32::try_from(self.len).ok().filter(|index| *index != NIL);
        self.len += 1;
        index.expect("fewer than 2^32 - 1 entries: they would take 256 GiB")
    }

    pub(super) fn take(&mut self, index: u32) -> Option<Entry<V>> {
        let entry = self.slot_mut(index).take()?;
        self.free.push(index);
        Some(entry)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Entry<V>> {
        self.pieces[index as usize / PIECE].0[index as usize % PIECE].as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.len
    }

    /// All entries and where they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry<V>)> {
        (0..)
            .zip(self.pieces.iter().flat_map(|piece| &piece.0))
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    fn slot_mut(&mut self, index: u32) -> &mut Option<Entry<V>> {
        &mut self.pieces[index as usize / PIECE].0[index as usize % PIECE]
    }

    #[cfg(test)]
    pub(super) fn audit(&self, len: usize) {
        assert_eq!(self.iter().count(), len);
        assert_eq!(self.free.len() + len, self.len);
        assert!(self.free.iter().all(|index| self.get(*index).is_none()));
        assert!(self.pieces.len() == self.len.div_ceil(PIECE));
    }
}

impl<V> Index<u32> for Slots<V> {
    type Output = Entry<V>;

    #[inline]
    fn index(&self, index: u32) -> &Entry<V> {
        self.get(index).expect("the table and the lists know entries only")
    }
}

impl<V> IndexMut<u32> for Slots<V> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Entry<V> {
        self.slot_mut(index).as_mut().expect("the table and the lists know entries only")
    }
}

/// A list through the slots, the newest entry first.
pub(super) struct List {
    pub newest: u32,
    pub oldest: u32,
    pub len: usize,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { newest: NIL, oldest: NIL, len: 0 }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    /// The newest first.
    pub(super) fn indexes<V>(&self, slots: &Slots<V>) -> impl Iterator<Item = u32> {
        let first = (self.newest != NIL).then_some(self.newest);
        std::iter::successors(first, |index| Some(slots[*index].older).filter(|older| *older != NIL))
    }

    pub(super) fn push<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        let second = std::mem::replace(&mut self.newest, index);
        let entry = &mut slots[index];
        entry.newer = NIL;
        entry.older = second;
        if second == NIL {
            self.oldest = index;
        } else {
            slots[second].newer = index;
        }
        self.len += 1;
    }

    pub(super) fn unlink<V>(&mut self, slots: &mut Slots<V>, index: u32) {
        let Entry { newer, older, .. } = slots[index];
        if newer == NIL {
            self.newest = older;
        } else {
            slots[newer].older = older;
        }
        if older == NIL {
            self.oldest = newer;
        } else {
            slots[older].newer = newer;
        }
        self.len -= 1;
    }

    #[cfg(test)]
    pub(super) fn audit<V>(&self, slots: &Slots<V>) -> Vec<u32> {
        let (mut found, mut index, mut newer) = (Vec::new(), self.newest, NIL);
        while index != NIL {
            assert_eq!(slots[index].newer, newer);
            found.push(index);
            newer = index;
            index = slots[index].older;
        }
        assert_eq!((self.oldest, self.len), (newer, found.len()));
        found
    }
}
