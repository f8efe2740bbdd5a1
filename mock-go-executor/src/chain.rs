//! The executor's chain: what was executed, and how much of it is durable.
//!
//! Owns the order of the steps *receive → execute → save state → save blocks → save watermark*, with a crash point
//! after each. Everything executed since the last flush is volatile; the watermark moves only when a flush is complete.
//! Does not know about sockets.

use crate::{
    bug_switches,
    disk::{Disk, ExecutedBlock, Header},
    flush::{self, FlushStep},
    ledger::{Funding, Ledger, Writes},
    manners::Reports,
};
use bytes::Bytes;
use metanode_core::{
    env::{CrashPoint, Env, ExecutorEvent},
    executor::wire::CommittedEpochData,
    store::StoreError,
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128;

/// A block as received.
#[derive(Clone, Debug)]
pub struct ReceivedBlock {
    pub block: CommittedEpochData,
    /// The bytes it was decoded from.
    pub body: Bytes,
}

impl ReceivedBlock {
    #[must_use]
    pub const fn gei(&self) -> GlobalExecIndex {
        GlobalExecIndex(self.block.global_exec_index)
    }
}

/// The hash of a block, for followers.
#[must_use]
pub fn block_hash(body: &[u8]) -> [u8; 32] {
    *blake3::hash(body).as_bytes()
}

/// The chain of one executor.
pub struct Chain {
    env: Env,
    disk: Disk,
    ledger: Ledger,
    unsaved: Unsaved,
    reports: Reports,
    durable: watch::Sender<GlobalExecIndex>,
}

/// Executed since the last flush.
#[derive(Default)]
struct Unsaved {
    blocks: Vec<ExecutedBlock>,
    writes: Writes,
}

impl Chain {
    /// Opens the store and emits [`ExecutorEvent::Started`].
    ///
    /// # Errors
    /// If the disk fails or is damaged.
    pub fn open(env: Env, funding: Funding) -> Result<Self, StoreError> {
        let (disk, recovered) = Disk::open(env.stores.as_ref())?;
        let watermark = recovered.watermark;
        let ledger = Ledger::new(funding, watermark, recovered.accounts, recovered.history);
        let state_root = ledger.root();
        env.emit(ExecutorEvent::Started {
            watermark,
            state_root,
        });
        Ok(Self {
            env,
            disk,
            ledger,
            unsaved: Unsaved::default(),
            reports: Reports::Durable,
            durable: watch::Sender::new(watermark),
        })
    }

    /// Which blocks count as durable. Default: those that are.
    #[must_use]
    pub const fn reporting(mut self, reports: Reports) -> Self {
        self.reports = reports;
        self
    }

    /// The next block to execute.
    #[must_use]
    pub const fn expected(&self) -> GlobalExecIndex {
        self.ledger.height().next()
    }

    /// The state root after the last executed block.
    #[must_use]
    pub fn state_root(&self) -> [u8; 32] {
        self.ledger.root()
    }

    /// The number of executed blocks that a crash would lose.
    #[must_use]
    pub fn volatile_blocks(&self) -> usize {
        self.unsaved.blocks.len()
    }

    /// The watermark and its changes: what is reported as durable.
    #[must_use]
    pub fn watermark(&self) -> watch::Receiver<GlobalExecIndex> {
        self.durable.subscribe()
    }

    /// The stored blocks.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// Executes a block in memory without checking its number, which is the task of the guard.
    pub async fn execute(&mut self, received: ReceivedBlock) {
        let gei = received.gei();
        let effects = self.ledger.execute(&received.block);
        self.unsaved.writes.extend(effects.writes);
        let state_root = self.ledger.root();
        self.env.emit(ExecutorEvent::Executed {
            gei,
            epoch: Epoch(received.block.epoch),
            commit: CommitIndex(received.block.commit_index),
            content: xxh3_128(&received.body),
            state_root,
            applied: effects.applied.into(),
            skipped: effects.skipped,
        });
        let header = Header {
            hash: block_hash(&received.body),
            state_root,
            epoch: received.block.epoch,
            timestamp_ms: received.block.commit_timestamp_ms,
        };
        self.unsaved.blocks.push(ExecutedBlock {
            gei,
            body: received.body,
            header,
        });
        if bug_switches::reports(self.reports) == Reports::Executed {
            self.durable.send_replace(self.ledger.height());
        }
        self.env.reach(CrashPoint::ExecutorExecuted).await;
    }

    /// Makes all executed blocks durable, then moves the watermark. Without executed blocks it does nothing.
    ///
    /// # Errors
    /// If the disk fails. The executor must then end: what the disk holds is known only after the next start.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if self.unsaved.blocks.is_empty() {
            return Ok(());
        }
        let watermark = self.ledger.height();
        for step in bug_switches::flush_order(flush::ORDER) {
            let saved = match step {
                FlushStep::State => {
                    self.disk.save_state(watermark, &self.unsaved.writes)?;
                    CrashPoint::ExecutorStateSaved
                }
                FlushStep::Blocks => {
                    self.disk.save_blocks(&self.unsaved.blocks)?;
                    CrashPoint::ExecutorBlockSaved
                }
                FlushStep::Watermark => {
                    self.disk.save_watermark(watermark)?;
                    CrashPoint::ExecutorWatermarkSaved
                }
            };
            self.env.reach(saved).await;
        }

        self.unsaved = Unsaved::default();
        // In this order, so that no log has the report of a watermark before it.
        self.env.emit(ExecutorEvent::Durable { watermark });
        self.durable.send_replace(watermark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestWorld, account, received, transfer};
    use metanode_core::store::MemoryDisk;
    use proptest::prelude::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    const STEPS: [CrashPoint; 4] = [
        CrashPoint::ExecutorExecuted,
        CrashPoint::ExecutorStateSaved,
        CrashPoint::ExecutorBlockSaved,
        CrashPoint::ExecutorWatermarkSaved,
    ];

    fn funding() -> Funding {
        Funding {
            initial_balance: 1000,
            ..Funding::default()
        }
    }

    /// Block n: one transfer that applies, and a repeated one that does not.
    fn nth_block(n: u64) -> ReceivedBlock {
        let to = u8::try_from(n % 5 + 1).unwrap();
        received(n, [transfer(0, to, n, n - 1), transfer(0, to, 1, 0)])
    }

    /// Roots after each block, from an executor that never crashes.
    fn roots(blocks: u64) -> Vec<[u8; 32]> {
        let mut ledger = Ledger::new(
            funding(),
            GlobalExecIndex(0),
            Default::default(),
            Default::default(),
        );
        let mut roots = vec![ledger.root()];
        for n in 1..=blocks {
            ledger.execute(&nth_block(n).block);
            roots.push(ledger.root());
        }
        roots
    }

    /// Runs from the next block to `last`, flushing every `every` blocks, until done or ended at a crash point.
    fn run(world: &TestWorld, last: u64, every: usize) {
        let run = async {
            let mut chain = Chain::open(world.env.clone(), funding()).unwrap();
            while chain.expected().0 <= last {
                chain.execute(nth_block(chain.expected().0)).await;
                if chain.volatile_blocks() >= every {
                    chain.flush().await.unwrap();
                }
            }
            chain.flush().await.unwrap();
        };
        let poll = pin!(run).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll.is_ready(), !world.has_crashed());
    }

    use std::future::Future;

    proptest! {
        /// A crash after any step, with any part of the unsynced writes lost, twice in a row.
        #[test]
        fn state_and_watermark_agree_after_any_crash(
            every in 1usize..4,
            crashes in prop::collection::vec((prop::sample::select(&STEPS), 1u32..8, prop::option::of(0usize..4)), 2),
        ) {
            const LAST: u64 = 9;
            let roots = roots(LAST);
            let disk = MemoryDisk::default();
            for (point, times, kept) in crashes {
                let world = TestWorld::crashing_at(&disk, point, times);
                run(&world, LAST, every);
                let durable = world.last_durable();
                match kept {
                    Some(kept) => disk.power_lost(|unsynced| kept.min(unsynced)),
                    None => disk.process_killed(),
                }

                let world = TestWorld::new(&disk);
                let chain = Chain::open(world.env.clone(), funding()).unwrap();
                let (watermark, root) = world.started();
                prop_assert_eq!(root, roots[usize::try_from(watermark.0).unwrap()]);
                prop_assert!(durable.is_none_or(|durable| watermark >= durable), "a durable watermark was lost");
                prop_assert_eq!(chain.expected(), watermark.next());
                for n in 1..=LAST {
                    let stored = chain.disk().block(GlobalExecIndex(n)).ok();
                    let stored = stored.map(|block| (block.body, block.header.state_root));
                    let durable = (n <= watermark.0)
                        .then(|| (nth_block(n).body, roots[usize::try_from(n).unwrap()]));
                    prop_assert_eq!(stored, durable, "every durable block and no other is stored");
                }
                drop(chain);
                disk.process_killed();
            }
            let world = TestWorld::new(&disk);
            run(&world, LAST, every);
            prop_assert_eq!(world.last_executed_root().unwrap_or(world.started().1), roots[LAST as usize]);
        }
    }

    #[tokio::test]
    async fn an_executor_may_report_what_a_crash_takes() {
        let world = TestWorld::new(&MemoryDisk::default());
        let chain = Chain::open(world.env.clone(), funding()).unwrap();
        let mut chain = chain.reporting(Reports::Executed);
        chain.execute(nth_block(1)).await;
        assert_eq!(*chain.watermark().borrow(), GlobalExecIndex(1));
        assert_eq!(world.last_durable(), None);
    }

    #[test]
    fn the_watermark_moves_only_when_a_flush_is_over() {
        let disk = MemoryDisk::default();
        let world = TestWorld::crashing_at(&disk, CrashPoint::ExecutorWatermarkSaved, 1);
        let mut chain = Chain::open(world.env.clone(), funding()).unwrap();
        let watermark = chain.watermark();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(
            pin!(chain.execute(nth_block(1))).poll(&mut context),
            Poll::Ready(())
        );
        assert_eq!(chain.ledger.account(account(2)).balance, 1001);
        assert!(pin!(chain.flush()).poll(&mut context).is_pending());
        assert_eq!(*watermark.borrow(), GlobalExecIndex(0));
        assert_eq!(world.last_durable(), None);
    }
}
