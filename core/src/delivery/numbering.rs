//! From a sub-DAG to the block for the executor: its GEI and the order of its transactions (contract §3.4).

use super::bug_switches;
use crate::{
    env::TransactionHashes,
    executor::wire::{CommittedBlock, CommittedEpochData, TransactionExe},
    framing::{FrameError, Framing},
    types::{CommitRef, Committee, Epoch, EpochBase, GlobalExecIndex, SubDag},
};
use bytes::Bytes;
use std::collections::BTreeSet;

/// A commit with its GEI, encoded for the block stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub gei: GlobalExecIndex,
    pub epoch: Epoch,
    pub commit: CommitRef,
    /// A frame with the [`CommittedEpochData`].
    pub frame: Bytes,
}

/// Numbers a commit and encodes its block.
///
/// Transactions are ordered by the position of their block in the sub-DAG, then by hash; a hash that occurs more than
/// once is delivered once. Empty commits become empty blocks, because every commit takes one GEI.
///
/// # Errors
/// If the block exceeds the frame limit of the block stream.
pub(super) fn number(
    sub_dag: &SubDag,
    base: EpochBase,
    committee: &Committee,
    hashes: &dyn TransactionHashes,
) -> Result<Numbered, FrameError> {
    let commit = &sub_dag.commit;
    let gei = base.gei(commit.index);
    let mut seen = BTreeSet::new();
    let mut transactions = Vec::new();
    for block in &sub_dag.blocks {
        let hashed = block.transactions.iter().map(|t| (hashes.hash(t), t));
        let of_block = bug_switches::of_block(hashed.collect(), |of_block: &mut Vec<_>| {
            of_block.sort_by_key(|(hash, _)| *hash);
        });
        transactions.extend(
            of_block
                .into_iter()
                .filter(|(hash, _)| seen.insert(*hash))
                .map(|(_, transaction)| TransactionExe {
                    digest: transaction.0.clone(),
                    worker_id: 0,
                }),
        );
    }
    let leader = committee.authority(commit.leader.author);
    let data = CommittedEpochData {
        blocks: vec![CommittedBlock {
            epoch: commit.epoch.0,
            height: u64::from(commit.index.0),
            transactions: bug_switches::transactions(transactions),
        }],
        global_exec_index: gei.0,
        commit_index: commit.index.0,
        epoch: commit.epoch.0,
        commit_timestamp_ms: commit.timestamp_ms.0,
        leader_author_index: u32::from(commit.leader.author.0),
        leader_address: Bytes::copy_from_slice(&leader.address),
    };
    Ok(Numbered {
        gei,
        epoch: commit.epoch,
        commit: sub_dag.reference,
        frame: Framing::BLOCK_STREAM.encode(&data)?,
    })
}
