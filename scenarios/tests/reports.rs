//! Every violation and every panic is in every report: text, JSON and JUnit.
#![cfg(madsim)]

use metanode_core::{
    bugs::KnownBug,
    env::{Event, ExecutorEvent},
};
use metanode_sim::{
    oracles::{Invariant, Violation},
    panics::Panic,
    plan::Backend,
    run::{Outcome, RunOptions, Verdict},
    trace::{Entry, ProcessId, What},
};
use metasim::{
    batch::{Finished, Job},
    catalog,
    failure::Failure,
    museum::{FailedOtherwise, Search},
    report::{colour::Colour, json, junit::Junit, summary::Summary, verdict},
};
use quick_junit::{Report, TestCaseStatus};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A run with many kinds of events, and one trace entry of each kind.
fn eventful() -> (Finished, Vec<Entry>) {
    let scenario = catalog::scenario("swarm_epochs").expect("it is built in");
    let job = Job {
        scenario: Arc::new(scenario),
        seed: 3,
        store: Backend::Memory,
    };
    let finished = job.run(&RunOptions::KEEP_ALL);
    let kind = |entry: &Entry| {
        let text = match &entry.what {
            What::Process(Event::Node(event)) => format!("{event:?}"),
            What::Process(Event::Executor(event)) => format!("{event:?}"),
            What::Process(event) => format!("{event:?}"),
            What::World(event) => format!("{event:?}"),
            What::Seen(fact) => format!("{fact:?}"),
            What::Derived(derived) => format!("{derived:?}"),
        };
        text.split([' ', '(', '{']).next().map(str::to_owned)
    };
    let entries = finished.outcome.entries.iter();
    let mut by_kind: BTreeMap<_, Entry> =
        entries.map(|entry| (kind(entry), entry.clone())).collect();
    for entry in by_kind.values_mut() {
        // Larger than the integers that most JSON parsers take.
        if let What::Process(Event::Executor(ExecutorEvent::Executed { content, .. })) =
            &mut entry.what
        {
            *content = u128::MAX;
        }
    }
    assert!(by_kind.len() > 30, "{:?}", by_kind.keys());
    (finished, by_kind.into_values().collect())
}

/// The reports on a run: text, JSON and JUnit.
fn reports(finished: &Finished) -> [String; 3] {
    let mut summary = Summary::default();
    summary.add(finished.clone());
    let text = verdict::text(&finished.outcome, Colour::PLAIN) + &summary.text(Colour::PLAIN);
    let json = serde_json::to_string(&json::object(finished)).expect("JSON");
    let mut junit = Junit::default();
    junit.add_run(finished);
    let junit = junit.text().expect("XML");
    Report::deserialize_from_str(&junit).expect("JUnit");
    [text, json, junit]
}

#[test]
fn every_report_contains_the_violation_of_every_invariant() {
    let (passed, evidence) = eventful();
    let last = evidence.last().expect("entries").clone();
    for invariant in Invariant::ALL {
        let violation = Violation {
            invariant,
            clause: "some-rule",
            at: last.at,
            process: ProcessId::Executor(2),
            message: "expected <this> & \"that\", found\u{7} neither".to_owned(),
            evidence: evidence.clone(),
        };
        let verdict = match invariant.is_liveness() {
            true => Verdict::LivenessViolated,
            false => Verdict::SafetyViolated,
        };
        let finished = Finished {
            outcome: Outcome {
                verdict,
                violations: vec![violation],
                ..passed.outcome.clone()
            },
            ..passed.clone()
        };
        let [text, json, junit] = reports(&finished);
        let again = "metasim run swarm_epochs --seed 3";
        for report in [&text, &json, &junit] {
            assert!(report.contains(&invariant.to_string()), "{report}");
            assert!(report.contains(again), "{report}");
        }
        assert!(text.contains("expected <this> & \"that\""), "{text}");
        let object: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let found = &object["violations"][0];
        assert_eq!(found["clause"], "some-rule");
        assert_eq!(
            found["evidence"].as_array().map(Vec::len),
            Some(evidence.len())
        );
        assert!(json.contains(&"f".repeat(32)), "all 128 bits");
        let failure = Failure::of(&finished.outcome);
        assert_eq!(
            Failure::parse("f.toml", &failure.text()).expect("a failure file"),
            failure
        );
    }
}

#[test]
fn every_report_contains_a_panic_with_its_place_and_process() {
    let (passed, _) = eventful();
    let finished = Finished {
        outcome: Outcome {
            verdict: Verdict::Panicked,
            panic: Some(Panic {
                place: Some("core/src/somewhere.rs:7:9".to_owned()),
                process: Some(ProcessId::Node(3)),
                ..Panic::of_simulation("the window is negative".to_owned())
            }),
            ..passed.outcome.clone()
        },
        ..passed
    };
    for report in reports(&finished) {
        for part in [
            "node-3",
            "core/src/somewhere.rs:7:9",
            "the window is negative",
        ] {
            assert!(report.contains(part), "expected {part} in {report}");
        }
    }
    let failure = Failure::of(&finished.outcome);
    let read = Failure::parse("f.toml", &failure.text()).expect("a failure file");
    assert_eq!(read, failure);
}

#[test]
fn runs_are_test_cases_by_groups_of_seeds() {
    let (mut finished, _) = eventful();
    let mut junit = Junit::default();
    for seed in [3, 49, 50, 51] {
        finished.outcome.plan.seed = seed;
        junit.add_run(&finished);
    }
    let report = Report::deserialize_from_str(&junit.text().expect("XML")).expect("JUnit");
    let suite = &report.test_suites[0];
    assert_eq!(suite.name.as_str(), "swarm_epochs");
    let names = suite.test_cases.iter().map(|case| case.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["seeds 0 to 49", "seeds 50 to 99"]
    );
    assert_eq!((report.tests, report.failures), (2, 0));
}

/// Two searches for the first entry: a run found it, or every run failed otherwise.
fn searches(found: Finished) -> [Search; 2] {
    let entry = KnownBug::ENTRIES[0];
    let not_found = Search {
        findings: 0,
        entry,
        runs: 7,
        wall: Duration::from_secs(3),
        found: None,
        smallest: None,
        failed_otherwise: [
            (FailedOtherwise::Broken("ROOT".to_owned()), 2),
            (FailedOtherwise::Panicked, 1),
        ]
        .into(),
        failing_anyway: vec![],
    };
    let found = Search {
        found: Some((entry.found_by[0].to_owned(), found)),
        ..not_found.clone()
    };
    [found, not_found]
}

#[test]
fn a_museum_entry_is_a_test_case_that_fails_if_the_bug_was_not_found() {
    let (mut finished, _) = eventful();
    let entry = KnownBug::ENTRIES[0];
    let name = entry.bug.name();
    finished.outcome.plan.bugs = vec![entry.bug];
    let mut junit = Junit::default();
    for search in searches(finished) {
        junit.add_search(&search, "metasim museum again");
    }
    let report = Report::deserialize_from_str(&junit.text().expect("XML")).expect("JUnit");
    let [suite] = &report.test_suites[..] else {
        panic!("one test suite: {report:?}")
    };
    assert_eq!((suite.name.as_str(), report.failures), ("museum", 1));
    let [found, not_found] = &suite.test_cases[..] else {
        panic!("two test cases: {suite:?}")
    };
    assert_eq!((found.name.as_str(), not_found.name.as_str()), (name, name));

    assert!(matches!(found.status, TestCaseStatus::Success { .. }));
    let output = found.system_out.as_ref().expect("how it was found");
    let again = format!("metasim run swarm_epochs --seed 3 --bug {name}");
    assert!(output.as_str().contains(&again), "{output:?}");

    let TestCaseStatus::NonSuccess {
        message,
        description,
        ..
    } = &not_found.status
    else {
        panic!("not found: {not_found:?}")
    };
    let message = message.as_ref().expect("a message").as_str();
    for part in [entry.found_by[0], "7 runs", "ROOT 2, panics 1"] {
        assert!(message.contains(part), "expected {part} in {message}");
    }
    let text = description.as_ref().expect("a description").as_str();
    assert!(text.contains(entry.bug.mechanism()), "{text}");
    assert!(text.contains("metasim museum again"), "{text}");
}
