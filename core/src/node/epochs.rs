//! The epochs of this node: entering them with a record and a store, retaining them for peers, removing expired ones.

use super::{Node, NodeError, bug_switches};
use crate::{
    consensus::{RetainedEpoch, Signer},
    env::{CrashPoint, NodeEvent},
    epoch::EpochRecord,
    peers::Sessions,
    store::ConsensusStore,
    types::{AuthorityIndex, Boundary, ChangeStep, Epoch, EpochStart},
};
use std::sync::Arc;
use tracing::warn;

/// The epoch that this node has entered.
pub(super) struct Entered {
    pub retained: Arc<RetainedEpoch>,
    pub record: EpochRecord,
    /// Whether this process entered the epoch from the previous one, the disk has no record of an earlier entry, and the
    /// network had not come near it when the process began, so that this node has certainly signed nothing in it.
    pub is_new: bool,
}

impl Node<'_> {
    /// Opens the stores of the retained epochs.
    pub(super) fn open_retained_epochs(&self) -> Result<(), NodeError> {
        let records = self.records.all()?;
        let newest = records.last().map_or(Epoch(0), |r| r.start.base.epoch);
        for EpochRecord { start, .. } in records {
            if start.base.epoch >= self.oldest_retained(newest) {
                self.retain(start)?;
            }
        }
        Ok(())
    }

    fn oldest_retained(&self, running: Epoch) -> Epoch {
        let retained = self.config.consensus.retained_epochs;
        Epoch(running.0.saturating_sub(retained))
    }

    /// Enters an epoch, for the first time or again. `by_itself`: whether this process entered it from the previous
    /// epoch and not at its start, when the disk may have lost writes.
    pub(super) async fn enter(
        &self,
        start: EpochStart,
        by_itself: bool,
    ) -> Result<Entered, NodeError> {
        let epoch = start.base.epoch;
        let records = self.records.all()?;
        let newest = records.last();
        if let Some(newest) = newest
            && let Some(difference) = start.chain.difference(&newest.start.chain)
        {
            return Err(NodeError::OtherChain { difference });
        }
        let has_no_record = newest.is_none_or(|newest| newest.start.base.epoch < epoch);
        // The disk may be an older one than this node has had.
        let committees = || records.iter().map(|record| &*record.start.committee);
        let is_later = (self.asked.get()).is_some_and(|asked| asked.precedes(epoch, committees()));
        self.check(&start)?;
        self.env.reach(CrashPoint::NodeBoundaryDataLearned).await;
        self.remove_epochs_before(epoch).await?;
        let record = match self.records.read(epoch)? {
            Some(record) => record,
            None => {
                let step = ChangeStep::Running;
                let record = EpochRecord {
                    start: start.clone(),
                    step,
                };
                self.records.write(&record)?;
                record
            }
        };
        let retained = match self.archive.get(epoch) {
            Some(retained) => retained,
            None => self.retain(start)?,
        };
        self.archive.run(epoch);
        let start = &record.start;
        self.env.emit(NodeEvent::EpochOpened {
            base: start.base,
            start_timestamp_ms: start.timestamp_ms,
            committee: start.committee.digest(),
            own: retained.own,
        });
        self.env.reach(CrashPoint::NodeEpochOpened).await;
        Ok(Entered {
            retained,
            record,
            is_new: has_no_record && bug_switches::is_later(is_later) && by_itself,
        })
    }

    /// Opens the store of an epoch and serves peers from it.
    fn retain(&self, start: EpochStart) -> Result<Arc<RetainedEpoch>, NodeError> {
        let store = ConsensusStore::open(self.env.stores.as_ref(), start.base.epoch)?;
        let (start, own) = self.role(start);
        let sessions = self.sessions(&start, own);
        let monitor = self.env.monitor.clone();
        let retained = RetainedEpoch::new(monitor, start, own, sessions, store)?;
        let retained = Arc::new(retained);
        self.archive.add(retained.clone());
        Ok(retained)
    }

    /// Sessions with the network key that the committee has for this node; as a guest with the current one.
    fn sessions(&self, start: &EpochStart, own: Option<AuthorityIndex>) -> Sessions {
        let registered = own.map(|own| start.committee.authority(own).network_key);
        let mut keys = self.network_keys.iter();
        let keys = match registered {
            Some(registered) => keys.find(|keys| keys.public() == registered),
            None => keys.next(),
        };
        let keys = keys.cloned().unwrap_or_else(|| {
            warn!(
                epoch = start.base.epoch.0,
                "the committee has another network_key for this node than network_key_seed gives: peers take it for a \
                 guest and do not connect to it. Register the key, or add its seed to further_network_key_seeds"
            );
            self.network_keys[0].clone()
        });
        let (random, events) = (self.random.clone(), self.env.events.clone());
        let committee = start.committee.clone();
        Sessions::new(start.chain, committee, own, keys, random, events)
    }

    /// The committee in which this node takes part and its index in it; `None` if it is a follower.
    pub(super) fn role(&self, mut start: EpochStart) -> (EpochStart, Option<AuthorityIndex>) {
        let mut keys = self.keys.iter();
        let own = keys.find_map(|keys| start.committee.index_of(keys.public()));
        match own {
            Some(index) if self.config.single_node => {
                start.committee = Arc::new(start.committee.alone(index));
                (start, Some(AuthorityIndex(0)))
            }
            _ => (start, own),
        }
    }

    /// This node's authority index and key in an epoch; `None` if it is a follower.
    pub(super) fn signer(&self, retained: &RetainedEpoch) -> Option<Signer> {
        let index = retained.own?;
        let named = retained.start.committee.authority(index).protocol_key;
        let keys = self.keys.iter().find(|keys| keys.public() == named)?;
        let keys = keys.clone();
        Some(Signer { index, keys })
    }

    /// Checks that the executor's start of an epoch is equal to the recorded one and to the boundary of the previous
    /// epoch.
    fn check(&self, start: &EpochStart) -> Result<(), NodeError> {
        let epoch = start.base.epoch;
        let other = |expected, found| NodeError::OtherStart {
            epoch,
            expected,
            found,
        };
        if let Some(known) = self.records.read(epoch)?
            && known.start != *start
        {
            return Err(other(describe(&known.start), describe(start)));
        }
        if epoch == Epoch(0) {
            return Ok(());
        }
        let before = self.records.read(epoch.prev())?;
        let Some(boundary) = before.and_then(|before| boundary_of(before.step)) else {
            return Ok(());
        };
        if boundary.gei != start.base.base || boundary.timestamp_ms != start.timestamp_ms {
            return Err(other(format!("boundary {boundary}"), describe(start)));
        }
        Ok(())
    }

    /// Removes expired epochs. An epoch that still serves peers is only withdrawn; it is removed at the next change.
    async fn remove_epochs_before(&self, running: Epoch) -> Result<(), NodeError> {
        let oldest = self.oldest_retained(running);
        for record in self.records.all()? {
            let epoch = record.start.base.epoch;
            if epoch >= oldest {
                break;
            }
            if self.archive.withdraw(epoch) {
                continue;
            }
            let name = ConsensusStore::store_name(epoch);
            if let Err(error) = self.env.stores.remove(&name) {
                warn!(target: "[EPOCH TRANSITION]", %epoch, %error, "cannot remove the store of an expired epoch yet");
                continue;
            }
            self.env.reach(CrashPoint::NodeEpochRemoved).await;
            self.records.forget(epoch)?;
            self.env.emit(NodeEvent::EpochRemoved { epoch });
        }
        Ok(())
    }
}

const fn boundary_of(step: ChangeStep) -> Option<Boundary> {
    match step {
        ChangeStep::Running => None,
        ChangeStep::BoundaryCommitted(boundary)
        | ChangeStep::Drained(boundary)
        | ChangeStep::Advanced(boundary) => Some(boundary),
    }
}

fn describe(start: &EpochStart) -> String {
    let EpochStart {
        base,
        timestamp_ms,
        committee,
        chain: _,
    } = start;
    format!(
        "base {} at {timestamp_ms} ms, committee {}",
        base.base,
        committee.digest()
    )
}
