//! Groups of tasks that end together; a panic in any of them is reported.

use crate::env::TaskMonitor;
use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};
use tokio::task::{AbortHandle, JoinHandle};

/// A group of spawned tasks. Dropping it, or [`Self::abort`], aborts those that still run.
pub struct Tasks {
    monitor: Arc<dyn TaskMonitor>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    tasks: Vec<AbortHandle>,
    /// Set by [`Tasks::abort`]: tasks that are spawned afterwards are aborted at once.
    aborted: bool,
}

impl Tasks {
    #[must_use]
    pub fn new(monitor: Arc<dyn TaskMonitor>) -> Self {
        Self {
            monitor,
            running: Mutex::default(),
        }
    }

    /// Spawns a task. It runs until it finishes or the group is aborted.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let handle = tokio::spawn(monitored(self.monitor.clone(), task));
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.aborted {
            handle.abort();
            return handle;
        }
        running.tasks.retain(|task| !task.is_finished());
        running.tasks.push(handle.abort_handle());
        handle
    }

    /// Aborts all tasks. Needed where a task holds a reference to the owner of the group, which would never be dropped.
    pub fn abort(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Reports each poll of the task, and its panic, to the monitor. The panic is resumed afterwards.
pub async fn monitored<T>(monitor: Arc<dyn TaskMonitor>, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let ended = poll_fn(|context| {
        monitor.poll_begins();
        // Unwind safe: a panic ends the process, so that state left inconsistent is not read again.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        monitor.poll_ends();
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    });
    match ended.await {
        Ok(value) => value,
        Err(payload) => {
            monitor.panicked(panic_message(payload.as_ref())).await;
            resume_unwind(payload)
        }
    }
}

/// The message of a panic.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Unmonitored;
    use async_trait::async_trait;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_task_spawned_after_abort_is_aborted_at_once() {
        let tasks = Tasks::new(Arc::new(Unmonitored));
        let before = tasks.spawn(std::future::pending::<()>());
        tasks.abort();
        let after = tasks.spawn(std::future::pending::<()>());
        for task in [before, after] {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

    #[derive(Default)]
    struct Messages {
        received: Mutex<Vec<String>>,
        more: Notify,
    }

    #[async_trait]
    impl TaskMonitor for Messages {
        async fn panicked(&self, message: &str) {
            self.received.lock().unwrap().push(message.to_owned());
            self.more.notify_one();
            std::future::pending().await
        }
    }

    /// The monitor never returns, so the panic does not leave the task.
    #[tokio::test]
    async fn a_panic_is_reported_to_the_monitor_before_it_leaves_the_task() {
        let messages = Arc::new(Messages::default());
        let tasks = Tasks::new(messages.clone());
        let panicking = tasks.spawn(async { panic!("number {}", 7) });
        messages.more.notified().await;
        assert_eq!(*messages.received.lock().unwrap(), ["number 7"]);
        assert!(!panicking.is_finished());
    }
}
