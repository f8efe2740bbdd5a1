//! How fast the simulated world is: simulated seconds per second of one core, and round trips over its sockets. And how
//! fast consensus is in it, in the unit of its paper.
//!
//! The reference for clusters is a Mysticeti simulator without executors, IPC or faults on such a machine: about 550
//! (4 validators) and 55 (10). The reference for sockets is madsim's own TCP: 1.1 µs a round trip.

#[cfg(madsim)]
fn main() {
    speed::clusters();
    speed::sockets();
    speed::commits();
}

#[cfg(not(madsim))]
fn main() {}

#[cfg(madsim)]
mod speed {
    use metanode_core::env::{Event, NodeEvent};
    use metanode_sim::{
        net::bench,
        plan::{ExecutorPlan, Guard, NetworkPlan, NodeParameters, Plan, Span, WorkloadPlan},
        run::{RunOptions, Verdict, run},
        trace::{Entry, What},
    };
    use std::{collections::BTreeMap, time::Duration};

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

    /// From the proposal of a leader's block to its commit, in message delays, without faults: 3 for a leader that is decided
    /// directly (Mysticeti, section 3).
    pub fn commits() {
        const DELAY_MS: u64 = 100; // above the shortest round
        println!("commit of a leader's block, in message delays (link latency {DELAY_MS} ms)");
        for validators in [4, 10] {
            let mut plan = cluster(validators, 60_000, 0);
            plan.network.latency_ms = Span {
                low: DELAY_MS,
                high: DELAY_MS,
            };
            let outcome = run(plan, &RunOptions::KEEP_ALL);
            assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.violations);
            let (mut own, mut others) = latencies(&outcome.entries);
            for (of, latencies_ns) in [("the leader", &mut own), ("the others", &mut others)] {
                latencies_ns.sort_unstable();
                let at = |percent: usize| {
                    let ns = latencies_ns[latencies_ns.len() * percent / 100];
                    ns as f64 / (DELAY_MS * 1_000_000) as f64
                };
                println!(
                    "  {validators:>2} validators, at {of}: {:.2} median, {:.2} at 99 % of {}",
                    at(50),
                    at(99),
                    latencies_ns.len()
                );
            }
        }
    }

    /// In nanoseconds: commits at the node that proposed the leader's block, and at the others.
    fn latencies(entries: &[Entry]) -> (Vec<u64>, Vec<u64>) {
        let mut proposed = BTreeMap::new();
        let (mut own, mut others) = (vec![], vec![]);
        for Entry { at, process, what } in entries {
            match what {
                What::Process(Event::Node(NodeEvent::Proposed { block, .. })) => {
                    proposed.insert(*block, (*at, *process));
                }
                What::Process(Event::Node(NodeEvent::CommitStored { leader, .. })) => {
                    let Some((begin, proposer)) = proposed.get(leader) else {
                        continue;
                    };
                    let latencies: &mut Vec<u64> = match proposer == process {
                        true => &mut own,
                        false => &mut others,
                    };
                    latencies.push(at.ns - begin.ns);
                }
                _ => {}
            }
        }
        (own, others)
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
