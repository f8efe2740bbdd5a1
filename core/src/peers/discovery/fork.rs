//! Whether state roots of peers prove that the own executor has forked. Pure.
//!
//! A peer may lie, and one lie must not stop an honest node. With *n* configured peers, *f = ⌈n/3⌉* of them count as possible
//! liars: rounded up, so that neither one peer nor one of two stops anybody. The node stops if f+1 peers report the same root,
//! which is not its own, for the same block. Fewer are only told.

use super::bug_switches;
use crate::types::{GlobalExecIndex, StateRoot};
use std::collections::BTreeMap;
use thiserror::Error;

/// Peers have another state than the own executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the own executor has forked: after block {block} its state root is {own}, and {peers} peers, of which one is honest, \
     have {other}. Nothing is delivered any more. Compare the executors' versions and genesis, and restore this one from a \
     backup before block {block}, or from a peer"
)]
pub struct Forked {
    pub block: GlobalExecIndex,
    pub own: StateRoot,
    pub other: StateRoot,
    /// How many report `other`.
    pub peers: u16,
}

/// The other root that most peers report; `None` if all report the own one.
pub(super) fn other_root(
    block: GlobalExecIndex,
    own: StateRoot,
    reported: &[StateRoot],
) -> Option<Forked> {
    let mut counts: BTreeMap<StateRoot, u16> = BTreeMap::new();
    for root in reported.iter().filter(|root| **root != own) {
        let count = counts.entry(*root).or_default();
        *count = count.saturating_add(1);
    }
    let most = counts.into_iter().max_by_key(|(_, peers)| *peers);
    most.map(|(other, peers)| Forked {
        block,
        own,
        other,
        peers,
    })
}

/// How many peers must report the same other root, so that the node stops.
pub(super) fn needed(configured: u16) -> u16 {
    bug_switches::forking(configured.div_ceil(3).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: StateRoot = StateRoot([0; 32]);
    const OTHER: StateRoot = StateRoot([1; 32]);
    const THIRD: StateRoot = StateRoot([2; 32]);

    #[test]
    fn the_same_other_root_counts_and_different_ones_do_not_add_up() {
        let of = |reported: &[StateRoot]| {
            let found = other_root(GlobalExecIndex(7), OWN, reported);
            found.map(|forked| (forked.other, forked.peers))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[OWN, OWN]), None);
        assert_eq!(of(&[OTHER, OWN, OTHER, THIRD]), Some((OTHER, 2)));
        assert_eq!(of(&[OTHER, THIRD]).map(|(_, peers)| peers), Some(1));
    }

    #[test]
    fn as_many_as_could_be_lying_do_not_stop_a_node() {
        assert_eq!([1, 2, 3, 4, 6, 9].map(needed), [2, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn the_reason_has_both_digests() {
        let forked = other_root(GlobalExecIndex(7), OWN, &[OTHER]).unwrap();
        let reason = forked.to_string();
        for digest in ["00".repeat(32), "01".repeat(32)] {
            assert!(reason.contains(&digest), "{reason}");
        }
    }
}
