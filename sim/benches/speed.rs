//! How fast the simulated world is: simulated seconds per second of one core, and round trips over its sockets.
//!
//! The reference for clusters is a Mysticeti simulator without executors, IPC or faults on such a machine: about 550
//! (4 validators) and 55 (10). The reference for sockets is madsim's own TCP: 1.1 µs a round trip.

#[cfg(madsim)]
fn main() {
    speed::clusters();
    speed::sockets();
}

#[cfg(not(madsim))]
fn main() {}

#[cfg(madsim)]
mod speed {
    use metanode_sim::{
        net::bench,
        plan::{ExecutorPlan, Guard, NetworkPlan, NodeParameters, Plan, Span, WorkloadPlan},
        run::{RunOptions, Verdict, run},
    };
    use std::time::Duration;

    const SEEDS: u64 = 5;
    const ROUND_TRIPS: u64 = 300_000;

    pub fn clusters() {
        println!(
            "simulated seconds per second (link latency 50-100 ms, 100 tx/s, executors attached)"
        );
        for (validators, duration_ms) in [(4, 120_000), (10, 30_000)] {
            let mut speeds: Vec<f64> = (0..SEEDS)
                .map(|seed| {
                    let plan = cluster(validators, duration_ms, seed);
                    let (outcome, wall) = timed(|| run(plan, &RunOptions { keep_entries: 1000 }));
                    assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.violations);
                    outcome.simulated.as_ms() as f64 / 1000.0 / wall.as_secs_f64()
                })
                .collect();
            speeds.sort_by(f64::total_cmp);
            println!(
                "  {validators:>2} validators: {:>7.1} median of {SEEDS} ({:.1} to {:.1})",
                speeds[speeds.len() / 2],
                speeds[0],
                speeds[speeds.len() - 1],
            );
        }
    }

    pub fn sockets() {
        println!("round trip of 64 bytes over simulated sockets");
        for path in [bench::Path::Unix, bench::Path::Tcp] {
            let mut costs: Vec<f64> = (0..SEEDS)
                .map(|_| {
                    let (done, wall) = timed(|| bench::round_trips(path, ROUND_TRIPS));
                    done.expect("the simulated sockets of one host do not fail");
                    wall.as_secs_f64() * 1e6 / ROUND_TRIPS as f64
                })
                .collect();
            costs.sort_by(f64::total_cmp);
            println!(
                "  {path:?}: {:.2} µs median of {SEEDS}",
                costs[costs.len() / 2]
            );
        }
    }

    fn cluster(validators: u16, duration_ms: u64, seed: u64) -> Plan {
        Plan {
            scenario: "bench".to_owned(),
            seed,
            validators,
            duration_ms,
            network: NetworkPlan {
                latency_ms: Span { low: 50, high: 100 },
                unix_buffer_bytes: 208 << 10,
                tcp_buffer_bytes: 256 << 10,
                ..Plan::example().network
            },
            // As in production.
            node: NodeParameters::default(),
            executors: vec![
                ExecutorPlan {
                    guard: Guard::Strict,
                    execute_us: Span {
                        low: 1000,
                        high: 2000
                    },
                    flush_every_blocks: Span { low: 1, high: 1 },
                };
                usize::from(validators)
            ],
            clock_skew_ms: vec![0; usize::from(validators)],
            workload: WorkloadPlan {
                transactions_per_second: 100,
                accounts: 1000,
                ..WorkloadPlan::default()
            },
            ..Plan::example()
        }
    }

    #[allow(clippy::disallowed_methods)] // speed is measured from outside of any simulation
    fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
        let start = std::time::Instant::now();
        let result = work();
        (result, start.elapsed())
    }
}
