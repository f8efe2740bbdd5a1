//! The end of the stored commit log of an epoch, up to the first damaged commit.

use crate::{
    store::{CommitRun, ConsensusStore, StoreError},
    types::CommitIndex,
};

/// Reads the last stored commits, as many as [`Linearizer::recover`](crate::commit::Linearizer::recover) needs.
///
/// If one of them is damaged, the log is cut before it, durably. Nothing is lost: the blocks are stored, deciding them
/// again gives the same commits, and certified commits can be fetched.
///
/// # Errors
/// If the store fails.
pub(crate) fn recover_log(
    store: &ConsensusStore,
    gc_depth_rounds: u32,
) -> Result<CommitRun, StoreError> {
    let log = intact_log(store, gc_depth_rounds)?;
    if let Some(index) = log.damaged {
        store.cut_commits(index)?;
    }
    Ok(log)
}

/// The log that [`recover_log`] leaves, without changing the store.
///
/// # Errors
/// If the store fails.
pub(super) fn intact_log(
    store: &ConsensusStore,
    gc_depth_rounds: u32,
) -> Result<CommitRun, StoreError> {
    let mut damaged = None;
    let mut last = store.last_commit()?.unwrap_or_default();
    loop {
        let run = commits_up_to(last, store, gc_depth_rounds)?;
        let Some(index) = run.damaged else {
            return Ok(CommitRun { damaged, ..run });
        };
        damaged = Some(index);
        last = index.prev();
    }
}

fn commits_up_to(
    last: CommitIndex,
    store: &ConsensusStore,
    gc_depth_rounds: u32,
) -> Result<CommitRun, StoreError> {
    let mut from = last;
    loop {
        const PAGE: u32 = 64;
        from = CommitIndex(from.0.saturating_sub(PAGE).max(1));
        let run = store.commits(from, last)?;
        let reaches_gc = match &run.intact[..] {
            [first, .., last] => first.leader.round.0 + gc_depth_rounds <= last.leader.round.0,
            _ => false,
        };
        if reaches_gc || run.damaged.is_some() || from == CommitIndex(1) {
            return Ok(run);
        }
    }
}
