//! Properties of the path from blocks to commits, on random DAGs with crashed and equivocating authorities.

use super::{CommitRule, Decision, LeaderSchedule, LeaderSlot, Linearizer};
use crate::{
    dag::{
        BlockManager, Dag, Source,
        test_dag::{Dice, Shape, TestDag},
    },
    types::{BlockRef, Commit, CommitIndex, CommitRef, Round, SubDag, VerifiedBlock},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What all nodes of one network share.
#[derive(Clone, Debug)]
struct Network {
    shape: Shape,
    leaders_per_round: u32,
    gc_depth: u32,
    max_commit_bytes: u32,
}

fn networks() -> impl Strategy<Value = Network> {
    (
        any::<u64>(),
        1..=8usize,
        1..=30u32,
        1..=3u32,
        Dag::MIN_GC_DEPTH..=12,
        prop_oneof![Just(u32::MAX), 1..=400u32],
    )
        .prop_map(
            |(seed, size, rounds, leaders_per_round, gc_depth, max_commit_bytes)| Network {
                shape: Shape { seed, size, rounds },
                leaders_per_round,
                gc_depth,
                max_commit_bytes,
            },
        )
}

/// The pure modules of a node.
struct Node {
    dag: Dag,
    manager: BlockManager,
    rule: CommitRule,
    linearizer: Linearizer,
    last_decided: LeaderSlot,
    decisions: Vec<Decision>,
    commits: Vec<SubDag>,
}

impl Node {
    fn new(network: &Network, test_dag: &TestDag) -> Self {
        Self::recovered(network, test_dag, vec![])
    }

    /// A node that recovers these commits from its store.
    fn recovered(network: &Network, test_dag: &TestDag, commits: Vec<SubDag>) -> Self {
        let committee = &test_dag.committee;
        let mut dag = Dag::new(committee.clone(), network.gc_depth);
        let last_round = commits
            .last()
            .map_or(Round(0), |last| last.commit.leader.round);
        let gc_round = dag.gc_round_for(last_round);
        let needed: Vec<Commit> = commits
            .iter()
            .map(|sub_dag| sub_dag.commit.clone())
            .filter(|commit| commit.leader.round > gc_round)
            .collect();
        let mut node = Self {
            manager: BlockManager::new(usize::MAX),
            rule: CommitRule::new(
                LeaderSchedule::new(committee.clone()),
                network.leaders_per_round,
            ),
            linearizer: Linearizer::recover(
                committee.clone(),
                Default::default(),
                network.max_commit_bytes,
                &mut dag,
                &needed,
            ),
            last_decided: LeaderSlot::GENESIS,
            decisions: vec![],
            dag,
            commits,
        };
        node.resume_after_last_commit();
        node
    }

    fn deliver(&mut self, blocks: Vec<VerifiedBlock>) {
        self.manager.accept(&mut self.dag, blocks, Source::Own);
        loop {
            let decisions = self.rule.decide(&self.dag, self.last_decided);
            self.last_decided = decisions.last().map_or(self.last_decided, Decision::slot);
            let leaders = decisions.iter().filter_map(leader).cloned().collect();
            self.decisions.extend(decisions);
            self.commits
                .extend(self.linearizer.linearize(&mut self.dag, leaders));
            if self.manager.release(&mut self.dag).is_empty() {
                return;
            }
        }
    }

    fn deliver_all(&mut self, batches: Vec<Vec<VerifiedBlock>>) {
        for batch in batches {
            self.deliver(batch);
        }
    }

    fn adopt(&mut self, sub_dag: &SubDag) {
        self.linearizer.adopt(&mut self.dag, sub_dag).unwrap();
        self.commits.push(sub_dag.clone());
        self.resume_after_last_commit();
        self.manager.release(&mut self.dag);
    }

    fn resume_after_last_commit(&mut self) {
        if let Some(leader) = self.linearizer.last_leader() {
            self.last_decided = self.rule.slot_led_by(&leader).unwrap();
        }
    }

    /// The decided slots with the committed blocks.
    fn outcomes(&self) -> Vec<(LeaderSlot, Option<BlockRef>)> {
        let outcome = |d: &Decision| (d.slot(), leader(d).map(VerifiedBlock::reference));
        self.decisions.iter().map(outcome).collect()
    }

    fn sequence(&self) -> Vec<CommitRef> {
        self.commits.iter().map(|c| c.reference).collect()
    }
}

fn leader(decision: &Decision) -> Option<&VerifiedBlock> {
    match decision {
        Decision::Commit { leader, .. } => Some(leader),
        Decision::Skip { .. } | Decision::Conflict { .. } => None,
    }
}

/// A node that received the blocks in the order of creation.
fn reference_node(network: &Network, test_dag: &TestDag) -> Node {
    let mut node = Node::new(network, test_dag);
    for block in &test_dag.blocks {
        node.deliver(vec![block.clone()]);
    }
    node
}

fn one_is_prefix_of_the_other<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The causal history of some random blocks, with few blocks of the latest rounds.
fn closed_part(test_dag: &TestDag, dice: &mut Dice) -> Vec<VerifiedBlock> {
    let last = test_dag.blocks.last().map_or(0, |block| block.round.0);
    let cut = dice.below(u64::from(last) + 2);
    let percent = 5 + dice.below(60);
    let mut wanted = BTreeSet::new();
    let mut part = vec![];
    for block in test_dag.blocks.iter().rev() {
        let tip = u64::from(block.round.0) <= cut && dice.chance(percent);
        if tip || wanted.contains(&block.reference()) {
            wanted.extend(block.ancestors.iter().copied());
            part.push(block.clone());
        }
    }
    part
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_sequence_does_not_depend_on_the_order_of_arrival(network in networks(), order: u64) {
        let test_dag = TestDag::random(&network.shape);
        let reference = reference_node(&network, &test_dag);
        let mut node = Node::new(&network, &test_dag);
        for batch in Dice::new(order).deliveries(&test_dag.blocks) {
            node.deliver(batch);
            prop_assert!(reference.sequence().starts_with(&node.sequence()));
        }
        prop_assert_eq!(node.sequence(), reference.sequence());
        prop_assert_eq!(node.outcomes(), reference.outcomes());
    }

    #[test]
    fn commits_are_contiguous_and_contain_each_block_once(network in networks()) {
        let test_dag = TestDag::random(&network.shape);
        let node = reference_node(&network, &test_dag);
        let mut committed = BTreeSet::new();
        let mut previous: Option<&SubDag> = None;
        for sub_dag in &node.commits {
            let SubDag { commit, reference, blocks } = sub_dag;
            prop_assert_eq!(*reference, commit.reference());
            prop_assert_eq!(commit.index, previous.map_or(CommitIndex(1), |p| p.commit.index.next()));
            prop_assert_eq!(commit.previous, previous.map(|p| p.reference.digest).unwrap_or_default());
            prop_assert!(previous.is_none_or(|p| p.commit.timestamp_ms <= commit.timestamp_ms));
            let bytes: usize = blocks.iter().map(VerifiedBlock::delivered_bytes).sum();
            prop_assert!(bytes <= network.max_commit_bytes as usize || blocks.len() == 1);
            if network.max_commit_bytes == u32::MAX {
                prop_assert_eq!(commit.blocks.last(), Some(&commit.leader));
            }
            prop_assert!(commit.blocks.is_sorted());
            prop_assert!(commit.blocks.iter().copied().eq(blocks.iter().map(VerifiedBlock::reference)));
            let gc_round = node.dag.gc_round_for(commit.leader.round);
            for block in blocks {
                prop_assert!(block.round > gc_round);
                let is_before = |ancestor: &&BlockRef| ancestor.round <= gc_round || committed.contains(*ancestor);
                prop_assert_eq!(block.ancestors.iter().find(|ancestor| !is_before(ancestor)), None);
                prop_assert!(committed.insert(block.reference()), "{:?} is committed twice", block);
            }
            previous = Some(sub_dag);
        }
    }

    #[test]
    fn a_restart_continues_the_sequence(network in networks(), order: u64) {
        let test_dag = TestDag::random(&network.shape);
        let expected = reference_node(&network, &test_dag).sequence();
        let mut dice = Dice::new(order);
        let mut batches = dice.deliveries(&test_dag.blocks);
        batches.truncate(dice.index(batches.len() + 1));

        let mut node = Node::new(&network, &test_dag);
        node.deliver_all(batches);
        let stored = test_dag.blocks.iter().filter(|b| node.dag.contains(&b.reference())).cloned().collect();
        let mut restarted = Node::recovered(&network, &test_dag, node.commits);
        restarted.deliver(stored);
        // Peers send the blocks that it lacks, except garbage collected ones.
        let gc_round = node.dag.gc_round();
        let kept: Vec<_> = test_dag.blocks.iter().filter(|b| b.round > gc_round).cloned().collect();
        restarted.deliver_all(dice.deliveries(&kept));
        prop_assert_eq!(restarted.sequence(), expected);
    }

    #[test]
    fn a_node_that_adopts_commits_continues_their_sequence(network in networks(), order: u64) {
        let test_dag = TestDag::random(&network.shape);
        let ahead = reference_node(&network, &test_dag);
        let mut dice = Dice::new(order);
        let mut batches = dice.deliveries(&test_dag.blocks);
        let after = batches.split_off(dice.index(batches.len() + 1));

        let mut node = Node::new(&network, &test_dag);
        node.deliver_all(batches);
        let own = node.commits.len();
        let until = own + dice.index(ahead.commits.len() - own + 1);
        for sub_dag in &ahead.commits[own..until] {
            node.adopt(sub_dag);
        }
        // Garbage collected blocks are not available from any peer.
        let gc_round = node.linearizer.last_leader().map_or(Round(0), |l| node.dag.gc_round_for(l.round));
        for mut batch in after {
            batch.retain(|block| block.round > gc_round);
            node.deliver(batch);
        }
        prop_assert_eq!(node.sequence(), ahead.sequence());
    }
}

proptest! {
    // Only rare DAGs could make nodes disagree, hence the high number of cases.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nodes_with_different_parts_of_a_dag_never_disagree(network in networks(), parts: u64) {
        let test_dag = TestDag::random(&network.shape);
        let mut dice = Dice::new(parts);
        let mut see_part = |in_disorder| {
            let part = closed_part(&test_dag, &mut dice);
            let mut node = Node::new(&network, &test_dag);
            node.deliver_all(if in_disorder {
                dice.deliveries(&part)
            } else {
                dice.arrivals(&part)
            });
            node
        };
        let nodes = [true, false, false, true].map(&mut see_part);
        for (a, b) in nodes.iter().zip(&nodes[1..]) {
            prop_assert!(one_is_prefix_of_the_other(&a.sequence(), &b.sequence()));
            prop_assert!(one_is_prefix_of_the_other(&a.outcomes(), &b.outcomes()));
        }
    }
}

#[test]
fn random_dags_reach_every_kind_of_decision() {
    let network = |seed| Network {
        shape: Shape {
            seed,
            size: 7,
            rounds: 30,
        },
        leaders_per_round: 2,
        gc_depth: 4,
        max_commit_bytes: u32::MAX,
    };
    let mut reached = [0; 4];
    let mut left_out = 0;
    for seed in 0..50 {
        let network = network(seed);
        let test_dag = TestDag::random(&network.shape);
        let node = reference_node(&network, &test_dag);
        for decision in &node.decisions {
            reached[match decision {
                Decision::Commit { direct: true, .. } => 0,
                Decision::Commit { direct: false, .. } => 1,
                Decision::Skip { direct: true, .. } => 2,
                Decision::Skip { direct: false, .. } => 3,
                Decision::Conflict { .. } => panic!("{decision:?} with at most f faulty stake"),
            }] += 1;
        }
        let committed: BTreeSet<_> = node.commits.iter().flat_map(|c| &c.commit.blocks).collect();
        left_out += node
            .commits
            .iter()
            .flat_map(|sub_dag| &sub_dag.blocks)
            .flat_map(|block| &block.ancestors)
            .filter(|ancestor| ancestor.round > Round(0) && !committed.contains(ancestor))
            .count();
    }
    assert!(
        reached.iter().all(|count| *count >= 20),
        "commits and skips, direct and indirect: {reached:?}"
    );
    assert!(left_out > 0, "garbage collection removed no block");
}
