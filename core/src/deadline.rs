//! Work that must be done within a time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// The result of `work`, or `None` if it takes longer than `limit`.
///
/// Unlike `tokio::time::timeout` it registers its timer once, however often `work` is polled: under madsim each poll of a
/// timer is one more event of the simulation, and a large frame arrives in thousands of pieces.
pub async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    #[allow(clippy::disallowed_methods)]
    // tokio's clock; under madsim the lint mistakes it for that of std
    let deadline = Instant::now().checked_add(limit);
    let mut work = pin!(work);
    let Some(deadline) = deadline else {
        return Some(work.await); // longer than the clock can count
    };
    let mut timer = pin!(tokio::time::sleep_until(deadline));
    let mut registered: Option<Waker> = None;
    poll_fn(|context| {
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        #[allow(clippy::disallowed_methods)]
        let is_over = Instant::now() >= deadline;
        let is_registered = (registered.as_ref()).is_some_and(|it| it.will_wake(context.waker()));
        if is_registered && !is_over {
            return Poll::Pending;
        }
        registered = Some(context.waker().clone());
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_millis(100);

    /// Work in steps of this many milliseconds.
    async fn steps(number: u32, step_ms: u64) -> u32 {
        for _ in 0..number {
            sleep(Duration::from_millis(step_ms)).await;
        }
        number
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_too_long_has_no_result() {
        assert_eq!(timeout(LIMIT, steps(9, 10)).await, Some(9));
        assert_eq!(timeout(LIMIT, steps(11, 10)).await, None);
        assert_eq!(timeout(LIMIT, std::future::pending::<()>()).await, None);
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_move_to_another_task_after_it_was_polled() {
        let mut work = Box::pin(timeout(LIMIT, steps(11, 10)));
        let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await;
        assert!(!polled);
        assert_eq!(tokio::spawn(work).await.unwrap(), None);
    }
}
