//! The content of the block that a commit is delivered as (contract §3.4, §4).

use super::{committee::Committee, dag::Dag};
use crate::witness::{ContentHash, Frame, SeenBlock, SeenCommit, hash};
use bytes::Bytes;
use metanode_core::types::{AuthorityIndex, GlobalExecIndex, TransactionHash};
use std::{collections::BTreeSet, sync::Arc};

/// The delivered block of this commit of the epoch with this base, and the hashes of its transactions, each with the
/// author of the block that contains it.
pub(super) fn frame(
    commit: &SeenCommit,
    base: GlobalExecIndex,
    dag: &Dag,
    committee: &Committee,
) -> (Frame, Vec<(TransactionHash, AuthorityIndex)>) {
    let blocks = commit.blocks.iter().filter_map(|block| dag.get(block));
    let (origins, transactions): (Vec<_>, Vec<_>) = ordered(blocks).into_iter().unzip();
    let leader = committee.member(commit.leader.author);
    let frame = Frame {
        gei: GlobalExecIndex(base.0 + u64::from(commit.index.0)),
        epoch: commit.epoch,
        commit: commit.index,
        timestamp_ms: commit.timestamp_ms,
        leader: commit.leader.author,
        leader_address: leader.map_or_else(Vec::new, |leader| leader.address.clone()),
        content: ContentHash::of(transactions.iter().map(|bytes| (0, &bytes[..]))),
        transactions,
    };
    (frame, origins)
}

/// By the position of their block, then by hash; each hash once.
fn ordered<'a>(
    blocks: impl Iterator<Item = &'a Arc<SeenBlock>>,
) -> Vec<((TransactionHash, AuthorityIndex), Bytes)> {
    let mut delivered = BTreeSet::new();
    let mut transactions = vec![];
    for block in blocks {
        let mut of_block: Vec<_> = (block.transactions.iter())
            .map(|bytes| (hash(bytes), bytes))
            .collect();
        of_block.sort_by_key(|(hash, _)| *hash);
        for (hash, bytes) in of_block {
            if delivered.insert(hash) {
                transactions.push(((hash, block.reference.author), bytes.clone()));
            }
        }
    }
    transactions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{Chain, transfer};
    use metanode_core::types::{ChainId, Round, Transaction};

    #[test]
    fn transactions_are_ordered_by_block_then_hash_and_delivered_once() {
        let chain = Chain::new(4);
        let noise = Bytes::from_static(b"\xffnoise");
        let [a, b, c] = [0, 1, 2].map(|nonce| transfer(7, 8, 1, nonce));
        let block = |author: u16, transactions: &[&Bytes]| {
            let mut block = chain.block(Round(1), author, &[chain.unknown(0, author)]);
            block.transactions = transactions
                .iter()
                .map(|bytes| Transaction(Bytes::clone(bytes)))
                .collect();
            chain.seen(&block.sign(&chain.keys[usize::from(author)], ChainId::default()))
        };
        let blocks = [
            block(0, &[&b, &noise, &a, &noise, &b]),
            block(1, &[]),
            block(2, &[&c, &a]),
        ];
        let of = |author, bytes: &Bytes| {
            let transaction = hash(bytes);
            ((transaction, AuthorityIndex(author)), bytes.clone())
        };
        let mut expected = [&a, &b, &noise].map(|bytes| of(0, bytes)).to_vec();
        expected.sort_unstable();
        expected.push(of(2, &c));
        assert_eq!(ordered(blocks.iter()), expected);
    }
}
