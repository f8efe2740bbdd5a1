//! Clauses of the order of blocks: repetitions, gaps, other epochs.

use super::session::{Failure, Probe, Sent, Session};
use crate::clauses::Violation;
use metanode_core::{
    executor::wire::BlockData,
    types::{Epoch, GlobalExecIndex},
};

impl Session {
    pub fn order_duplicate(&mut self) -> Probe {
        let watermark = self.deliver(2)?;
        let below = watermark.prev();
        let before = self.blocks(below, watermark)?.blocks;
        let other = Self::uncounted(&self.chain.other_body(watermark)?);
        // The other block comes last: a W that falls for a moment may go unseen, what is stored last does not.
        let frames = [
            self.frame(below)?,
            self.frame(watermark)?,
            other.clone(),
            self.frame(watermark.next())?,
        ];
        let frames = frames.concat();
        let mut stream = self.stream()?;
        self.write(&mut stream, &frames)?;
        let goal = watermark.next();
        if let Sent::Closed(found) = self.outcome(&mut stream, goal)? {
            if found != watermark {
                let expected = format!("W = {watermark} or {goal} after repeated blocks");
                let violation = Violation::safety(expected, format!("W = {found}"));
                return Err(violation.shown_by(&frames).into());
            }
            self.deliver(1)?;
        }
        if let Some(violation) = &self.watermarks.fell {
            return Err(violation.clone().into());
        }
        let after = self.blocks(below, watermark)?.blocks;
        match first_difference(&before, &after) {
            None => Ok(()),
            Some(gei) => {
                let expected = format!("block {gei} and the state after it as before");
                let violation = Violation::safety(expected, "another block or state");
                Err(violation.shown_by(&other).into())
            }
        }
    }

    pub fn order_gap(&mut self) -> Probe {
        let watermark = self.watermark()?;
        let beyond = GlobalExecIndex(watermark.0 + 3);
        let gap = self.chain.frame(beyond)?;
        let mut stream = self.stream()?;
        self.write(&mut stream, &gap)?;
        let after = format!("block {beyond}, without those before it");
        let still = self.stands_still(Some(&mut stream), watermark, &after);
        still.map_err(|failure| failure.shown_by(&gap))?;
        drop(stream);
        let next = self.deliver(1)?;
        self.stands_still(None, next, &format!("block {next}"))?;
        let last = self.deliver(2)?;
        for gei in next.0..=last.0 {
            self.is_stored_as_made(GlobalExecIndex(gei))?;
        }
        Ok(())
    }

    pub fn order_epoch(&mut self) -> Probe {
        let epoch = self.chain.base().epoch;
        let before = epoch.0.checked_sub(1).map(Epoch);
        for other in [Some(epoch.next()), before].into_iter().flatten() {
            self.refuses_block_of(other)?;
        }
        self.deliver(1).map(drop)
    }

    /// The next block as one of another epoch is not executed.
    pub fn refuses_block_of(&mut self, epoch: Epoch) -> Probe {
        let watermark = self.watermark()?;
        let body = self.chain.body_of_epoch(watermark.next(), epoch)?;
        let frame = Self::uncounted(&body);
        let mut stream = self.stream()?;
        self.write(&mut stream, &frame)?;
        let current = self.chain.base().epoch;
        let after = format!("a block of epoch {epoch} in epoch {current}");
        let still = self.stands_still(Some(&mut stream), watermark, &after);
        still.map_err(|failure| failure.shown_by(&frame))
    }
}

impl Failure {
    /// With the bytes that show it, unless others do.
    pub fn shown_by(self, bytes: &[u8]) -> Self {
        match self {
            Self::Violated(violation) if violation.bytes.is_empty() => {
                Self::Violated(violation.shown_by(bytes))
            }
            other => other,
        }
    }
}

/// The first block that is not the same in both.
fn first_difference(before: &[BlockData], after: &[BlockData]) -> Option<GlobalExecIndex> {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b);
    let block = before.get(same.count())?;
    Some(GlobalExecIndex(block.block_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_changed_or_is_gone_is_found() {
        let block = |block_number, gas_used| BlockData {
            block_number,
            gas_used,
            ..BlockData::default()
        };
        let before = [block(4, 0), block(5, 0)];
        assert_eq!(first_difference(&before, &before), None);
        let changed = [block(4, 0), block(5, 1)];
        assert_eq!(
            first_difference(&before, &changed),
            Some(GlobalExecIndex(5))
        );
        assert_eq!(first_difference(&before, &[]), Some(GlobalExecIndex(4)));
    }
}
