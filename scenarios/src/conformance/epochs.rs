//! Clauses of epochs: boundary data, and `AdvanceEpoch`.

use super::session::{Failure, Probe, Session};
use crate::clauses::Violation;
use metanode_core::{
    executor::{
        validators,
        wire::{
            AdvanceEpoch, AdvanceEpochResponse, GetActiveValidators, GetEpochBoundaryData,
            GetEpochStartTimestamp, RequestPayload, ResponsePayload, ValidatorInfoList,
        },
    },
    types::{Epoch, EpochBase, GlobalExecIndex, TimestampMs},
};

/// The granularity of starts that deployed executors keep (contract §7.3).
const WHOLE_SECONDS_MS: u32 = 1_000;
/// A start that is no whole second.
const ODD_MS: u64 = 123;

/// How an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    base: EpochBase,
    timestamp: TimestampMs,
}

impl Start {
    const fn request(self) -> AdvanceEpoch {
        AdvanceEpoch {
            new_epoch: self.base.epoch.0,
            epoch_start_timestamp_ms: self.timestamp.0,
            boundary_block: self.base.base.0,
        }
    }
}

impl Session {
    pub fn boundary_data_is_consistent(&mut self) -> Probe {
        let epoch = self.epoch()?;
        let (watermark, data) = (self.watermark()?, self.boundary_data(epoch)?);
        let (base, start) = (data.boundary_block, data.epoch_start_timestamp_ms);
        let wrong =
            |expected: String, found: String| Err(Violation::safety(expected, found).into());
        if base > watermark.0 || (epoch == Epoch(0) && base != 0) {
            let most = if epoch == Epoch(0) { 0 } else { watermark.0 };
            return wrong(
                format!("a boundary block of at most {most}"),
                base.to_string(),
            );
        }
        if start == 0 {
            return wrong("a start timestamp".to_owned(), "0".to_owned());
        }
        match validators::committee(epoch, &data.validators) {
            Ok((_, left_out)) => {
                for validator in left_out {
                    (self.verdicts).observe(format!("not a member of the committee: {validator}"));
                }
            }
            Err(error) => return wrong("validators of a committee".to_owned(), error.to_string()),
        }
        let same = self.start_timestamp(epoch)?;
        if same != TimestampMs(start) {
            let expected = format!("EpochStartTimestamp {start}, as in the boundary data");
            return wrong(expected, same.to_string());
        }
        let list = self.active_validators()?;
        if list.epoch_timestamp_ms != start {
            let expected = format!("epoch_timestamp_ms {start}, as in the boundary data");
            return wrong(expected, list.epoch_timestamp_ms.to_string());
        }
        let names = |list: &[_]| {
            validators::committee(epoch, list)
                .ok()
                .map(|found| found.0.digest())
        };
        if names(&list.validators) != names(&data.validators) {
            let expected = "the active validators of the boundary data".to_owned();
            return wrong(expected, format!("{} others", list.validators.len()));
        }
        let counted = list.last_global_exec_index;
        if counted != watermark.0 && counted != self.watermark()?.0 {
            self.verdicts.observe(format!(
                "last_global_exec_index is {counted} where last_block_number is {watermark} (§4.4)"
            ));
        }
        Ok(())
    }

    pub fn boundary_future(&mut self) -> Probe {
        let epoch = self.epoch()?.next().0;
        for (what, request) in [
            (
                "boundary data",
                RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch }),
            ),
            (
                "the start",
                RequestPayload::GetEpochStartTimestamp(GetEpochStartTimestamp { epoch }),
            ),
        ] {
            let answer = self.ask(request)?;
            if !matches!(answer.payload, ResponsePayload::Error(_)) {
                let expected = format!("error to a request for {what} of epoch {epoch}");
                return Err(answer.unexpected(expected).into());
            }
        }
        Ok(())
    }

    fn start_timestamp(&mut self, epoch: Epoch) -> Result<TimestampMs, Violation> {
        let request = GetEpochStartTimestamp { epoch: epoch.0 };
        let answer = self.ask(RequestPayload::GetEpochStartTimestamp(request))?;
        match answer.payload {
            ResponsePayload::EpochStartTimestamp(start) => Ok(TimestampMs(start.timestamp_ms)),
            _ => Err(answer.unexpected("EpochStartTimestamp")),
        }
    }

    fn active_validators(&mut self) -> Result<ValidatorInfoList, Violation> {
        let request = RequestPayload::GetActiveValidators(GetActiveValidators {});
        let answer = self.ask(request)?;
        match answer.payload {
            ResponsePayload::ValidatorInfoList(list) => Ok(list),
            _ => Err(answer.unexpected("ValidatorInfoList")),
        }
    }

    /// How the next epoch begins here, at a boundary with a block of this epoch before it.
    fn next_start(&mut self) -> Result<Start, Failure> {
        let watermark = match self.watermark()? {
            base if base == self.chain.base().base => self.deliver(1)?,
            watermark => watermark,
        };
        Ok(Start {
            base: EpochBase {
                epoch: self.chain.base().epoch.next(),
                base: watermark,
            },
            timestamp: self.chain.timestamp(watermark).rounded_up(WHOLE_SECONDS_MS),
        })
    }

    pub fn advance_refused(&mut self) -> Probe {
        let right = self.next_start()?.request();
        let wrong = [
            AdvanceEpoch {
                boundary_block: right.boundary_block + 1,
                ..right
            },
            AdvanceEpoch {
                boundary_block: right.boundary_block.saturating_sub(1),
                ..right
            },
            AdvanceEpoch {
                new_epoch: right.new_epoch + 1,
                ..right
            },
            AdvanceEpoch {
                epoch_start_timestamp_ms: 0,
                ..right
            },
        ];
        wrong
            .into_iter()
            .try_for_each(|request| self.is_refused(request))
    }

    /// The executor answers with an error and stays in its epoch.
    fn is_refused(&mut self, request: AdvanceEpoch) -> Probe {
        let current = self.chain.base().epoch;
        let text = text_of(&request);
        let answer = self.ask(RequestPayload::AdvanceEpoch(request))?;
        if !matches!(answer.payload, ResponsePayload::Error(_)) {
            self.resume()?;
            let expected = format!("error to {text}, in epoch {current}");
            return Err(answer.unexpected(expected).into());
        }
        self.is_in(current, &text)
    }

    fn is_in(&mut self, current: Epoch, after: &str) -> Probe {
        let epoch = self.epoch()?;
        if epoch == current {
            return Ok(());
        }
        self.resume()?;
        let expected = format!("epoch {current} after {after}");
        Err(Violation::safety(expected, format!("epoch {epoch}")).into())
    }

    /// Goes on in whatever epoch the executor is in.
    fn resume(&mut self) -> Result<(), Violation> {
        let epoch = self.epoch()?;
        let data = self.boundary_data(epoch)?;
        let base = EpochBase {
            epoch,
            base: GlobalExecIndex(data.boundary_block),
        };
        self.chain
            .enter(base, TimestampMs(data.epoch_start_timestamp_ms));
        Ok(())
    }

    pub fn advance(&mut self) -> Probe {
        let start = self.next_start()?;
        self.enter(start)
    }

    /// The epoch begins as it is asked to.
    fn enter(&mut self, start: Start) -> Probe {
        let request = start.request();
        let expected = format!("AdvanceEpoch: {}", text_of(&request));
        let answer = self.ask(RequestPayload::AdvanceEpoch(request))?;
        let entered = AdvanceEpochResponse {
            new_epoch: request.new_epoch,
            epoch_start_timestamp_ms: request.epoch_start_timestamp_ms,
        };
        match &answer.payload {
            ResponsePayload::AdvanceEpoch(found) if *found == entered => {}
            ResponsePayload::AdvanceEpoch(found) => {
                self.resume()?;
                let found = format!(
                    "epoch {}, start {}",
                    found.new_epoch, found.epoch_start_timestamp_ms
                );
                let violation = Violation::safety(expected, found).shown_by(&answer.body);
                return Err(violation.into());
            }
            _ => return Err(answer.unexpected(expected).into()),
        }
        self.chain.enter(start.base, start.timestamp);
        self.began(start)
    }

    /// The executor says that the current epoch began so.
    fn began(&mut self, start: Start) -> Probe {
        self.is_in(start.base.epoch, &text_of(&start.request()))?;
        let data = self.boundary_data(start.base.epoch)?;
        let found = Start {
            base: EpochBase {
                epoch: start.base.epoch,
                base: GlobalExecIndex(data.boundary_block),
            },
            timestamp: TimestampMs(data.epoch_start_timestamp_ms),
        };
        if found == start {
            return Ok(());
        }
        let expected = text_of(&start.request());
        Err(Violation::safety(expected, text_of(&found.request())).into())
    }

    /// How the current epoch began, by the executor's word.
    fn current_start(&mut self) -> Result<Start, Failure> {
        let base = self.chain.base();
        if base.epoch == Epoch(0) {
            let why = "the executor is in epoch 0: no epoch has begun by AdvanceEpoch";
            return Err(Failure::NotTestable(why.to_owned()));
        }
        let data = self.boundary_data(base.epoch)?;
        Ok(Start {
            base,
            timestamp: TimestampMs(data.epoch_start_timestamp_ms),
        })
    }

    pub fn advance_again(&mut self) -> Probe {
        let start = self.current_start()?;
        self.enter(start)
    }

    pub fn advance_changed(&mut self) -> Probe {
        let start = self.current_start()?;
        let right = start.request();
        let before = self.boundary_data(Epoch(right.new_epoch.saturating_sub(1)));
        for request in [
            AdvanceEpoch {
                boundary_block: right.boundary_block.saturating_sub(1),
                ..right
            },
            AdvanceEpoch {
                epoch_start_timestamp_ms: right.epoch_start_timestamp_ms + 60_000,
                ..right
            },
            AdvanceEpoch {
                new_epoch: right.new_epoch.saturating_sub(1),
                ..right
            },
        ] {
            self.is_refused(request)?;
        }
        if let Ok(before) = before {
            let request = AdvanceEpoch {
                new_epoch: before.epoch,
                epoch_start_timestamp_ms: before.epoch_start_timestamp_ms,
                boundary_block: before.boundary_block,
            };
            // It may be refused or answered as it was at that time.
            self.ask(RequestPayload::AdvanceEpoch(request))?;
        }
        self.began(start)
    }

    pub fn advance_blocks(&mut self) -> Probe {
        let start = self.current_start()?;
        if self.watermark()? != start.base.base {
            let why = "the current epoch has blocks already".to_owned();
            return Err(Failure::NotTestable(why));
        }
        self.refuses_block_of(Epoch(start.base.epoch.0 - 1))?;
        self.deliver(2).map(drop)
    }

    /// What becomes of a start that is no whole second: the contract leaves it open.
    pub fn observe_granularity(&mut self) -> Probe {
        let mut start = self.next_start()?;
        start.timestamp.0 += ODD_MS;
        let request = start.request();
        let answer = self.ask(RequestPayload::AdvanceEpoch(request))?;
        let observation = if let ResponsePayload::Error(text) = &answer.payload {
            format!("a start that is no whole second is refused: {text}")
        } else {
            self.resume()?;
            let kept = self
                .boundary_data(start.base.epoch)?
                .epoch_start_timestamp_ms;
            if kept == start.timestamp.0 {
                "starts of epochs are kept to the millisecond".to_owned()
            } else if kept + ODD_MS == start.timestamp.0 {
                "starts of epochs are kept in whole seconds".to_owned()
            } else {
                format!("the start {} is kept as {kept}", start.timestamp)
            }
        };
        self.verdicts.observe(observation);
        Ok(())
    }

    /// An epoch that was answered is there after `kill`.
    pub fn epoch_survives(&mut self, kill: impl FnOnce(&mut Self) -> Probe) -> Probe {
        let start = self.next_start()?;
        self.enter(start)?;
        kill(self)?;
        self.began(start)
    }
}

fn text_of(request: &AdvanceEpoch) -> String {
    let AdvanceEpoch {
        new_epoch,
        epoch_start_timestamp_ms,
        boundary_block,
    } = request;
    format!("epoch {new_epoch}, boundary {boundary_block}, start {epoch_start_timestamp_ms}")
}
