//! Clients: transactions at a steady rate and in bursts, given to the Subs of the nodes in turn.
//!
//! Transactions interfere as far as the plan says: consecutive nonces of one sender, the same bytes at two nodes or again
//! after they were executed, two transactions with one nonce, more than the sender has, sizes from nothing to what links
//! carry, and one byte above what any block can contain.

use super::{World, settings::INITIAL_BALANCE};
use crate::{
    plan::{INTERVALS_PER_SECOND, WorkloadPlan},
    trace::SimTime,
};
use bytes::Bytes;
use metanode_core::{
    env::Entropy,
    types::{ClientTransaction, MAX_BLOCK_TRANSACTION_BYTES},
};
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::{collections::VecDeque, sync::atomic::Ordering};

/// Time until a transaction is sent again.
const RESUBMITTED_AFTER: SimTime = SimTime::from_ms(2_000);

/// Large transactions use this part of what a link carries.
const LARGE_PART: u64 = 8;

/// Bytes of large transactions in all stores of a run together: a run is in memory.
const STORED_LARGE_BYTES: u64 = 1 << 30;

/// The state from which the next transaction is made.
pub struct Workload {
    random: ChaCha8Rng,
    plan: WorkloadPlan,
    /// The validators that clients send to: those of their chain.
    validators: Vec<u16>,
    made: u64,
    interval_ms: u64,
    per_interval: u64,
    /// The largest transaction that does not hold up what others need: what links carry of them in a second.
    largest_bytes: u64,
    /// Bytes per second of large transactions.
    large_bytes_per_second: u64,
    /// There is no large transaction before this time.
    next_large: SimTime,
    /// What is sent again: when, to which node. Oldest first.
    resubmissions: VecDeque<(SimTime, u16, Bytes)>,
}

impl Workload {
    /// The workload of a world.
    pub(crate) fn new(world: &World) -> Self {
        let plan = world.plan.workload.clone();
        let rate = plan.transactions_per_second;
        // Low rates send single transactions, high ones small bursts.
        let intervals = rate.clamp(1, INTERVALS_PER_SECOND);
        let carried = world.plan.network.carried_bytes_per_second() / LARGE_PART;
        // Each node stores a transaction, and an executor that it has.
        let stores = 2 * u64::from(world.plan.validators);
        let stored = STORED_LARGE_BYTES * 1_000 / (stores * world.plan.duration_ms.max(1));
        Self {
            random: world.entropy.stream("workload"),
            validators: (0..world.plan.validators)
                .filter(|n| !world.plan.is_of_other_chain(*n))
                .collect(),
            made: 0,
            interval_ms: 1000 / intervals,
            per_interval: rate / intervals,
            largest_bytes: carried,
            large_bytes_per_second: carried.min(stored),
            next_large: SimTime::default(),
            resubmissions: VecDeque::new(),
            plan,
        }
    }

    /// Time between two calls of [`Self::send`].
    #[must_use]
    pub const fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Sends the transactions of one interval.
    pub(crate) fn send(&mut self, world: &World) {
        let now = world.now();
        let mut count = self.per_interval;
        if self.occurs(self.plan.burst_percent) && !world.settling.load(Ordering::Relaxed) {
            count += u64::from(self.plan.burst_transactions);
        }
        for _ in 0..count {
            let node = self.node();
            let drawn = match self.occurs(self.plan.empty_percent) {
                true => ClientTransaction::default(),
                false => self.next(now),
            };
            let transaction = encoded(&drawn);
            let other = self.other_than(node);
            if self.occurs(self.plan.conflicting_percent) && !transaction.is_empty() {
                world.offer(other, encoded(&conflicting(drawn)));
            }
            if self.occurs(self.plan.duplicated_percent) {
                world.offer(other, transaction.clone());
            }
            if self.occurs(self.plan.resubmitted_percent) {
                let at = SimTime {
                    ns: now.ns + RESUBMITTED_AFTER.ns,
                };
                let anywhere = self.anywhere();
                self.resubmissions
                    .push_back((at, anywhere, transaction.clone()));
            }
            world.offer(node, transaction);
        }
        let due = self.resubmissions.iter().take_while(|(at, ..)| *at <= now);
        for (_, node, transaction) in self.resubmissions.drain(..due.count()) {
            world.offer(node, transaction);
        }
    }

    /// The node to which the next transaction is sent: the same for all of a sender.
    fn node(&self) -> u16 {
        let sender = self.made / u64::from(self.plan.chain_length.max(1));
        self.validator(sender)
    }

    fn validator(&self, number: u64) -> u16 {
        let position = number % self.validators.len().max(1) as u64;
        self.validators.get(position as usize).copied().unwrap_or(0)
    }

    fn anywhere(&mut self) -> u16 {
        let number = self.below(self.validators.len() as u64);
        self.validator(number)
    }

    /// Another node, or the same if there is no other.
    fn other_than(&mut self, node: u16) -> u16 {
        let further = 1 + self.below((self.validators.len() as u64).saturating_sub(1));
        let position = self.validators.iter().position(|n| *n == node);
        self.validator(position.unwrap_or(0) as u64 + further)
    }

    fn next(&mut self, now: SimTime) -> ClientTransaction {
        let chain_length = u64::from(self.plan.chain_length.max(1));
        let (sender, nonce) = (self.made / chain_length, self.made % chain_length);
        self.made += 1;
        let amount = match self.occurs(self.plan.overdrawn_percent) {
            true => INITIAL_BALANCE + 1,
            // So that a sender can afford some dozens of them.
            false => 1 + self.below(INITIAL_BALANCE / 32),
        };
        let account = self.below(u64::from(self.plan.accounts.max(1)));
        let transaction = ClientTransaction {
            from_address: address(0, sender),
            to_address: address(0xff, account),
            amount: big_endian(amount),
            nonce: big_endian(nonce),
            max_gas: 21_000,
            chain_id: 1,
            sign: Bytes::from_static(&[0; 64]),
            ..ClientTransaction::default()
        };
        if now < self.next_large || !self.occurs(self.plan.large_percent) {
            return transaction;
        }
        self.enlarged(transaction, now)
    }

    /// Gives the transaction a size between its own and one byte above the largest.
    fn enlarged(&mut self, transaction: ClientTransaction, now: SimTime) -> ClientTransaction {
        // Tag and length of the data.
        const HEADER_BYTES: usize = 5;
        let carried = usize::try_from(self.largest_bytes).unwrap_or(usize::MAX);
        let most = carried.min(MAX_BLOCK_TRANSACTION_BYTES);
        let bytes = match self.below(3) {
            0 => MAX_BLOCK_TRANSACTION_BYTES + 1,
            1 => most,
            _ => self.below(most as u64) as usize,
        };
        if bytes <= most {
            let ns = bytes as u64 * 1_000_000_000 / self.large_bytes_per_second.max(1);
            self.next_large.ns = now.ns + ns;
        }
        let data = bytes.saturating_sub(transaction.encoded_len() + HEADER_BYTES);
        ClientTransaction {
            data: vec![0; data].into(),
            ..transaction
        }
    }

    fn occurs(&mut self, percent: u32) -> bool {
        percent > 0 && self.below(100) < u64::from(percent)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }
}

/// Another transaction of the same size with the same nonce.
fn conflicting(transaction: ClientTransaction) -> ClientTransaction {
    ClientTransaction {
        to_address: address(0xfe, 0),
        ..transaction
    }
}

fn encoded(transaction: &ClientTransaction) -> Bytes {
    transaction.encode_to_vec().into()
}

/// Without leading zeros.
fn big_endian(number: u64) -> Bytes {
    let zeros = number.leading_zeros() as usize / 8;
    Bytes::copy_from_slice(&number.to_be_bytes()[zeros..])
}

fn address(kind: u8, number: u64) -> Bytes {
    let mut address = [kind; 20];
    address[..8].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&address)
}
