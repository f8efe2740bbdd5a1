//! The transactions and the votes in the blocks of a program.

use super::Programmed;
use crate::byzantine::{
    context::Context,
    program::{Payload, Votes},
};
use bytes::Bytes;
use metanode_core::types::{
    CommitDigest, CommitRef, MAX_BLOCK_TRANSACTION_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_COMMIT_VOTES,
    TimestampMs, Transaction,
};

/// A large payload uses at most one part in this many of a link.
const SHARE_OF_LINK: u64 = 4;

/// A block that takes longer than this on a link would keep the validator from everything else.
const LONGEST_SENDING_MS: u64 = 10_000;

/// The newest blocks of another validator among which one with votes is searched.
const BLOCKS_WITH_VOTES: usize = 12;

impl Programmed {
    pub(super) fn transactions(
        &mut self,
        now: TimestampMs,
        payload: Payload,
        context: &mut Context<'_>,
    ) -> Vec<Transaction> {
        let empty = |count| vec![Transaction(Bytes::new()); count];
        let one = |bytes: usize| vec![Transaction(vec![0; bytes].into())];
        let per_second = self.surroundings.link_bytes_per_second.max(1);
        let transactions = match payload {
            Payload::Nothing => return vec![],
            Payload::Few => {
                let noise = Transaction(Bytes::copy_from_slice(&context.noise::<40>()));
                return vec![noise.clone(), noise, Transaction(Bytes::new())];
            }
            Payload::ManyEmpty => empty(MAX_BLOCK_TRANSACTIONS),
            Payload::TooManyEmpty => empty(MAX_BLOCK_TRANSACTIONS + 1),
            Payload::Large => {
                let carried = usize::try_from(per_second).unwrap_or(usize::MAX);
                one(carried.min(MAX_BLOCK_TRANSACTION_BYTES))
            }
            Payload::TooLarge => one(MAX_BLOCK_TRANSACTION_BYTES + 1),
        };
        // An empty transaction has a length.
        let sizes = transactions
            .iter()
            .map(|transaction| 1 + transaction.0.len());
        let sending_ms = sizes.sum::<usize>() as u64 * 1_000 / per_second;
        if now < self.next_large || sending_ms > LONGEST_SENDING_MS {
            return vec![];
        }
        self.next_large = TimestampMs(now.0 + SHARE_OF_LINK * sending_ms);
        transactions
    }
}

/// Votes for commits, after those in a block of another validator.
pub(super) fn votes(choice: Votes, context: &mut Context<'_>) -> Vec<CommitRef> {
    let another = context.another();
    let voting = context.memory.blocks_of(another).rev();
    let copied = voting.map(|block| block.commit_votes.clone());
    let copied = copied
        .take(BLOCKS_WITH_VOTES)
        .find(|votes| !votes.is_empty());
    let copied = copied.unwrap_or_default();
    let mut wrong = || -> Vec<CommitRef> {
        let wrong = |vote: &CommitRef| CommitRef {
            digest: CommitDigest(context.noise()),
            ..*vote
        };
        copied.iter().map(wrong).collect()
    };
    let mut votes = match choice {
        Votes::Nothing => vec![],
        Votes::Wrong => wrong(),
        Votes::Both => [wrong(), copied].concat(),
        Votes::Copied => copied,
    };
    votes.truncate(MAX_COMMIT_VOTES);
    votes
}
