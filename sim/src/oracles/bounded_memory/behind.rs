//! How many rounds a node is behind the others, by the commits on its disk: blocks of so many rounds may come before their
//! ancestors.

use metanode_core::types::{Epoch, Round};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Behind {
    /// The round of the last leader that any node has committed in an epoch.
    last: BTreeMap<Epoch, Round>,
    /// The last leader on the disk of each node. Missing if the disk is an older one.
    reached: BTreeMap<u16, (Epoch, Round)>,
}

impl Behind {
    /// Node `n` has stored a commit of this leader.
    pub fn stored(&mut self, n: u16, epoch: Epoch, leader: Round) {
        let last = self.last.entry(epoch).or_default();
        *last = leader.max(*last);
        self.reached.insert(n, (epoch, leader));
    }

    /// Node `n` has an older disk.
    pub fn restored(&mut self, n: u16) {
        self.reached.remove(&n);
    }

    pub fn rounds(&self, n: u16) -> u64 {
        let rounds = match self.reached.get(&n) {
            Some((epoch, reached)) => {
                let last = self.last.get(epoch).map_or(0, |last| last.0);
                last.saturating_sub(reached.0)
            }
            None => self.last.values().map(|last| last.0).max().unwrap_or(0),
        };
        rounds.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_behind_by_what_its_own_disk_lacks() {
        let mut behind = Behind::default();
        behind.stored(0, Epoch(0), Round(40));
        behind.stored(1, Epoch(0), Round(10));
        assert_eq!((behind.rounds(0), behind.rounds(1)), (0, 30));
        behind.stored(0, Epoch(1), Round(3));
        assert_eq!((behind.rounds(0), behind.rounds(1)), (0, 30));
        behind.restored(0);
        assert_eq!(behind.rounds(0), 40);
    }
}
