//! Timers that call the kernel without a task, and exact sleeps.
//!
//! madsim fires a timer by waking a waker. The kernel registers its own waker, so that a delivery happens inside the
//! timer: no task is scheduled, and only madsim's own entry is allocated. Timers cannot be cancelled and need not be:
//! the n-th one to fire is the n-th earliest.

use madsim::time::{Sleep, TimeHandle};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Pending timers, each with its payload.
pub(super) struct Timers<T> {
    time: TimeHandle,
    fired: Waker,
    pending: BinaryHeap<Reverse<(Instant, u64, T)>>,
    next: u64,
}

impl<T: Ord> Timers<T> {
    /// `fired` is woken once per timer and must call [`Self::pop`] each time.
    pub const fn new(time: TimeHandle, fired: Waker) -> Self {
        Self {
            time,
            fired,
            pending: BinaryHeap::new(),
            next: 0,
        }
    }

    pub fn now(&self) -> Instant {
        self.time.now_instant()
    }

    pub const fn handle(&self) -> &TimeHandle {
        &self.time
    }

    /// Sets a timer for a future time. Must not be called inside a timer, where madsim holds its own lock.
    pub fn set(&mut self, deadline: Instant, what: T) {
        self.pending.push(Reverse((deadline, self.next, what)));
        self.next += 1;
        let mut sleep = exact(&self.time, deadline);
        // Ready only if the deadline is not in the future, in which case madsim sets no timer.
        if Pin::new(&mut sleep)
            .poll(&mut Context::from_waker(&self.fired))
            .is_ready()
        {
            debug_assert!(false, "a timer must be set for a future time");
        }
    }

    /// The payload and the deadline of the timer that fires now. The clock may still have an earlier time.
    pub fn pop(&mut self) -> Option<(Instant, T)> {
        self.pending
            .pop()
            .map(|Reverse((deadline, _, what))| (deadline, what))
    }
}

/// Sleeps for exactly `duration`; madsim's own sleep rounds up to milliseconds.
pub(super) async fn pause(time: &TimeHandle, duration: Duration) {
    if !duration.is_zero() {
        exact(time, time.now_instant() + duration).await;
    }
}

fn exact(time: &TimeHandle, deadline: Instant) -> Sleep {
    let mut sleep = time.sleep_until(deadline);
    Pin::new(&mut sleep).reset(deadline);
    sleep
}
