//! Tests of the block manager: blocks in any order.

use super::{
    Dag,
    block_manager::{Accepted, BlockManager, Source},
    test_dag::{Dice, Shape, TestDag},
};
use crate::types::{AuthorityIndex, BlockRef, Round, VerifiedBlock};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PEER: Source = Source::Peer(AuthorityIndex(0));
const OTHER: Source = Source::Peer(AuthorityIndex(1));

struct Harness {
    test_dag: TestDag,
    dag: Dag,
    manager: BlockManager,
}

impl Harness {
    fn new(test_dag: TestDag, gc_depth: u32, max_suspended_bytes: usize) -> Self {
        Self {
            dag: Dag::new(test_dag.committee.clone(), gc_depth),
            manager: BlockManager::new(max_suspended_bytes),
            test_dag,
        }
    }

    fn accept(&mut self, names: &[&str]) -> (Vec<BlockRef>, BTreeSet<BlockRef>) {
        self.accept_from(PEER, names)
    }

    fn accept_from(
        &mut self,
        source: Source,
        names: &[&str],
    ) -> (Vec<BlockRef>, BTreeSet<BlockRef>) {
        let blocks = names.iter().map(|name| self.test_dag.get(name)).collect();
        let Accepted { accepted, missing } = self.manager.accept(&mut self.dag, blocks, source);
        (refs(&accepted), missing)
    }

    fn named<T: FromIterator<BlockRef>>(&self, names: &[&str]) -> T {
        names
            .iter()
            .map(|name| self.test_dag.get(name).reference())
            .collect()
    }

    fn missing(&self) -> Vec<BlockRef> {
        missing(&self.manager)
    }
}

fn missing(manager: &BlockManager) -> Vec<BlockRef> {
    manager.missing_first(usize::MAX).into_keys().collect()
}

fn refs(blocks: &[VerifiedBlock]) -> Vec<BlockRef> {
    blocks.iter().map(VerifiedBlock::reference).collect()
}

fn three_rounds() -> TestDag {
    let mut test_dag = TestDag::of(4);
    test_dag.round("A B C").round("A B C").round("A B C");
    test_dag
}

#[test]
fn a_missing_ancestor_is_reported_once_and_stays_missing() {
    let mut h = Harness::new(three_rounds(), 10, usize::MAX);
    assert_eq!(h.accept(&["A2"]), (vec![], h.named(&["A1", "B1", "C1"])));
    assert_eq!(h.accept(&["B2", "A2"]), (vec![], BTreeSet::new()));
    assert_eq!(h.accept(&["A3"]), (vec![], h.named(&["C2"])));
    assert_eq!(h.missing(), h.named::<Vec<_>>(&["A1", "B1", "C1", "C2"]));
    assert_eq!(h.manager.suspended(), 3);

    assert_eq!(
        h.accept(&["A1", "B1"]),
        (h.named(&["A1", "B1"]), BTreeSet::new())
    );
    let (accepted, missing) = h.accept(&["C1"]);
    assert_eq!(
        accepted.iter().copied().collect::<BTreeSet<_>>(),
        h.named(&["C1", "A2", "B2"])
    );
    assert_eq!(missing, BTreeSet::new());
    assert_eq!(h.accept(&["C2"]), (h.named(&["C2", "A3"]), BTreeSet::new()));
    assert_eq!((h.manager.suspended(), h.missing()), (0, vec![]));
}

#[test]
fn nothing_of_a_complete_batch_is_suspended() {
    let mut h = Harness::new(three_rounds(), 10, 0);
    let (accepted, missing) = h.accept(&["A2", "B1", "A1", "C1"]);
    assert_eq!(accepted, h.named::<Vec<_>>(&["A1", "B1", "C1", "A2"]));
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn garbage_collected_ancestors_are_not_waited_for() {
    let mut h = Harness::new(three_rounds(), 2, usize::MAX);
    h.accept(&["A2", "A3"]);
    assert_eq!(
        h.missing(),
        h.named::<Vec<_>>(&["A1", "B1", "C1", "B2", "C2"])
    );
    h.dag.advance_gc(Round(3));
    assert_eq!(
        refs(&h.manager.release(&mut h.dag)),
        h.named::<Vec<_>>(&["A2"])
    );
    assert_eq!(h.missing(), h.named::<Vec<_>>(&["B2", "C2"]));

    h.dag.advance_gc(Round(5));
    assert!(
        h.manager.release(&mut h.dag).is_empty(),
        "A3 is garbage collected"
    );
    assert_eq!((h.manager.suspended(), h.missing()), (0, vec![]));
    assert_eq!(
        h.accept(&["B2", "B3"]),
        (vec![], BTreeSet::new()),
        "too old"
    );
}

#[test]
fn blocks_inserted_into_the_dag_directly_release_suspended_ones() {
    let mut h = Harness::new(three_rounds(), 10, usize::MAX);
    h.accept(&["A2", "A3"]);
    for name in ["A1", "B1", "C1", "A2", "B2", "C2"] {
        h.dag.insert(h.test_dag.get(name));
    }
    assert_eq!(
        refs(&h.manager.release(&mut h.dag)),
        h.named::<Vec<_>>(&["A3"])
    );
    assert_eq!((h.manager.suspended(), h.missing()), (0, vec![]));
}

#[test]
fn missing_first_lists_the_ancestors_of_the_lowest_blocks_from_each_source() {
    let mut h = Harness::new(three_rounds(), 10, usize::MAX);
    h.accept(&["A2", "A3"]);
    h.accept_from(OTHER, &["B2"]);
    let missing = |h: &Harness, list: &[(&str, &[u16])]| -> BTreeMap<_, BTreeSet<_>> {
        let of = list.iter().map(|(block, authors)| {
            let authors = authors.iter().copied().map(AuthorityIndex).collect();
            (h.test_dag.get(block).reference(), authors)
        });
        of.collect()
    };
    let round_1: [(&str, &[u16]); 3] = [("A1", &[0, 1]), ("B1", &[0, 1]), ("C1", &[0, 1])];
    assert_eq!(h.manager.missing_first(1), missing(&h, &round_1));
    let all = [&round_1[..], &[("C2", &[0])]].concat();
    assert_eq!(h.manager.missing_first(2), missing(&h, &all));
    assert_eq!(h.manager.missing_first(0), BTreeMap::new());
    // C built on a block that depends on A1, so it has A1.
    h.accept(&["B1", "C1", "C3"]);
    let left = [("A1", &[0, 1, 2][..]), ("C2", &[0, 2])];
    assert_eq!(h.manager.missing_first(9), missing(&h, &left));
}

#[test]
fn above_the_limit_the_highest_blocks_from_a_peer_are_dropped_and_missing_again() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(5);
    let block_bytes = test_dag.get("A3").bytes().len();
    let mut h = Harness::new(test_dag, 10, 2 * block_bytes);
    h.accept(&["A3", "A4"]);
    h.accept_from(OTHER, &["B5"]);
    assert_eq!(h.manager.suspended(), 3);
    h.accept(&["A2"]);
    assert_eq!(h.manager.suspended(), 3, "A4 was dropped for A2");
    assert!(
        h.missing().contains(&h.test_dag.get("A4").reference()),
        "A4 is an ancestor of B5"
    );
    let missing_of_a4_only = h.test_dag.get("B3").reference();
    assert!(!h.missing().contains(&missing_of_a4_only));

    // Fetching the missing blocks accepts something each time, whatever was dropped.
    while h.dag.highest_round() < Round(5) {
        let before = h.dag.highest_round();
        let fetched = h.missing();
        let blocks = h
            .test_dag
            .blocks
            .iter()
            .filter(|b| fetched.contains(&b.reference()));
        let blocks = blocks.cloned().collect();
        let accepted = h.manager.accept(&mut h.dag, blocks, PEER).accepted;
        assert!(
            !accepted.is_empty() || h.dag.highest_round() > before,
            "{fetched:?}"
        );
    }
    assert!(h.dag.contains(&h.test_dag.get("B5").reference()));
}

/// A Byzantine peer sends blocks that never become acceptable. Blocks that an honest one sends do.
#[test]
fn what_one_peer_sends_hides_nothing_of_another() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(3);
    let block_bytes = test_dag.get("A3").bytes().len();
    let mut h = Harness::new(test_dag, 10, block_bytes);
    h.accept(&["D2"]);
    h.accept(&["D3"]);
    assert_eq!(h.manager.suspended(), 1, "D3 was dropped");
    h.accept_from(OTHER, &["D3"]);
    assert_eq!(h.manager.suspended(), 2);
    let missing_of_d3 = h.test_dag.get("A2").reference();
    assert!(h.manager.missing_first(1).contains_key(&missing_of_d3));
    // Both have sent it: that one of them has sent too much drops nothing.
    h.accept_from(OTHER, &["D2"]);
    assert_eq!(h.manager.suspended_from(OTHER), (1, block_bytes));
    assert_eq!(h.manager.suspended(), 1, "D2 is the lowest from both");
    h.accept_from(Source::Own, &["D3", "C3", "B3"]);
    assert_eq!(h.manager.suspended(), 4, "stored blocks are not limited");
}

#[test]
fn a_suspended_block_from_another_peer_changes_what_is_fetched_first() {
    let mut h = Harness::new(three_rounds(), 10, usize::MAX);
    h.accept(&["A2", "A3"]);
    let wanted = h.test_dag.get("C2").reference();
    assert!(!h.manager.missing_first(1).contains_key(&wanted));
    let before = h.manager.changes();
    h.accept_from(OTHER, &["A3"]);
    assert!(h.manager.missing_first(1).contains_key(&wanted));
    assert!(h.manager.changes() > before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn in_any_order_blocks_are_accepted_once_and_after_their_ancestors(
        seed: u64, size in 1..=8usize, rounds in 1..=20u32, order: u64,
    ) {
        let test_dag = TestDag::random(&Shape { seed, size, rounds });
        let mut dag = Dag::new(test_dag.committee.clone(), 1000);
        let mut manager = BlockManager::new(usize::MAX);
        let mut accepted = BTreeSet::new();
        let mut arrived = BTreeSet::new();
        for batch in Dice::new(order).deliveries(&test_dag.blocks) {
            arrived.extend(refs(&batch));
            for block in manager.accept(&mut dag, batch, PEER).accepted {
                let complete = block.ancestors.iter().all(|a| a.round == Round(0) || accepted.contains(a));
                prop_assert!(complete, "{:?} before its ancestors", block);
                prop_assert!(accepted.insert(block.reference()), "{:?} twice", block);
            }
            prop_assert_eq!(accepted.len() + manager.suspended(), arrived.len());
            prop_assert!(missing(&manager).iter().all(|block| !arrived.contains(block)));
        }
        prop_assert_eq!(accepted.len(), test_dag.blocks.len());
        prop_assert_eq!(missing(&manager), []);
    }

    #[test]
    fn a_low_limit_bounds_memory_and_loses_nothing(
        seed: u64, size in 4..=8usize, order: u64, max_suspended_bytes in 0..2_000usize,
    ) {
        let test_dag = TestDag::random(&Shape { seed, size, rounds: 12 });
        let mut dag = Dag::new(test_dag.committee.clone(), 1000);
        let mut manager = BlockManager::new(max_suspended_bytes);
        let mut dice = Dice::new(order);
        // All blocks are sent repeatedly; each pass accepts at least the lowest missing round.
        for _ in 0..12 {
            for batch in dice.deliveries(&test_dag.blocks) {
                let source = Source::Peer(batch[0].author);
                manager.accept(&mut dag, batch, source);
                let (blocks, bytes) = manager.suspended_from(source);
                prop_assert!(blocks <= 1 || bytes <= max_suspended_bytes);
            }
        }
        prop_assert!(test_dag.blocks.iter().all(|block| dag.contains(&block.reference())));
        prop_assert_eq!(missing(&manager), []);
    }
}
