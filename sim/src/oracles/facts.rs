//! Entries of facts and results, and blocks of the validators of a plan.

use super::truthful::seen_block;
use crate::{
    model::Derived,
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, testing::block},
    witness::{Durability, Fact, SeenBlock},
};
use metanode_core::types::{AuthorityIndex, BlockRef, Epoch};
use std::sync::Arc;

pub(super) fn seen(at_ms: u64, process: ProcessId, fact: Fact) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process,
        what: What::Seen(fact),
    }
}

pub(super) fn derived(at_ms: u64, derived: Derived) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::World,
        what: What::Derived(derived),
    }
}

/// The only block of this round and validator.
pub(super) fn block_of(plan: &Plan, epoch: u64, round: u32, validator: u16) -> BlockRef {
    let mut authorities = Authorities::new(plan);
    let mut indexes = (0..plan.validators).filter(|index| {
        let author = authorities.validator(Epoch(epoch), AuthorityIndex(*index));
        author == Some(validator)
    });
    block(round, indexes.next().unwrap())
}

/// A validator stores its own block.
pub(super) fn stores_own(at_ms: u64, block: SeenBlock, validator: u16) -> Entry {
    let fact = Fact::BlockStored {
        block: Arc::new(block),
        durability: Durability::Synced,
    };
    seen(at_ms, ProcessId::Node(validator), fact)
}

/// The validator proposes in this epoch and round: a block without content, synced.
pub(super) fn proposes(at_ms: u64, plan: &Plan, epoch: u64, round: u32, validator: u16) -> Entry {
    let reference = block_of(plan, epoch, round, validator);
    let block = SeenBlock::clone(&seen_block(Epoch(epoch), reference));
    stores_own(at_ms, block, validator)
}
