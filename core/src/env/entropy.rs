//! Randomness in labelled streams: one draw more in one stream moves no other.

use rand_chacha::ChaCha8Rng;

/// A source of independent random streams.
pub trait Entropy: Send + Sync {
    /// The stream of this label, from its start.
    fn stream(&self, label: &str) -> ChaCha8Rng;
}
