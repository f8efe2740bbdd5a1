//! The ancestors of a new block.

use super::Dag;
use crate::types::{AuthorityIndex, BlockRef, Round, Slot, Stake, VerifiedBlock};

/// The ancestors of `own`'s block of `round`: its own newest block, then of every other authority the newest block of a
/// lower round that a commit can still contain.
///
/// `None` if they have less than 2f+1 stake in the previous round, or if `own` already made a block of `round` or
/// later.
#[must_use]
pub(crate) fn ancestors_for(dag: &Dag, own: AuthorityIndex, round: Round) -> Option<Vec<BlockRef>> {
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

/// The author's newest block below `round`, unless it is at or below the gc round. Genesis counts for round 1 only.
fn newest_before(dag: &Dag, author: AuthorityIndex, round: Round) -> Option<&VerifiedBlock> {
    let top = dag.newest_of(author).round.min(round.prev());
    let bottom = dag.gc_round().next().min(round.prev());
    (bottom.0..=top.0).rev().find_map(|round| {
        let round = Round(round);
        dag.blocks_at_slot(Slot { round, author }).next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::test_dag::TestDag;

    const A: AuthorityIndex = AuthorityIndex(0);
    const D: AuthorityIndex = AuthorityIndex(3);

    fn refs<const N: usize>(test_dag: &TestDag, names: [&str; N]) -> Option<Vec<BlockRef>> {
        Some(names.map(|name| test_dag.get(name).reference()).to_vec())
    }

    #[test]
    fn the_ancestors_in_round_1_are_genesis() {
        let dag = TestDag::of(4).dag();
        let ancestors = ancestors_for(&dag, D, Round(1)).unwrap();
        assert_eq!(ancestors.len(), 4);
        assert_eq!(ancestors[0].author, D);
        assert!(ancestors.iter().all(|ancestor| dag.contains(ancestor)));
    }

    #[test]
    fn the_newest_blocks_below_the_round_are_ancestors_own_first() {
        let mut test_dag = TestDag::of(4);
        test_dag
            .full_rounds(1)
            .round("B C D")
            .round("B:-A C:-A D:-A");
        let dag = test_dag.dag();
        assert_eq!(
            ancestors_for(&dag, A, Round(3)),
            refs(&test_dag, ["A1", "B2", "C2", "D2"]),
            "B3 is too new for round 3"
        );
        assert_eq!(
            ancestors_for(&dag, D, Round(4)),
            refs(&test_dag, ["D3", "A1", "B3", "C3"])
        );
    }

    #[test]
    fn there_are_none_without_a_quorum_of_parents_or_after_an_own_block_of_the_round() {
        let mut test_dag = TestDag::of(4);
        test_dag.full_rounds(1).round("A B");
        let dag = test_dag.dag();
        assert_eq!(ancestors_for(&dag, A, Round(3)), None, "two parents");
        assert_eq!(ancestors_for(&dag, D, Round(3)), None, "two parents");
        assert_eq!(ancestors_for(&dag, A, Round(2)), None, "A2 exists");
        assert!(ancestors_for(&dag, D, Round(2)).is_some());
    }

    #[test]
    fn of_garbage_collected_blocks_only_the_own_one_is_an_ancestor() {
        let mut test_dag = TestDag::of(5);
        test_dag.full_rounds(1);
        for _ in 2..=4 {
            test_dag.round("A B C D");
        }
        test_dag.round("A B C");
        let mut dag = Dag::new(test_dag.committee.clone(), 2);
        for block in &test_dag.blocks {
            dag.insert(block.clone());
        }
        dag.advance_gc(Round(3));
        let e = AuthorityIndex(4);
        assert_eq!(
            ancestors_for(&dag, e, Round(5)),
            refs(&test_dag, ["E1", "A4", "B4", "C4", "D4"])
        );
        assert_eq!(
            ancestors_for(&dag, D, Round(5)),
            refs(&test_dag, ["D4", "A4", "B4", "C4"])
        );
    }
}
