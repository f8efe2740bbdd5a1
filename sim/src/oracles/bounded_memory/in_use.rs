//! How much memory a process may have in use: a multiple of what it needs at a time, which does not depend on how long the
//! run is.
//!
//! One unit of it is the *working set*, the most bytes that the run had at a time of: the blocks of the rounds that stay in
//! a DAG or fit into a request of commit sync, of each slot the largest one; the delivered blocks that fit into a window
//! and a batch of recovery; the batches that are not answered; the transactions that nodes took and that were not
//! delivered.
//!
//! - A node may have `BASE + (PER_VALIDATOR + largest block) · validators + PER_EPOCH · kept epochs + WORKING_SETS · working
//!   set` in use: it may be reading the largest block from each peer. In addition, for each Byzantine validator a block
//!   that is being read, valid or not, and twice what may be suspended of its blocks; for each honest one the same of
//!   the rounds that the node is behind; and if clients send large transactions, a frame of each of their connections,
//!   which is allocated as a whole, as is each large one that somebody has announced and not sent, up to
//!   `max_buffered_bytes` of all these.
//! - An executor has the state in memory: `BASE + PER_TRANSACTION · delivered transactions + WORKING_SETS · working set`.
//! - A Sub that follows has it, too, and batches: `BUFFER_COPIES · buffered bytes` in addition.

use super::behind::Behind;
use crate::{
    plan::{ByzantinePlan, ByzantineStrategy, EpochPlan, NodeParameters, Plan},
    trace::ProcessId,
    witness::{Fact, SeenBlock, Taken, hash},
};
use metanode_core::{
    framing::Framing,
    types::{AuthorityIndex, Epoch, GlobalExecIndex, Round, TransactionHash},
};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// What a process has in use before it has done anything: tables, channels and tasks.
const BASE_BYTES: u64 = 1 << 20;
/// The connections with one other validator, and what is remembered of it.
const PER_VALIDATOR_BYTES: u64 = 128 << 10;
/// An open store, with the record of its epoch.
const PER_EPOCH_BYTES: u64 = 8 << 10;
/// The accounts of one transaction, in a table that has doubled its capacity.
const PER_TRANSACTION_BYTES: u64 = 256;
/// Copies of the working set: blocks as they were read, decoded, stored, streamed to each peer and delivered, and what
/// maps and reserved capacity take in addition.
const WORKING_SETS: u64 = 5;
/// What batches in a Sub take in memory: small transactions have as much beside their bytes, and a frame that is written is
/// a copy.
const BUFFER_COPIES: u64 = 4;
/// The entry of a missing ancestor, with its set of blocks that wait for it.
const PER_MISSING_BYTES: u64 = 256;

/// A block that is being read, even if it turns out to be invalid: 4 MiB of transactions and what is beside them.
const LARGEST_BLOCK_BYTES: u64 = 5 << 20;

/// What a block, a delivered block or a transaction takes beside its bytes.
const OVERHEAD_BYTES: u64 = 256;

/// The working set of a run so far.
pub(super) struct WorkingSet {
    validators: u64,
    /// Says how many epochs a node keeps.
    retained: EpochPlan,
    epochs: u64,
    /// The stored blocks of this many rounds.
    rounds: usize,
    blocks: BTreeMap<(Epoch, Round), BTreeMap<AuthorityIndex, u64>>,
    largest_block: u64,
    /// So many delivered blocks.
    window: usize,
    delivered: VecDeque<u64>,
    last_delivered: GlobalExecIndex,
    undelivered: FxHashMap<TransactionHash, u64>,
    delivered_transactions: u64,
    /// What batches in a Sub have: its limit, or one batch.
    sub_buffer_bytes: u64,
    /// The frames of clients that a node may be reading at a time, for which it has allocated memory.
    being_read_bytes: u64,
    /// By connection: of the frame that was announced to a node.
    announced: BTreeMap<u64, (ProcessId, u64)>,
    /// The most that a node allocates for them.
    max_buffered_bytes: u64,
    /// The most that suspended blocks from one peer have.
    max_suspended_bytes: u64,
    /// What each validator has sent.
    sent: BTreeMap<u16, Sent>,
    behind: Behind,
    bytes: u64,
    most_bytes: u64,
}

/// Blocks of one validator.
#[derive(Default)]
struct Sent {
    is_byzantine: bool,
    blocks: u64,
    bytes: u64,
    /// Of the largest one.
    most_bytes: u64,
    /// What they take once they are suspended.
    in_memory_bytes: u64,
    /// The largest one that it may have begun to send.
    being_read_bytes: u64,
}

impl Sent {
    fn by(byzantine: &ByzantinePlan) -> Self {
        use ByzantineStrategy::{Flooding, Silent, Withholding};
        let sends_small_blocks = matches!(byzantine.strategy, Flooding | Silent | Withholding);
        Self {
            is_byzantine: true,
            being_read_bytes: if sends_small_blocks {
                0
            } else {
                LARGEST_BLOCK_BYTES
            },
            ..Self::default()
        }
    }

    fn add(&mut self, block: &SeenBlock) {
        let bytes = block_bytes(block);
        let ancestors = block.ancestors.len() as u64;
        self.blocks += 1;
        self.bytes += bytes;
        self.most_bytes = bytes.max(self.most_bytes);
        self.in_memory_bytes += 2 * (bytes + PER_MISSING_BYTES * ancestors);
    }

    /// The memory of so many bytes of them, and of one block. An honest validator sends a block per round, so a node that
    /// is so many rounds behind has no more of them.
    fn suspended_bytes(&self, most_bytes: u64, rounds_behind: u64) -> u64 {
        let average = self.bytes.div_ceil(self.blocks.max(1));
        let of_rounds = match self.is_byzantine {
            true => u64::MAX,
            false => average.saturating_mul(rounds_behind),
        };
        let kept = (most_bytes + self.most_bytes)
            .min(self.bytes)
            .min(of_rounds);
        let in_memory = u128::from(self.in_memory_bytes) * u128::from(kept);
        (in_memory / u128::from(self.bytes.max(1))) as u64
    }
}

impl WorkingSet {
    pub fn new(plan: &Plan) -> Self {
        let most = |limit: fn(&NodeParameters) -> u32| {
            let (_, most) = plan.extremes(|node| limit(node).into());
            most as usize
        };
        // One whose transactions are small is read as it arrives.
        let largest_batch = match plan.workload.large_percent {
            0 => 0,
            _ => Framing::TRANSACTIONS.limit_bytes as u64,
        };
        Self {
            validators: plan.validators.into(),
            retained: plan.epochs.clone(),
            epochs: 1,
            rounds: most(|node| node.consensus.gc_depth_rounds)
                + most(|node| node.consensus.commit_sync_batch),
            blocks: BTreeMap::new(),
            largest_block: 0,
            window: most(|node| node.delivery.window_blocks)
                + most(|node| node.delivery.recovery_batch_commits),
            delivered: VecDeque::new(),
            last_delivered: GlobalExecIndex(0),
            undelivered: FxHashMap::default(),
            delivered_transactions: 0,
            sub_buffer_bytes: u64::from(plan.workload.buffered_bytes).max(largest_batch),
            being_read_bytes: largest_batch * u64::from(plan.workload.workers),
            announced: BTreeMap::new(),
            max_buffered_bytes: most(|node| node.ingest.max_buffered_bytes) as u64,
            max_suspended_bytes: most(|node| node.consensus.max_suspended_bytes) as u64,
            sent: (0..plan.validators)
                .map(|validator| {
                    let mut byzantine = plan.byzantine.iter();
                    let byzantine = byzantine.find(|it| it.validator == validator);
                    (validator, byzantine.map_or_else(Sent::default, Sent::by))
                })
                .collect(),
            behind: Behind::default(),
            bytes: 0,
            most_bytes: 0,
        }
    }

    /// What a process may have in use.
    pub fn budget_bytes(&self, process: ProcessId) -> u64 {
        let state = PER_TRANSACTION_BYTES * self.delivered_transactions;
        let own = match process {
            ProcessId::Node(n) => {
                let most_epochs = self.retained.retained_by(n).saturating_add(2);
                let epochs = self.epochs.min(most_epochs);
                let rounds = self.behind.rounds(n);
                let of_peer = |sent: &Sent| {
                    let suspended = sent.suspended_bytes(self.max_suspended_bytes, rounds);
                    sent.being_read_bytes + suspended
                };
                (PER_VALIDATOR_BYTES + self.largest_block) * self.validators
                    + PER_EPOCH_BYTES * epochs
                    + self.being_read_bytes
                    + self.announced_to(process)
                    + self.sent.values().map(of_peer).sum::<u64>()
            }
            ProcessId::Sub(_) => state + BUFFER_COPIES * self.sub_buffer_bytes,
            ProcessId::Executor(_) | ProcessId::World => state,
        };
        BASE_BYTES + own + WORKING_SETS * self.most_bytes
    }

    fn announced_to(&self, node: ProcessId) -> u64 {
        let to_node = self.announced.values().filter(|(to, _)| *to == node);
        let bytes: u64 = to_node.map(|(_, bytes)| bytes).sum();
        bytes.min(self.max_buffered_bytes)
    }

    /// A node took transactions from a client.
    fn took(&mut self, transactions: &[Taken]) {
        for Taken { hash, bytes } in transactions {
            let bytes = bytes + OVERHEAD_BYTES;
            if self.undelivered.insert(*hash, bytes).is_none() {
                self.add(bytes);
            }
        }
    }

    pub fn observe(&mut self, process: ProcessId, fact: &Fact) {
        match fact {
            Fact::BlockSent { block } => {
                let sender = process.validator();
                if let Some(sent) = sender.and_then(|sender| self.sent.get_mut(&sender)) {
                    sent.add(block);
                }
            }
            Fact::BatchSent { bytes, .. }
            | Fact::OldRequestSent {
                number: 1, bytes, ..
            } => self.add(*bytes),
            Fact::BatchAnswered { taken, bytes, .. } => {
                self.bytes -= bytes;
                self.took(taken);
            }
            Fact::BatchesAbandoned { bytes, .. } => self.bytes -= bytes,
            Fact::FrameAnnounced {
                connection,
                bytes: 0,
            } => {
                self.announced.remove(connection);
            }
            Fact::FrameAnnounced { connection, bytes } => {
                self.announced.insert(*connection, (process, *bytes));
            }
            Fact::BlockStored { block, .. } => self.stored(block),
            Fact::CommitStored { commit, .. } => {
                if let ProcessId::Node(n) = process {
                    (self.behind).stored(n, commit.epoch, commit.leader.round);
                }
            }
            Fact::EpochRecorded { record } => self.epochs = self.epochs.max(record.epoch.0 + 1),
            Fact::FrameSent { frame, .. } => {
                self.delivered(frame.gei, &frame.transactions);
            }
            _ => {}
        }
    }

    /// Node `n` has an older disk.
    pub fn restored(&mut self, n: u16) {
        self.behind.restored(n);
    }

    fn stored(&mut self, block: &SeenBlock) {
        let bytes = block_bytes(block);
        self.largest_block = bytes.max(self.largest_block);
        let row = self.blocks.entry((block.epoch, block.reference.round));
        let slot = row.or_default().entry(block.reference.author).or_default();
        let more = bytes.saturating_sub(*slot);
        *slot += more;
        self.add(more);
        while self.blocks.len() > self.rounds
            && let Some((_, row)) = self.blocks.pop_first()
        {
            self.bytes -= row.values().sum::<u64>();
        }
    }

    fn delivered(&mut self, gei: GlobalExecIndex, transactions: &[bytes::Bytes]) {
        // Every node delivers it, some more than once.
        if gei <= self.last_delivered {
            return;
        }
        self.last_delivered = gei;
        self.delivered_transactions += transactions.len() as u64;
        for transaction in transactions {
            let taken = self.undelivered.remove(&hash(transaction));
            self.bytes -= taken.unwrap_or(0);
        }
        let bytes = transactions_bytes(transactions) + OVERHEAD_BYTES;
        self.delivered.push_back(bytes);
        self.add(bytes);
        while self.delivered.len() > self.window
            && let Some(bytes) = self.delivered.pop_front()
        {
            self.bytes -= bytes;
        }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.most_bytes = self.bytes.max(self.most_bytes);
    }
}

fn block_bytes(block: &SeenBlock) -> u64 {
    block.content_bytes() + (block.transactions.len() as u64 + 1) * OVERHEAD_BYTES
}

fn transactions_bytes(transactions: &[bytes::Bytes]) -> u64 {
    let bytes: usize = transactions.iter().map(bytes::Bytes::len).sum();
    bytes as u64 + transactions.len() as u64 * OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::{facts::block_of, truthful::seen_block},
        witness::Durability,
    };
    use std::sync::Arc;

    const NODE: ProcessId = ProcessId::Node(0);
    const EXECUTOR: ProcessId = ProcessId::Executor(0);

    fn stores(set: &mut WorkingSet, plan: &Plan, round: u32) {
        let block = seen_block(Epoch(0), block_of(plan, 0, round, 0));
        let durability = Durability::Synced;
        set.observe(NODE, &Fact::BlockStored { block, durability });
    }

    #[test]
    fn the_budget_of_a_node_does_not_depend_on_how_long_it_runs() {
        let plan = Plan::example();
        let mut set = WorkingSet::new(&plan);
        let rounds = plan.node.consensus.gc_depth_rounds + plan.node.consensus.commit_sync_batch;
        let mut after = |rounds: std::ops::Range<u32>| {
            rounds.for_each(|round| stores(&mut set, &plan, 1 + round));
            set.budget_bytes(NODE)
        };
        let [one, all] = [after(0..1), after(1..rounds + 1)];
        assert!(one < all);
        assert_eq!(after(rounds + 1..10 * rounds), all);
    }

    #[test]
    fn a_slot_counts_once() {
        let plan = Plan::example();
        let mut set = WorkingSet::new(&plan);
        stores(&mut set, &plan, 1);
        let once = set.budget_bytes(NODE);
        stores(&mut set, &plan, 1);
        assert_eq!(set.budget_bytes(NODE), once);
    }

    #[test]
    fn a_transaction_counts_until_it_is_delivered() {
        let mut set = WorkingSet::new(&Plan::example());
        let empty = set.budget_bytes(EXECUTOR);
        let transactions = [1, 2].map(|number| bytes::Bytes::from(vec![number; 1000]));
        let [first, second] = transactions.each_ref().map(|bytes| Taken {
            hash: hash(bytes),
            bytes: 1000,
        });
        set.took(&[first, first]);
        let pending = set.budget_bytes(NODE);
        assert_eq!(set.budget_bytes(EXECUTOR), empty + WORKING_SETS * 1256);
        set.delivered(GlobalExecIndex(1), &transactions[..1]);
        assert!(
            set.budget_bytes(EXECUTOR) > empty,
            "it has written accounts"
        );
        (2..1000).for_each(|gei| set.delivered(GlobalExecIndex(gei), &[]));
        let window = set.budget_bytes(NODE);
        set.took(&[second]);
        assert!(pending <= window && set.budget_bytes(NODE) <= window + WORKING_SETS * 1256);
    }

    #[test]
    fn of_a_byzantine_validator_what_may_be_suspended_counts() {
        let flooding = ByzantinePlan {
            validator: 3,
            strategy: ByzantineStrategy::Flooding,
            program: vec![],
        };
        let mut plan = Plan {
            byzantine: vec![flooding],
            ..Plan::example()
        };
        plan.node.consensus.max_suspended_bytes = 100_000;
        let mut set = WorkingSet::new(&plan);
        let empty = set.budget_bytes(NODE);
        let mut after = |blocks: u32| {
            for round in 0..blocks {
                let mut block =
                    SeenBlock::clone(&seen_block(Epoch(0), block_of(&plan, 0, 1 + round, 3)));
                block.transactions = vec![vec![0; 10_000].into()];
                let block = Arc::new(block);
                set.observe(ProcessId::Node(3), &Fact::BlockSent { block });
            }
            set.budget_bytes(NODE) - empty
        };
        assert!((20_000..40_000).contains(&after(1)));
        let most = after(1_000);
        assert!((200_000..300_000).contains(&most), "{most}");
        assert_eq!(after(1_000), most);
    }
}
