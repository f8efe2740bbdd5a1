//! `metasim sweep`: exhaustive over the crash points that one run of a scenario reaches. Exit codes as for runs.

use super::{
    exit_code, failures,
    output::{CliError, print, progress_bar},
};
use crate::{
    batch::{Job, in_order},
    determinism::HASH_ONLY,
    report::{paint::Paint, sweep as report, verdict},
};
use metanode_sim::{
    run::{Verdict, run},
    sweep::cases,
};
use std::path::Path;

/// How a sweep is done.
pub(super) struct Limits<'a> {
    /// The first so many times that a point is reached.
    pub times: u32,
    /// Whose node and executor crash.
    pub validator: u16,
    pub threads: usize,
    pub failures: &'a Path,
}

pub(super) fn sweep(job: &Job, limits: &Limits<'_>) -> Result<u8, CliError> {
    let paint = Paint::of_stdout();
    let undisturbed = run(job.plan(), &HASH_ONLY);
    if undisturbed.verdict != Verdict::Passed {
        failures::keep(&undisturbed, limits.failures)?;
        print(&verdict::text(&undisturbed, paint))?;
        return Ok(exit_code(undisturbed.verdict));
    }
    let cases = cases(&undisturbed.reached, limits.validator, limits.times);
    let bar = progress_bar(cases.len());
    let mut results = vec![];
    let mut kept = Ok(());
    in_order(
        &cases,
        limits.threads,
        |case| run(case.plan(&undisturbed.plan), &HASH_ONLY),
        |outcome| {
            let file = failures::keep(&outcome, limits.failures);
            let file = file.unwrap_or_else(|error| {
                kept = Err(error);
                None
            });
            results.push(report::Swept::new(&outcome, file));
            bar.inc(1);
        },
    );
    bar.finish_and_clear();
    kept?;
    print(&report::text(&cases, &results, limits.times, paint))?;
    let gravest = results.iter().map(|swept| exit_code(swept.verdict));
    // 3 safety violated comes before 4 liveness violated and 5 panicked.
    Ok(gravest.filter(|code| *code > 0).min().unwrap_or(0))
}
