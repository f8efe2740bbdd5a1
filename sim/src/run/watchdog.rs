//! Watches a simulation from outside: a task that never yields keeps its thread busy while simulated time does not
//! advance.
//!
//! Measured in CPU time of the simulation's thread, if the operating system reports it (Linux): on a busy machine a
//! thread may get little of it for a long time without being stuck. A thread cannot be ended from outside. It is
//! abandoned, and ends at its next call into the world.

use super::supervisor::Simulated;
use crate::{trace::SimTime, world::Status};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// A simulation whose time does not advance is abandoned after its thread has used this much CPU time.
const STANDSTILL: Duration = Duration::from_secs(10);

/// The same in wall-clock time, where the operating system does not report the CPU time of a thread.
const STANDSTILL_WALL: Duration = Duration::from_secs(120);

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Simulated time did not advance for too long.
#[derive(Debug)]
pub(super) struct Stuck {
    pub at: SimTime,
    pub cpu_seconds: u64,
}

/// Waits for the end of a simulation, or abandons it.
pub(super) fn wait_for(ended: &Receiver<Simulated>, status: &Status) -> Result<Simulated, Stuck> {
    let mut standstill = Standstill::default();
    loop {
        match ended.recv_timeout(INTERVAL) {
            Ok(simulated) => return Ok(simulated),
            Err(RecvTimeoutError::Disconnected) => {
                let payload: Box<dyn std::any::Any + Send> =
                    Box::new("the thread of the simulation ended without a result");
                return Ok(Err(payload));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = status.now();
        if let Some(used) = standstill.look(now, status.cpu_time()) {
            status.abandon();
            return Err(Stuck {
                at: now,
                cpu_seconds: used.as_secs(),
            });
        }
    }
}

/// How long simulated time has not advanced. Pure: one call per check.
#[derive(Default)]
struct Standstill {
    now: SimTime,
    /// CPU time when simulated time was first seen to be `now`.
    since: Option<Duration>,
    looks: u32,
}

impl Standstill {
    /// The time that the thread has used since simulated time last advanced, if it is too much.
    fn look(&mut self, now: SimTime, cpu_time: Option<Duration>) -> Option<Duration> {
        if now != self.now {
            *self = Self {
                now,
                since: cpu_time,
                looks: 0,
            };
            return None;
        }
        self.looks += 1;
        match cpu_time {
            Some(cpu_time) => {
                let used = cpu_time - *self.since.get_or_insert(cpu_time);
                (used >= STANDSTILL).then_some(used)
            }
            None => {
                let waited = INTERVAL * self.looks;
                (waited >= STANDSTILL_WALL).then_some(waited)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_cpu_time_without_simulated_time_counts() {
        let mut standstill = Standstill::default();
        let mut look = |now, cpu| standstill.look(SimTime::from_ms(now), Some(seconds(cpu)));
        assert_eq!(look(1, 0), None);
        for _ in 0..1_000 {
            assert_eq!(look(1, 9), None, "the machine is busy with something else");
        }
        assert_eq!(look(2, 15), None, "time advances");
        assert_eq!(look(2, 24), None);
        assert_eq!(look(2, 25), Some(seconds(10)));
    }

    #[test]
    fn without_cpu_time_the_wall_clock_is_patient() {
        let mut standstill = Standstill::default();
        let looks = STANDSTILL_WALL.as_millis() / INTERVAL.as_millis();
        for _ in 1..looks {
            assert_eq!(standstill.look(SimTime::default(), None), None);
        }
        assert_eq!(
            standstill.look(SimTime::default(), None),
            Some(STANDSTILL_WALL)
        );
    }

    #[test]
    fn a_run_that_ends_is_not_abandoned() {
        let (running, ended) = std::sync::mpsc::channel();
        running.send(Ok(Ok(()))).unwrap();
        assert!(wait_for(&ended, &Status::default()).is_ok());
    }
}
