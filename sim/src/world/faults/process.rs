//! What faults of processes do to the world.

use super::{Effect, network};
use crate::{
    faults::ProcessFault,
    net::Cut,
    process_id::ProcessId,
    world::{End, Job, World},
};

impl Effect for ProcessFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::Kill { .. }
            | Self::PowerLoss { .. }
            | Self::Pause { .. }
            | Self::StartLate { .. } => true,
        }
    }

    fn begin(&self, _: usize, world: &World) {
        match self {
            Self::Kill { processes, down_ms } => bring_down(processes, End::Kill, *down_ms, world),
            Self::PowerLoss {
                hosts,
                torn,
                down_ms,
            } => {
                for host in hosts {
                    cut_power(*host, world);
                }
                let mut processes = world.process_ids();
                processes.retain(|id| id.validator().is_some_and(|n| hosts.contains(&n)));
                let how = End::PowerLoss { torn: *torn };
                bring_down(&processes, how, *down_ms, world);
            }
            Self::Pause { processes, for_ms } => {
                for id in processes {
                    if world.pause(*id)
                        && let Some(for_ms) = for_ms
                    {
                        world.later(*for_ms, Job::Resume(*id));
                    }
                }
            }
            // It was applied at the start of the run.
            Self::StartLate { .. } => {}
        }
    }

    fn end(&self, _: &World) {
        match self {
            // Their processes restart or resume at their scheduled times.
            Self::Kill { .. }
            | Self::PowerLoss { .. }
            | Self::Pause { .. }
            | Self::StartLate { .. } => {}
        }
    }
}

/// Ends processes. They restart after this time, or when all faults end.
pub(super) fn bring_down(processes: &[ProcessId], how: End, down_ms: Option<u64>, world: &World) {
    for id in processes {
        world.end(*id, how);
        if let Some(down_ms) = down_ms {
            world.later(down_ms, Job::Start(*id));
        }
    }
}

/// A host without power sends nothing, not even resets of its connections.
fn cut_power(host: u16, world: &World) {
    let silence = network::cut_off(&[host], Cut::Both, world);
    let before = world.faults().cut_power(host, silence);
    drop(before);
}
