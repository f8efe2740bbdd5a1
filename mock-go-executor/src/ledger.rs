//! Accounts and what transactions do to them. Pure: blocks in, changes and a state root out.
//!
//! A transaction moves `amount` from one account to another if and only if its nonce is the next one of the sender
//! and the sender has the funds. So a transaction changes state at most once, however often it is executed.
//!
//! The state root (contract §13.2) covers all writes in their order. Its cost depends on what a block changes, not on
//! the size of the state.

use indexmap::IndexMap;
use metanode_core::{
    executor::{
        validators::{format_account, parse_account},
        wire::CommittedEpochData,
    },
    types::{ClientTransaction, GlobalExecIndex, SpentNonce},
};
use prost::Message;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use xxhash_rust::xxh3::xxh3_128;

/// A 20-byte account address, `0x` and 40 hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountAddress(pub [u8; 20]);

impl TryFrom<String> for AccountAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let account = parse_account(&text).map(Self);
        account.ok_or_else(|| format!("`{text}` is not an account: expected 20 bytes in hex"))
    }
}

impl From<AccountAddress> for String {
    fn from(address: AccountAddress) -> Self {
        format_account(&address.0)
    }
}

impl fmt::Debug for AccountAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_account(&self.0))
    }
}

/// An account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub balance: u128,
    /// The nonce that its next transaction must carry.
    pub nonce: u64,
}

/// Bytes of an encoded account with its address, as stored and as covered by the state root.
pub const ENTRY_BYTES: usize = 20 + 16 + 8;

/// Encodes an account.
#[must_use]
pub fn entry(address: AccountAddress, account: Account) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..20].copy_from_slice(&address.0);
    entry[20..36].copy_from_slice(&account.balance.to_le_bytes());
    entry[36..].copy_from_slice(&account.nonce.to_le_bytes());
    entry
}

/// Decodes what [`entry`] encoded.
#[must_use]
pub fn parse_entry(entry: &[u8; ENTRY_BYTES]) -> (AccountAddress, Account) {
    let account = Account {
        balance: u128::from_le_bytes(std::array::from_fn(|i| entry[20 + i])),
        nonce: u64::from_le_bytes(std::array::from_fn(|i| entry[36 + i])),
    };
    (AccountAddress(std::array::from_fn(|i| entry[i])), account)
}

/// Balances of accounts before their first write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Funding {
    pub initial_balance: u64,
    /// Accounts that start with another balance.
    #[serde(rename = "accounts")]
    pub exceptions: BTreeMap<AccountAddress, u64>,
}

/// What accounts have if a genesis does not say it.
pub const DEFAULT_BALANCE: u64 = 1_000_000;

impl Default for Funding {
    fn default() -> Self {
        Self {
            initial_balance: DEFAULT_BALANCE,
            exceptions: BTreeMap::new(),
        }
    }
}

impl Funding {
    fn of(&self, address: AccountAddress) -> Account {
        let exception = self.exceptions.get(&address);
        Account {
            balance: u128::from(*exception.unwrap_or(&self.initial_balance)),
            nonce: 0,
        }
    }
}

/// All accounts that were ever written.
pub type Accounts = IndexMap<AccountAddress, Account, FxBuildHasher>;

/// Accounts in the order in which they were written; the last entry of an address counts.
pub type Writes = Vec<(AccountAddress, Account)>;

/// What a block changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The nonces that were spent by transactions that changed state, in order.
    pub applied: Vec<SpentNonce>,
    /// The number of transactions that did not change state.
    pub skipped: u32,
    /// The accounts that the block wrote.
    pub writes: Writes,
}

/// The state.
#[derive(Clone, Debug)]
pub struct Ledger {
    funding: Funding,
    accounts: Accounts,
    history: History,
    height: GlobalExecIndex,
}

impl Ledger {
    /// The state after block `height`: all accounts that were ever written, and the history of their writes.
    #[must_use]
    pub const fn new(
        funding: Funding,
        height: GlobalExecIndex,
        accounts: Accounts,
        history: History,
    ) -> Self {
        Self {
            funding,
            accounts,
            history,
            height,
        }
    }

    /// The last executed block.
    #[must_use]
    pub const fn height(&self) -> GlobalExecIndex {
        self.height
    }

    /// The account of an address.
    #[must_use]
    pub fn account(&self, address: AccountAddress) -> Account {
        let written = self.accounts.get(&address);
        written.map_or_else(|| self.funding.of(address), |account| *account)
    }

    /// A digest of height and history: equal on every executor at equal height (invariant ROOT).
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.history.root(self.height)
    }

    /// Executes the transactions of `block` without checking its number.
    pub fn execute(&mut self, block: &CommittedEpochData) -> Effects {
        let mut effects = Effects::default();
        for transaction in block.blocks.iter().flat_map(|inner| &inner.transactions) {
            match self.transact(transaction.digest.clone(), &mut effects.writes) {
                Some(spent) => effects.applied.push(spent),
                None => effects.skipped += 1,
            }
        }
        self.height = GlobalExecIndex(block.global_exec_index);
        effects
    }

    /// Applies one transaction. `None` if it does not change state.
    fn transact(&mut self, bytes: bytes::Bytes, writes: &mut Writes) -> Option<SpentNonce> {
        let transaction = ClientTransaction::decode(bytes).ok()?;
        let from = AccountAddress(transaction.from_address[..].try_into().ok()?);
        let to = AccountAddress(transaction.to_address[..].try_into().ok()?);
        let amount = big_endian(&transaction.amount)?;
        let nonce = big_endian(&transaction.nonce)?;

        let mut sender = self.account(from);
        let spent = SpentNonce {
            sender: from.0,
            nonce: sender.nonce,
        };
        if u128::from(sender.nonce) != nonce {
            return None;
        }
        sender.nonce = sender.nonce.checked_add(1)?;
        sender.balance = sender.balance.checked_sub(amount)?;
        if from == to {
            sender.balance += amount;
        } else {
            let mut receiver = self.account(to);
            receiver.balance = receiver.balance.checked_add(amount)?;
            self.write(to, receiver, writes);
        }
        self.write(from, sender, writes);
        Some(spent)
    }

    fn write(&mut self, address: AccountAddress, account: Account, writes: &mut Writes) {
        self.accounts.insert(address, account);
        self.history.append(&entry(address, account));
        writes.push((address, account));
    }
}

/// A number of at most 128 bits with any number of leading zeros.
fn big_endian(bytes: &[u8]) -> Option<u128> {
    let start = bytes.iter().position(|byte| *byte != 0);
    let digits = &bytes[start.unwrap_or(bytes.len())..];
    if digits.len() > 16 {
        return None;
    }
    Some(digits.iter().fold(0, |n, byte| n << 8 | u128::from(*byte)))
}

/// The hash chain over all account writes, oldest first (contract §13.2): two states of different histories differ,
/// also if their accounts are equal. It detects errors and is not secure against an adversary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History(u128);

impl History {
    /// Appends a write, as [`entry`] encodes it.
    pub fn append(&mut self, entry: &[u8; ENTRY_BYTES]) {
        let mut link = [0; 16 + ENTRY_BYTES];
        link[..16].copy_from_slice(&self.0.to_le_bytes());
        link[16..].copy_from_slice(entry);
        self.0 = xxh3_128(&link);
    }

    fn root(self, height: GlobalExecIndex) -> [u8; 32] {
        let mut state = [0; 24];
        state[..8].copy_from_slice(&height.0.to_le_bytes());
        state[8..].copy_from_slice(&self.0.to_le_bytes());
        *blake3::hash(&state).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, block, transfer};
    use proptest::prelude::*;

    fn ledger() -> Ledger {
        let funding = Funding {
            initial_balance: 100,
            exceptions: [(account(9), 0)].into(),
        };
        Ledger::new(
            funding,
            GlobalExecIndex(0),
            Accounts::default(),
            History::default(),
        )
    }

    /// The root after one block with these transactions.
    fn root_after<const N: usize>(transactions: [bytes::Bytes; N]) -> [u8; 32] {
        let mut ledger = ledger();
        let effects = ledger.execute(&block(1, transactions));
        assert_eq!(effects.skipped, 0);
        ledger.root()
    }

    fn transfers() -> impl Strategy<Value = Vec<(u8, u8, u64, u64)>> {
        prop::collection::vec((0u8..4, 0u8..4, 0u64..60, 0u64..4), 0..40)
    }

    proptest! {
        #[test]
        fn an_entry_decodes_to_what_was_encoded(address: [u8; 20], balance: u128, nonce: u64) {
            let (address, account) = (AccountAddress(address), Account { balance, nonce });
            prop_assert_eq!(parse_entry(&entry(address, account)), (address, account));
        }

        #[test]
        fn the_root_follows_from_height_and_writes(list in transfers(), batch in 1usize..9) {
            let mut ledger = ledger();
            let mut history = History::default();
            for (i, batch) in list.chunks(batch).enumerate() {
                let transactions = batch.iter().map(|&(from, to, amount, nonce)| transfer(from, to, amount, nonce));
                for (address, account) in ledger.execute(&block(i as u64 + 1, transactions)).writes {
                    history.append(&entry(address, account));
                }
                prop_assert_eq!(ledger.root(), history.root(GlobalExecIndex(i as u64 + 1)));
            }
        }

        #[test]
        fn state_does_not_depend_on_how_transactions_are_batched(list in transfers(), batch in 1usize..9) {
            let execute = |batch: usize| {
                let mut ledger = ledger();
                let mut applied = vec![];
                for batch in list.chunks(batch) {
                    let transactions = batch.iter().map(|&(from, to, amount, nonce)| transfer(from, to, amount, nonce));
                    applied.extend(ledger.execute(&block(7, transactions)).applied);
                }
                // Height is part of the root, so an empty list must end at it, too.
                ledger.execute(&block(7, []));
                (ledger.root(), applied)
            };
            prop_assert_eq!(execute(batch), execute(usize::MAX));
        }

        #[test]
        fn balances_are_conserved_and_no_nonce_is_spent_twice(list in transfers()) {
            let mut ledger = ledger();
            let transactions = || list.iter().map(|&(from, to, amount, nonce)| transfer(from, to, amount, nonce));
            let twice = transactions().chain(transactions());
            let effects = ledger.execute(&block(1, twice));
            let total: u128 = (0..4).map(|n| ledger.account(account(n)).balance).sum();
            prop_assert_eq!(total, 400);
            let mut spent = effects.applied.clone();
            spent.sort_unstable();
            spent.dedup();
            prop_assert_eq!(spent.len(), effects.applied.len());
            prop_assert_eq!(effects.applied.len() + effects.skipped as usize, 2 * list.len());
        }

        #[test]
        fn the_writes_of_a_block_reproduce_its_state(list in transfers()) {
            let mut ledger = ledger();
            ledger.execute(&block(1, [transfer(0, 1, 5, 0)]));
            let mut accounts = ledger.accounts.clone();
            let transactions = list.iter().map(|&(from, to, amount, nonce)| transfer(from, to, amount, nonce));
            accounts.extend(ledger.execute(&block(2, transactions)).writes);
            prop_assert_eq!(accounts, ledger.accounts);
        }
    }

    #[test]
    fn the_root_depends_on_the_order_of_transactions() {
        let [first, second, third] = [
            transfer(0, 1, 5, 0),
            transfer(2, 3, 5, 0),
            transfer(3, 0, 5, 0),
        ];
        let independent = [[&first, &second], [&second, &first]];
        let dependent = [[&first, &third], [&third, &first]];
        for orders in [independent, dependent] {
            let [one, other] = orders.map(|order| root_after(order.map(Clone::clone)));
            assert_ne!(one, other);
        }
        assert_eq!(
            root_after([first.clone(), second.clone()]),
            root_after([first, second])
        );
    }

    /// The reference model of the simulation has the same example.
    #[test]
    fn the_root_of_the_example_is_that_of_the_reference_model() {
        let mut ledger = ledger();
        let transactions = [
            transfer(0, 1, 5, 0),
            transfer(1, 0, 105, 0),
            transfer(1, 1, 0, 1),
        ];
        ledger.execute(&block(7, transactions));
        assert_eq!(ledger.root()[..8], EXAMPLE);
    }

    const EXAMPLE: [u8; 8] = [198, 25, 249, 236, 39, 139, 232, 65];

    #[test]
    fn invalid_transactions_are_skipped() {
        let mut ledger = ledger();
        let mut short_address = ClientTransaction::decode(transfer(0, 1, 1, 0)).unwrap();
        short_address.to_address.truncate(19);
        let mut huge = ClientTransaction::decode(transfer(0, 1, 1, 0)).unwrap();
        huge.amount = vec![1; 17].into();
        let effects = ledger.execute(&block(
            1,
            [
                bytes::Bytes::from_static(&[0xff]),
                short_address.encode_to_vec().into(),
                huge.encode_to_vec().into(),
                transfer(0, 1, 101, 0),
                transfer(9, 1, 1, 0),
                transfer(0, 1, 1, 1),
                transfer(0, 0, 101, 0),
            ],
        ));
        assert_eq!((effects.applied.len(), effects.skipped), (0, 7));
        assert_eq!(effects.writes, []);

        let effects = ledger.execute(&block(2, [transfer(0, 0, 100, 0), transfer(0, 9, 100, 1)]));
        assert_eq!(effects.skipped, 0);
        assert_eq!(
            ledger.account(account(0)),
            Account {
                balance: 0,
                nonce: 2
            }
        );
        assert_eq!(
            ledger.account(account(9)),
            Account {
                balance: 100,
                nonce: 0
            }
        );
    }
}
