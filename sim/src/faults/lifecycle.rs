//! The lifecycle of faults: prepared at the start of the run, injected or skipped when they are due, ended after their
//! duration or together.

use super::{Cluster, Fault, FaultJob, Lasting, Prepared, disk};
use crate::trace::{ProcessId, WorldEvent};
use std::collections::BTreeMap;

/// Schedules everything that depends only on time. Returns the processes that start late, with their delays in ms.
pub(crate) fn prepare(cluster: &dyn Cluster) -> BTreeMap<ProcessId, u64> {
    let mut late = BTreeMap::new();
    for (number, planned) in cluster.planned_faults().iter().enumerate() {
        match planned.fault.subject().prepare(number, cluster) {
            Prepared::StartsLate { processes, for_ms } => {
                late.extend(processes.iter().map(|id| (*id, for_ms)));
            }
            Prepared::BeginsWhenDue if planned.trigger.reached.is_none() => {
                cluster.perform_after(planned.trigger.at_ms, FaultJob::Due);
            }
            // A process that reaches its crash point makes it due.
            Prepared::BeginsWhenDue => {}
        }
    }
    late
}

/// Performs a scheduled job.
pub(crate) fn perform(job: FaultJob, cluster: &dyn Cluster) {
    match job {
        FaultJob::End(number) => end(number, cluster),
        FaultJob::Backup(number, id) => disk::back_up(number, id, cluster),
        FaultJob::Due => {
            let due = cluster.faults().schedule.due(cluster.now());
            for number in due {
                inject(number, cluster);
            }
        }
    }
}

/// Injects a fault, or skips it if too many validators would be down.
pub(crate) fn inject(number: usize, cluster: &dyn Cluster) {
    let fault = planned(number, cluster);
    if takes_down_too_many(fault, cluster) {
        return skip(number, cluster);
    }
    let subject = fault.subject();
    if !subject.has_own_events() {
        let description = fault.to_string();
        let event = WorldEvent::FaultBegan {
            number,
            description,
        };
        cluster.emit(ProcessId::World, event);
    }
    subject.begin(number, cluster);
    match subject.lasting() {
        Lasting::Moment | Lasting::Down(_) => {}
        Lasting::Until(for_ms) => {
            cluster.faults().begin(number);
            if let Some(for_ms) = for_ms {
                cluster.perform_after(for_ms, FaultJob::End(number));
            }
        }
    }
}

/// Records that a fault was skipped.
pub(super) fn skip(number: usize, cluster: &dyn Cluster) {
    let description = planned(number, cluster).to_string();
    let event = WorldEvent::FaultSkipped {
        number,
        description,
    };
    cluster.emit(ProcessId::World, event);
}

/// Ends all faults. Processes that are down or paused stay so.
pub(crate) fn end_all(cluster: &dyn Cluster) {
    cluster.faults().schedule.end();
    let lasting = cluster.faults().lasting();
    for number in lasting {
        end(number, cluster);
    }
    let rules = cluster.faults().take_rules();
    drop(rules);
}

fn end(number: usize, cluster: &dyn Cluster) {
    let Some(held) = cluster.faults().end(number) else {
        return;
    };
    drop(held);
    let fault = planned(number, cluster);
    let subject = fault.subject();
    subject.end(cluster);
    if !subject.has_own_events() {
        let description = fault.to_string();
        let event = WorldEvent::FaultEnded {
            number,
            description,
        };
        cluster.emit(ProcessId::World, event);
    }
}

fn planned(number: usize, cluster: &dyn Cluster) -> &Fault {
    &cluster.planned_faults()[number].fault
}

/// Byzantine validators do not count: the committee does not rely on them.
fn takes_down_too_many(fault: &Fault, cluster: &dyn Cluster) -> bool {
    let Some(most) = cluster.max_faulty() else {
        return false;
    };
    let honest = |n: &u16| !cluster.is_byzantine(*n);
    let mut more = fault.takes_down();
    more.retain(honest);
    let mut down = cluster.down();
    down.retain(honest);
    !more.is_empty() && down.union(&more).count() > usize::from(most)
}
