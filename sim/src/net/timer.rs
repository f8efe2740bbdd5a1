//! Timers that call the kernel without a task of its own, and pauses of exact length.
//!
//! madsim fires a timer by waking a waker. The kernel brings its own waker, so that a delivery happens inside the
//! timer: no task is scheduled for it and nothing is allocated but madsim's own entry. Timers cannot be cancelled and
//! none needs to be: the n-th one to fire is the n-th earliest, whoever set it.

use madsim::time::{Sleep, TimeHandle};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Pending timers, each with what to do then.
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

    /// Sets a timer for a time to come. Must not be called inside a timer: madsim holds its own lock there.
    pub fn set(&mut self, deadline: Instant, what: T) {
        self.pending.push(Reverse((deadline, self.next, what)));
        self.next += 1;
        let mut sleep = exact(&self.time, deadline);
        // Ready only if the deadline is not in the future, in which case madsim sets no timer.
        if Pin::new(&mut sleep)
            .poll(&mut Context::from_waker(&self.fired))
            .is_ready()
        {
            debug_assert!(false, "a timer must be set for a time to come");
        }
    }

    /// What the timer that fires now was set for, and when. The clock may still show the time before.
    pub fn pop(&mut self) -> Option<(Instant, T)> {
        self.pending
            .pop()
            .map(|Reverse((deadline, _, what))| (deadline, what))
    }
}

/// Waits for exactly `duration`, which madsim's own sleep rounds up to a millisecond.
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
