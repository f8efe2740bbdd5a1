//! Consensus: Mysticeti over an uncertified DAG, as an async shell around the pure modules [`dag`](crate::dag) and
//! [`commit`](crate::commit).
//!
//! The protocol is Mysticeti-C of Babel et al., 2023 ([arXiv:2310.14821](https://arxiv.org/abs/2310.14821)), without
//! the fast path of Mysticeti-FPC. Stake is counted, not validators: at most `f` is faulty, `2f+1` is a quorum.
//!
//! # Design
//!
//! One task owns the [`Core`], which is synchronous and does no I/O. Everything else (subscriptions to peers, fetching
//! of ancestors, catching up, repair) sends it commands over a bounded channel. What the core decides is stored
//! **before** anyone hears of it: an own block is synced before a peer may see it, a commit before delivery may.
//!
//! # Protocol
//!
//! ## Blocks
//! * A block names blocks of lower rounds as ancestors: first the previous block of its author, at most one of each
//!   authority, and 2f+1 stake of the round before, its *parents*. Only its author signs it.
//! * It enters the DAG when all its ancestors above the garbage collection round are there
//!   ([`BlockManager`](crate::dag::BlockManager)). Until then it is suspended, and what is missing is fetched, first
//!   from the authorities that built on it ([`FetchScheduler`]).
//! * The clock of a node is in round `r` when it has accepted blocks of 2f+1 stake of `r-1`.
//! * In round `r` a node proposes one block if it has signed none of `r` or later and delivery is not behind: at the
//!   earliest `min_round_delay_ms` after its last block, and when the leaders of `r-1` are there or `leader_timeout_ms`
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
//! The first leaders are those of round 2, so that the parents of every leader are blocks of this epoch. A leader slot of
//! round `r` is decided ([`CommitRule`](crate::commit::CommitRule))
//! * **directly**: committed if blocks of 2f+1 stake of `r+2` are certificates of its block, skipped if blocks of 2f+1
//!   stake of `r+1` are blames;
//! * otherwise **indirectly**, by its *anchor*, the first leader slot of a round above `r+2` that is not skipped. If
//!   the anchor is undecided, so is the slot. If the anchor is committed, the slot is committed if a certificate of its
//!   block is in the anchor's history, and skipped if none is.
//!
//! Decisions take effect in the order of (round, offset), up to the first undecided slot. In the drawing `L` is
//! committed.
//!
//! ## Commits
//! * A committed leader of round `R` makes one commit ([`Linearizer`](crate::commit::Linearizer)): its causal history
//!   without what earlier commits contain and without rounds up to `R - gc_depth_rounds`, ordered by (round, author,
//!   digest). A commit contains the digest of the commit before, so equal digests mean equal histories.
//! * Its timestamp is the lower stake-weighted median of the timestamps of the leader's parents, never below that of
//!   the commit before or the start of the epoch.
//! * An own block carries *commit votes*: references of the commits that this node stored since its last block. Votes
//!   of 2f+1 stake for the last commit of a chain certify the whole chain.
//! * A node that is more than `commit_sync_threshold` commits behind what 2f+1 stake has reached, or that makes no
//!   progress for `peer_timeout_ms`, fetches such a chain with its blocks and adopts it instead of deciding by itself.
//!
//! ## End of an epoch
//! * By its own clock, a node sets the end mark in its blocks once the epoch has lasted `epoch_duration_ms`.
//! * The *boundary* is the first commit up to which end marks of 2f+1 stake are committed. No commit follows it.
//! * Later blocks carry no transactions. They go on until commit votes of 2f+1 stake for the boundary are stored here,
//!   so that this node can prove the boundary to others; then it proposes nothing more and waits to leave the epoch.
//!
//! # Deviations from Mysticeti
//! * **Slots.** Of the blocks for one slot a node takes the first, and those that a suspended block names as ancestor.
//!   The paper lets in every valid block, so that one equivocating validator could fill the disks of all others.
//! * **Skip pattern.** A blame names no block of the slot at all. The paper counts for each block of the slot the
//!   blocks that do not support it, which skips some slots of equivocating leaders sooner; here their anchors skip
//!   them.
//! * **Leaders.** `leaders_per_round` leaders (default 1) are drawn by stake, without replacement, from epoch and round
//!   alone. There is no reputation, so whoever knows the committee knows the leaders.
//! * **Garbage collection.** A block that comes too late for every commit is left out, which bounds memory. Which
//!   blocks these are follows from the round of each leader alone, so all nodes leave out the same ones.
//! * **Block sizes.** Transactions of own blocks that were left out are proposed again, before others. The limit for
//!   the next blocks is then halved; each committed block that fills half of it raises it by an eighth, at least by 256
//!   bytes. Otherwise blocks that are too large for the links would come too late again and again.
//! * **Amnesia.** Unless this process entered the epoch by itself and for the first time, the node asks its peers for
//!   its own newest block, and proposes only when 2f+1 stake, itself included, has answered. The paper does not treat
//!   the loss of what a validator signed.
//! * **Commit votes and commit sync.** They are not part of the paper. A node that is far behind, or that only follows,
//!   would otherwise have to fetch every block of the DAG and decide it anew.
//! * **Timestamps.** Not part of the paper, but the executor's blocks carry them. As medians they are the same on every
//!   node and lie between those of honest authorities.
//! * **End of an epoch.** The end mark corresponds to the epoch-change bit of Mysticeti-FPC. The blocks after the
//!   boundary, which only carry votes, are new: number and time of the boundary are what the next epoch is built on, so
//!   a node must be able to prove them to those that come later.

mod amnesia_recovery;
mod archive;
mod bug_switches;
mod commit_sync;
mod core;
mod core_task;
#[cfg(test)]
mod core_tests;
mod fetch_scheduler;
mod idle_timeout;
mod own_blocks;
mod peer;
mod proposer;
pub mod protocol;
mod repair;
mod server;
mod shared;
mod subscriber;
mod synchronizer;
mod uncommitted;
mod votes;

pub use self::core::{Core, Signer, Step, recover_log};
pub use archive::{Archive, RetainedEpoch};
pub use core_task::{Consensus, ConsensusError, ConsensusSetup};
pub use fetch_scheduler::{FetchRequest, FetchScheduler, FetchTiming, Missing};
pub use proposer::{ProposalDecision, ProposalView, decide};
pub use server::serve;
pub use votes::{CommitVotes, certified};
