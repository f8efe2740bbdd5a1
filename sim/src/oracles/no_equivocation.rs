//! NOEQUIV: *an honest authority signs at most one block per round.*
//!
//! Input: all valid blocks that were seen on wires and disks, whoever had them: only their author can sign them.
//!
//! Violation: two digests for one slot of an honest author in one epoch.
//!
//! No violation: the same block again; the same round in another epoch; equivocation by a Byzantine validator; an invalid
//! block in the name of an honest author; a second block of a node whose disk was restored to an older one, above the last
//! own block that a commit contained by then: of that one, every quorum of peers knows.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::{
    model::Derived,
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Fact, SeenBlock},
};
use metanode_core::types::{AuthorityIndex, BlockDigest, BlockRef, Epoch, Round, Slot};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;

type LastRounds = BTreeMap<(Epoch, AuthorityIndex), Round>;

pub(super) struct NoEquivocation {
    authorities: Authorities,
    blocks: FirstSaid<(Epoch, Slot), BlockDigest>,
    invalid: FxHashSet<BlockDigest>,
    /// Blocks that their authors lost with their disks, and made again.
    lost: FxHashSet<BlockDigest>,
    /// The last block of each author that a commit contains.
    committed: LastRounds,
    /// When the disk of a validator's node was last restored, and [`Self::committed`] at that time.
    restored: BTreeMap<u16, (SimTime, LastRounds)>,
}

impl NoEquivocation {
    pub(super) fn new(plan: &Plan) -> Self {
        Self::of(Authorities::new(plan))
    }

    pub(super) fn of(authorities: Authorities) -> Self {
        Self {
            authorities,
            blocks: FirstSaid::default(),
            invalid: FxHashSet::default(),
            lost: FxHashSet::default(),
            committed: BTreeMap::new(),
            restored: BTreeMap::new(),
        }
    }

    fn committed(&mut self, epoch: Epoch, blocks: &[BlockRef]) {
        for block in blocks {
            let last = self.committed.entry((epoch, block.author)).or_default();
            *last = block.round.max(*last);
        }
    }

    /// Whether the author may have lost its block of this slot, first seen then, with its disk.
    fn may_be_lost(&self, author: u16, epoch: Epoch, slot: Slot, first: SimTime) -> bool {
        self.restored.get(&author).is_some_and(|(at, committed)| {
            let last = committed.get(&(epoch, slot.author));
            first <= *at && last.is_none_or(|last| slot.round > *last)
        })
    }

    fn seen(&mut self, block: &SeenBlock, entry: &Entry) -> Result<(), Box<Violation>> {
        let slot = block.reference.slot();
        let author = self.authorities.validator(block.epoch, slot.author);
        let digest = block.reference.digest;
        let Some(author) = author.filter(|author| self.authorities.is_honest(*author)) else {
            return Ok(());
        };
        if self.invalid.contains(&digest) || self.lost.contains(&digest) {
            return Ok(());
        }
        let second = self.blocks.contradicted((block.epoch, slot), digest, entry);
        let second = second.map(|(first, earlier)| (*first, earlier.clone()));
        match second {
            None => Ok(()),
            Some((lost, earlier)) if self.may_be_lost(author, block.epoch, slot, earlier.at) => {
                // The second block is the one that counts now.
                self.lost.insert(lost);
                self.blocks.replace((block.epoch, slot), digest, entry);
                Ok(())
            }
            Some((first, earlier)) => Err(Violation::by(
                entry,
                Invariant::Noequiv,
                "two-blocks-in-a-slot",
                format!(
                    "authority {} has two signed blocks in round {} of epoch {}: {first}, then {digest}",
                    slot.author, slot.round, block.epoch
                ),
                [earlier],
            )),
        }
    }
}

impl Oracle for NoEquivocation {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::BlockSent { block } | Fact::BlockStored { block, .. }) => {
                self.seen(block, entry)
            }
            What::Derived(Derived::InvalidBlock { block, .. }) => {
                self.invalid.insert(block.digest);
                Ok(())
            }
            What::Derived(Derived::Commit { commit, .. }) => {
                self.committed(commit.epoch, &commit.blocks);
                Ok(())
            }
            What::World(WorldEvent::DiskRestored { .. }) => {
                if let ProcessId::Node(n) = entry.process {
                    let committed = self.committed.clone();
                    self.restored.insert(n, (entry.at, committed));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        plan::{ByzantinePlan, ByzantineStrategy},
        trace::testing::{block, node, power_lost, proposed, world_event},
    };
    use metanode_core::env::NodeEvent;

    fn other(of: BlockRef) -> BlockRef {
        BlockRef {
            digest: BlockDigest([9; 32]),
            ..of
        }
    }

    #[test]
    fn a_second_block_for_a_round_is_equivocation_in_any_incarnation() {
        let trace = [
            node(0, 2, proposed(block(7, 2))),
            world_event(1, ProcessId::Node(2), power_lost(3)),
            world_event(2, ProcessId::Node(2), WorldEvent::Started { start: 2 }),
            node(3, 2, proposed(other(block(7, 2)))),
        ];
        let violation = judge(NoEquivocation::new(&Plan::example()), &trace).unwrap();
        assert_eq!(violation.evidence.len(), 2);
        assert!(
            violation
                .message
                .starts_with("authority 2 has two signed blocks in round 7")
        );
    }

    #[test]
    fn whoever_shows_a_block_only_its_author_can_have_signed_it() {
        let trace = [
            node(0, 0, proposed(block(1, 0))),
            node(1, 1, proposed(other(block(1, 0)))),
        ];
        assert!(judge(NoEquivocation::new(&Plan::example()), &trace).is_some());
        let invalid = Entry {
            what: What::Derived(Derived::InvalidBlock {
                block: other(block(1, 0)),
                reason: "bad signature".to_owned(),
            }),
            ..trace[1].clone()
        };
        let [first, second] = trace;
        let forged = [first, invalid, second];
        assert_eq!(judge(NoEquivocation::new(&Plan::example()), &forged), None);
    }

    #[test]
    fn a_byzantine_validator_may_equivocate() {
        let author = (0..4)
            .find(|index| {
                let mut authorities = Authorities::new(&Plan::example());
                authorities.validator(Epoch(0), AuthorityIndex(*index)) == Some(2)
            })
            .unwrap();
        let trace = [
            node(0, 1, proposed(block(1, author))),
            node(1, 1, proposed(other(block(1, author)))),
        ];
        assert!(judge(NoEquivocation::new(&Plan::example()), &trace).is_some());
        let plan = Plan {
            byzantine: vec![ByzantinePlan {
                validator: 2,
                strategy: ByzantineStrategy::Equivocating,
                program: vec![],
            }],
            ..Plan::example()
        };
        assert_eq!(judge(NoEquivocation::new(&plan), &trace), None);
    }

    #[test]
    fn other_rounds_authors_and_epochs_are_other_slots() {
        let mut next_epoch = proposed(other(block(1, 0)));
        if let NodeEvent::Proposed { epoch, .. } = &mut next_epoch {
            *epoch = Epoch(1);
        }
        let trace = [
            node(0, 0, proposed(block(1, 0))),
            node(1, 0, proposed(block(2, 0))),
            node(2, 1, proposed(block(1, 1))),
            node(3, 0, proposed(block(1, 0))),
            node(5, 0, next_epoch),
        ];
        assert_eq!(judge(NoEquivocation::new(&Plan::example()), &trace), None);
    }
}
