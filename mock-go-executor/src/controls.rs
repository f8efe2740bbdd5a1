//! What the world may change in a running executor.

use serde::{Deserialize, Serialize};
use std::{convert::Infallible, future::pending};
use tokio::sync::{Notify, watch};

/// Deviations of a running executor from its normal behaviour. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Blocks are received, but not executed, and nothing becomes durable. Reading continues until the queue is full;
    /// requests are answered.
    pub stalled: bool,
    /// Block streams are accepted, but not read.
    pub reads_nothing: bool,
    /// The previous block stream is read, too: its late frames interleave with those of the newest one.
    pub serves_both: bool,
    /// `None`: requests are answered at once and truthfully.
    pub replies: Option<Replies>,
    /// What peers hear instead of the truth, on their listener. The own node hears the truth. A Sub that follows over that
    /// listener is lied to as well.
    pub lie: Option<Lie>,
}

/// How an executor misbehaves on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replies {
    /// Each reply is delayed by this much.
    Late { ms: u64 },
    /// No replies. Requests are answered when this ends.
    Silent,
    /// No replies, ever: requests take effect, and their connections stay open without an answer.
    Lost,
    /// Every reply is `error`.
    Refused,
}

/// What an executor tells peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// A far later epoch and block.
    FarEpoch,
    /// Epoch 0 and block 0.
    OldEpoch,
    /// The truth, but blocks have other state roots.
    OtherRoot,
    /// Frames that are no response.
    Garbage,
    /// Nothing, ever: connections stay open without an answer.
    Silence,
    /// The truth, each answer delayed by this much.
    Slow { ms: u64 },
}

/// The controls as the parts of an executor follow them. A `watch` alone would wake them in an order that does not
/// depend on the seed.
pub(crate) struct SharedControls {
    controls: watch::Receiver<Controls>,
    pub(crate) changed: Notify,
}

impl SharedControls {
    pub(crate) fn new(controls: watch::Receiver<Controls>) -> Self {
        Self {
            controls,
            changed: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Controls {
        *self.controls.borrow()
    }

    /// Wakes all waiters of [`Self::changed`] after every change, in the order in which they began to wait.
    pub(crate) async fn announce(&self) -> Infallible {
        let mut controls = self.controls.clone();
        while controls.changed().await.is_ok() {
            self.changed.notify_waiters();
        }
        // The sender is gone: no further changes.
        pending().await
    }
}
