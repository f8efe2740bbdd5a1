//! NOEQUIV: *an honest authority signs at most one block per round.*
//!
//! Violations: two digests for one slot of one epoch, among the proposed blocks of all incarnations and the leaders of
//! stored commits.
//!
//! No violation: the same block again; the same round in another epoch; equivocation by a Byzantine validator, as long
//! as all nodes commit the same leader. A Byzantine validator emits no events, so its proposals are not observed. A
//! signed block that is neither proposed nor a committed leader is not observed either.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::trace::{Entry, What};
use metanode_core::{
    env::{Event, NodeEvent},
    types::{BlockDigest, Epoch, Slot},
};

#[derive(Default)]
pub(super) struct NoEquivocation {
    blocks: FirstSaid<(Epoch, Slot), BlockDigest>,
}

impl Oracle for NoEquivocation {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (epoch, block) = match &entry.what {
            What::Process(Event::Node(NodeEvent::Proposed { epoch, block, .. })) => {
                (*epoch, *block)
            }
            What::Process(Event::Node(NodeEvent::CommitStored { epoch, leader, .. })) => {
                (*epoch, *leader)
            }
            _ => return Ok(()),
        };
        let slot = block.slot();
        match self.blocks.contradicted((epoch, slot), block.digest, entry) {
            None => Ok(()),
            Some((first, earlier)) => Err(Violation::by(
                entry,
                Invariant::Noequiv,
                "two-blocks-in-a-slot",
                format!(
                    "authority {} has two blocks, proposed or committed, in round {} of epoch {epoch}: {first}, then {}",
                    slot.author, slot.round, block.digest
                ),
                [earlier.clone()],
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::{
            ProcessId, WorldEvent,
            testing::{block, node, power_lost, proposed, stored, world_event},
        },
    };
    use metanode_core::types::BlockRef;

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
        let violation = judge(NoEquivocation::default(), &trace).unwrap();
        assert_eq!(violation.evidence, [trace[0].clone(), trace[3].clone()]);
        assert!(
            violation
                .message
                .starts_with("authority 2 has two blocks, proposed or committed, in round 7")
        );
    }

    #[test]
    fn a_committed_leader_that_was_not_proposed_is_a_second_block() {
        let trace = [
            node(0, 0, proposed(other(block(1, 0)))),
            node(1, 1, stored(1)),
        ];
        assert!(judge(NoEquivocation::default(), &trace).is_some());
    }

    #[test]
    fn of_an_author_that_proposes_nothing_one_leader_is_committed_per_round() {
        let other_leader = |mut event| {
            if let NodeEvent::CommitStored { leader, .. } = &mut event {
                *leader = other(*leader);
            }
            event
        };
        let one = [
            node(0, 1, other_leader(stored(1))),
            node(1, 2, other_leader(stored(1))),
            node(2, 1, stored(2)),
        ];
        assert_eq!(judge(NoEquivocation::default(), &one), None);
        let two = [node(0, 1, other_leader(stored(1))), node(1, 2, stored(1))];
        assert!(judge(NoEquivocation::default(), &two).is_some());
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
            node(4, 1, stored(1)),
            node(5, 0, next_epoch),
        ];
        assert_eq!(judge(NoEquivocation::default(), &trace), None);
    }
}
