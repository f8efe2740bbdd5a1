//! The state of a running simulation, for the watchdog outside of it.

use crate::{clock::SimTime, process_id::ProcessId};
use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// What the watchdog reads, and how the simulation learns that it was abandoned.
#[derive(Debug, Default)]
pub(crate) struct Status {
    now_ns: AtomicU64,
    /// The process whose task ran last, encoded by [`code`].
    running: AtomicU64,
    abandoned: AtomicBool,
    /// The folder with the CPU time of the simulation's thread.
    thread: OnceLock<PathBuf>,
}

impl Status {
    /// Must be called on the simulation's thread.
    pub fn begin(&self) {
        // `self` would be the process, `thread-self` is a link to the task that reads it.
        if let Ok(thread) = std::fs::read_link("/proc/thread-self") {
            let _ = self.thread.set(Path::new("/proc").join(thread));
        }
    }

    /// Simulated time.
    pub fn now(&self) -> SimTime {
        SimTime {
            ns: self.now_ns.load(Ordering::Relaxed),
        }
    }

    pub fn set_now(&self, now: SimTime) {
        self.now_ns.store(now.ns, Ordering::Relaxed);
    }

    /// A task of this process is about to run.
    pub fn set_running(&self, process: ProcessId) {
        self.running.store(code(process), Ordering::Relaxed);
    }

    /// The simulation must end: its caller no longer waits for it.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

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
            3 => ProcessId::Sub(number),
            _ => ProcessId::World,
        }
    }

    /// CPU time that the simulation's thread has used.
    pub fn cpu_time(&self) -> Option<Duration> {
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
        ProcessId::Sub(n) => 3 << 16 | u64::from(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_survives_the_encoding() {
        let status = Status::default();
        for process in [
            ProcessId::World,
            ProcessId::Node(0),
            ProcessId::Node(65_535),
            ProcessId::Executor(3),
            ProcessId::Sub(7),
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
