//! Randomness of the operating system: one seed per process, one ChaCha stream per label.

use crate::env::Entropy;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::io;

/// Streams that all derive from one seed of the operating system.
pub struct OsEntropy {
    seed: [u8; 32],
}

impl OsEntropy {
    /// Reads the seed.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self { seed })
    }
}

impl Entropy for OsEntropy {
    fn stream(&self, label: &str) -> ChaCha8Rng {
        let seed = blake3::keyed_hash(&self.seed, label.as_bytes());
        ChaCha8Rng::from_seed(*seed.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn streams_depend_on_seed_and_label() {
        let (one, other) = (OsEntropy { seed: [1; 32] }, OsEntropy { seed: [2; 32] });
        let draw = |entropy: &OsEntropy, label| entropy.stream(label).next_u64();
        assert_eq!(draw(&one, "a"), draw(&one, "a"));
        assert_ne!(draw(&one, "a"), draw(&one, "b"));
        assert_ne!(draw(&one, "a"), draw(&other, "a"));
    }
}
