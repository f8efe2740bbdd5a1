//! What the core takes in, and what it does not.

use super::{Core, Signer};
use crate::{
    config::ConsensusParameters,
    dag::draw::Drawing,
    env::NodeEvent,
    epoch::EpochStart,
    ingest,
    store::{ConsensusStore, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, BlockRef, EpochBase, KeyPair, SignatureScheme, TimestampMs, VerifiedBlock,
    },
};
use std::time::Duration;

const B: AuthorityIndex = AuthorityIndex(1);
const NOW: Duration = Duration::ZERO;

/// Authority A with an empty store.
fn core(drawing: &Drawing) -> Core {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, drawing.committee.epoch()).unwrap();
    let parameters = ConsensusParameters::default();
    let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]);
    let (_, pool) = ingest::pool(1);
    let index = AuthorityIndex(0);
    let start = EpochStart {
        base: EpochBase::GENESIS,
        timestamp_ms: TimestampMs(0),
        committee: drawing.committee.clone(),
    };
    Core::recover(
        Some(Signer { index, keys }),
        start,
        parameters,
        pool,
        &store,
    )
    .unwrap()
}

fn refs(blocks: &[VerifiedBlock]) -> Vec<BlockRef> {
    blocks.iter().map(VerifiedBlock::reference).collect()
}

#[test]
fn of_many_blocks_for_one_slot_the_first_is_taken_and_those_that_others_build_on() {
    let mut drawing = Drawing::of(4);
    drawing.round(&format!("A {} C D", ["B"; 100].join(" ")));
    drawing.round("C:AB'CD");
    let twins: Vec<_> = (drawing.blocks.iter())
        .filter(|block| block.author == B)
        .cloned()
        .collect();
    let mut core = core(&drawing);
    for twin in &twins {
        core.receive(vec![twin.clone()], NOW);
    }
    let step = core.take_step();
    assert_eq!(refs(&step.blocks), refs(&twins[..1]));
    let slot = twins[0].slot();
    assert_eq!(step.events, vec![NodeEvent::Equivocation { slot }; 99]);

    let others = ["A1", "C1", "D1", "C2"].map(|name| drawing.get(name));
    core.receive(others.to_vec(), NOW);
    let wanted = twins[1].reference();
    let missing = core.missing();
    assert_eq!(missing.keys().copied().collect::<Vec<_>>(), [wanted]);
    assert_eq!(missing[&wanted], [AuthorityIndex(2)].into());
    let _ = core.take_step();
    core.receive(vec![twins[1].clone()], NOW);
    let accepted = refs(&core.take_step().blocks);
    assert_eq!(accepted, [wanted, drawing.get("C2").reference()]);
}

#[test]
fn blocks_that_nobody_can_have_yet_are_not_kept() {
    let mut drawing = Drawing::of(4);
    drawing.full_rounds(1);
    let parents = refs(&drawing.blocks);
    let mut block = crate::types::Block::clone(&drawing.get("B1"));
    let far = ConsensusParameters::default().max_rounds_ahead + 2;
    block.round = crate::types::Round(far);
    block.timestamp_ms = TimestampMs(1);
    block.ancestors = (parents.iter())
        .map(|parent| BlockRef {
            round: block.round.prev(),
            ..*parent
        })
        .collect();
    let block = block.sign(&KeyPair::from_seed(SignatureScheme::KeyedHash, &[2; 32]));
    let mut core = core(&drawing);
    core.receive(vec![block], NOW);
    assert!(core.missing().is_empty());
    assert!(core.take_step().is_empty());
}
