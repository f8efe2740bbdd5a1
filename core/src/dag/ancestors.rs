//! What a new block is built on.

use super::Dag;
use crate::types::{AuthorityIndex, BlockRef, Round, Slot, Stake, VerifiedBlock};

/// The ancestors of `own`'s block of `round`: its own newest block, then the newest of every other authority that is
/// of a lower round and that a commit can still contain.
///
/// `None` if these do not hold 2f+1 stake in the round before, or if `own` has already made a block of `round` or
/// later.
#[must_use]
pub fn ancestors_for(dag: &Dag, own: AuthorityIndex, round: Round) -> Option<Vec<BlockRef>> {
    let previous = dag.newest_of(own).reference();
    if previous.round >= round {
        return None;
    }
    let committee = dag.committee();
    let others = committee
        .indexes()
        .filter(|author| *author != own)
        .filter_map(|author| newest_before(dag, author, round))
        .map(VerifiedBlock::reference);
    let ancestors: Vec<_> = std::iter::once(previous).chain(others).collect();
    let parents: Stake = ancestors
        .iter()
        .filter(|ancestor| ancestor.round.next() == round)
        .map(|parent| committee.stake(parent.author))
        .sum();
    (parents >= committee.quorum()).then_some(ancestors)
}

/// The author's newest block below `round`, unless it is at or below the gc round. Genesis is there for round 1 only.
fn newest_before(dag: &Dag, author: AuthorityIndex, round: Round) -> Option<&VerifiedBlock> {
    let top = dag.newest_of(author).round.min(round.prev());
    let bottom = dag.gc_round().next().min(round.prev());
    (bottom.0..=top.0).rev().find_map(|round| {
        let round = Round(round);
        dag.blocks_at_slot(Slot { round, author }).next()
    })
}
