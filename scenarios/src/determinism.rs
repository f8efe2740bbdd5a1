//! Invariant DET, checked: the same run here, after other runs, and in a process of its own that did nothing before,
//! must have the same trace hash.

use crate::{
    batch::{Job, OUTCOME_ONLY},
    run_reference::store_name,
};
use std::process::Command;

/// Both hashes of one job; `alone` says why there is none if the other process failed.
#[derive(Clone, Debug)]
pub struct Compared {
    pub job: Job,
    pub here: String,
    pub alone: Result<String, String>,
}

impl Compared {
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.alone.as_ref() == Ok(&self.here)
    }
}

/// The hidden subcommand that prints a run's trace hash.
pub const SUBCOMMAND: &str = "trace-hash";

/// Runs the job twice. The caller sees to it that this process has run other seeds before.
#[must_use]
pub fn compare(job: &Job) -> Compared {
    let here = job.run(&OUTCOME_ONLY).outcome.trace_hash.to_string();
    Compared {
        job: job.clone(),
        here,
        alone: alone(job),
    }
}

fn alone(job: &Job) -> Result<String, String> {
    let binary = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
    let output = Command::new(&binary)
        .args([SUBCOMMAND, &job.scenario.name, "--seed"])
        .arg(job.seed.to_string())
        .args(["--store", store_name(job.store)])
        .output()
        .map_err(|e| format!("{} cannot be started: {e}", binary.display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, complaint.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
