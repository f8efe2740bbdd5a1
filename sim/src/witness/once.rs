//! Values that are decoded once, however often their bytes are seen.

use super::bcs::Malformed;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// The bytes of remembered values, at most. What is forgotten is decoded again.
const CAPACITY_BYTES: usize = 16 << 20;

/// The last decoded values, by the hash of their bytes.
pub(super) struct Once<T> {
    known: FxHashMap<u128, Arc<T>>,
    bytes: usize,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
            bytes: 0,
        }
    }
}

impl<T> Once<T> {
    /// The value of these bytes.
    ///
    /// # Errors
    /// That of `decode`.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        decode: impl FnOnce() -> Result<T, Malformed>,
    ) -> Result<Arc<T>, Malformed> {
        let hash = xxh3_128(bytes);
        if let Some(known) = self.known.get(&hash) {
            return Ok(known.clone());
        }
        let decoded = Arc::new(decode()?);
        if self.bytes + bytes.len() > CAPACITY_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += bytes.len();
        self.known.insert(hash, decoded.clone());
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_once_until_it_is_forgotten() {
        let mut once = Once::default();
        let mut decodes = |bytes: &[u8]| {
            let mut count = 0;
            let value = once.decode(bytes, || {
                count += 1;
                Ok(bytes.len())
            });
            assert_eq!(*value.unwrap(), bytes.len());
            count
        };
        let large = vec![1; CAPACITY_BYTES];
        let seen = [b"a", b"a", b"b", &large[..], b"a"].map(&mut decodes);
        assert_eq!(seen, [1, 0, 1, 1, 1]);
        let failed = once.decode(b"c", || Err("none".to_owned()));
        assert!(failed.is_err() && once.decode(b"c", || Ok(1)).is_ok());
    }
}
