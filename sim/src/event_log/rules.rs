//! Rules that compare what processes say with each other.
//!
//! The oracles of these invariants judge by blocks, records and states that witnesses have seen. An event log has only their
//! names.

use super::translate::Said;
use crate::{
    oracles::{Invariant, Oracle, Violation, first_said::FirstSaid},
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{Fact, StateRoot},
};
use metanode_core::{
    env::{Event, NodeEvent},
    types::{BlockDigest, BlockRef, CommitteeDigest, Epoch, GlobalExecIndex, Slot, TimestampMs},
};
use std::collections::BTreeMap;

/// A rule over everything that is said.
pub(super) trait Rule {
    /// # Errors
    /// If this violates the rule.
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>>;
}

/// An oracle of the simulator.
pub(super) struct OfSimulator {
    pub oracle: Box<dyn Oracle + Send>,
    /// What it observes.
    pub takes: fn(&Said) -> Option<&Entry>,
}

impl Rule for OfSimulator {
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>> {
        (self.takes)(said).map_or(Ok(()), |entry| self.oracle.observe(entry))
    }
}

/// A violation that two lines prove.
fn contradiction(
    invariant: Invariant,
    clause: &'static str,
    earlier: &Entry,
    later: &Entry,
    message: String,
) -> Result<(), Box<Violation>> {
    let earlier = [earlier.clone()];
    Err(Violation::by(later, invariant, clause, message, earlier))
}

/// EPOCH: an epoch has one base, one start and one committee.
#[derive(Default)]
pub(super) struct Epochs {
    begins: FirstSaid<Epoch, (GlobalExecIndex, TimestampMs)>,
    committees: FirstSaid<Epoch, CommitteeDigest>,
}

impl Epochs {
    fn begins(
        &mut self,
        epoch: Epoch,
        base: GlobalExecIndex,
        start_ms: TimestampMs,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let contradicted = self.begins.contradicted(epoch, (base, start_ms), entry);
        let Some(((first_base, first_ms), earlier)) = contradicted else {
            return Ok(());
        };
        let message = format!(
            "expected epoch {epoch} to begin after GEI {first_base} at {first_ms} ms as {} says, found GEI {base} and {start_ms} ms",
            earlier.process
        );
        contradiction(
            Invariant::Epoch,
            "epoch-begins-once",
            earlier,
            entry,
            message,
        )
    }
}

impl Rule for Epochs {
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>> {
        let Said::Entry(entry) = said else {
            return Ok(());
        };
        match &entry.what {
            What::Process(Event::Node(NodeEvent::EpochOpened {
                base,
                start_timestamp_ms,
                committee,
                ..
            })) => {
                self.begins(base.epoch, base.base, *start_timestamp_ms, entry)?;
                if *committee == CommitteeDigest([0; 32]) {
                    return Ok(());
                }
                let first = self.committees.contradicted(base.epoch, *committee, entry);
                let Some((first, earlier)) = first else {
                    return Ok(());
                };
                let message = format!(
                    "expected epoch {} to have committee {first} as {} says, found {committee}",
                    base.epoch, earlier.process
                );
                let clause = "epoch-has-one-committee";
                contradiction(Invariant::Epoch, clause, earlier, entry, message)
            }
            What::Seen(Fact::EpochEntered {
                epoch,
                boundary,
                start_ms,
            }) => self.begins(*epoch, *boundary, *start_ms, entry),
            _ => Ok(()),
        }
    }
}

/// NOEQUIV: a process signs at most one block per round of an epoch.
#[derive(Default)]
pub(super) struct OwnBlocks {
    blocks: FirstSaid<(Epoch, Slot), BlockDigest>,
    /// A process whose disk was put back may have lost its blocks.
    restored: Vec<ProcessId>,
}

impl OwnBlocks {
    fn proposed(
        &mut self,
        epoch: Epoch,
        block: BlockRef,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let slot = block.slot();
        let second = self.blocks.contradicted((epoch, slot), block.digest, entry);
        let Some((first, earlier)) = second else {
            return Ok(());
        };
        let message = format!(
            "authority {} has two signed blocks in round {} of epoch {epoch}: {first}, then {}",
            slot.author, slot.round, block.digest
        );
        contradiction(
            Invariant::Noequiv,
            "two-blocks-in-a-slot",
            earlier,
            entry,
            message,
        )
    }
}

impl Rule for OwnBlocks {
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>> {
        let Said::Entry(entry) = said else {
            return Ok(());
        };
        match &entry.what {
            What::Process(Event::Node(NodeEvent::Proposed { epoch, block, .. }))
                if !self.restored.contains(&entry.process) =>
            {
                self.proposed(*epoch, *block, entry)
            }
            What::World(WorldEvent::DiskRestored { .. }) => {
                self.restored.push(entry.process);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// ROOT: executors have one state root at each GEI.
#[derive(Default)]
pub(super) struct Roots {
    roots: FirstSaid<GlobalExecIndex, StateRoot>,
}

impl Rule for Roots {
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>> {
        let Said::Root(gei, root, entry) = said else {
            return Ok(());
        };
        let Some((first, earlier)) = self.roots.contradicted(*gei, *root, entry) else {
            return Ok(());
        };
        let message = format!(
            "expected root {first} at GEI {gei} as {} says, found {root}",
            earlier.process
        );
        contradiction(Invariant::Root, "roots-differ", earlier, entry, message)
    }
}

/// EXEC1: a transaction changes the state of an executor at most once.
#[derive(Default)]
pub(super) struct Transactions {
    applied: BTreeMap<ProcessId, BTreeMap<String, (GlobalExecIndex, Entry)>>,
}

impl Rule for Transactions {
    fn observe(&mut self, said: &Said) -> Result<(), Box<Violation>> {
        match said {
            Said::Applied(gei, transactions, entry) => {
                let applied = self.applied.entry(entry.process).or_default();
                for transaction in transactions {
                    let now = (*gei, entry.clone());
                    if let Some((before, earlier)) = applied.insert(transaction.clone(), now) {
                        let message = format!(
                            "GEI {gei} applies transaction {transaction}, which already changed the state at GEI {before}: expected once"
                        );
                        let clause = "transaction-applied-twice";
                        return contradiction(Invariant::Exec1, clause, &earlier, entry, message);
                    }
                }
            }
            Said::Entry(entry)
                if matches!(entry.what, What::World(WorldEvent::DiskRestored { .. })) =>
            {
                self.applied.remove(&entry.process);
            }
            _ => {}
        }
        Ok(())
    }
}
