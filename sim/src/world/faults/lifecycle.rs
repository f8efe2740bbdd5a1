//! What becomes of the faults of a plan: prepared at the start of the run, injected or skipped when they are due, and
//! ended after their time or with all others.

use super::{disk, effect};
use crate::{
    faults::{Fault, Lasting, LateStart},
    trace::{ProcessId, WorldEvent},
    world::{Job, World},
};
use std::collections::BTreeMap;

/// What faults put into the calendar of a run.
pub(crate) enum FaultJob {
    /// The time of some fault has come; its other conditions may hold or not.
    Due,
    /// The fault of this number is over.
    End(usize),
    /// Keep what is on an executor's disk for the fault of this number.
    Backup(usize, u16),
}

/// Puts all that depends on time alone into the calendar. Returns the processes that start late, and after how long.
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

/// Does what the calendar says.
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

/// Lets a fault happen, if that leaves enough validators.
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

/// Says that a fault does not happen.
pub(super) fn skip(number: usize, world: &World) {
    let fault = world.plan().faults[number].fault.clone();
    world.emit(ProcessId::World, WorldEvent::FaultSkipped { number, fault });
}

/// Ends all faults. Processes that are down or paused are left so.
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

/// Byzantine validators are not counted: the committee relies on none of them, up or down.
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
