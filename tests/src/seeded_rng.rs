//! Random numbers that can be repeated.

/// A generator that returns the same numbers for the same seed (SplitMix64). The policy's tests
/// have a similar one, but it needs a feature that would rebuild everything that depends on the
/// policy for these tests.
#[derive(Debug, Clone)]
pub struct SeededRng(pub u64);

impl SeededRng {
    /// Returns any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`.
    ///
    /// # Panics
    /// Panics when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let below = self.number() % u64::try_from(bound).unwrap();
        usize::try_from(below).unwrap()
    }

    /// Returns true once in `times` calls, on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one of `choices`.
    ///
    /// # Panics
    /// Panics when there is no choice.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}
