//! Tests of the core: which blocks it accepts, and what happens to uncommitted transactions.

use super::core::{Core, Signer};
use crate::{
    config::ConsensusParameters,
    dag::test_dag::TestDag,
    env::NodeEvent,
    ingest::{Pool, testing::pool_of},
    store::{ConsensusStore, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, BlockRef, Chain, ChainId, Epoch, EpochBase, EpochStart, KeyPair, Round,
        SignatureScheme, TimestampMs, Transaction, VerifiedBlock,
    },
};
use std::time::Duration;

const B: AuthorityIndex = AuthorityIndex(1);
const NOW: Duration = Duration::ZERO;

/// Authority A with an empty store.
fn core(test_dag: &TestDag) -> Core {
    core_with(test_dag, ConsensusParameters::default(), pool_of(&[]))
}

fn core_with(test_dag: &TestDag, parameters: ConsensusParameters, pool: Pool) -> Core {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, test_dag.committee.epoch()).unwrap();
    let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]);
    let index = AuthorityIndex(0);
    let start = EpochStart {
        base: EpochBase::GENESIS,
        timestamp_ms: TimestampMs(0),
        committee: test_dag.committee.clone(),
        chain: Chain::default(),
    };
    Core::recover(
        Some(Signer { index, keys }),
        start,
        parameters,
        pool,
        &store,
        &[],
    )
    .unwrap()
}

fn refs(blocks: &[VerifiedBlock]) -> Vec<BlockRef> {
    blocks.iter().map(VerifiedBlock::reference).collect()
}

#[test]
fn of_several_blocks_for_one_slot_the_first_and_those_with_dependants_are_accepted() {
    let mut test_dag = TestDag::of(4);
    test_dag.round(&format!("A {} C D", ["B"; 100].join(" ")));
    test_dag.round("C:AB'CD");
    let twins: Vec<_> = (test_dag.blocks.iter())
        .filter(|block| block.author == B)
        .cloned()
        .collect();
    let mut core = core(&test_dag);
    for twin in &twins {
        core.receive(vec![twin.clone()], B, NOW);
    }
    let step = core.take_step();
    assert_eq!(refs(&step.blocks), refs(&twins[..1]));
    let slot = twins[0].slot();
    let equivocation = NodeEvent::Equivocation {
        epoch: twins[0].epoch,
        slot,
    };
    assert_eq!(step.events, vec![equivocation; 99]);

    let others = ["A1", "C1", "D1", "C2"].map(|name| test_dag.get(name));
    core.receive(others.to_vec(), B, NOW);
    let wanted = twins[1].reference();
    let missing = core.missing();
    assert_eq!(missing.keys().copied().collect::<Vec<_>>(), [wanted]);
    assert_eq!(missing[&wanted], [AuthorityIndex(2)].into());
    let _ = core.take_step();
    core.receive(vec![twins[1].clone()], B, NOW);
    let accepted = refs(&core.take_step().blocks);
    assert_eq!(accepted, [wanted, test_dag.get("C2").reference()]);
}

#[test]
fn blocks_too_far_ahead_are_not_kept() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(1);
    let parents = refs(&test_dag.blocks);
    let mut block = crate::types::Block::clone(&test_dag.get("B1"));
    let far = ConsensusParameters::default().max_rounds_ahead + 2;
    block.round = Round(far);
    block.timestamp_ms = TimestampMs(1);
    block.ancestors = (parents.iter())
        .map(|parent| BlockRef {
            round: block.round.prev(),
            ..*parent
        })
        .collect();
    let block = block.sign(
        &KeyPair::from_seed(SignatureScheme::KeyedHash, &[2; 32]),
        ChainId::default(),
    );
    let mut core = core(&test_dag);
    core.receive(vec![block], B, NOW);
    assert!(core.missing().is_empty());
    assert!(core.take_step().is_empty());
}

/// Three transactions of 10 bytes in A's block of round 1, which has no dependants; the others make blocks until no
/// commit can contain it any more.
fn left_out() -> (Core, Vec<NodeEvent>) {
    let parameters = ConsensusParameters {
        gc_depth_rounds: 3,
        max_block_bytes: 40,
        ..ConsensusParameters::default()
    };
    let pool = pool_of(&[0, 1, 2].map(|n| Transaction(vec![n; 10].into())));
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(1);
    for _ in 0..12 {
        test_dag.round("B:BCD C:BCD D:BCD");
    }
    let mut core = core_with(&test_dag, parameters, pool);
    core.set_last_proposed_round(Round(0));
    core.propose(NOW, TimestampMs(1), false);
    let own = core.take_step().own.unwrap();
    assert_eq!(own.transactions.len(), 3);
    let of_others = |block: &VerifiedBlock| block.author != own.author;
    let others = test_dag.blocks.iter().filter(|block| of_others(block));
    core.receive(others.cloned().collect(), B, NOW);
    let events = core.take_step().events;
    (core, events)
}

#[test]
fn transactions_of_a_garbage_collected_own_block_are_proposed_again_in_smaller_blocks() {
    let (mut core, events) = left_out();
    let requeue = NodeEvent::Requeued {
        epoch: Epoch(0),
        transactions: 3,
    };
    assert!(events.contains(&requeue), "{events:?}");
    let later = Duration::from_secs(9);
    core.propose(later, TimestampMs(1), false);
    let again = core.take_step().own.unwrap();
    let carried: Vec<_> = again.transactions.iter().map(|t| t.0[0]).collect();
    assert_eq!(carried, [0], "half of 30 bytes");
}

#[test]
fn leaving_the_epoch_requeues_the_transactions_that_no_commit_contains() {
    let (mut core, _) = left_out();
    core.propose(Duration::from_secs(9), TimestampMs(1), false);
    let (mut pool, requeue) = core.leave();
    assert_eq!(requeue, 1, "the transaction of the last own block");
    let rest: Vec<_> = pool.fill(100).iter().map(|t| t.0[0]).collect();
    assert_eq!(rest, [0, 1, 2], "the order changed");
}

#[test]
fn nothing_is_proposed_after_the_end_of_the_epoch() {
    let (mut core, _) = left_out();
    core.end();
    assert_eq!(
        core.propose(Duration::from_secs(9), TimestampMs(1), false),
        None
    );
    assert!(core.take_step().own.is_none());
}
