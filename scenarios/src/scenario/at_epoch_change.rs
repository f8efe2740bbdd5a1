//! The fault of a swarm's seed at a step of an epoch change. Conditions that are drawn among everything that processes do
//! rarely meet one.

use super::{fault::FaultKind, target::Roster};
use crate::sampling::Sampler;
use metanode_core::env::CrashPoint;
use metanode_sim::{
    faults::{ExecutorFault, PlannedFault, ProcessFault, Reached, Replies, Trigger},
    trace::ProcessId,
};

/// In one seed of two with epochs, a fault of a validator that delivers, if it is one of `kinds`.
#[must_use]
pub(super) fn fault(
    sampler: &Sampler,
    roster: Roster,
    kinds: &[FaultKind],
) -> Option<PlannedFault> {
    let mut stream = sampler.stream("swarm.at_a_change");
    if !roster.changes || !stream.one_in(2) {
        return None;
    }
    // A node that delivers: only it advances its executor.
    let node = stream.below(roster.executors.into()) as u16;
    let point = match stream.below(3) {
        0 => CrashPoint::NodeExecutorAdvanced,
        _ => CrashPoint::NodeChangeRecorded,
    };
    // Each change records three steps, and most runs have one or two changes.
    let (step, change) = (stream.below(3), u64::from(stream.one_in(4)));
    let trigger = Trigger {
        reached: Some(Reached {
            process: ProcessId::Node(node),
            point,
            times: 1 + (step + 3 * change) as u32,
        }),
        ..Trigger::default()
    };
    let lasts_ms = Some(1 + stream.low(2_000));
    let kill = |process| ProcessFault::Kill {
        processes: vec![process],
        down_ms: lasts_ms,
    };
    let (kind, fault) = match stream.below(4) {
        0 => (FaultKind::Kill, kill(ProcessId::Node(node)).into()),
        1 => (FaultKind::Kill, kill(ProcessId::Executor(node)).into()),
        2 => {
            let fault = ProcessFault::PowerLoss {
                hosts: vec![node],
                torn: stream.one_in(2),
                down_ms: lasts_ms,
            };
            (FaultKind::PowerLoss, fault.into())
        }
        _ => {
            let fault = ExecutorFault::Replies {
                executors: vec![node],
                how: Replies::Refused,
                for_ms: lasts_ms,
            };
            (FaultKind::ErrorReplies, fault.into())
        }
    };
    let is_enabled = kinds.contains(&kind);
    is_enabled.then_some(PlannedFault { trigger, fault })
}
