//! The block stream: connections in, blocks through the guard into the chain, at the pace of execution.
//!
//! One loop owns all state. The newest connection supersedes the previous one, whose unread bytes are lost (unless manners or
//! controls demand to serve both). A few frames are queued for execution; the rest stays in the socket, which is
//! backpressure for the sender.

use crate::{
    bug_switches::SeenCommits,
    chain::{Chain, ReceivedBlock},
    config::ExecutorConfig,
    controls::{Controls, SharedControls},
    epochs::Epochs,
    guard::{Guard, Position, Verdict},
    parked::Parked,
    serve::accept,
};
use bytes::Bytes;
use metanode_core::{
    env::{BlockRefusal, BoxStream, CrashPoint, Env, ExecutorEvent, Listener},
    executor::wire::CommittedEpochData,
    framing::{Decoder, FrameError, Framing, ReadError, read_frame},
    store::StoreError,
    types::{Epoch, GlobalExecIndex},
};
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

/// Capacity of the queue of received frames.
const QUEUE_BLOCKS: usize = 4;

/// Serves the block stream until the disk fails. `reported` is the highest watermark in any reply.
///
/// # Errors
/// If the disk fails.
pub async fn serve_blocks(
    env: &Env,
    config: &ExecutorConfig,
    listener: &dyn Listener,
    chain: &mut Chain,
    epochs: watch::Receiver<Epochs>,
    reported: &AtomicU64,
    controls: &SharedControls,
) -> Result<Infallible, StoreError> {
    let mut intake = Intake::new(env, config, chain, epochs, reported);
    let mut accepting = Box::pin(accept(listener));
    loop {
        // Registered before the check, so that no change is missed.
        let changed = controls.changed.notified();
        let Controls {
            stalled,
            reads_nothing,
            serves_both,
            ..
        } = controls.now();
        let serves_both = serves_both || config.manners.serves_two_streams;
        let running = !stalled;
        if !serves_both {
            intake.drop_older();
        }
        if running {
            intake.begin_next();
        }
        // Afterwards, because it empties a queue of blocks that are all skipped.
        let reads = !reads_nothing && intake.queue.len() < QUEUE_BLOCKS;
        tokio::select! {
            biased;
            () = changed => {}
            stream = &mut accepting => {
                intake.supersede(stream, serves_both);
                accepting.set(accept(listener));
            }
            () = elapsed(&mut intake.execution), if running => intake.execute().await?,
            () = elapsed(&mut intake.idle), if running => intake.flush().await?,
            frame = next_frame(&mut intake.newest), if reads => {
                let number = intake.newest.number;
                intake.receive(number, frame).await;
            }
            frame = next_frame(&mut intake.older), if reads => {
                let number = intake.older.number;
                intake.receive(number, frame).await;
            }
        }
    }
}

type Timer = Option<Pin<Box<Sleep>>>;

/// Completes when the timer fires; never without a timer.
async fn elapsed(timer: &mut Timer) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => pending().await,
    }
}

/// A connection of the block stream, open or not.
#[derive(Default)]
struct Connection {
    /// From 1; 0 means no connection.
    number: u64,
    /// `None` once it is closed.
    open: Option<(BoxStream, Decoder)>,
    /// [`Position::reported`] and [`Position::previous`].
    reported_when_accepted: GlobalExecIndex,
    previous: Option<GlobalExecIndex>,
}

/// The next frame of the connection; never of a closed one. Cancel-safe, as [`read_frame`] is.
async fn next_frame(connection: &mut Connection) -> Result<Option<Bytes>, ReadError> {
    match &mut connection.open {
        Some((stream, decoder)) => read_frame(stream, decoder).await,
        None => pending().await,
    }
}

struct Intake<'a> {
    env: &'a Env,
    config: &'a ExecutorConfig,
    chain: &'a mut Chain,
    epochs: watch::Receiver<Epochs>,
    seen: SeenCommits,
    /// The highest watermark in any reply.
    reported: &'a AtomicU64,

    newest: Connection,
    /// The previous one, if both are served.
    older: Connection,
    /// Blocks of these two connections only, each with the number of its connection.
    queue: VecDeque<(u64, ReceivedBlock)>,
    /// Blocks above a gap, of any connection.
    parked: Parked,

    /// The block that is being executed, and the timer of its execution.
    executing: Option<ReceivedBlock>,
    execution: Timer,
    execution_times: ChaCha8Rng,

    /// Blocks from the last flush to the next.
    flush_after: u64,
    flush_lengths: ChaCha8Rng,
    /// Flushes a volatile tail when no further block arrives.
    idle: Timer,
}

impl<'a> Intake<'a> {
    fn new(
        env: &'a Env,
        config: &'a ExecutorConfig,
        chain: &'a mut Chain,
        epochs: watch::Receiver<Epochs>,
        reported: &'a AtomicU64,
    ) -> Self {
        let mut flush_lengths = env.entropy.stream("executor/flush");
        Self {
            env,
            config,
            chain,
            epochs,
            seen: SeenCommits::default(),
            reported,
            newest: Connection::default(),
            older: Connection::default(),
            queue: VecDeque::new(),
            parked: Parked::new(
                config.manners.parked_blocks as usize,
                config.manners.parked_bytes as usize,
            ),
            executing: None,
            execution: None,
            execution_times: env.entropy.stream("executor/execution"),
            flush_after: draw(&mut flush_lengths, config.flush_every_blocks),
            flush_lengths,
            idle: None,
        }
    }

    fn supersede(&mut self, stream: BoxStream, serves_both: bool) {
        let number = self.newest.number + 1;
        let newest = Connection {
            number,
            open: Some((stream, Decoder::new(Framing::BLOCK_STREAM))),
            reported_when_accepted: GlobalExecIndex(self.reported.load(Ordering::Relaxed)),
            previous: None,
        };
        self.drop_older();
        self.older = std::mem::replace(&mut self.newest, newest);
        if !serves_both {
            self.drop_older();
        }
        self.env
            .emit(ExecutorEvent::StreamAccepted { connection: number });
    }

    /// Closes the previous connection and drops its queued blocks.
    fn drop_older(&mut self) {
        let (number, newest) = (self.older.number, self.newest.number);
        if number > 0 {
            self.close(number, format!("superseded by connection {newest}"));
            self.queue.retain(|(of, _)| *of != number);
            self.older = Connection::default();
        }
    }

    /// Closes this connection, if it is still open.
    fn close(&mut self, number: u64, reason: String) {
        if self.connection(number).open.take().is_some() {
            self.env.emit(ExecutorEvent::StreamClosed {
                connection: number,
                reason,
            });
        }
    }

    const fn connection(&mut self, number: u64) -> &mut Connection {
        if number == self.older.number {
            &mut self.older
        } else {
            &mut self.newest
        }
    }

    async fn receive(&mut self, number: u64, frame: Result<Option<Bytes>, ReadError>) {
        let body = match frame {
            Ok(Some(body)) => body,
            Ok(None) => return self.close(number, "ended by the sender".to_owned()),
            Err(error) => {
                match error {
                    // A sender that dies in the middle of a block is not at fault.
                    ReadError::Frame(FrameError::Truncated { .. }) | ReadError::Io(_) => {}
                    ReadError::Frame(_) => self.report_malformed(number),
                }
                return self.close(number, error.to_string());
            }
        };
        let block = match CommittedEpochData::decode(body.clone()) {
            Ok(block) => block,
            Err(error) => {
                self.report_malformed(number);
                let length = body.len();
                let reason =
                    format!("a frame of {length} bytes is not a CommittedEpochData: {error}");
                return self.close(number, reason);
            }
        };
        let received = ReceivedBlock { block, body };
        self.env.emit(ExecutorEvent::Received {
            connection: number,
            gei: received.gei(),
        });
        self.queue.push_back((number, received));
        self.env.reach(CrashPoint::ExecutorReceived).await;
    }

    fn report_malformed(&self, connection: u64) {
        self.env.emit(ExecutorEvent::Malformed { connection });
    }

    /// Starts the next block if none is being executed. With an empty queue, starts the idle timer of a volatile tail.
    fn begin_next(&mut self) {
        while self.executing.is_none() {
            if let Some(received) = self.parked.take(self.chain.expected()) {
                // Its connection may be over: nobody but the log is told of a refusal.
                let _ = self.begin(received);
                continue;
            }
            let Some((number, received)) = self.queue.pop_front() else {
                break;
            };
            self.judge(number, received);
        }
        if self.executing.is_some() {
            self.idle = None;
        } else if self.idle.is_none() && self.chain.volatile_blocks() > 0 {
            self.idle = Some(Box::pin(sleep(Duration::from_millis(
                self.config.flush_idle_ms,
            ))));
        }
    }

    fn judge(&mut self, number: u64, received: ReceivedBlock) {
        let (gei, expected) = (received.gei(), self.chain.expected());
        let connection = self.connection(number);
        let position = Position {
            expected,
            reported: connection.reported_when_accepted,
            previous: connection.previous.replace(gei),
        };
        let verdict = self.config.guard.judge(position, gei);
        match self.seen.judged(verdict, &received.block) {
            Verdict::Execute => {
                if let Err(reason) = self.begin(received) {
                    self.end(number, format!("received block {gei}: {reason}"));
                }
            }
            Verdict::Skip => {}
            Verdict::Refuse => self.refuse(gei, BlockRefusal::Duplicate { expected }),
            Verdict::Close => {
                if self.parked.keep(received) {
                    return self.env.emit(ExecutorEvent::Parked { gei, expected });
                }
                let reason = match self.config.manners.parked_blocks {
                    0 => BlockRefusal::Gap { expected },
                    _ => BlockRefusal::NoRoomToWait { expected },
                };
                self.refuse(gei, reason);
                self.end(number, format!("received block {gei}: {reason}"));
            }
        }
    }

    /// Executes the next block.
    fn begin(&mut self, received: ReceivedBlock) -> Result<(), BlockRefusal> {
        let gei = received.gei();
        let (sent, expected) = (
            Epoch(received.block.epoch),
            Epoch(self.epochs.borrow().epoch_of(gei)),
        );
        if sent != expected && self.config.guard != Guard::Naive {
            let reason = BlockRefusal::WrongEpoch { sent, expected };
            self.refuse(gei, reason);
            return Err(reason);
        }
        let duration_us = draw(&mut self.execution_times, self.config.execute_us);
        self.execution = Some(Box::pin(sleep(Duration::from_micros(duration_us))));
        self.executing = Some(received);
        Ok(())
    }

    fn refuse(&self, gei: GlobalExecIndex, reason: BlockRefusal) {
        self.env.emit(ExecutorEvent::Refused { gei, reason });
    }

    /// Ends a stream, so that its sender asks for the watermark. Its queued blocks are not executed.
    fn end(&mut self, number: u64, reason: String) {
        self.queue.retain(|(of, _)| *of != number);
        self.close(number, reason);
    }

    async fn execute(&mut self) -> Result<(), StoreError> {
        self.execution = None;
        if let Some(received) = self.executing.take() {
            self.chain.execute(received).await;
        }
        if self.chain.volatile_blocks() as u64 >= self.flush_after {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.idle = None;
        self.flush_after = draw(&mut self.flush_lengths, self.config.flush_every_blocks);
        self.chain.flush().await
    }
}

/// A number of `[low, high]`. The bias of the remainder is negligible here.
fn draw(stream: &mut ChaCha8Rng, [low, high]: [u64; 2]) -> u64 {
    let numbers = (high - low).saturating_add(1);
    low + stream.next_u64() % numbers
}
