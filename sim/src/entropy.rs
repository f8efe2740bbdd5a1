//! Randomness: one ChaCha stream per label, all derived from the seed, so that a further draw from one does not change
//! another.

use metanode_core::env::Entropy;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// The streams below one path of labels.
#[derive(Clone, Debug)]
pub struct SeedEntropy {
    seed: u64,
    path: String,
}

impl SeedEntropy {
    /// The root of all streams of a run.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            path: String::new(),
        }
    }

    /// The streams of one part of the world, such as an incarnation of a process.
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        Self {
            seed: self.seed,
            path: format!("{}{label}/", self.path),
        }
    }
}

impl Entropy for SeedEntropy {
    fn stream(&self, label: &str) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new_derive_key("metasim entropy stream");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(self.path.as_bytes());
        hasher.update(label.as_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn a_stream_is_named_by_seed_and_path_alone() {
        let draw =
            |seed, part: &str, label| SeedEntropy::new(seed).child(part).stream(label).next_u64();
        assert_eq!(draw(1, "node-0", "jitter"), draw(1, "node-0", "jitter"));
        let all = [
            draw(1, "a", "b"),
            draw(2, "a", "b"),
            draw(1, "b", "b"),
            draw(1, "a", "c"),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(x));
        }
    }
}
