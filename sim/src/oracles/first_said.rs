//! One function over all processes and all time: whoever speaks first about a key sets the value, everyone after
//! must say the same. AGREE, ROOT, NOEQUIV and EPOCH are made of these.

use crate::trace::Entry;
use std::collections::{BTreeMap, btree_map::Entry as Place};

/// What was first said about each key, with the entry that said it.
pub(super) struct FirstSaid<K, V> {
    said: BTreeMap<K, (V, Entry)>,
}

impl<K, V> Default for FirstSaid<K, V> {
    fn default() -> Self {
        Self {
            said: BTreeMap::new(),
        }
    }
}

impl<K: Ord, V: PartialEq> FirstSaid<K, V> {
    /// Takes in what `entry` says. Gives what was said before if that is something else.
    pub(super) fn contradicted(&mut self, key: K, value: V, entry: &Entry) -> Option<&(V, Entry)> {
        match self.said.entry(key) {
            Place::Vacant(place) => {
                place.insert((value, entry.clone()));
                None
            }
            Place::Occupied(place) => {
                let first = place.into_mut();
                (first.0 != value).then_some(first)
            }
        }
    }
}
