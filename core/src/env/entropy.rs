//! Randomness in labelled streams: a draw from one stream does not affect another.

use rand_chacha::ChaCha8Rng;

/// A source of independent random streams.
pub trait Entropy: Send + Sync {
    /// The stream with this label, from its start.
    fn stream(&self, label: &str) -> ChaCha8Rng;
}
