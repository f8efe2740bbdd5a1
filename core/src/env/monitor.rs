//! Who watches the tasks of a process.

use async_trait::async_trait;

/// Told what becomes of the tasks of a process. Production needs nothing of it: there a panic goes on, and the panic
/// hook of the binary ends the process.
#[async_trait]
pub trait TaskMonitor: Send + Sync {
    /// A task of the process is about to run.
    fn polled(&self) {}

    /// A task of the process has panicked with this message. Returns at once in production; the simulator ends the
    /// process, in which case this never returns.
    async fn panicked(&self, _message: &str) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmonitored;

impl TaskMonitor for Unmonitored {}
