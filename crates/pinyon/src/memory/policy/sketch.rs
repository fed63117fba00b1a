//! How often a key was used lately, in half a byte: a count-min sketch whose counters are halved from time to time.

/// Words of 16 counters: one line of the processor's cache. All counters of a key are in one line.
const BLOCK: usize = 8;
/// Counters a key: in a word of its own each.
const ROWS: usize = 4;
/// The highest count.
const MOST: u64 = 15;
/// Uses, for each entry that the sketch is made for, after which all counts are halved.
const MEMORY: usize = 10;

pub(super) struct Sketch {
    words: Vec<u64>,
    uses: usize,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { words: vec![0; BLOCK], uses: 0 }
    }

    /// Makes room for a word for two entries. Twice the size is the same contents twice, so that no count is lost.
    pub(super) fn grow(&mut self, entries: usize) {
        while 2 * self.words.len() < entries {
            self.words.extend_from_within(..);
        }
    }

    pub(super) fn record(&mut self, hash: u64) {
        let mut is_new = false;
        for (word, shift) in self.places(hash) {
            if (self.words[word] >> shift) & MOST < MOST {
                self.words[word] += 1 << shift;
                is_new = true;
            }
        }
        if is_new {
            self.uses += 1;
            if self.uses >= MEMORY * 2 * self.words.len() {
                self.halve();
            }
        }
    }

    /// At least as often as the key was used since the counts were halved, up to 15.
    pub(super) fn count(&self, hash: u64) -> u64 {
        self.places(hash).into_iter().map(|(word, shift)| (self.words[word] >> shift) & MOST).min().unwrap_or(0)
    }

    fn halve(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.uses /= 2;
    }

    /// A word, and the position of the counter in it.
    fn places(&self, hash: u64) -> [(usize, u32); ROWS] {
        // Not the bits that the hash table and the choice of the engine use, but all of them stirred.
        let stirred = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let stirred = stirred ^ (stirred >> 32);
        let blocks = self.words.len() / BLOCK;
        let block = usize::try_from(stirred >> 32).unwrap_or(0) & (blocks - 1);
        std::array::from_fn(|row| {
            let bits = stirred >> (5 * row);
            let word = block * BLOCK + 2 * row + usize::from(bits & 1 == 1);
            (word, u32::try_from((bits >> 1) & 15).unwrap_or(0) * 4)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        number.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0x1234_5678_9ABC_DEF0
    }

    #[test]
    fn a_count_is_never_too_low_and_mostly_right() {
        let mut sketch = Sketch::new();
        sketch.grow(2000);
        (0..300).for_each(|number| (0..number % 8).for_each(|_| sketch.record(hash(number))));
        assert!((0..300).all(|number| sketch.count(hash(number)) >= number % 8));
        let right = (0..300).filter(|number| sketch.count(hash(*number)) == number % 8).count();
        assert!(right > 290, "{right}");
    }

    #[test]
    fn counts_stop_at_15_and_growing_keeps_them() {
        let mut sketch = Sketch::new();
        (0..20).for_each(|_| sketch.record(hash(1)));
        assert_eq!(sketch.count(hash(1)), 15);
        sketch.grow(5000);
        assert_eq!((sketch.words.len(), sketch.count(hash(1))), (4096, 15));
    }

    #[test]
    fn old_uses_fade() {
        let mut sketch = Sketch::new();
        sketch.grow(128);
        (0..15).for_each(|_| sketch.record(hash(1)));
        // Sixteen of each: enough for several halvings.
        (2..200).for_each(|number| (0..16).for_each(|_| sketch.record(hash(number))));
        assert!(sketch.count(hash(1)) < 15);
    }
}
