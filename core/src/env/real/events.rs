//! Events in production: each is a log line, changes metrics if there are any, and is a line of the event log if there is one.

use super::{event_log::EventLog, log::Log, metrics::Metrics, rpc_times::RpcTimes};
use crate::env::{Event, EventSink, Quantity, Reading};
use std::sync::Arc;

/// Passes events to the event log, to metrics and to the log.
#[derive(Default)]
pub struct Events {
    rpc_times: RpcTimes,
    log: Log,
    metrics: Option<Arc<Metrics>>,
    event_log: Option<EventLog>,
}

impl Events {
    #[must_use]
    pub fn new(metrics: Option<Arc<Metrics>>, event_log: Option<EventLog>) -> Self {
        Self {
            metrics,
            event_log,
            ..Self::default()
        }
    }
}

impl EventSink for Events {
    fn emit(&self, event: Event) {
        // First: it says what happened before anybody can see it.
        if let Some(log) = &self.event_log {
            log.write(&event);
        }
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
