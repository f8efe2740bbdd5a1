//! Tasks that end together, and none of which ends in silence.

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

/// Spawned tasks. Dropping this, or [`Self::abort`], ends all that still run.
pub struct Tasks {
    monitor: Arc<dyn TaskMonitor>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    tasks: Vec<AbortHandle>,
    /// What one of the aborted tasks spawns in its last moment ends, too.
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

    /// Runs a task until it ends by itself or with the others.
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

    /// Ends all tasks. Needed where tasks hold what owns this, so that it would never be dropped.
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

/// The task, each poll of which the monitor sees, and its panic, if it panics. The panic goes on afterwards.
pub async fn monitored<T>(monitor: Arc<dyn TaskMonitor>, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let ended = poll_fn(|context| {
        monitor.polled();
        // Whatever the task left half changed is not looked at again: the process ends.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
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

/// What a panic said.
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
    async fn what_is_spawned_after_the_end_ends_at_once() {
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
        heard: Mutex<Vec<String>>,
        more: Notify,
    }

    #[async_trait]
    impl TaskMonitor for Messages {
        async fn panicked(&self, message: &str) {
            self.heard.lock().unwrap().push(message.to_owned());
            self.more.notify_one();
            std::future::pending().await
        }
    }

    /// The monitor decides that the task does not go on: nothing unwinds out of it.
    #[tokio::test]
    async fn a_panic_comes_to_the_monitor_first() {
        let messages = Arc::new(Messages::default());
        let tasks = Tasks::new(messages.clone());
        let panicking = tasks.spawn(async { panic!("number {}", 7) });
        messages.more.notified().await;
        assert_eq!(*messages.heard.lock().unwrap(), ["number 7"]);
        assert!(!panicking.is_finished());
    }
}
