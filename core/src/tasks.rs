//! Tasks that end together.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};
use tokio::task::{AbortHandle, JoinHandle};

/// Spawned tasks. Dropping this, or [`Self::abort`], ends all that still run.
#[derive(Default)]
pub struct Tasks(Mutex<Running>);

#[derive(Default)]
struct Running {
    tasks: Vec<AbortHandle>,
    /// What one of the aborted tasks spawns in its last moment ends, too.
    aborted: bool,
}

impl Tasks {
    /// Runs a task until it ends by itself or with the others.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let handle = tokio::spawn(task);
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.aborted {
            handle.abort();
            return handle;
        }
        running.tasks.retain(|task| !task.is_finished());
        running.tasks.push(handle.abort_handle());
        handle
    }

    /// Ends all tasks. Needed where tasks hold what owns this, so that it would never be dropped.
    pub fn abort(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.aborted = true;
        for task in running.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spawned_after_the_end_ends_at_once() {
        let tasks = Tasks::default();
        let before = tasks.spawn(std::future::pending::<()>());
        tasks.abort();
        let after = tasks.spawn(std::future::pending::<()>());
        for task in [before, after] {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }
}
