//! Consensus: Mysticeti over an uncertified DAG, as an async shell around the pure modules [`dag`](crate::dag) and
//! [`commit`](crate::commit).
//!
//! The protocol is Mysticeti-C of Babel et al., 2023 ([arXiv:2310.14821](https://arxiv.org/abs/2310.14821)), without
//! the fast path of Mysticeti-FPC. Stake is counted, not validators: at most `f` is faulty, `2f+1` is a quorum.
//!
//! # Design
//!
//! One task owns the [`Core`], which is synchronous and does no I/O. Everything else (subscriptions to peers, fetching
//! of ancestors, commit sync, repair) sends it commands over a bounded channel. The results of the core are stored
//! **before** they are published: an own block is synced before it is sent to peers, a commit before it is delivered.
//!
//! # Protocol
//!
//! ## Blocks
//! * A block names blocks of lower rounds as ancestors: first the previous block of its author, at most one of each
//!   authority, and 2f+1 stake of the round before, its *parents*. Only its author signs it.
//! * It enters the DAG when all its ancestors above the garbage collection round are in the DAG
//!   ([`BlockManager`](crate::dag::BlockManager)). Until then it is suspended, and the missing ancestors are fetched,
//!   first from the authors of the blocks that depend on them ([`FetchScheduler`]).
//! * The threshold clock of a node is in round `r` when it has accepted blocks of 2f+1 stake of `r-1`.
//! * In round `r` a node proposes one block if it has signed none of `r` or later and there is no backpressure: at the
//!   earliest `min_round_delay_ms` after its last block, and when it has the leaders of `r-1` or `leader_timeout_ms`
//!   after it entered `r` ([`decide`]).
//!
//! ## Waves
//! Every round begins a wave of three rounds. Votes and certificates are patterns of the DAG, not messages:
//!
//! ```txt
//!  round       r            r+1           r+2
//!            leader        votes      certificates
//!
//!    A         o        ,--- v <--------- c      names v(A) v(B) v(C)
//!                      /
//!    B         L <----+----- v <--------- c      names v(A) v(B) v(C)
//!                      \
//!    C         o        '--- v <--------- c      names v(A) v(B) v(C) b(D)
//!
//!    D         o <---------- b <--------- o      names v(A) v(B) b(D): no certificate
//! ```
//!
//! A block of `r+1` that names the leader block `L` is a *vote* for it (`v`), one that names no block of the leader's
//! slot a *blame* (`b`). A block of `r+2` with votes of 2f+1 stake among its ancestors is a *certificate* of `L` (`c`).
//!
//! ## Decisions
//! The first leaders are those of round 2, so that the parents of every leader are blocks of this epoch. A leader slot
//! of round `r` is decided ([`CommitRule`](crate::commit::CommitRule))
//! * **directly**: committed if blocks of 2f+1 stake of `r+2` are certificates of its block, skipped if blocks of 2f+1
//!   stake of `r+1` are blames;
//! * otherwise **indirectly**, by its *anchor*, the first leader slot of a round above `r+2` that is not skipped. If
//!   the anchor is undecided, so is the slot. If the anchor is committed, the slot is committed if a certificate of its
//!   block is in the anchor's history, and skipped if none is.
//!
//! Decisions take effect in the order of (round, offset), up to the first undecided slot. In the figure `L` is
//! committed.
//!
//! ## Commits
//! * Each committed leader of round `R` gives one commit ([`Linearizer`](crate::commit::Linearizer)): its causal
//!   history without blocks of earlier commits and of rounds up to `R - gc_depth_rounds`, ordered by (round, author,
//!   digest). Blocks that do not fit into `max_commit_bytes` are left to later commits. A commit contains the digest of
//!   the previous one, so equal digests mean equal histories.
//! * Its timestamp is the lower stake-weighted median of the timestamps of the leader's parents, at least that of the
//!   previous commit and the start of the epoch.
//! * An own block carries *commit votes*: references of the commits that this node stored since its last block. Votes
//!   of 2f+1 stake for the last commit of a chain certify the whole chain.
//! * A node that is more than `commit_sync_threshold` commits behind 2f+1 stake, or that makes no progress for
//!   `peer_timeout_ms`, fetches such a chain with its blocks and adopts it instead of deciding itself.
//!
//! ## End of an epoch
//! * A node sets the end-of-epoch mark in its blocks when the epoch has lasted `epoch_duration_ms` by its own clock.
//! * The *boundary* is the first commit up to which marks of 2f+1 stake are committed. No commit follows it.
//! * Later blocks carry no transactions. A node proposes them until commit votes of 2f+1 stake for the boundary are in
//!   its store, so that it can prove the boundary to others; then it waits to leave the epoch.
//!
//! # Deviations from Mysticeti
//! * **Slots.** Of several blocks for one slot a node accepts the first, and those that a suspended block has as
//!   ancestor. The paper accepts every valid block, so that one equivocating validator could fill the disks of all
//!   others.
//! * **Skip pattern.** A blame names no block of the slot at all. The paper counts for each block of the slot the
//!   blocks that do not support it, which skips some slots of equivocating leaders sooner; here their anchors skip
//!   them.
//! * **Leaders.** `leaders_per_round` leaders (default 1) are drawn by stake, without replacement, from epoch and round
//!   alone. There is no reputation, so the leaders are known in advance.
//! * **Garbage collection.** Blocks that arrive too late are left out of all commits, which bounds memory. Which blocks
//!   these are depends on the round of each leader alone, so all nodes leave out the same ones.
//! * **Blocks left out.** Transactions of own blocks that were left out are proposed again, in the order in which they
//!   were taken, so that none waits for ever, also after a crash ([`ingest`](crate::ingest)). Such blocks are not streamed any more: they would only make the next ones late. A peer that lags requests them.
//! * **Block sizes.** When own blocks are left out, the size limit of own blocks becomes half of the largest one that was
//!   on its way; a committed block that fills half of the limit raises it by an eighth, at least by 256 bytes. Each limit
//!   is lowered and raised once, by blocks that were made under it. Otherwise blocks that are too large for the links
//!   would be late again and again.
//! * **Amnesia.** The node queries its peers for its own newest block, and proposes only when 2f+1 stake, itself included,
//!   has answered. It does not where it has certainly signed nothing: in an epoch that this process entered from the
//!   previous one, of which the disk has no record, and which is later than the next one of any that a peer knew when the
//!   process began, as long as the members stay the same: the disk may be an older backup. The paper does not consider
//!   validators that lose signed blocks.
//! * **Commit votes and commit sync.** Not part of the paper. A node that is far behind, or a follower, would otherwise
//!   have to fetch every block of the DAG and decide all leaders itself.
//! * **Timestamps.** Not part of the paper, but needed for the executor's blocks. As medians they are the same on every
//!   node and between those of honest authorities.
//! * **End of an epoch.** The end-of-epoch mark corresponds to the epoch-change bit of Mysticeti-FPC. The blocks after
//!   the boundary, which only carry votes, are new: the next epoch depends on GEI and timestamp of the boundary, so a
//!   node must be able to prove the boundary to nodes that are behind.

mod amnesia_recovery;
mod archive;
mod broken_promise;
mod bug_switches;
mod commit_sync;
mod core;
mod core_task;
#[cfg(test)]
mod core_tests;
mod fetch_scheduler;
mod hand_over;
#[cfg(test)]
mod journal_tests;
mod missing_history;
mod own_blocks;
mod peer;
mod peer_stream;
mod proposer;
pub mod protocol;
mod repair;
#[cfg(shuttle)]
pub mod schedules;
mod server;
#[cfg(test)]
mod server_tests;
mod shared;
mod step;
mod stored_log;
mod subscriber;
mod synchronizer;
mod uncommitted;
mod unvoted;
mod votes;

pub(crate) use self::core::Signer;
pub(crate) use amnesia_recovery::Asked;
pub(crate) use archive::{Archive, RetainedEpoch};
pub(crate) use core_task::{Consensus, ConsensusError, ConsensusSetup};
pub(crate) use hand_over::{Pace, hand_over};
pub(crate) use server::serve;
pub(crate) use stored_log::recover_log;
