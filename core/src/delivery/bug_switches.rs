//! Switches of the [known bugs](crate::bugs) of delivery: its setup, the executor's answers, the commits read from the
//! log, and their transactions. With no bug enabled, arguments are returned unchanged.

mod network;

use super::{Delivery, DeliverySetup};
use crate::{
    bugs::{self, KnownBug},
    commit::is_boundary,
    executor::wire::TransactionExe,
    sync::atomic::Ordering,
    types::{Committee, GlobalExecIndex, SubDag},
};
use network::BuggyNetwork;
use std::sync::Arc;

/// The setup of delivery.
pub(super) fn setup(mut setup: DeliverySetup) -> DeliverySetup {
    if bugs::enabled(KnownBug::RecoveryFloods) {
        let batch = setup.parameters.recovery_batch_commits;
        setup.parameters.recovery_batch_commits = batch.max(backlog(&setup));
    }
    if bugs::enabled(KnownBug::BatchOfNothing) {
        setup.parameters.recovery_batch_commits = 0;
    }
    if network::is_buggy() {
        let network = setup.env.network.clone();
        setup.env.network = Arc::new(BuggyNetwork::new(network, setup.log.tip()));
    }
    setup
}

/// The capacity of the window.
pub(super) fn capacity(window_blocks: u32, setup: &DeliverySetup) -> usize {
    let capacity = if bugs::enabled(KnownBug::UnboundedSendBuffer) {
        u32::MAX
    } else if bugs::enabled(KnownBug::RecoveryFloods) {
        backlog(setup).max(window_blocks)
    } else {
        window_blocks
    };
    capacity as usize
}

/// Number of stored commits above the watermark at setup.
fn backlog(setup: &DeliverySetup) -> u32 {
    let stored = setup.base.gei(setup.log.last());
    let backlog = stored.0.saturating_sub(setup.watermark.0);
    u32::try_from(backlog).unwrap_or(u32::MAX)
}

/// The watermark that the executor returned.
pub(super) fn answered(watermark: GlobalExecIndex, delivery: &Delivery) -> GlobalExecIndex {
    let has_written = || delivery.frames_written.load(Ordering::Relaxed) > 0;
    let is_trusted = bugs::enabled(KnownBug::StartIsTrusted) && !has_written();
    if bugs::enabled(KnownBug::HandledIndexStands) || is_trusted {
        return delivery.window().watermark();
    }
    if bugs::enabled(KnownBug::WriteCountsAsDelivery) {
        let window = delivery.window();
        let unsent = window.next_to_send().map(|(gei, _)| gei);
        let written = unsent.unwrap_or(window.next_to_load()).prev();
        return watermark.max(written);
    }
    if bugs::enabled(KnownBug::UnfinishedEpochForgotten) {
        return watermark.max(delivery.base.base);
    }
    watermark
}

/// Commits that were read from the log for delivery.
pub(super) fn batch(batch: Vec<Arc<SubDag>>, committee: &Committee) -> Vec<Arc<SubDag>> {
    let is_end = |sub_dag: &Arc<SubDag>| is_boundary(&sub_dag.commit, committee);
    if bugs::enabled(KnownBug::ChangePausesDelivery) && batch.iter().any(is_end) {
        return vec![];
    }
    batch
}

/// Whether a new connection starts with the first block of the window.
pub(super) fn forgets_what_was_sent() -> bool {
    !bugs::enabled(KnownBug::SentIsRemembered)
}

/// The transactions of one block, in the order of their hashes, which `sort` makes.
pub(super) fn of_block<T>(mut of_block: Vec<T>, sort: impl FnOnce(&mut Vec<T>)) -> Vec<T> {
    if !bugs::enabled(KnownBug::TransactionsUnsorted) {
        sort(&mut of_block);
    }
    of_block
}

/// The transactions of a commit, in delivery order.
pub(super) fn transactions(mut transactions: Vec<TransactionExe>) -> Vec<TransactionExe> {
    if bugs::enabled(KnownBug::TransactionDeliveredTwice) {
        transactions.extend(transactions.first().cloned());
    }
    transactions
}
