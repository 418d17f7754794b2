//! A small seeded generator, so that a simulated history can be replayed from its number.

/// Splitmix64: <https://prng.di.unimi.it/splitmix64.c>. Not for secrets.
#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; zero when the limit is zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        let bits = self.bits();
        // The bias of the remainder is far below anything a test could notice.
        if limit == 0 { 0 } else { bits % limit }
    }

    /// A number below `limit`, for indexes.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    /// True with a probability between 0 and 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        // Drawn even when the answer is known, so that two plans differ only where they should.
        let drawn = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < probability
    }

    /// Puts a slice into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut prng = Prng::new(seed);
            (0..100).map(|_| prng.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut prng = Prng::new(1);
        let hits = (0..10_000).filter(|_| prng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }
}
