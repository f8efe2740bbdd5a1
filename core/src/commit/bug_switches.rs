//! Switches of the [known bugs](crate::bugs) of the commit sequence. With no bug enabled, arguments are returned
//! unchanged.

use crate::{
    bugs::{self, KnownBug},
    types::{AuthorityIndex, BlockRef, CommitRef, Committee, Stake, TimestampMs, VerifiedBlock},
};

/// The boundary commit that ends the sequence.
pub(super) fn boundary(boundary: Option<CommitRef>) -> Option<CommitRef> {
    let commits_follow =
        bugs::enabled(KnownBug::TrailingCommits) || bugs::enabled(KnownBug::BoundaryReadBeforeStop);
    boundary.filter(|_| !commits_follow)
}

/// From when the age of an epoch is counted that was to begin at `start`.
pub(super) fn epoch_began(began: TimestampMs, start: TimestampMs) -> TimestampMs {
    if bugs::enabled(KnownBug::EpochAgeFromItsStart) {
        return start;
    }
    began
}

/// The leader that the schedule names.
pub(super) fn leader(leader: AuthorityIndex, committee: &Committee) -> AuthorityIndex {
    if bugs::enabled(KnownBug::LeadersInAnotherOrder) {
        let next = AuthorityIndex(leader.0 + 1);
        return match next.as_usize() < committee.size() {
            true => next,
            false => AuthorityIndex(0),
        };
    }
    leader
}

/// The blocks of a commit, in delivery order.
pub(super) fn sub_dag(mut blocks: Vec<VerifiedBlock>, leader: BlockRef) -> Vec<VerifiedBlock> {
    if bugs::enabled(KnownBug::BlocksLeftOut) {
        blocks.retain(|block| block.author != AuthorityIndex(0) || block.reference() == leader);
    }
    if bugs::enabled(KnownBug::SubDagByAuthor) {
        blocks.sort_by_key(|block| (block.reference() == leader, block.author, block.round));
    }
    blocks
}

/// Leaves out the blocks after the first `count`.
pub(super) fn left_out(blocks: &mut Vec<VerifiedBlock>, count: usize, leader: BlockRef) {
    let left_out = blocks.split_off(count);
    if bugs::enabled(KnownBug::LeaderInItsCommit) {
        blocks.extend(left_out.into_iter().filter(|b| b.reference() == leader));
    }
}

/// The timestamp of a commit.
pub(super) fn timestamp(
    timestamp_ms: TimestampMs,
    median_ms: TimestampMs,
    leader: &VerifiedBlock,
) -> TimestampMs {
    if bugs::enabled(KnownBug::TimestampOfTheLeader) {
        return leader.timestamp_ms.max(timestamp_ms);
    }
    if bugs::enabled(KnownBug::TimeGoesBack) {
        return median_ms;
    }
    timestamp_ms
}

/// The stake of end-of-epoch marks that ends an epoch.
pub(super) fn ending_stake(quorum: Stake, committee: &Committee) -> Stake {
    if bugs::enabled(KnownBug::BoundaryAtOneThird) {
        return Stake(committee.total_stake().0 - quorum.0 + 1);
    }
    quorum
}
