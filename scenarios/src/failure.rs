//! Failure files: the plan of a failing run, the failure, and the trace hash, which tells whether another run is the
//! same.

use crate::source::{InputError, Source};
use metanode_sim::{
    oracles::Invariant,
    panics::Panic,
    plan::{Backend, Plan},
    run::{Outcome, Verdict},
    trace::{ProcessId, SimTime},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The content of a failure file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The build that ran it: see [`build_id`].
    pub build: String,
    pub verdict: Verdict,
    pub trace_hash: String,
    pub panic: Option<Panic>,
    pub violation: Option<Broken>,
    pub plan: Plan,
}

/// The invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    pub invariant: Invariant,
    /// The rule of the invariant.
    pub clause: String,
    pub process: ProcessId,
    /// Simulated time since the start of the run.
    pub at_ms: u64,
    pub message: String,
}

/// What makes two failures the same: the broken rule and the kind of process that broke it, or the place of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
    Broken {
        invariant: Invariant,
        clause: &'static str,
        process: ProcessKind,
    },
    Panicked {
        /// File, line and column.
        place: Option<String>,
    },
}

/// The kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessKind {
    Node,
    Executor,
    Sub,
    World,
}

impl From<ProcessId> for ProcessKind {
    fn from(process: ProcessId) -> Self {
        match process {
            ProcessId::Node(_) => Self::Node,
            ProcessId::Executor(_) => Self::Executor,
            ProcessId::Sub(_) => Self::Sub,
            ProcessId::World => Self::World,
        }
    }
}

impl Symptom {
    /// None if the run passed.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        if let Some(panic) = &outcome.panic {
            let place = panic.place.clone();
            return Some(Self::Panicked { place });
        }
        let violation = outcome.violations.first()?;
        Some(Self::Broken {
            invariant: violation.invariant,
            clause: violation.clause,
            process: violation.process.into(),
        })
    }

    /// See [`Invariant::has_deadline`].
    #[must_use]
    pub const fn has_deadline(&self) -> bool {
        matches!(self, Self::Broken { invariant, .. } if invariant.has_deadline())
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken {
                invariant,
                clause,
                process,
            } => {
                let process = match process {
                    ProcessKind::Node => "a node",
                    ProcessKind::Executor => "an executor",
                    ProcessKind::Sub => "a Sub",
                    ProcessKind::World => "the cluster",
                };
                write!(f, "{invariant} ({clause}) is broken by {process}")
            }
            Self::Panicked { place: None } => f.write_str("the run panics"),
            Self::Panicked { place: Some(place) } => write!(f, "the run panics at {place}"),
        }
    }
}

impl Failure {
    /// The failure file of a failing run.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let violation = outcome.violations.first().map(|violation| Broken {
            invariant: violation.invariant,
            clause: violation.clause.to_owned(),
            process: violation.process,
            at_ms: SimTime::as_ms(violation.at),
            message: violation.message.clone(),
        });
        Self {
            build: build_id().to_owned(),
            verdict: outcome.verdict,
            trace_hash: outcome.trace_hash.to_string(),
            panic: outcome.panic.clone(),
            violation,
            plan: outcome.plan.clone(),
        }
    }

    /// Reads a failure file. `file` is its name in errors.
    ///
    /// # Errors
    /// The first error in the file, with line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, InputError> {
        Source::new(file, text)?.read()
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        #[allow(clippy::expect_used)]
        let text = toml::to_string(self).expect("failures are plain data");
        format!(
            "# A failing run. `metasim replay` repeats it, `metasim shrink` searches for the smallest run that fails in the \
             same way.\n{text}"
        )
    }

    /// Writes the file into a folder, which is created if it does not exist. The file of an earlier run of the same
    /// scenario, seed and store is replaced.
    ///
    /// # Errors
    /// If folder or file cannot be written.
    pub(crate) fn keep(&self, folder: &Path) -> io::Result<PathBuf> {
        self.keep_as(folder, &file_name(&self.plan))
    }

    /// As [`Self::keep`], under another name.
    ///
    /// # Errors
    /// If folder or file cannot be written.
    pub(crate) fn keep_as(&self, folder: &Path, name: &str) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(name);
        write_whole(&path, &self.text())?;
        Ok(path)
    }
}

/// Scenario, seed, and the store unless it is the one in memory.
fn file_name(plan: &Plan) -> String {
    let scenario = Path::new(&plan.scenario).file_stem();
    let scenario = scenario
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let store = match plan.store {
        Backend::Memory => "",
        Backend::Rocksdb => "-rocksdb",
    };
    format!("{scenario}-{}{store}.toml", plan.seed)
}

/// Replaces the file atomically: after an interruption it holds the old text or the new one.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder
        .unwrap_or(Path::new("."))
        .join(format!(".{name}.new"));
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Identifies the build: the hash of the running binary, or empty if that cannot be read.
#[must_use]
pub(crate) fn build_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let file = std::env::current_exe().and_then(std::fs::read);
        let hash = file.map(|bytes| blake3::hash(&bytes).to_hex()[..32].to_owned());
        hash.unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use metanode_sim::{
        disk::DiskFailure,
        faults::{DiskFault, PlannedFault, Trigger},
    };

    fn failure(plan: Plan) -> Failure {
        Failure {
            build: "b".into(),
            verdict: Verdict::SafetyViolated,
            trace_hash: "h".into(),
            panic: None,
            violation: Some(Broken {
                invariant: Invariant::Exec1,
                clause: "commit-executed-twice".into(),
                process: ProcessId::Executor(2),
                at_ms: 17,
                message: "a \"quoted\"\nmessage".into(),
            }),
            plan,
        }
    }

    #[test]
    fn every_plan_is_read_back_from_a_failure_file() {
        let everything = include_str!("scenario/everything.toml");
        let scenario =
            Scenario::parse("everything.toml", everything).unwrap_or_else(|e| panic!("{e}"));
        for seed in (0..200).chain([u64::MAX]) {
            let written = failure(scenario.draw("everything", seed, Backend::Rocksdb));
            let read = Failure::parse("f.toml", &written.text()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read, written);
        }
    }

    #[test]
    fn an_invalid_fault_is_refused_with_its_key() {
        let fails = DiskFault::DiskFails {
            processes: vec![ProcessId::Node(2)],
            how: DiskFailure::Full,
            for_ms: Some(5),
        };
        let text = failure(Plan {
            faults: vec![PlannedFault {
                trigger: Trigger::at_ms(7),
                fault: fails.into(),
            }],
            ..Plan::example()
        })
        .text();
        let stored = "[plan.faults.when]\nat_ms = 7\n\n[plan.faults.fault]\nsubject = \"disk\"\n\
            do = \"disk-fails\"\nprocesses = [\"node-2\"]\nhow = \"full\"\nfor_ms = 5\n";
        assert!(text.contains(stored), "{text}");
        for (right, wrong, expected) in [
            (
                "subject = \"disk\"",
                "subject = \"disc\"",
                "`plan.faults.0.fault.subject`: unknown variant `disc`, expected one of `process`",
            ),
            (
                "\"disk-fails\"",
                "\"melt\"",
                "`plan.faults.0.fault`: unknown variant `melt`, expected one of `disk-fails`",
            ),
            (
                "how = \"full\"",
                "",
                "`plan.faults.0.fault`: missing field `how`",
            ),
        ] {
            let error = Failure::parse("f.toml", &text.replace(right, wrong)).expect_err(wrong);
            let error = error.to_string();
            assert!(error.contains(expected), "{error}\nexpected {expected}");
        }
    }

    #[test]
    fn a_failure_file_is_named_after_scenario_seed_and_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = Plan {
            scenario: "some/where/rough.toml".into(),
            seed: 7,
            store: Backend::Rocksdb,
            ..Plan::example()
        };
        let path = failure(plan.clone())
            .keep(&folder.path().join("new"))
            .expect("written");
        assert_eq!(path, folder.path().join("new/rough-7-rocksdb.toml"));
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(
            Failure::parse("f.toml", &text).expect("a failure").plan,
            plan
        );
    }
}
