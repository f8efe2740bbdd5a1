//! Many runs: a table with one line per scenario, and the failures with the commands that reproduce them.

use super::{colour::Colour, verdict};
use crate::{batch::Finished, run_reference};
use metanode_sim::run::Verdict;
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// Failures that are printed with their evidence; of the others only the command that reproduces them is.
const IN_FULL: usize = 5;

/// The runs of one scenario so far.
#[derive(Clone, Debug, Default)]
struct Row {
    runs: u64,
    passed: u64,
    simulated_ms: u64,
    wall: Duration,
    slowest: (Duration, u64),
}

/// Accumulates runs, and keeps only what the report needs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// In the order of their first run.
    rows: Vec<(String, Row)>,
    failures: Vec<Finished>,
    probes: BTreeMap<String, u64>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, finished: Finished) {
        let outcome = &finished.outcome;
        let name = &outcome.plan.scenario;
        let known = self.rows.iter().position(|(known, _)| known == name);
        let position = known.unwrap_or_else(|| {
            self.rows.push((name.clone(), Row::default()));
            self.rows.len() - 1
        });
        let row = &mut self.rows[position].1;
        row.runs += 1;
        row.simulated_ms += outcome.simulated.as_ms();
        row.wall += finished.wall;
        if row.slowest.0 <= finished.wall {
            row.slowest = (finished.wall, outcome.plan.seed);
        }
        for (probe, times) in &outcome.probes {
            *self.probes.entry(probe.clone()).or_default() += times;
        }
        if outcome.verdict == Verdict::Passed {
            row.passed += 1;
        } else {
            self.failures.push(finished);
        }
    }

    /// How many runs did not pass.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// The most severe verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::gravest(self.failures.iter().map(|failed| failed.outcome.verdict))
    }

    /// The whole report.
    #[must_use]
    pub fn text(&self, colour: Colour) -> String {
        let mut out = self.table(colour);
        let never: Vec<&str> = self
            .probes
            .iter()
            .filter(|(_, times)| **times == 0)
            .map(|(probe, _)| probe.as_str())
            .collect();
        if !never.is_empty() {
            let _ = writeln!(out, "\nprobes never reached: {}", never.join(", "));
        }
        for failure in self.failures.iter().take(IN_FULL) {
            let outcome = &failure.outcome;
            let head = format!("{} seed {}", outcome.plan.scenario, outcome.plan.seed);
            let verdict = verdict::name(outcome.verdict);
            let _ = writeln!(out, "\n{}: {}", colour.bold(head), colour.bad(verdict));
            out.push_str(&verdict::evidence(outcome, colour));
        }
        if !self.failures.is_empty() {
            let _ = writeln!(out, "\nto reproduce:");
            for failure in &self.failures {
                let plan = &failure.outcome.plan;
                let _ = writeln!(out, "  {}", run_reference::command(plan));
            }
        }
        let runs: u64 = self.rows.iter().map(|(_, row)| row.runs).sum();
        out.push_str(&verdict::tally(self.failed() as u64, runs, colour));
        out
    }

    fn table(&self, colour: Colour) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0).max("scenario".len());
        let head = format!(
            "{:<width$}  {:>5}  {:>6}  {:>8}  {:>7}  slowest",
            "scenario", "runs", "passed", "sim s", "wall s"
        );
        let mut out = format!("{}\n", colour.dim(head));
        for (name, row) in &self.rows {
            let passed = format!("{:>6}", row.passed);
            let passed = if row.passed == row.runs {
                colour.good(passed)
            } else {
                colour.bad(passed)
            };
            let _ = writeln!(
                out,
                "{name:<width$}  {:>5}  {passed}  {:>8}  {:>7.1}  {:.2} s (seed {})",
                row.runs,
                row.simulated_ms / 1000,
                row.wall.as_secs_f64(),
                row.slowest.0.as_secs_f64(),
                row.slowest.1
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog, sampling::Sampled};
    use metanode_sim::{
        oracles::{Invariant, Violation},
        plan::Backend,
        run::Outcome,
        trace::{ProcessId, SimTime, TraceHash},
    };

    fn finished(seed: u64, verdict: Verdict, store: Backend) -> Finished {
        let mut named = catalog::scenario("happy_path").expect("it is built in");
        named.scenario.topology.validators = Sampled::fixed(4);
        let violation = Violation {
            clause: "gei-skipped",
            invariant: Invariant::Gap0,
            at: SimTime::from_ms(1_500),
            process: ProcessId::Executor(0),
            message: "expected GEI 8, found 9".into(),
            evidence: vec![],
        };
        let broken = verdict != Verdict::Passed;
        Finished {
            outcome: Outcome {
                panic: None,
                plan: named.scenario.draw("happy_path", seed, store),
                verdict,
                violations: if broken { vec![violation] } else { vec![] },
                found: None,
                trace_hash: TraceHash([7; 32]),
                events: 10,
                simulated: SimTime::from_ms(2_000),
                nodes: vec![],
                executors: vec![],
                memory_bytes: BTreeMap::new(),
                reached: BTreeMap::new(),
                probes: [("rewound".to_owned(), 0), ("resumed".to_owned(), seed)].into(),
                entries: vec![],
            },
            wall: Duration::from_millis(10 * seed),
        }
    }

    #[test]
    fn a_failure_is_printed_with_its_evidence_and_the_command_that_reproduces_it() {
        let mut summary = Summary::default();
        summary.add(finished(1, Verdict::Passed, Backend::Memory));
        summary.add(finished(2, Verdict::SafetyViolated, Backend::Rocksdb));
        let text = summary.text(Colour::PLAIN);
        for expected in [
            "happy_path      2       1         4      0.0  0.02 s (seed 2)\n",
            "probes never reached: rewound\n",
            "happy_path seed 2: safety violated\nGAP0 broken at 1.500s by executor-0: expected GEI 8, found 9\n",
            "  metasim run happy_path --seed 2 --store rocksdb\n",
            "1 of 2 runs failed\n",
        ] {
            assert!(text.contains(expected), "expected {expected:?} in\n{text}");
        }
    }

    #[test]
    fn the_most_severe_failure_is_the_verdict() {
        let mut summary = Summary::default();
        assert_eq!(summary.verdict(), Verdict::Passed);
        for (added, expected) in [
            (Verdict::Passed, Verdict::Passed),
            (Verdict::LivenessViolated, Verdict::LivenessViolated),
            (Verdict::Panicked, Verdict::Panicked),
            (Verdict::LivenessViolated, Verdict::Panicked),
            (Verdict::SafetyViolated, Verdict::SafetyViolated),
            (Verdict::Panicked, Verdict::SafetyViolated),
        ] {
            summary.add(finished(1, added, Backend::Memory));
            assert_eq!(summary.verdict(), expected);
        }
    }
}
