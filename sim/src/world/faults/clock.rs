//! What faults of wall clocks do to the world.

use super::Effect;
use crate::{faults::ClockFault, world::World};

impl Effect for ClockFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::JumpClock { .. } => false,
        }
    }

    fn begin(&self, _: usize, world: &World) {
        match self {
            Self::JumpClock { hosts, by_ms } => {
                for host in hosts {
                    world.clock(*host).jump(*by_ms);
                }
            }
        }
    }

    fn end(&self, _: &World) {
        match self {
            Self::JumpClock { .. } => {}
        }
    }
}
