//! The watermark follower: queries W, trims the window, and rewinds it if the executor lost its tail.
//!
//! No other task queries W while delivery runs, so answers are processed in the order in which the executor sent them.

use super::{
    Delivery, bug_switches,
    standstill::{Standstill, advice},
    window::Learned,
};
use crate::{
    env::{CrashPoint, NodeEvent},
    executor::{RpcError, next_wait_ms},
    types::GlobalExecIndex,
};
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::debug;

/// Requests for an immediate query. Each is answered after the window was updated.
pub(super) type WatermarkQueries = mpsc::Sender<oneshot::Sender<Result<(), RpcError>>>;

/// Queries W now. Returns when the window was updated with the answer.
pub(super) async fn query_now(queries: &WatermarkQueries) -> Result<(), RpcError> {
    let (reply, answered) = oneshot::channel();
    let Ok(()) = queries.send(reply).await else {
        return std::future::pending().await; // delivery has ended and aborts this task
    };
    match answered.await {
        Ok(answer) => answer,
        Err(_) => std::future::pending().await,
    }
}

impl Delivery {
    /// Queries W on request, and at an interval while blocks are outstanding; the interval is adaptive while the window
    /// is starved. A failed query does not change the window.
    pub(super) async fn follow_watermark(
        &self,
        mut requests: mpsc::Receiver<oneshot::Sender<Result<(), RpcError>>>,
    ) {
        let interval_ms = self.parameters.watermark_poll_ms;
        let mut starved_ms = 1;
        let mut standstill = Standstill::new(self.parameters.standstill_ms);
        #[allow(clippy::disallowed_methods)]
        // tokio's clock; under madsim the lint mistakes it for that of std
        let started = Instant::now();
        loop {
            let (request, was_starved) = tokio::select! {
                biased;
                Some(request) = requests.recv() => (Some(request), false),
                was_starved = self.poll_is_due(starved_ms) => (None, was_starved),
            };
            let answer = self.client.watermark().await;
            let moved = match &answer {
                Ok(watermark) => {
                    let moved = self.learn(*watermark).await;
                    let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.tell_standstill(*watermark, &mut standstill, now_ms);
                    moved
                }
                Err(e) => {
                    debug!(target: "[SEQUENTIAL-BUFFER]", error = %e, "cannot query the watermark");
                    false
                }
            };
            if was_starved {
                starved_ms = next_wait_ms(starved_ms, moved, interval_ms);
            }
            if let Some(request) = request {
                let _ = request.send(answer.map(drop)); // an error means that the connection has ended
            }
        }
    }

    /// Returns when the next periodic query is due, with whether the window is starved.
    async fn poll_is_due(&self, starved_ms: u64) -> bool {
        let interval_ms = self.parameters.watermark_poll_ms;
        loop {
            while self.window().is_empty() {
                self.outstanding.notified().await;
            }
            let starved = self.window().is_starved();
            let wait_ms = if starved { starved_ms } else { interval_ms };
            tokio::select! {
                biased;
                () = self.starved.notified(), if !starved => {}
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => return starved,
            }
        }
    }

    /// Tells the operator of an executor that has what the window may hold and reports no progress.
    fn tell_standstill(
        &self,
        watermark: GlobalExecIndex,
        standstill: &mut Standstill,
        now_ms: u64,
    ) {
        let (is_starved, written) = {
            let window = self.window();
            (window.is_starved(), window.next_to_load().prev())
        };
        if let Some(for_ms) = standstill.answered(now_ms, watermark, is_starved) {
            self.env.emit(NodeEvent::WatermarkStands {
                watermark,
                written,
                for_ms,
                advice: advice(self.client.watermark_source()).to_owned(),
            });
        }
    }

    /// Updates the window with a watermark from the executor. Returns whether the window changed.
    async fn learn(&self, watermark: GlobalExecIndex) -> bool {
        self.env.reach(CrashPoint::NodeWatermarkLearned).await;
        let watermark = bug_switches::answered(watermark, self);
        let learned = {
            let mut window = self.window();
            let learned = window.learn(watermark);
            // Told before another task can skip what is durable.
            if learned != Learned::Trimmed(0) {
                self.env.emit(NodeEvent::WatermarkLearned { watermark });
            }
            learned
        };
        self.watermark.send_if_modified(|last| {
            let is_other = *last != watermark;
            *last = watermark;
            is_other
        });
        self.journal.executed(watermark);
        if learned == Learned::Trimmed(0) {
            return false;
        }
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
