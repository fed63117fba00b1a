//! What is cached in every benchmark: the keys, the values, and the order in which they are asked for.

use serde::{Deserialize, Serialize};

/// A small object of a shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it costs.
    pub price: f64,
    /// Whether there is one.
    pub in_stock: bool,
    /// What it is filed under.
    pub tags: Vec<String>,
    /// What is said about it.
    pub description: Option<String>,
}

impl Product {
    /// The one that all benchmarks use.
    pub fn example() -> Self {
        Self {
            id: 4_711,
            name: "A pine nut".to_owned(),
            price: 12.5,
            in_stock: true,
            tags: vec!["food".to_owned(), "seeds".to_owned(), "trees".to_owned()],
            description: Some("Edible, from the Colorado pinyon, and slow to grow back.".to_owned()),
        }
    }
}

/// A value of 100 bytes of text.
pub fn value() -> String {
    "0123456789".repeat(10)
}

/// As many keys as a program uses, such as `page:42`.
pub fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("page:{number}")).collect()
}

/// As many keys as a server sees, such as `:1:page:42`.
pub fn made_keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!(":1:page:{number}")).collect()
}

/// Borrowed, as the methods for many keys take them.
pub fn borrowed(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// Numbers that are the same in every run (xorshift, 64 bits; Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each `seed` but 0.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `end`, each as likely as any other. `end` is 32 bits at most.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).map_or(0, |number| (number * end) >> 32)
    }

    /// A number below `end`; small ones are likelier, as the pages of a site are: one tenth of them has 46 % of all uses.
    pub fn skewed_below(&mut self, end: usize) -> usize {
        const PARTS: usize = 1 << 20;
        let part = self.below(PARTS);
        let cubed = (part * part / PARTS) * part / PARTS;
        cubed * end / PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_skewed_as_they_say() {
        let mut numbers = Numbers::new(7);
        let even = (0..10_000).filter(|_| numbers.below(1_000) < 100).count();
        let skewed = (0..10_000).filter(|_| numbers.skewed_below(1_000) < 100).count();
        assert!((900..1_100).contains(&even) && (4_400..4_900).contains(&skewed), "{even} {skewed}");
        assert!((0..10_000).all(|_| numbers.below(3) < 3 && numbers.skewed_below(3) < 3));
    }
}
