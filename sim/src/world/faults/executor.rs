//! What faults of executors do to the world.

use super::Effect;
use crate::{faults::ExecutorFault, process_id::ProcessId, trace::WorldEvent, world::World};
use mock_go_executor::Controls;

impl Effect for ExecutorFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::Stall { .. } => true,
            Self::StopReading { .. } | Self::ServeBoth { .. } | Self::Replies { .. } => false,
        }
    }

    fn begin(&self, _: usize, world: &World) {
        match self {
            Self::Stall { executors, .. } => stall(executors, true, world),
            Self::StopReading { executors, .. } => {
                control(executors, world, |controls| controls.reads_nothing = true);
            }
            Self::ServeBoth { executors, .. } => {
                control(executors, world, |controls| controls.serves_both = true);
            }
            Self::Replies { executors, how, .. } => {
                control(executors, world, |controls| controls.replies = Some(*how));
            }
        }
    }

    fn end(&self, world: &World) {
        match self {
            Self::Stall { executors, .. } => stall(executors, false, world),
            Self::StopReading { executors, .. } => {
                control(executors, world, |controls| controls.reads_nothing = false);
            }
            Self::ServeBoth { executors, .. } => {
                control(executors, world, |controls| controls.serves_both = false);
            }
            Self::Replies { executors, .. } => {
                control(executors, world, |controls| controls.replies = None);
            }
        }
    }
}

fn control(executors: &[u16], world: &World, change: impl Fn(&mut Controls)) {
    for executor in executors {
        world.control(*executor, &change);
    }
}

fn stall(executors: &[u16], stalled: bool, world: &World) {
    let event = match stalled {
        true => WorldEvent::Stalled,
        false => WorldEvent::Unstalled,
    };
    for executor in executors {
        if world.control(*executor, |controls| controls.stalled = stalled) {
            world.emit(ProcessId::Executor(*executor), event.clone());
        }
    }
}
