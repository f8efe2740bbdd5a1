//! A conversation with one executor: questions, blocks, and what its answers about W say together.

use super::{
    Target, Times,
    chain::{Chain, frame_of},
    clause,
    rpc_client::{self, Answer, Connection, kind_for, violation},
    watermarks::Watermarks,
};
use crate::{
    clauses::{Clause, Verdict, Verdicts, Violation},
    live::{Deadline, LiveError, LiveSocket, Polled, now_ms},
};
use metanode_core::{
    executor::{
        validators,
        wire::{
            BlocksRange, EpochBoundaryData, GetBlocksRange, GetCurrentEpoch, GetEpochBoundaryData,
            GetLastBlockNumber, RequestPayload, ResponsePayload,
        },
    },
    types::{AuthorityIndex, Epoch, EpochBase, GlobalExecIndex, IndexError, TimestampMs},
};
use std::time::Duration;

/// Why a clause did not hold.
#[derive(Debug)]
pub(super) enum Failure {
    Violated(Violation),
    NotTestable(String),
}

pub(super) type Probe = Result<(), Failure>;

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Violated(violation)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::NotTestable(error.to_string())
    }
}

/// How a block that was sent has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Durable,
    /// The executor closed the connection, with this W.
    Closed(GlobalExecIndex),
}

/// How long a look at a quiet connection takes: the pace at which W is asked for.
const POLL: Duration = Duration::from_millis(5);

pub(super) struct Session {
    pub target: Target,
    pub times: Times,
    pub verdicts: Verdicts,
    pub watermarks: Watermarks,
    pub chain: Chain,
    /// The connection of [`Self::ask`].
    pub rpc: Option<Connection>,
    /// Why no further clause is tried.
    pub ended: Option<String>,
}

impl Session {
    /// Learns W, the epoch and its base.
    ///
    /// # Errors
    /// If the executor does not say them.
    pub fn begin(target: &Target, times: Times) -> Result<Self, Violation> {
        let mut session = Self {
            target: target.clone(),
            times,
            verdicts: Verdicts::default(),
            watermarks: Watermarks::default(),
            chain: Chain::new(
                EpochBase::GENESIS,
                GlobalExecIndex(0),
                TimestampMs(0),
                [0; 20],
            ),
            rpc: None,
            ended: None,
        };
        let watermark = session.watermark()?;
        let epoch = session.epoch()?;
        let data = session.boundary_data(epoch)?;
        let committee = validators::committee(epoch, &data.validators);
        let leader = committee.map(|(committee, _)| committee.authority(AuthorityIndex(0)).address);
        let last = match watermark {
            GlobalExecIndex(0) => None,
            last => session.blocks(last, last)?.blocks.pop(),
        };
        let last_ms = last.map_or(0, |block| block.timestamp_ms);
        let earliest = now_ms().max(data.epoch_start_timestamp_ms).max(last_ms) + 1;
        let base = EpochBase {
            epoch,
            base: GlobalExecIndex(data.boundary_block),
        };
        session.chain = Chain::new(
            base,
            watermark,
            TimestampMs(earliest),
            leader.unwrap_or_default(),
        );
        Ok(session)
    }

    /// Tries a clause, unless the session has ended.
    pub fn judge(&mut self, clause: Clause, probe: impl FnOnce(&mut Self) -> Probe) {
        if self.ended.is_some() {
            return;
        }
        let verdict = match probe(self) {
            Ok(()) => Verdict::Held,
            Err(Failure::Violated(violation)) => Verdict::Broken(violation),
            Err(Failure::NotTestable(why)) => Verdict::NotTestable { why },
        };
        if matches!(verdict, Verdict::Broken(_)) {
            // What is left of the conversation is unknown.
            self.rpc = None;
            if let Err(violation) = self.watermark() {
                let found = violation.found;
                self.ended = Some(format!("after {}: {found}", clause.id));
            }
        }
        self.verdicts.add(clause, verdict);
    }

    /// Asks, and takes the answer whatever it is.
    ///
    /// # Errors
    /// If there is none.
    pub fn ask(&mut self, request: RequestPayload) -> Result<Answer, Violation> {
        let kind = kind_for(&request);
        let expected = format!("a response {kind}");
        let mut connection = match self.rpc.take() {
            Some(connection) => connection,
            None => self.connect(&expected)?,
        };
        let written = connection.write(&rpc_client::frame_of(request));
        written.map_err(|error| violation(&expected, &error))?;
        let answer = connection.answer(&format!("the request for {kind}"))?;
        self.rpc = Some(connection);
        Ok(answer)
    }

    /// A new connection to the RPC.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub fn connect(&self, expected: &str) -> Result<Connection, Violation> {
        let opened = Connection::open(&self.target.rpc, self.times.timeout);
        opened.map_err(|error| violation(expected, &error))
    }

    /// Asks for W.
    pub fn watermark(&mut self) -> Result<GlobalExecIndex, Violation> {
        let answer = self.ask(RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}))?;
        match answer.payload {
            ResponsePayload::LastBlockNumber(number) => {
                let watermark = GlobalExecIndex(number.last_block_number);
                self.watermarks.answered(watermark, &answer.body);
                Ok(watermark)
            }
            _ => Err(answer.unexpected("LastBlockNumber")),
        }
    }

    /// Asks for the current epoch.
    pub fn epoch(&mut self) -> Result<Epoch, Violation> {
        let answer = self.ask(RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}))?;
        match answer.payload {
            ResponsePayload::CurrentEpoch(current) => Ok(Epoch(current.epoch)),
            _ => Err(answer.unexpected("CurrentEpoch")),
        }
    }

    /// Asks how an epoch began.
    pub fn boundary_data(&mut self, epoch: Epoch) -> Result<EpochBoundaryData, Violation> {
        let request = GetEpochBoundaryData { epoch: epoch.0 };
        let answer = self.ask(RequestPayload::GetEpochBoundaryData(request))?;
        match answer.payload {
            ResponsePayload::EpochBoundaryData(data) if data.epoch == epoch.0 => Ok(data),
            _ => Err(answer.unexpected(format!("EpochBoundaryData of epoch {epoch}"))),
        }
    }

    /// Asks for blocks.
    pub fn blocks(
        &mut self,
        from: GlobalExecIndex,
        to: GlobalExecIndex,
    ) -> Result<BlocksRange, Violation> {
        let range = GetBlocksRange {
            from: from.0,
            to: to.0,
            skip_bytes: 0,
        };
        let answer = self.ask(RequestPayload::GetBlocksRange(range))?;
        match answer.payload {
            ResponsePayload::BlocksRange(range) => Ok(range),
            _ => Err(answer.unexpected("BlocksRange")),
        }
    }

    /// A new connection to the block stream.
    pub fn stream(&self) -> Result<LiveSocket, Violation> {
        let opened = LiveSocket::connect(&self.target.block_stream, self.times.timeout);
        opened.map_err(|error| violation("the block stream accepts a connection", &error))
    }

    /// Writes to the block stream. That the executor has closed it meanwhile shows later.
    pub fn write(&self, stream: &mut LiveSocket, bytes: &[u8]) -> Result<(), Violation> {
        match stream.write(bytes, self.times.timeout) {
            Ok(()) | Err(LiveError::Closed) => Ok(()),
            Err(error) => Err(violation("the block stream is read", &error).shown_by(bytes)),
        }
    }

    /// What arrives on a block stream within a moment.
    fn look(&mut self, stream: &mut LiveSocket) -> Polled {
        let polled = stream.poll(POLL);
        if let Polled::Bytes(bytes) = &polled {
            let violation = Violation::safety("nothing", "bytes from the executor");
            let violation = violation.shown_by(bytes);
            self.verdicts
                .add(clause::STREAM_ONE_WAY, Verdict::Broken(violation));
        }
        polled
    }

    /// Waits until W is `goal`, as long as W moves in time, or until the executor closes the connection and W stands still.
    pub fn outcome(
        &mut self,
        stream: &mut LiveSocket,
        goal: GlobalExecIndex,
    ) -> Result<Sent, Violation> {
        let (mut last, mut closed) = (None, false);
        let mut deadline = Deadline::after(self.times.timeout);
        loop {
            let watermark = self.watermark()?;
            if watermark == goal {
                return Ok(Sent::Durable);
            }
            if watermark > goal {
                let expected = format!("W = {goal}");
                return Err(Violation::safety(expected, format!("W = {watermark}")));
            }
            let moved = last.replace(watermark) != Some(watermark);
            let is_closed = self.look(stream) == Polled::Closed;
            if moved || (is_closed && !closed) {
                let wait = if is_closed {
                    self.times.settle
                } else {
                    self.times.timeout
                };
                deadline = Deadline::after(wait);
            }
            closed = is_closed;
            if deadline.left().is_some() {
                if closed {
                    crate::live::pause(POLL);
                }
                continue;
            }
            if closed {
                return Ok(Sent::Closed(watermark));
            }
            let expected = format!("W = {goal} after blocks up to it were written");
            let found = format!("W = {watermark} for {:?}", self.times.timeout);
            return Err(Violation::no_progress(expected, found));
        }
    }

    /// Waits until W is `goal`. The executor must not close the connection before.
    pub fn reaches(&mut self, stream: &mut LiveSocket, goal: GlobalExecIndex) -> Probe {
        match self.outcome(stream, goal)? {
            Sent::Durable => Ok(()),
            Sent::Closed(watermark) => {
                let expected = format!("W = {goal} after blocks up to it were written");
                let found = format!("the executor closed the connection, W = {watermark}");
                Err(Violation::safety(expected, found).into())
            }
        }
    }

    /// Waits, and W must stay where it is.
    pub fn stands_still(
        &mut self,
        mut stream: Option<&mut LiveSocket>,
        watermark: GlobalExecIndex,
        after: &str,
    ) -> Probe {
        let deadline = Deadline::after(self.times.settle);
        while deadline.left().is_some() {
            let found = self.watermark()?;
            if found != watermark {
                let expected = format!("W stays {watermark} after {after}");
                return Err(Violation::safety(expected, format!("W = {found}")).into());
            }
            let is_open = match &mut stream {
                Some(stream) => self.look(stream) != Polled::Closed,
                None => false,
            };
            if !is_open {
                crate::live::pause(POLL);
            }
        }
        Ok(())
    }

    /// The executor closes this block stream in time.
    pub fn is_closed(&mut self, stream: &mut LiveSocket, after: &str) -> Probe {
        let deadline = Deadline::after(self.times.timeout);
        while deadline.left().is_some() {
            if self.look(stream) == Polled::Closed {
                return Ok(());
            }
        }
        let expected = format!("the connection is closed after {after}");
        let found = format!("it is open after {:?}", self.times.timeout);
        Err(Violation::safety(expected, found).into())
    }

    /// The frame of a block, which counts as delivered from now on.
    pub fn frame(&mut self, gei: GlobalExecIndex) -> Result<Vec<u8>, IndexError> {
        let frame = self.chain.frame(gei)?;
        self.watermarks.delivered(gei);
        Ok(frame)
    }

    /// Delivers the next blocks, this many, on one connection and in one write. Returns the last.
    pub fn deliver(&mut self, blocks: u64) -> Result<GlobalExecIndex, Failure> {
        let watermark = self.watermark()?;
        let last = GlobalExecIndex(watermark.0 + blocks);
        let mut frames = vec![];
        for gei in watermark.0 + 1..=last.0 {
            frames.extend(self.frame(GlobalExecIndex(gei))?);
        }
        let mut stream = self.stream()?;
        self.write(&mut stream, &frames)?;
        let reached = self.reaches(&mut stream, last);
        reached.map(|()| last).map_err(|failure| match failure {
            Failure::Violated(violation) => violation.shown_by(&frames).into(),
            other @ Failure::NotTestable(_) => other,
        })
    }

    /// The stored block has the content that was delivered, if the executor returns blocks at all.
    pub fn is_stored_as_made(&mut self, gei: GlobalExecIndex) -> Probe {
        let Some(made) = self.chain.made(gei).cloned() else {
            return Ok(());
        };
        let range = self.blocks(gei, gei)?;
        match range.blocks.first() {
            Some(block) if block.raw_block_bytes != made => {
                let expected = format!("block {gei} as it was delivered first");
                let found = Violation::safety(expected, "another content");
                Err(found.shown_by(&block.raw_block_bytes).into())
            }
            _ => Ok(()),
        }
    }

    /// A body as a frame that does not count as delivered.
    pub fn uncounted(body: &[u8]) -> Vec<u8> {
        frame_of(body)
    }
}
