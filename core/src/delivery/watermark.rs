//! The one arrow back: asks the executor what is durable, trims the window, rewinds it when the executor lost its tail.

use super::{Delivery, bug_switches, window::Learned};
use crate::{
    env::{CrashPoint, NodeEvent},
    executor::next_wait_ms,
    types::GlobalExecIndex,
};
use std::time::Duration;
use tracing::debug;

impl Delivery {
    /// Asks at every interval while something is outstanding, and on demand: a window that waits for nothing else does
    /// not wait for the interval. A failed query is the next one's business: the window only ever moves by an answer.
    pub(super) async fn follow_watermark(&self) {
        let interval_ms = self.parameters.watermark_poll_ms;
        let mut starved_ms = 1;
        loop {
            while self.window().is_empty() {
                self.outstanding.notified().await;
            }
            let starved = self.window().is_starved();
            let wait_ms = if starved { starved_ms } else { interval_ms };
            tokio::select! {
                biased;
                () = self.starved.notified(), if !starved => continue,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
            let moved = match self.client.last_block_number().await {
                Ok(watermark) => self.learn(watermark).await,
                Err(e) => {
                    debug!(target: "[SEQUENTIAL-BUFFER]", error = %e, "watermark unknown for now");
                    false
                }
            };
            if starved {
                starved_ms = next_wait_ms(starved_ms, moved, interval_ms);
            }
        }
    }

    /// Takes in a watermark that the executor just reported. Says whether it moved the window.
    pub(super) async fn learn(&self, watermark: GlobalExecIndex) -> bool {
        self.env.reach(CrashPoint::NodeWatermarkLearned).await;
        let watermark = bug_switches::answered(watermark, self);
        let learned = self.window().learn(watermark);
        if learned == Learned::Trimmed(0) {
            return false;
        }
        self.env.emit(NodeEvent::WatermarkLearned { watermark });
        if let Learned::Rewound { from } = learned {
            self.env.emit(NodeEvent::Rewound {
                from,
                to: watermark,
            });
        }
        self.update_pressure();
        self.window_changed.notify_one();
        self.frames_ready.notify_one();
        true
    }
}
