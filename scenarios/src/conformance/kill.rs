//! Clauses of a kill: what was answered is there afterwards.

use super::{
    clause,
    restart::Restart,
    rpc_client::frame_of,
    session::{Failure, Probe, Session},
};
use crate::{
    clauses::{Verdict, Violation},
    live::Deadline,
};
use metanode_core::{
    executor::wire::{GetLastBlockNumber, RequestPayload},
    types::GlobalExecIndex,
};
use std::time::Duration;

/// Blocks that are written before each kill, of which W is not waited for.
const BURSTS: [u64; 4] = [60, 7, 1, 0];
/// Blocks that are delivered after each kill.
const AFTERWARDS: u64 = 5;
/// Stored blocks below W that are compared after each kill.
const COMPARED: u64 = 10;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// What was known before a kill.
struct Before {
    /// The last W that was answered.
    answered: GlobalExecIndex,
    /// The last block that was written.
    written: GlobalExecIndex,
}

impl Session {
    pub fn kills(&mut self, restart: &mut dyn Restart) {
        for blocks in BURSTS {
            let mut before = None;
            self.judge(clause::KILL_WATERMARK, |session| {
                let known = session.burst(blocks)?;
                session.kill(restart)?;
                let answered = known.answered;
                before = Some(known);
                session.has_kept(answered)
            });
            let Some(before) = before else {
                return self.not_killed();
            };
            self.judge(clause::KILL_STATE, Self::state_is_that_of_w);
            self.judge(clause::KILL_RESUME, |session| session.resumes(&before));
        }
        self.judge(clause::KILL_EPOCH, |session| {
            session.epoch_survives(|session| session.kill(restart))
        });
    }

    /// Writes blocks and asks for W while they are executed.
    fn burst(&mut self, blocks: u64) -> Result<Before, Failure> {
        let mut answered = self.watermark()?;
        let written = GlobalExecIndex(answered.0 + blocks);
        let mut stream = self.stream()?;
        for gei in answered.0 + 1..=written.0 {
            let frame = self.frame(GlobalExecIndex(gei))?;
            self.write(&mut stream, &frame)?;
            answered = self.watermark()?;
        }
        Ok(Before { answered, written })
    }

    /// Kills and waits until the executor answers again.
    fn kill(&mut self, restart: &mut dyn Restart) -> Probe {
        let open = self.rpc.take();
        restart.restart().map_err(Failure::NotTestable)?;
        let request = frame_of(RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}));
        if let Some(mut old) = open
            && old.write(&request).is_ok()
            && old.answer("a request after the kill").is_ok()
        {
            let why = "the executor was not killed: its old connection still answers";
            return Err(Failure::NotTestable(why.to_owned()));
        }
        self.watermarks.restarted();
        let deadline = Deadline::after(self.times.timeout);
        loop {
            match self.watermark() {
                Ok(_) => return Ok(()),
                Err(violation) if deadline.left().is_none() => return Err(violation.into()),
                Err(_) => crate::live::pause(BETWEEN_ATTEMPTS),
            }
        }
    }

    fn has_kept(&mut self, answered: GlobalExecIndex) -> Probe {
        let watermark = self.watermark()?;
        if watermark >= answered {
            return Ok(());
        }
        let expected = format!("W of at least {answered}, which was answered before the kill");
        Err(Violation::safety(expected, format!("W = {watermark}")).into())
    }

    fn state_is_that_of_w(&mut self) -> Probe {
        let watermark = self.watermark()?;
        self.is_there(watermark)?;
        for gei in watermark.0.saturating_sub(COMPARED) + 1..=watermark.0 {
            self.is_stored_as_made(GlobalExecIndex(gei))?;
        }
        self.is_missing(watermark.next())
    }

    /// Delivery goes on at W+1, as after every reconnect.
    fn resumes(&mut self, before: &Before) -> Probe {
        let watermark = self.watermark()?;
        let missing = before.written.0.saturating_sub(watermark.0);
        self.deliver(missing + AFTERWARDS).map(drop)
    }

    /// Without the first kill nothing is known about the others either.
    fn not_killed(&mut self) {
        let why = "the executor was not killed".to_owned();
        for clause in [clause::KILL_STATE, clause::KILL_RESUME, clause::KILL_EPOCH] {
            let verdict = Verdict::NotTestable { why: why.clone() };
            self.verdicts.add(clause, verdict);
        }
    }
}
