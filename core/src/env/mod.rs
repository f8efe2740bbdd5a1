//! The environment: all I/O, time and randomness of the node and of the mock executor go through one [`Env`], a struct
//! of small traits that is passed down at start.
//!
//! [`IdleTimeout`] wraps a stream of any environment.
//!
//! tokio's tasks, timers and channels are used directly: the simulator replaces tokio at compile time. [`real`] is the
//! environment of production; the simulator has its own.

mod block_refusal;
mod clock;
mod crash_point;
mod entropy;
mod event;
mod executor_event;
mod hashes;
mod idle_timeout;
mod monitor;
mod network;
mod peer_event;
mod quantity;
pub mod real;
mod session_keys;
mod sub_event;
pub mod trace_line;

pub use block_refusal::BlockRefusal;
pub use clock::WallClock;
pub use crash_point::{CrashPoint, CrashPoints};
pub use entropy::Entropy;
pub use event::{CommitOrigin, Event, EventSink, NodeEvent, RpcKind, for_people};
pub use executor_event::ExecutorEvent;
pub use hashes::{Computed, TransactionHashes};
pub(crate) use idle_timeout::{IdleTimeout, MonitoredStream};
pub use monitor::{TaskMonitor, Unmonitored};
pub use network::{BoxListener, BoxStream, Listener, Network, Stream};
pub use peer_event::PeerEvent;
pub use quantity::{Quantity, Reading};
pub use session_keys::SessionKeys;
pub use sub_event::SubEvent;

use crate::store::StoreFactory;
use std::sync::Arc;

/// The environment of a process.
#[derive(Clone)]
pub struct Env {
    pub network: Arc<dyn Network>,
    pub clock: Arc<dyn WallClock>,
    pub stores: Arc<dyn StoreFactory>,
    pub entropy: Arc<dyn Entropy>,
    pub crash_points: Arc<dyn CrashPoints>,
    pub events: Arc<dyn EventSink>,
    pub monitor: Arc<dyn TaskMonitor>,
    pub hashes: Arc<dyn TransactionHashes>,
}

impl Env {
    /// Reports a typed event: a log line in production, an entry of the trace in the simulator.
    pub fn emit(&self, event: impl Into<Event>) {
        self.events.emit(event.into());
    }

    /// Lets metrics read a quantity from now on. What was given for it before is dropped.
    pub fn measure(&self, quantity: Quantity, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.events.measure(quantity, Box::new(read));
    }

    /// Reaches a crash point. Does nothing in production; the simulator may end the process here, in which case this
    /// never returns.
    pub async fn reach(&self, point: CrashPoint) {
        self.crash_points.reach(point).await;
    }
}
