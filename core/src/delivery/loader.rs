//! The loader: fills the window from the commit log in batches, and publishes backpressure for the proposer.
//!
//! Recovery and live delivery are the same here: commits above the window are read from the log, at most a batch at
//! once and at most as many as fit into the window.

use super::{Delivery, DeliveryError, Numbered, bug_switches, number, window::pauses_proposals};
use crate::{
    commit::is_boundary,
    env::{CrashPoint, NodeEvent},
    sync::atomic::Ordering,
    types::CommitIndex,
};

impl Delivery {
    /// Loads until the executor turns out to be in an earlier epoch.
    ///
    /// # Errors
    /// If the store fails or a block exceeds the frame limit.
    pub(super) async fn load(&self) -> Result<(), DeliveryError> {
        let mut tip = self.log.tip();
        loop {
            let is_before_epoch = self.is_before_epoch.load(Ordering::Relaxed);
            if is_before_epoch || self.window().watermark() < self.base.base {
                return Ok(());
            }
            let loaded = self.load_batch().await?;
            if !loaded {
                tokio::select! {
                    biased;
                    () = self.window_changed.notified() => {}
                    changed = tip.changed() => if changed.is_err() { return Ok(()) },
                    () = self.log.something_repaired() => {}
                }
            }
        }
    }

    /// Loads one batch. Returns whether anything was loaded.
    async fn load_batch(&self) -> Result<bool, DeliveryError> {
        let (next, free) = {
            let window = self.window();
            (window.next_to_load(), window.free_capacity())
        };
        let Some(from) = self
            .base
            .commit_index(next)
            .ok()
            .filter(|index| *index > CommitIndex(0))
        else {
            // The watermark is below the base of this epoch, which the caller checks next.
            return Ok(false);
        };
        let limit = free.min(self.parameters.recovery_batch_commits as usize);
        let batch = bug_switches::batch(self.log.read(from, limit)?, &self.committee);
        if batch.is_empty() {
            self.update_pressure();
            return Ok(false);
        }
        let blocks: Vec<Numbered> = batch
            .iter()
            .map(|sub_dag| {
                number(
                    sub_dag,
                    self.base,
                    &self.committee,
                    self.env.hashes.as_ref(),
                )
                .map_err(|source| {
                    let commit = sub_dag.reference;
                    DeliveryError::TooLarge { commit, source }
                })
            })
            .collect::<Result<_, _>>()?;
        let mut expected = next;
        for block in &blocks {
            assert_eq!(
                block.gei, expected,
                "the commit log has a gap before {}",
                block.commit
            );
            expected = expected.next();
        }
        let boundary = batch
            .iter()
            .find(|sub_dag| is_boundary(&sub_dag.commit, &self.committee))
            .map(|sub_dag| self.base.gei(sub_dag.commit.index));
        let (len, last) = {
            let mut window = self.window();
            for block in blocks {
                if window.push(block.gei, block).is_err() {
                    break; // the window was reset in the meantime: the next batch starts at its new position
                }
            }
            if let Some(boundary) = boundary {
                window.end_at(boundary);
            }
            (window.len(), window.next_to_load().prev())
        };
        #[allow(clippy::cast_possible_truncation)]
        // the capacity of the window is a u32
        self.env.emit(NodeEvent::WindowLoaded {
            blocks: len as u32,
            capacity: self.parameters.window_blocks,
            last,
        });
        self.frames_ready.notify_one();
        self.env.reach(CrashPoint::NodeWindowLoaded).await;
        Ok(true)
    }

    /// Publishes whether the window permits proposals.
    pub(super) fn update_pressure(&self) {
        self.pressure.send_if_modified(|paused| {
            // Read in here: two tasks call this, and the one that publishes last must not have read first.
            let (len, capacity) = {
                let window = self.window();
                (window.len(), window.capacity())
            };
            #[allow(clippy::cast_possible_truncation)]
            let blocks = len as u32;
            let now = pauses_proposals(*paused, len, capacity);
            if now == *paused {
                return false;
            }
            *paused = now;
            self.env.emit(if now {
                NodeEvent::ProposalsPaused { blocks }
            } else {
                NodeEvent::ProposalsResumed { blocks }
            });
            true
        });
    }
}
