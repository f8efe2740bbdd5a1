//! TRUTH, of a node that waits: *peers that a node says have removed an epoch do not keep it* (contract §10.4).
//!
//! Judged by the epochs on the disks of the peers, and by how many of them each keeps.
//!
//! No violation: a Byzantine peer that says it has removed an epoch, and a node that believes it; a peer that removes the
//! epoch while the node waits.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What},
    witness::Fact,
};
use metanode_core::{
    env::{Event, NodeEvent},
    types::Epoch,
};
use std::collections::BTreeMap;

/// The newest epoch that each node has recorded.
pub(super) struct MissingHistory {
    plan: Plan,
    newest: BTreeMap<u16, Epoch>,
}

impl MissingHistory {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            newest: BTreeMap::new(),
        }
    }

    /// Whether a node may have said that it has removed this epoch.
    fn may_have_removed(&self, n: u16, epoch: Epoch) -> bool {
        let newest = self.newest.get(&n).copied().unwrap_or_default();
        let oldest = newest.0.saturating_sub(self.plan.epochs.retained_by(n));
        self.plan.is_byzantine(n) || oldest > epoch.0
    }
}

impl Oracle for MissingHistory {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        match &entry.what {
            What::Seen(Fact::EpochRecorded { record }) => {
                let newest = self.newest.entry(n).or_default();
                *newest = record.epoch.max(*newest);
            }
            What::Process(Event::Node(NodeEvent::HistoryMissing { epoch, peers, .. })) => {
                let others = (0..self.plan.validators).filter(|other| *other != n);
                let expected = others.filter(|other| self.may_have_removed(*other, *epoch));
                let expected = expected.count();
                if expected < usize::from(*peers) {
                    let message = format!(
                        "expected at most {expected} nodes that have removed epoch {epoch}, found {peers}"
                    );
                    let clause = "epoch-not-removed";
                    return Err(Violation::by(
                        entry,
                        Invariant::Truth,
                        clause,
                        message,
                        None,
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracles::testing::judge, plan::EpochPlan, trace::testing::node};
    use metanode_core::types::CommitIndex;

    fn waits(peers: u16) -> Option<Box<Violation>> {
        let plan = Plan {
            epochs: EpochPlan {
                retained: 1,
                archives: vec![2],
                ..EpochPlan::default()
            },
            ..Plan::example()
        };
        let mut oracle = MissingHistory::new(&plan);
        oracle.newest = (1..plan.validators).map(|n| (n, Epoch(5))).collect();
        let said = NodeEvent::HistoryMissing {
            epoch: Epoch(0),
            from: CommitIndex(1),
            peers,
            of: plan.validators - 1,
            oldest: Epoch(4),
            for_ms: 0,
        };
        judge(oracle, &[node(9, 0, said)])
    }

    #[test]
    fn an_archive_has_removed_nothing() {
        let others = Plan::example().validators - 1;
        assert!(waits(others - 1).is_none());
        assert_eq!(waits(others).unwrap().clause, "epoch-not-removed");
    }
}
