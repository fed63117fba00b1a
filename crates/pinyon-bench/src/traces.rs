//! Sequences of keys that are asked for, the same in every run. They are synthetic: no package was found that ships a public trace.

use std::collections::BTreeMap;

/// Keys that are popular.
const KEYS: u64 = 10_000;
/// Entries that a cache has room for.
pub const ROOM: usize = 1000;

/// Random numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but without, 1.
    #[allow(clippy::cast_precision_loss)]
    fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks from 0, of which the one at `n` is drawn with a probability of about 1 / (n + 1).
struct Zipf {
    cumulated: Vec<f64>,
    random: Random,
}

impl Zipf {
    #[allow(clippy::cast_precision_loss)]
    fn new(ranks: u64, seed: u64) -> Self {
        let sums = (1..=ranks).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Self { cumulated: sums.collect(), random: Random(seed) }
    }

    fn rank(&mut self) -> u64 {
        let all = self.cumulated.last().copied().unwrap_or_default();
        let drawn = self.random.fraction() * all;
        self.cumulated.partition_point(|sum| *sum <= drawn) as u64
    }
}

/// All traces by what they are; `length` requests each.
pub fn all(length: u64) -> BTreeMap<&'static str, Vec<u64>> {
    let zipf = |seed| {
        let mut zipf = Zipf::new(KEYS, seed);
        move || zipf.rank()
    };
    let (mut plain, mut scanned, mut shifted, mut beside_loop) = (zipf(1), zipf(2), zipf(3), zipf(4));
    let mut once = KEYS;
    BTreeMap::from([
        ("Zipf(1.0)", (0..length).map(|_| plain()).collect()),
        // One request in five belongs to a scan over 2,000 keys that nobody asks for again.
        (
            "Zipf, with scans",
            (0..length)
                .map(|number| {
                    if number % 10_000 < 8000 {
                        return scanned();
                    }
                    once += 1;
                    once
                })
                .collect(),
        ),
        // Every hundred thousand requests, other keys are the popular ones.
        ("Zipf, shifting", (0..length).map(|number| (shifted() + number / 100_000 * 777) % KEYS).collect()),
        // Half of the requests go round and round through half as many keys again as there is room for.
        (
            "Zipf, with a loop",
            (0..length).map(|number| if number % 2 == 0 { beside_loop() } else { KEYS + number / 2 % 1500 }).collect(),
        ),
        ("a loop over 1,500 keys", (0..length).map(|number| number % 1500).collect()),
    ])
}
