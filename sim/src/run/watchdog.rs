//! Watches a simulation from outside: a task that never yields keeps its thread busy for ever, while simulated time
//! stands still.
//!
//! Measured in CPU time of the simulation's thread, where the operating system tells it (Linux): on a busy machine a
//! thread may get little of it for as long as you like, and is not stuck. A thread cannot be ended from outside. It is
//! abandoned, and ends at its next call into the world.

use super::supervisor::Simulated;
use crate::trace::{ProcessId, SimTime};
use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

/// A simulation whose time stands still is given up after its thread has used this much CPU time.
const STANDSTILL: Duration = Duration::from_secs(10);

/// The same in wall-clock time, where the operating system tells no CPU time of a thread.
const STANDSTILL_WALL: Duration = Duration::from_secs(120);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a simulation shows of itself while it runs, and how it learns that it was abandoned.
#[derive(Debug, Default)]
pub(crate) struct Status {
    now_ns: AtomicU64,
    /// The process whose task ran last, as [`code`] has it.
    running: AtomicU64,
    abandoned: AtomicBool,
    /// Where the operating system shows the CPU time of the simulation's thread.
    thread: OnceLock<PathBuf>,
}

impl Status {
    /// To be called on the simulation's thread.
    pub fn begin(&self) {
        // `self` would be the process, `thread-self` is a link to the task that reads it.
        if let Ok(thread) = std::fs::read_link("/proc/thread-self") {
            let _ = self.thread.set(Path::new("/proc").join(thread));
        }
    }

    pub fn set_now(&self, now: SimTime) {
        self.now_ns.store(now.ns, Ordering::Relaxed);
    }

    /// A task of this process runs.
    pub fn set_running(&self, process: ProcessId) {
        self.running.store(code(process), Ordering::Relaxed);
    }

    /// Nobody waits for this simulation any more: it is to end.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// The process whose task ran last.
    pub fn running(&self) -> ProcessId {
        let code = self.running.load(Ordering::Relaxed);
        #[allow(clippy::cast_possible_truncation)] // the low half is a number of 16 bits
        let number = code as u16;
        match code >> 16 {
            1 => ProcessId::Node(number),
            2 => ProcessId::Executor(number),
            _ => ProcessId::World,
        }
    }

    /// CPU time that the simulation's thread has used.
    fn cpu_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(self.thread.get()?.join("schedstat")).ok()?;
        let ns = text.split(' ').next()?.parse().ok()?;
        Some(Duration::from_nanos(ns))
    }
}

fn code(process: ProcessId) -> u64 {
    match process {
        ProcessId::World => 0,
        ProcessId::Node(n) => 1 << 16 | u64::from(n),
        ProcessId::Executor(n) => 2 << 16 | u64::from(n),
    }
}

/// Simulated time stood still for too long.
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
                let payload: Box<dyn std::any::Any + Send> = Box::new("its thread is gone");
                return Ok(Err(payload));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let ns = status.now_ns.load(Ordering::Relaxed);
        if let Some(used) = standstill.look(ns, status.cpu_time()) {
            status.abandoned.store(true, Ordering::Relaxed);
            return Err(Stuck {
                at: SimTime { ns },
                cpu_seconds: used.as_secs(),
            });
        }
    }
}

/// How long simulated time has stood still. Pure: one call per look.
#[derive(Default)]
struct Standstill {
    now_ns: u64,
    /// When time was first seen where it stands.
    since: Option<Duration>,
    looks: u32,
}

impl Standstill {
    /// What the thread has used since time stands still, if that is too much.
    fn look(&mut self, now_ns: u64, cpu_time: Option<Duration>) -> Option<Duration> {
        if now_ns != self.now_ns {
            *self = Self {
                now_ns,
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
        let mut look = |now, cpu| standstill.look(now, Some(seconds(cpu)));
        assert_eq!(look(1, 0), None);
        for _ in 0..1_000 {
            assert_eq!(look(1, 9), None, "the machine is busy with something else");
        }
        assert_eq!(look(2, 15), None, "time moves");
        assert_eq!(look(2, 24), None);
        assert_eq!(look(2, 25), Some(seconds(10)));
    }

    #[test]
    fn without_cpu_time_the_wall_clock_is_patient() {
        let mut standstill = Standstill::default();
        let looks = STANDSTILL_WALL.as_millis() / INTERVAL.as_millis();
        for _ in 1..looks {
            assert_eq!(standstill.look(0, None), None);
        }
        assert_eq!(standstill.look(0, None), Some(STANDSTILL_WALL));
    }

    #[test]
    fn a_run_that_ends_is_waited_for() {
        let (running, ended) = std::sync::mpsc::channel();
        running.send(Ok(Ok(()))).unwrap();
        assert!(wait_for(&ended, &Status::default()).is_ok());
    }

    #[test]
    fn processes_keep_their_names() {
        let status = Status::default();
        for process in [
            ProcessId::World,
            ProcessId::Node(0),
            ProcessId::Node(65_535),
            ProcessId::Executor(3),
        ] {
            status.set_running(process);
            assert_eq!(status.running(), process);
        }
    }

    #[test]
    fn the_cpu_time_of_this_thread_is_known_on_linux() {
        let status = Status::default();
        status.begin();
        assert_eq!(status.cpu_time().is_some(), cfg!(target_os = "linux"));
    }
}
