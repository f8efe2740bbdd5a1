//! One direction of a connection: a bounded queue of bytes of which the front has arrived and the rest is in flight.
//!
//! Plain data: the bytes in order, and the wakers of waiting tasks. It does not know clocks, faults and other pipes.

use super::rule::{Payload, RuleId};
use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

/// When something in flight arrives, unless what was sent before it arrives later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    At(Instant),
    /// Not before this rule is uninstalled.
    Held(RuleId),
}

/// Something in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub payload: Payload,
    /// Bytes that were written before it.
    pub offset: u64,
    pub due: Due,
}

/// A bounded, ordered queue of bytes between one writer and one reader.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Bytes that were written and not read yet: first those that have arrived, then those in flight.
    bytes: VecDeque<u8>,
    /// How many of `bytes` have arrived.
    arrived: usize,
    capacity: usize,
    in_flight: VecDeque<InFlight>,
    /// Total bytes written.
    written: u64,
    /// Total bytes read.
    read: u64,
    /// The writer has sent the end of the stream.
    pub finished: bool,
    /// The end of the stream has arrived.
    pub ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub fn new(capacity_bytes: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            arrived: 0,
            capacity: capacity_bytes.max(1),
            in_flight: VecDeque::new(),
            written: 0,
            read: 0,
            finished: false,
            ended: false,
            reader: None,
            writer: None,
        }
    }

    /// Bytes that a write can accept. Bytes in flight count against the capacity.
    pub fn space(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// Bytes that a read can return.
    pub const fn arrived(&self) -> usize {
        self.arrived
    }

    /// Total bytes written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Total bytes read.
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Appends `data`, which must fit into the space. The caller then launches it or lets it arrive.
    pub fn push(&mut self, data: &[u8]) {
        self.bytes.extend(data);
        self.written += data.len() as u64;
    }

    /// Moves arrived bytes into `buffer`, which makes space for the writer. Returns their number.
    pub fn pull(&mut self, buffer: &mut tokio::io::ReadBuf<'_>) -> usize {
        let count = self.arrived.min(buffer.remaining());
        let (front, back) = self.bytes.as_slices();
        let from_front = count.min(front.len());
        buffer.put_slice(&front[..from_front]);
        buffer.put_slice(&back[..count - from_front]);
        self.forget_front(count);
        self.read += count as u64;
        count
    }

    /// Puts pushed data (or an end) in flight. Returns the time at which the caller must check what is due, unless that
    /// time is already scheduled.
    pub fn launch(&mut self, payload: Payload, due: Due) -> Option<Instant> {
        self.in_flight.push_back(InFlight {
            payload,
            offset: self.written - payload.len() as u64,
            due,
        });
        self.reschedule(self.in_flight.len() - 1, due)
    }

    /// The thing at `index` in flight, in the order of arrival.
    pub fn in_flight(&self, index: usize) -> Option<InFlight> {
        self.in_flight.get(index).copied()
    }

    /// Changes when the thing at `index` arrives, but not before the previous one. Returns the same as
    /// [`Self::launch`].
    pub fn reschedule(&mut self, index: usize, due: Due) -> Option<Instant> {
        let previous = index
            .checked_sub(1)
            .map(|before| self.in_flight[before].due);
        let due = match (previous, due) {
            (Some(Due::At(previous)), Due::At(at)) => Due::At(at.max(previous)),
            _ => due,
        };
        self.in_flight[index].due = due;
        match due {
            Due::At(at) if previous != Some(due) => Some(at),
            _ => None,
        }
    }

    /// Removes the next thing in flight that is due by `now`. The caller then lets its bytes arrive.
    pub fn pop_due(&mut self, now: Instant) -> Option<Payload> {
        match self.in_flight.front()?.due {
            Due::At(at) if at <= now => self.in_flight.pop_front().map(|entry| entry.payload),
            _ => None,
        }
    }

    /// The next `count` bytes have arrived.
    pub fn arrive(&mut self, count: usize) {
        self.arrived += count;
        debug_assert!(self.arrived <= self.bytes.len());
    }

    /// The next `count` bytes have arrived at a closed socket.
    pub fn lose(&mut self, count: usize) {
        debug_assert_eq!(self.arrived, 0);
        self.arrived = count;
        self.forget_front(count);
    }

    /// Drops everything that has arrived.
    pub fn lose_arrived(&mut self) {
        self.forget_front(self.arrived);
    }

    /// Drops everything in flight.
    pub fn lose_in_flight(&mut self) {
        self.bytes.truncate(self.arrived);
        self.in_flight.clear();
        self.wake_writer();
    }

    pub fn wait_to_read(&mut self, context: &Context<'_>) {
        remember(&mut self.reader, context);
    }

    pub fn wait_to_write(&mut self, context: &Context<'_>) {
        remember(&mut self.writer, context);
    }

    pub fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn forget_front(&mut self, count: usize) {
        if count == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..count);
        }
        self.arrived -= count;
        if count > 0 {
            self.wake_writer();
        }
    }
}

/// Keeps the waker of `context` in `slot`. A previous waker is of the same task.
fn remember(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        None => *slot = Some(context.waker().clone()),
    }
}
