//! The state: accounts, what transactions do to them, and the state root (contract §13.2, §13.3).

use crate::witness::transaction::{Transaction, big_endian};
use crate::witness::{Frame, StateRoot};
use bytes::Bytes;
use metanode_core::types::SpentNonce;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

type Address = [u8; 20];

pub(super) struct Ledger {
    initial_balance: u128,
    /// Accounts that were written.
    accounts: BTreeMap<Address, Account>,
    /// The hash chain over all writes.
    history: u128,
}

#[derive(Clone, Copy)]
struct Account {
    balance: u128,
    /// That of the next transaction.
    nonce: u64,
}

impl Ledger {
    pub const fn new(initial_balance: u128) -> Self {
        Self {
            initial_balance,
            accounts: BTreeMap::new(),
            history: 0,
        }
    }

    /// Executes a block. Returns the root after it, and what its transactions spend that apply, in order.
    pub fn execute(&mut self, block: &Frame) -> (StateRoot, Vec<SpentNonce>) {
        let transactions = block.transactions.iter();
        let applied = transactions
            .filter_map(|bytes| self.transfer(bytes))
            .collect();
        let height = block.gei.0.to_le_bytes();
        let root = blake3::hash(&[&height[..], &self.history.to_le_bytes()].concat());
        (StateRoot(*root.as_bytes()), applied)
    }

    fn transfer(&mut self, bytes: &Bytes) -> Option<SpentNonce> {
        let transaction = Transaction::decode(bytes)?;
        let address = |field| Address::try_from(transaction.bytes(field)).ok();
        let from = address(Transaction::FROM_ADDRESS)?;
        let to = address(Transaction::TO_ADDRESS)?;
        let amount = big_endian(transaction.bytes(Transaction::AMOUNT))?;
        let nonce = big_endian(transaction.bytes(Transaction::NONCE))?;
        let sender = self.account(&from);
        if nonce != u128::from(sender.nonce) || amount > sender.balance {
            return None;
        }
        let spent = Account {
            balance: sender.balance - amount,
            nonce: sender.nonce.checked_add(1)?,
        };
        if from == to {
            let balance = sender.balance;
            self.write(from, Account { balance, ..spent });
        } else {
            let receiver = self.account(&to);
            let balance = receiver.balance.checked_add(amount)?;
            self.write(
                to,
                Account {
                    balance,
                    ..receiver
                },
            );
            self.write(from, spent);
        }
        Some(SpentNonce {
            sender: from,
            nonce: sender.nonce,
        })
    }

    fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).copied().unwrap_or(Account {
            balance: self.initial_balance,
            nonce: 0,
        })
    }

    fn write(&mut self, address: Address, account: Account) {
        self.accounts.insert(address, account);
        let link = [
            &self.history.to_le_bytes()[..],
            &address,
            &account.balance.to_le_bytes(),
            &account.nonce.to_le_bytes(),
        ];
        self.history = xxh3_128(&link.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::testing::transfer, witness::ContentHash};
    use metanode_core::types::{AuthorityIndex, CommitIndex, Epoch, GlobalExecIndex, TimestampMs};

    fn frame<const N: usize>(gei: u64, transactions: [Bytes; N]) -> Frame {
        Frame {
            gei: GlobalExecIndex(gei),
            epoch: Epoch(0),
            commit: CommitIndex(1),
            timestamp_ms: TimestampMs(0),
            leader: AuthorityIndex(0),
            leader_address: vec![],
            content: ContentHash(0),
            transactions: transactions.to_vec(),
        }
    }

    fn spent(sender: u8, nonce: u64) -> SpentNonce {
        SpentNonce {
            sender: [sender; 20],
            nonce,
        }
    }

    #[test]
    fn only_the_next_nonce_with_sufficient_funds_applies() {
        let mut ledger = Ledger::new(100);
        let with_amount_of = |bytes: u8| {
            let mut transaction = transfer(2, 1, 0, 1).to_vec();
            transaction.extend([0x1a, bytes]); // the last value of a field counts
            transaction.extend(vec![1; usize::from(bytes)]);
            Bytes::from(transaction)
        };
        let mut to_nobody = transfer(2, 1, 0, 1).to_vec();
        to_nobody.extend([0x0a, 0]);
        let (_, applied) = ledger.execute(&frame(
            1,
            [
                transfer(1, 2, 101, 0),
                transfer(1, 2, 100, 0),
                transfer(1, 2, 0, 0),
                transfer(2, 2, 200, 0),
                transfer(2, 2, 201, 1),
                with_amount_of(17),
                with_amount_of(1),
                to_nobody.into(),
                Bytes::from_static(b"\xff"),
                Bytes::new(),
                transfer(1, 2, 2, 1),
            ],
        ));
        assert_eq!(applied, [spent(1, 0), spent(2, 0), spent(2, 1)]);
    }

    #[test]
    fn the_root_depends_on_height_and_order() {
        let root =
            |gei, transactions: [Bytes; 2]| Ledger::new(100).execute(&frame(gei, transactions)).0;
        let [a, b] = [transfer(1, 2, 5, 0), transfer(3, 4, 5, 0)];
        let expected = root(1, [a.clone(), b.clone()]);
        assert_eq!(root(1, [a.clone(), b.clone()]), expected);
        assert_ne!(root(2, [a.clone(), b.clone()]), expected);
        assert_ne!(root(1, [b, a]), expected);
    }

    /// The mock's ledger has the same example.
    #[test]
    fn the_root_of_the_example_is_that_of_the_executor() {
        let mut ledger = Ledger::new(100);
        let example = frame(
            7,
            [
                transfer(0, 1, 5, 0),
                transfer(1, 0, 105, 0),
                transfer(1, 1, 0, 1),
            ],
        );
        let (root, applied) = ledger.execute(&example);
        assert_eq!(applied, [spent(0, 0), spent(1, 0), spent(1, 1)]);
        assert_eq!(root.0[..8], EXAMPLE);
    }

    const EXAMPLE: [u8; 8] = [198, 25, 249, 236, 39, 139, 232, 65];
}
