//! The one arrow back: asks the executor what is durable, trims the window, rewinds it when the executor lost its tail.

use super::{Delivery, window::Learned};
use crate::{
    env::{CrashPoint, NodeEvent},
    types::GlobalExecIndex,
};
use std::time::Duration;
use tracing::debug;

impl Delivery {
    /// Asks at every interval while something is outstanding. A failed query is the next one's business: the window
    /// only ever moves by an answer.
    pub(super) async fn follow_watermark(&self) {
        loop {
            while self.window().is_empty() {
                self.outstanding.notified().await;
            }
            tokio::time::sleep(Duration::from_millis(self.parameters.watermark_poll_ms)).await;
            match self.client.last_block_number().await {
                Ok(watermark) => self.learn(watermark).await,
                Err(e) => {
                    debug!(target: "[SEQUENTIAL-BUFFER]", error = %e, "watermark unknown for now")
                }
            }
        }
    }

    /// Takes in a watermark that the executor just reported.
    pub(super) async fn learn(&self, watermark: GlobalExecIndex) {
        self.env.reach(CrashPoint::NodeWatermarkLearned).await;
        let learned = self.window().learn(watermark);
        if learned == Learned::Trimmed(0) {
            return;
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
    }
}
