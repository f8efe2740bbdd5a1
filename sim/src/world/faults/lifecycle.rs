//! The lifecycle of faults: prepared at the start of the run, injected or skipped when they are due, ended after their
//! duration or together.

use super::{disk, effect};
use crate::{
    faults::{Fault, Lasting, LateStart},
    trace::{ProcessId, WorldEvent},
    world::{Job, World},
};
use std::collections::BTreeMap;

/// Scheduled jobs of faults.
pub(crate) enum FaultJob {
    /// The time of some fault has come; it is due if its other conditions hold.
    Due,
    /// The fault with this number ends.
    End(usize),
    /// Takes a backup of an executor's disk for the fault with this number.
    Backup(usize, u16),
}

/// Schedules everything that depends only on time. Returns the processes that start late, with their delays in ms.
pub(crate) fn prepare(world: &World) -> BTreeMap<ProcessId, u64> {
    let mut late = BTreeMap::new();
    for (number, planned) in world.plan().faults.iter().enumerate() {
        match &planned.fault {
            Fault::Process(fault) => {
                if let Some(LateStart { processes, for_ms }) = fault.late_start() {
                    late.extend(processes.iter().map(|id| (*id, for_ms)));
                    continue;
                }
            }
            Fault::Disk(fault) => disk::schedule_backups(fault, number, world),
            Fault::Executor(_) | Fault::Network(_) | Fault::Socket(_) | Fault::Clock(_) => {}
        }
        if planned.trigger.reached.is_none() {
            world.later(planned.trigger.at_ms, Job::Fault(FaultJob::Due));
        }
    }
    late
}

/// Performs a scheduled job.
pub(crate) fn perform(job: FaultJob, world: &World) {
    match job {
        FaultJob::End(number) => end(number, world),
        FaultJob::Backup(number, executor) => disk::back_up(number, executor, world),
        FaultJob::Due => {
            let due = world.faults().schedule.due(world.now());
            for number in due {
                inject(number, world);
            }
        }
    }
}

/// Injects a fault, or skips it if too many validators would be down.
pub(crate) fn inject(number: usize, world: &World) {
    let fault = &world.plan().faults[number].fault;
    if takes_down_too_many(fault, world) {
        return skip(number, world);
    }
    let effect = effect(fault);
    if !effect.has_own_events() {
        let fault = fault.clone();
        world.emit(ProcessId::World, WorldEvent::FaultBegan { number, fault });
    }
    effect.begin(number, world);
    match fault.lasting() {
        Lasting::Moment | Lasting::Down(_) => {}
        Lasting::Until(for_ms) => {
            world.faults().begin(number);
            if let Some(for_ms) = for_ms {
                world.later(for_ms, Job::Fault(FaultJob::End(number)));
            }
        }
    }
}

/// Records that a fault was skipped.
pub(super) fn skip(number: usize, world: &World) {
    let fault = world.plan().faults[number].fault.clone();
    world.emit(ProcessId::World, WorldEvent::FaultSkipped { number, fault });
}

/// Ends all faults. Processes that are down or paused stay so.
pub(crate) fn end_all(world: &World) {
    world.faults().schedule.end();
    let lasting = world.faults().lasting();
    for number in lasting {
        end(number, world);
    }
    let rules = world.faults().take_rules();
    drop(rules);
}

fn end(number: usize, world: &World) {
    let Some(held) = world.faults().end(number) else {
        return;
    };
    drop(held);
    let fault = &world.plan().faults[number].fault;
    let effect = effect(fault);
    effect.end(world);
    if !effect.has_own_events() {
        let fault = fault.clone();
        world.emit(ProcessId::World, WorldEvent::FaultEnded { number, fault });
    }
}

/// Byzantine validators do not count: the committee does not rely on them.
fn takes_down_too_many(fault: &Fault, world: &World) -> bool {
    let Some(most) = world.plan().max_faulty else {
        return false;
    };
    let honest = |n: &u16| world.plan().strategy_of(*n).is_none();
    let mut more = fault.takes_down();
    more.retain(honest);
    let mut down = world.down();
    down.retain(honest);
    !more.is_empty() && down.union(&more).count() > usize::from(most)
}
