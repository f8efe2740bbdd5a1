//! Runs that are not deterministic.

use super::colour::Colour;
use crate::determinism::Compared;

/// The two trace hashes of a run.
#[must_use]
pub(crate) fn different(compared: &Compared, colour: Colour) -> String {
    let head = format!("{} seed {}", compared.job.scenario.name, compared.job.seed);
    let fresh = match &compared.fresh {
        Ok(hash) => hash.clone(),
        Err(reason) => format!("failed: {reason}"),
    };
    format!(
        "{}\n  after other runs  {}\n  in a new process  {fresh}\n",
        colour.bad(format_args!("{head} is not deterministic")),
        compared.here,
    )
}
