//! Clocks that are minutes apart, drift and jump change timestamps and nothing else: no event is missing, additional,
//! or at another time.
#![cfg(madsim)]

use metanode_core::env::Event;
use metanode_sim::{
    faults::{ClockFault, Fault, PlannedFault, Trigger},
    plan::Plan,
    run::{Outcome, RunOptions, Verdict, run},
    trace::{ProcessId, SimTime, What, WorldEvent},
};

/// Time, process and kind of every event, without the digests, which depend on timestamps.
fn course(outcome: &Outcome) -> Vec<(SimTime, ProcessId, String)> {
    assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.violations);
    let course = outcome.entries.iter().filter_map(|entry| {
        let what = match &entry.what {
            What::Process(Event::Node(event)) => format!("{event:?}"),
            What::Process(Event::Executor(event)) => format!("{event:?}"),
            What::Process(Event::Sub(event)) => format!("{event:?}"),
            What::Process(Event::Crashed(point)) => point.to_string(),
            // The jump itself.
            What::World(WorldEvent::FaultBegan { .. } | WorldEvent::FaultEnded { .. }) => {
                return None;
            }
            What::World(event) => format!("{event:?}"),
            What::Seen(_) | What::Derived(_) => return None,
        };
        let kind = what.split([' ', '{', '(']).next().unwrap_or_default();
        Some((entry.at, entry.process, kind.to_owned()))
    });
    course.collect()
}

#[test]
fn skewed_clocks_change_timestamps_and_nothing_else() {
    for seed in 0..10 {
        let jump = |at_ms, host, by_ms| PlannedFault {
            trigger: Trigger::at_ms(at_ms),
            fault: Fault::Clock(ClockFault::JumpClock {
                hosts: vec![host],
                by_ms,
            }),
        };
        // A fault takes simulated time, so the clocks that agree jump, too, by 0 ms.
        let agreeing = Plan {
            seed,
            faults: vec![jump(2_000, 1, 0), jump(5_000, 3, 0)],
            ..Plan::example()
        };
        let skewed = Plan {
            clock_skew_ms: vec![-300_000, 0, 120_000, 300_000],
            clock_drift_ppm: vec![500, -500, 0, 200],
            faults: vec![jump(2_000, 1, 240_000), jump(5_000, 3, -600_000)],
            ..agreeing.clone()
        };
        let (agreeing, skewed) = (
            run(agreeing, &RunOptions::KEEP_ALL),
            run(skewed, &RunOptions::KEEP_ALL),
        );
        assert_ne!(agreeing.trace_hash, skewed.trace_hash, "timestamps differ");
        let (agreeing, skewed) = (course(&agreeing), course(&skewed));
        let diff = agreeing.iter().zip(&skewed).find(|(a, b)| a != b);
        assert_eq!(diff, None, "seed {seed}");
        assert_eq!(agreeing.len(), skewed.len());
    }
}
