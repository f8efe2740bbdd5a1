//! The values of metrics, and their text.

use super::{
    declared::{Kind, Metric, Program},
    updates::{Update, labels, updates},
};
use crate::{
    env::{Event, Quantity, Reading},
    types::TimestampMs,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Upper ends of the buckets of durations. An exchange has 10 s by default.
const BUCKETS_SECONDS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

type Label = [(&'static str, &'static str); 1];
type Durations = Family<Label, Histogram, fn() -> Histogram>;

/// The metrics of a process.
pub struct Metrics {
    program: Program,
    registry: Registry,
    values: BTreeMap<Metric, Value>,
    readings: Mutex<BTreeMap<Quantity, Reading>>,
    /// Up to when the pause that lasts is counted.
    paused: Mutex<Option<Instant>>,
}

enum Value {
    Gauge(Gauge),
    Counter(Counter),
    Seconds(Counter<f64, AtomicU64>),
    CounterBy(&'static str, Family<Label, Counter>),
    HistogramBy(&'static str, Durations),
    Info,
}

impl Metrics {
    /// The metrics of a process that has just started.
    #[must_use]
    pub fn new(program: Program, started: TimestampMs) -> Self {
        let mut registry = Registry::default();
        let of_program = Metric::ALL.iter().copied();
        let of_program = of_program.filter(|metric| metric.program() == program);
        let values = of_program
            .map(|metric| (metric, Value::register(metric, &mut registry)))
            .collect();
        let metrics = Self {
            program,
            registry,
            values,
            readings: Mutex::default(),
            paused: Mutex::default(),
        };
        metrics.set(
            match program {
                Program::Node => Metric::NodeStart,
                Program::Executor => Metric::ExecutorStart,
                Program::Sub => Metric::SubStart,
            },
            started.0 / 1_000,
        );
        metrics
    }

    /// Changes what an event changes. `duration`: of the exchange that it ends.
    pub fn record(&self, event: &Event, duration: Option<Duration>) {
        for update in updates(event, self.program, duration) {
            self.apply(update);
        }
    }

    /// Reads a quantity from now on with this function.
    pub fn measure(&self, quantity: Quantity, read: Reading) {
        lock(&self.readings).insert(quantity, read);
    }

    /// All metrics in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        self.read_quantities();
        self.count_pause();
        let mut text = String::new();
        // An error is one of the writer, and this one has none.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn apply(&self, update: Update) {
        match update {
            Update::Set(metric, value) => self.set(metric, value),
            Update::Add(metric, amount) => {
                if let Some(Value::Counter(counter)) = self.values.get(&metric) {
                    counter.inc_by(amount);
                }
            }
            Update::Count(metric, of) => {
                if let Some(Value::CounterBy(name, family)) = self.values.get(&metric) {
                    family.get_or_create(&[(*name, of)]).inc();
                }
            }
            Update::Observe(metric, of, duration) => {
                if let Some(Value::HistogramBy(name, family)) = self.values.get(&metric) {
                    let duration = duration.as_secs_f64();
                    family.get_or_create(&[(*name, of)]).observe(duration);
                }
            }
            Update::Pause(begins) => {
                self.count_pause();
                #[allow(clippy::disallowed_methods)]
                // tokio's clock; under madsim the lint mistakes it for that of std
                let paused = begins.then(Instant::now);
                *lock(&self.paused) = paused;
                self.set(Metric::ProposalsPaused, begins.into());
            }
        }
    }

    fn set(&self, metric: Metric, value: u64) {
        match self.values.get(&metric) {
            Some(Value::Gauge(gauge)) => {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            }
            Some(Value::Counter(counter)) => counter.inner().store(value, Ordering::Relaxed),
            _ => {}
        }
    }

    fn get(&self, metric: Metric) -> u64 {
        match self.values.get(&metric) {
            Some(Value::Gauge(gauge)) => u64::try_from(gauge.get()).unwrap_or(0),
            _ => 0,
        }
    }

    /// Sets what quantities say, and what follows from other metrics.
    fn read_quantities(&self) {
        let delivers = {
            let readings = lock(&self.readings);
            for (quantity, read) in readings.iter() {
                self.set(Metric::of(*quantity), read());
            }
            readings.contains_key(&Quantity::WindowBlocks)
        };
        let last = self.get(Metric::EpochBaseGei) + self.get(Metric::CommitIndex);
        self.set(Metric::LastCommitGei, last);
        if delivers {
            let lag = last.saturating_sub(self.get(Metric::DurableGei));
            self.set(Metric::LagBlocks, lag);
        }
        let (master, own) = (Metric::MasterBlock, Metric::FollowedBlock);
        let lag = self.get(master).saturating_sub(self.get(own));
        self.set(Metric::MasterLagBlocks, lag);
    }

    /// Counts the pause that lasts, up to now.
    fn count_pause(&self) {
        let mut paused = lock(&self.paused);
        if let Some(since) = *paused
            && let Some(Value::Seconds(seconds)) = self.values.get(&Metric::ProposalsPausedSeconds)
        {
            #[allow(clippy::disallowed_methods)]
            // tokio's clock; under madsim the lint mistakes it for that of std
            let now = Instant::now();
            seconds.inc_by(now.saturating_duration_since(since).as_secs_f64());
            *paused = Some(now);
        }
    }
}

impl Value {
    /// A value without any event, in the text from now on.
    fn register(metric: Metric, registry: &mut Registry) -> Self {
        // The encoder appends what the type demands.
        let name = metric.name();
        let counted = name.strip_suffix("_total").unwrap_or(name);
        let meaning = metric.meaning();
        match metric.kind() {
            Kind::Gauge => {
                let gauge = Gauge::default();
                registry.register(name, meaning, gauge.clone());
                Self::Gauge(gauge)
            }
            Kind::Counter => {
                let counter = Counter::default();
                registry.register(counted, meaning, counter.clone());
                Self::Counter(counter)
            }
            Kind::Seconds => {
                let counter = Counter::default();
                registry.register(counted, meaning, counter.clone());
                Self::Seconds(counter)
            }
            Kind::CounterBy(label) => {
                let family = Family::default();
                for value in labels(metric) {
                    let _: Counter = family.get_or_create_owned(&[(label, *value)]);
                }
                registry.register(counted, meaning, family.clone());
                Self::CounterBy(label, family)
            }
            Kind::HistogramBy(label) => {
                let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_SECONDS);
                let family = Durations::new_with_constructor(histogram);
                for value in labels(metric) {
                    let _ = family.get_or_create_owned(&[(label, *value)]);
                }
                registry.register(name, meaning, family.clone());
                Self::HistogramBy(label, family)
            }
            Kind::Info => {
                let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
                let name = name.strip_suffix("_info").unwrap_or(name);
                registry.register(name, meaning, version);
                Self::Info
            }
        }
    }
}

/// A panic while it was locked has ended the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::NodeEvent,
        types::{CommitIndex, CommitteeDigest, Epoch, EpochBase, GlobalExecIndex, Round},
    };

    fn value(metrics: &Metrics, name: &str) -> f64 {
        let text = metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
        value.trim().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn derived_values_follow_from_events_and_quantities() {
        let metrics = Metrics::new(Program::Node, TimestampMs(1_700_000_000_999));
        let event = |event: NodeEvent| metrics.record(&event.into(), None);
        event(NodeEvent::EpochOpened {
            base: EpochBase {
                epoch: Epoch(1),
                base: GlobalExecIndex(100),
            },
            start_timestamp_ms: TimestampMs(0),
            committee: CommitteeDigest::default(),
            own: None,
        });
        event(NodeEvent::Recovered {
            last_commit: CommitIndex(10),
            highest_round: Round(20),
            last_proposed_round: Round(20),
        });
        event(NodeEvent::WatermarkLearned {
            watermark: GlobalExecIndex(107),
        });
        assert_eq!(value(&metrics, "process_start_time_seconds"), 1.7e9);
        assert_eq!(value(&metrics, "metanode_last_commit_gei"), 110.0);
        assert_eq!(
            value(&metrics, "metanode_lag_blocks"),
            0.0,
            "it does not deliver"
        );
        metrics.measure(Quantity::WindowBlocks, Box::new(|| 3));
        assert_eq!(value(&metrics, "metanode_lag_blocks"), 3.0);
        assert_eq!(value(&metrics, "metanode_window_blocks"), 3.0);
        metrics.measure(Quantity::StreamBytesWritten, Box::new(|| 70));
        assert_eq!(value(&metrics, "metanode_stream_written_bytes_total"), 70.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_counted_while_it_lasts() {
        let metrics = Metrics::new(Program::Node, TimestampMs(0));
        let event = |event: NodeEvent| metrics.record(&event.into(), None);
        let total = || value(&metrics, "metanode_proposals_paused_seconds_total");
        let passes = || tokio::time::sleep(Duration::from_millis(1_500));
        let about = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 0.1,
                "{found} s, expected {expected} s"
            );
        };
        event(NodeEvent::ProposalsPaused { blocks: 8 });
        passes().await;
        about(total(), 1.5);
        assert_eq!(value(&metrics, "metanode_proposals_paused "), 1.0);
        passes().await;
        event(NodeEvent::ProposalsResumed { blocks: 4 });
        passes().await;
        about(total(), 3.0);
        assert_eq!(value(&metrics, "metanode_proposals_paused "), 0.0);
    }
}
