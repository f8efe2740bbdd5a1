//! Checks invariant DET: a run has the same trace hash in this process, after other runs, and in a new process.

use crate::{
    batch::{Finished, Job, OUTCOME_ONLY},
    run_reference::store_name,
};
use metanode_sim::run::Verdict;
use std::process::Command;

/// A suite repeats one of this many runs in a new process.
const REPEATED: usize = 20;

/// The trace hashes of one job in both processes.
#[derive(Clone, Debug)]
pub struct Compared {
    pub job: Job,
    pub here: String,
    /// The hash in a new process, or why that process failed.
    pub fresh: Result<String, String>,
}

impl Compared {
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.fresh.as_ref() == Ok(&self.here)
    }
}

/// The hidden subcommand that prints the trace hash of a run.
pub const SUBCOMMAND: &str = "trace-hash";

/// Runs the job twice. The caller has run other seeds in this process before.
#[must_use]
pub fn compare(job: &Job) -> Compared {
    compare_with(job, &job.run(&OUTCOME_ONLY))
}

/// Repeats one of [`REPEATED`] runs of a suite in a new process. `position` is that of the run in the suite. A run that
/// panicked is not repeated: it may hang again.
#[must_use]
pub(crate) fn repeat(position: usize, job: &Job, finished: &Finished) -> Option<Compared> {
    let is_due = position.is_multiple_of(REPEATED);
    let is_over = finished.outcome.verdict != Verdict::Panicked;
    (is_due && is_over).then(|| compare_with(job, finished))
}

fn compare_with(job: &Job, finished: &Finished) -> Compared {
    Compared {
        job: job.clone(),
        here: finished.outcome.trace_hash.to_string(),
        fresh: in_new_process(job),
    }
}

fn in_new_process(job: &Job) -> Result<String, String> {
    let binary =
        std::env::current_exe().map_err(|e| format!("the path of this binary is unknown: {e}"))?;
    let output = Command::new(&binary)
        .args([SUBCOMMAND, &job.scenario.name, "--seed"])
        .arg(job.seed.to_string())
        .args(["--store", store_name(job.store)])
        .output()
        .map_err(|e| format!("{} cannot be started: {e}", binary.display()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, errors.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
