//! Clients: transactions at a steady rate, submitted to the nodes in turn. Every account sends once, so that the loss
//! of a transaction does not invalidate another.

use super::World;
use crate::trace::{ProcessId, WorldEvent};
use bytes::Bytes;
use metanode_core::{
    env::Entropy,
    types::{ClientTransaction, SpentNonce, Transaction},
};
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// The state from which the next transaction is made.
pub struct Workload {
    random: ChaCha8Rng,
    sent: u64,
    interval_ms: u64,
    per_interval: u64,
    accounts: u32,
}

impl Workload {
    /// The workload of a world.
    pub(crate) fn new(world: &World) -> Self {
        const INTERVALS_PER_SECOND: u64 = 20;
        let rate = world.plan.workload.transactions_per_second;
        // Low rates send single transactions, high ones small bursts.
        let intervals = rate.clamp(1, INTERVALS_PER_SECOND);
        Self {
            random: world.entropy.stream("workload"),
            sent: 0,
            interval_ms: 1000 / intervals,
            per_interval: rate / intervals,
            accounts: world.plan.workload.accounts.max(1),
        }
    }

    /// Time between two calls of [`Self::send`].
    #[must_use]
    pub const fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Sends the transactions of one interval.
    pub(crate) fn send(&mut self, world: &World) {
        for _ in 0..self.per_interval {
            let (transaction, spends) = self.next();
            let node = u16::try_from(self.sent % u64::from(world.plan.validators)).unwrap_or(0);
            self.sent += 1;
            // A node that is down or full accepts nothing; the transaction is dropped.
            let Some(submitter) = world.submitter(node) else {
                continue;
            };
            let bytes = Transaction(transaction.encode_to_vec().into());
            if submitter.submit(bytes).is_ok() {
                world.emit(ProcessId::Node(node), WorldEvent::Submitted { spends });
            }
        }
    }

    fn next(&mut self) -> (ClientTransaction, SpentNonce) {
        let mut sender = [0; 20];
        sender[..8].copy_from_slice(&self.sent.to_be_bytes());
        let mut receiver = [0xff; 20];
        let account = self.random.next_u32() % self.accounts;
        receiver[..4].copy_from_slice(&account.to_be_bytes());
        let transaction = ClientTransaction {
            from_address: sender.to_vec().into(),
            to_address: receiver.to_vec().into(),
            amount: vec![1 + (self.random.next_u32() % 100) as u8].into(),
            max_gas: 21_000,
            chain_id: 1,
            sign: Bytes::from_static(&[0; 64]),
            ..ClientTransaction::default()
        };
        (transaction, SpentNonce { sender, nonce: 0 })
    }
}
