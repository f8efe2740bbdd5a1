//! `metasim conformance`: a live executor, driven through the contract.

use super::{
    arguments::Conformance,
    exit::Exit,
    output::{CliError, JsonLines, print},
};
use crate::{
    clauses::{Judgement, ViolationKind},
    conformance::{Restart, RestartByHand, RestartCommand, Target, Times, check},
    report::{clauses::clauses, colour::Colour},
};
use std::time::Duration;

pub(super) fn run(asked: Conformance) -> Result<Exit, CliError> {
    let subject = format!(
        "executor at {} (blocks) and {} (RPC)",
        asked.block_stream, asked.rpc
    );
    let target = Target {
        block_stream: asked.block_stream,
        rpc: asked.rpc,
    };
    let times = Times {
        timeout: Duration::from_millis(asked.timeout_ms),
        settle: Duration::from_millis(asked.settle_ms),
    };
    let (mut command, mut by_hand);
    let restart: Option<&mut dyn Restart> = match (asked.restart_command, asked.kill_by_hand) {
        (Some(text), _) => {
            command = RestartCommand {
                command: text,
                timeout: times.timeout,
            };
            Some(&mut command)
        }
        (None, true) => {
            by_hand = RestartByHand;
            Some(&mut by_hand)
        }
        (None, false) => None,
    };
    // A file that cannot be written is an error now, not at the end.
    let json = JsonLines::create(asked.json.as_deref())?;
    finish(&subject, &check(&target, times, restart), json)
}

/// Prints the report and writes that for programs.
pub(super) fn finish(
    subject: &str,
    judgement: &Judgement,
    mut json: JsonLines,
) -> Result<Exit, CliError> {
    print(&clauses(subject, judgement, Colour::of_stdout()))?;
    for judged in &judgement.clauses {
        json.append(|| judged.object())?;
    }
    Ok(match judgement.gravest() {
        None => Exit::Passed,
        Some(ViolationKind::Safety) => Exit::SafetyViolated,
        Some(ViolationKind::NoProgress) => Exit::LivenessViolated,
    })
}
