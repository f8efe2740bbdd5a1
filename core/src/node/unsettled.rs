//! What this node's stored blocks still owe, at its start.

use super::{Node, NodeError};
use crate::{
    consensus::{OwnEpoch, requeue_unsettled},
    env::NodeEvent,
    ingest::Pool,
    store::ConsensusStore,
    types::Epoch,
};

impl Node<'_> {
    /// Puts transactions of stored own blocks that no commit contains back into the pool (contract §6.7). Later this
    /// process has them in memory. `running`: the epoch that the node is about to enter.
    pub(super) fn requeue_unsettled(
        &self,
        running: Epoch,
        pool: &mut Pool,
    ) -> Result<(), NodeError> {
        let mut epochs = vec![];
        for record in self.records.all()? {
            let (start, own) = self.role(record.start);
            let epoch = start.base.epoch;
            let store = match self.archive.get(epoch) {
                Some(retained) => retained.store.clone(),
                None => ConsensusStore::open(self.env.stores.as_ref(), epoch)?,
            };
            let committee = start.committee;
            epochs.push(OwnEpoch {
                committee,
                own,
                store,
            });
        }
        let gc_depth = self.config.consensus.gc_depth_rounds;
        for (epoch, transactions) in requeue_unsettled(&epochs, running, gc_depth, pool)? {
            self.env.emit(NodeEvent::Requeued {
                epoch,
                transactions,
            });
        }
        Ok(())
    }
}
