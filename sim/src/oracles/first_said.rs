//! One value per key over all processes and all time: the first report of a key sets its value, and later ones must
//! agree. AGREE, ROOT, NOEQUIV and EPOCH use it.

use crate::trace::Entry;
use std::collections::{BTreeMap, btree_map::Entry as Place};

/// The first reported value of each key, with its entry.
pub(crate) struct FirstSaid<K, V> {
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
    /// From now on this report counts as the first.
    pub(crate) fn replace(&mut self, key: K, value: V, entry: &Entry) {
        self.said.insert(key, (value, entry.clone()));
    }

    /// Records that `entry` reports `value`. Returns the first report if its value is different.
    pub(crate) fn contradicted(&mut self, key: K, value: V, entry: &Entry) -> Option<&(V, Entry)> {
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
