//! Events in production: each is a log line, and changes metrics if there are any.

use super::{log::Log, metrics::Metrics, rpc_times::RpcTimes};
use crate::env::{Event, EventSink, Quantity, Reading};
use std::sync::Arc;

/// Passes events to the log and to metrics.
#[derive(Default)]
pub struct Events {
    rpc_times: RpcTimes,
    log: Log,
    metrics: Option<Arc<Metrics>>,
}

impl Events {
    /// Events that are written to the log and change these metrics.
    #[must_use]
    pub fn with_metrics(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..Self::default()
        }
    }
}

impl EventSink for Events {
    fn emit(&self, event: Event) {
        let duration = self.rpc_times.duration(&event);
        if let Some(metrics) = &self.metrics {
            metrics.record(&event, duration);
        }
        self.log.write(&event, duration);
    }

    fn measure(&self, quantity: Quantity, read: Reading) {
        if let Some(metrics) = &self.metrics {
            metrics.measure(quantity, read);
        }
    }
}
