//! JUnit XML (`--junit`): a test suite per scenario with a test case per group of seeds, and a test case per crash of a
//! sweep and per bug of the museum.

use super::{colour::Colour, museum, verdict};
use crate::{batch::Finished, museum::Search, run_reference};
use metanode_sim::run::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::{path::Path, time::Duration};

/// Seeds per test case; a group begins at a multiple of this.
const GROUP_SEEDS: u64 = 50;

/// Why a test case failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The invariant, or the class of the failure.
    pub kind: String,
    pub message: String,
    /// The evidence, and the command that reproduces it.
    pub text: String,
}

impl Failed {
    /// None if the run passed. `file` is its failure file.
    #[must_use]
    pub fn of(outcome: &Outcome, file: Option<&Path>) -> Option<Self> {
        if outcome.verdict == Verdict::Passed {
            return None;
        }
        let violation = outcome.violations.first();
        let kind = violation.map_or_else(
            || verdict::name(outcome.verdict).to_owned(),
            |violation| violation.invariant.to_string(),
        );
        let mut text = verdict::evidence(outcome, Colour::PLAIN);
        match file {
            Some(file) => text.push_str(&format!("metasim replay {}\n", file.display())),
            None => text.push_str(&format!("{}\n", run_reference::command(&outcome.plan))),
        }
        Some(Self {
            kind,
            message: verdict::cause(outcome).unwrap_or_default(),
            text,
        })
    }
}

/// Test cases, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Junit {
    suites: Vec<(String, Vec<Case>)>,
}

#[derive(Debug)]
struct Case {
    /// The number of its group, if it stands for a group of seeds.
    group: Option<u64>,
    name: String,
    wall: Duration,
    failed: Vec<Failed>,
    /// The text of a test case that passed.
    output: Option<String>,
}

impl Junit {
    /// Adds a run to the test case of its group.
    pub fn add_run(&mut self, finished: &Finished) {
        let plan = &finished.outcome.plan;
        let group = plan.seed / GROUP_SEEDS;
        let (first, last) = (group * GROUP_SEEDS, group * GROUP_SEEDS + (GROUP_SEEDS - 1));
        let cases = self.suite(&plan.scenario);
        let position = cases.iter().position(|case| case.group == Some(group));
        let position = position.unwrap_or_else(|| {
            cases.push(Case {
                group: Some(group),
                name: format!("seeds {first} to {last}"),
                wall: Duration::ZERO,
                failed: vec![],
                output: None,
            });
            cases.len() - 1
        });
        let case = &mut cases[position];
        case.wall += finished.wall;
        if let Some(mut failed) = Failed::of(&finished.outcome, None) {
            failed.message = format!("seed {}: {}", plan.seed, failed.message);
            case.failed.push(failed);
        }
    }

    /// Adds a test case that does not stand for a group of seeds.
    pub fn add_case(&mut self, suite: &str, name: String, wall: Duration, failed: Option<Failed>) {
        self.suite(suite).push(Case {
            group: None,
            name,
            wall,
            failed: failed.into_iter().collect(),
            output: None,
        });
    }

    /// Adds a museum entry: a test case that fails if the bug was not found. `again` is the command that searches for
    /// it again.
    pub fn add_search(&mut self, search: &Search, again: &str) {
        let text = museum::finding(search, again);
        let (failed, output) = match &search.found {
            Some(_) => (vec![], Some(text)),
            None => {
                let failed = Failed {
                    kind: "not found".to_owned(),
                    message: museum::not_found(search),
                    text,
                };
                (vec![failed], None)
            }
        };
        self.suite("museum").push(Case {
            group: None,
            name: search.entry.bug.name().to_owned(),
            wall: search.wall,
            failed,
            output,
        });
    }

    fn suite(&mut self, name: &str) -> &mut Vec<Case> {
        let position = self.suites.iter().position(|(of, _)| of == name);
        let position = position.unwrap_or_else(|| {
            self.suites.push((name.to_owned(), vec![]));
            self.suites.len() - 1
        });
        &mut self.suites[position].1
    }

    /// The XML document.
    ///
    /// # Errors
    /// If a text cannot be written as XML.
    pub fn text(&self) -> Result<String, quick_junit::SerializeError> {
        let mut report = Report::new("metasim");
        for (name, cases) in &self.suites {
            let mut suite = TestSuite::new(name.as_str());
            suite.add_test_cases(cases.iter().map(|case| case.test_case(name)));
            report.add_test_suite(suite);
        }
        report.to_string()
    }
}

impl Case {
    fn test_case(&self, suite: &str) -> TestCase {
        let status = match &self.failed[..] {
            [] => TestCaseStatus::success(),
            [first, ..] => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let texts: Vec<_> = self.failed.iter().map(|f| f.text.as_str()).collect();
                status
                    .set_type(first.kind.as_str())
                    .set_message(first.message.as_str())
                    .set_description(texts.join("\n"));
                status
            }
        };
        let mut case = TestCase::new(self.name.as_str(), status);
        case.set_classname(suite).set_time(self.wall);
        if let Some(output) = &self.output {
            case.set_system_out(output.as_str());
        }
        case
    }
}
