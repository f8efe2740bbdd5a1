//! Monitoring of the tasks of a process.

use async_trait::async_trait;

/// Observes the tasks of a process. Production does not need it: there a panic unwinds the task, and the panic hook of
/// the binary ends the process.
#[async_trait]
pub trait TaskMonitor: Send + Sync {
    /// A task of the process is about to be polled.
    fn poll_begins(&self) {}

    /// The poll has ended, also by a panic.
    fn poll_ends(&self) {}

    /// A task of the process has panicked with this message. Returns at once in production; the simulator ends the
    /// process, in which case this never returns.
    async fn panicked(&self, _message: &str) {}
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmonitored;

impl TaskMonitor for Unmonitored {}
