//! What faults do to the world, and when.
//!
//! | file | content |
//! |---|---|
//! | `process`, `executor`, `network`, `socket`, `disk`, `clock` | begin and end of the faults of one subject |
//! | `schedule` | which faults are due (pure) |
//! | `active` | `ActiveFaults`, the state of the faults that have begun |
//! | `lifecycle` | from the start of a run to its healing: injected or skipped, ended |

mod active;
mod clock;
mod disk;
mod executor;
mod lifecycle;
mod network;
mod process;
mod schedule;
mod socket;

pub(super) use active::ActiveFaults;
pub(super) use lifecycle::{FaultJob, end_all, inject, perform, prepare};

use crate::{faults::Fault, world::World};

/// What a fault does to the world. No method has a default, so that a new kind cannot silently do nothing.
trait Effect {
    /// Whether `begin` and `end` emit events of their own. For all others the trace has `FaultBegan` and `FaultEnded`.
    fn has_own_events(&self) -> bool;

    /// Applies the fault, which has this number in the plan.
    fn begin(&self, number: usize, world: &World);

    /// Undoes what `begin` did, except what `ActiveFaults` holds for the fault: that is dropped before.
    fn end(&self, world: &World);
}

fn effect(fault: &Fault) -> &dyn Effect {
    match fault {
        Fault::Process(fault) => fault,
        Fault::Executor(fault) => fault,
        Fault::Network(fault) => fault,
        Fault::Socket(fault) => fault,
        Fault::Disk(fault) => fault,
        Fault::Clock(fault) => fault,
    }
}
