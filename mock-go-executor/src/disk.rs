//! What the executor keeps on disk, and how state, blocks and watermark become durable together although they are
//! written one after the other.
//!
//! A flush is three writes: **state** (buffered), **blocks** (buffered), **watermark** (synced). The first carries an
//! undo record: every account it overwrites, as it was at the old watermark. The last deletes that record. A crash
//! between them leaves a prefix (see [`metanode_core::store`]), so what is found is one of
//!
//! - an undo record: the state is ahead of the watermark. It is taken back, later blocks are dropped;
//! - none: state and watermark agree.

use crate::ledger::{Account, AccountAddress, Written};
use bytes::Bytes;
use metanode_core::{
    museum::{self, Exhibit},
    store::{Column, Durability, ScanOrder, Store, StoreError, StoreFactory, WriteBatch},
    types::GlobalExecIndex,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc};

const STORE: &str = "executor";
/// Address → [`Account`].
const ACCOUNTS: Column = Column("accounts");
/// GEI, big-endian → the frame's body as it came.
const BLOCKS: Column = Column("blocks");
const META: Column = Column("meta");
const WATERMARK: &[u8] = b"watermark";
const UNDO: &[u8] = b"undo";

/// What takes the accounts back to the state at a watermark.
#[derive(Serialize, Deserialize)]
struct Undo {
    watermark: GlobalExecIndex,
    accounts: Vec<([u8; 20], Option<Account>)>,
}

/// What a start found, with everything taken back that was not durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub watermark: GlobalExecIndex,
    pub accounts: BTreeMap<AccountAddress, Account>,
}

/// The executor's store. Clones are the same store.
#[derive(Clone)]
pub struct Disk {
    store: Arc<dyn Store>,
}

impl Disk {
    /// Opens the store and brings it back to its watermark.
    ///
    /// # Errors
    /// If the disk fails, or holds what a crash cannot leave.
    pub fn open(stores: &dyn StoreFactory) -> Result<(Self, Recovered), StoreError> {
        let disk = Self {
            store: stores.open(STORE, &[ACCOUNTS, BLOCKS, META])?,
        };
        let mut watermark = disk.meta(WATERMARK)?.unwrap_or_default();
        if museum::shows(Exhibit::BlocksBeforeState) {
            watermark = disk.last_block()?.unwrap_or(watermark);
        }
        disk.take_back(watermark)?;
        let accounts = disk.accounts()?;
        Ok((
            disk,
            Recovered {
                watermark,
                accounts,
            },
        ))
    }

    /// First step of a flush: the accounts that changed since `watermark`. `before` is what they were there.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_state(
        &self,
        watermark: GlobalExecIndex,
        before: &Written,
        now: impl Fn(AccountAddress) -> Option<Account>,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        put_accounts(
            &mut batch,
            before.keys().map(|address| (*address, now(*address))),
        );
        let accounts = before
            .iter()
            .map(|(address, account)| (address.0, *account));
        let undo = Undo {
            watermark,
            accounts: accounts.collect(),
        };
        if !museum::shows(Exhibit::StateWithoutWatermark) {
            batch.put(META, UNDO, encode(&undo));
        }
        self.store.write(batch, Durability::Buffered)
    }

    /// Second step: the blocks, by number.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_blocks(&self, blocks: &[(GlobalExecIndex, Bytes)]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (gei, body) in blocks {
            batch.put(BLOCKS, block_key(*gei), body.clone());
        }
        self.store.write(batch, Durability::Buffered)
    }

    /// Last step: the new watermark, with which everything before is durable.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_watermark(&self, watermark: GlobalExecIndex) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put(META, WATERMARK, encode(&watermark));
        batch.delete(META, UNDO);
        self.store.write(batch, Durability::Synced)
    }

    /// The bodies of the blocks `from..=to` that are stored, at most `limit` of them, in order.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn blocks(
        &self,
        from: GlobalExecIndex,
        to: GlobalExecIndex,
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let (start, end) = (block_key(from), block_key(to.next()));
        let entries = self
            .store
            .scan(BLOCKS, &start..&end, ScanOrder::Ascending, limit)?;
        Ok(entries.into_iter().map(|(_, body)| body).collect())
    }

    /// The number of the last stored block, durable or not.
    fn last_block(&self) -> Result<Option<GlobalExecIndex>, StoreError> {
        let all = &[][..]..&[0xff; 9][..];
        let last = self.store.scan(BLOCKS, all, ScanOrder::Descending, 1)?;
        let number = |key: &Bytes| key[..].try_into().map(u64::from_be_bytes).ok();
        Ok(last
            .first()
            .and_then(|(key, _)| number(key))
            .map(GlobalExecIndex))
    }

    /// Removes what lies above the watermark, in one write.
    fn take_back(&self, watermark: GlobalExecIndex) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        if let Some(undo) = self.meta::<Undo>(UNDO)? {
            if undo.watermark != watermark {
                return Err(StoreError::Damaged {
                    column: META.0,
                    key: String::from_utf8_lossy(UNDO).into_owned(),
                    reason: format!(
                        "it leads to watermark {}, the stored one is {watermark}",
                        undo.watermark
                    ),
                });
            }
            let accounts = undo.accounts.into_iter();
            put_accounts(
                &mut batch,
                accounts.map(|(a, before)| (AccountAddress(a), before)),
            );
            batch.delete(META, UNDO);
        }
        for (key, _) in self.entries(BLOCKS, &block_key(watermark.next()), &[0xff; 9])? {
            batch.delete(BLOCKS, key);
        }
        if batch.writes.is_empty() {
            return Ok(());
        }
        self.store.write(batch, Durability::Synced)
    }

    fn accounts(&self) -> Result<BTreeMap<AccountAddress, Account>, StoreError> {
        let entries = self.entries(ACCOUNTS, &[], &[0xff; 21])?.into_iter();
        let account = |(key, value): (Bytes, Bytes)| {
            let damaged = |reason| damaged(ACCOUNTS, &key, reason);
            let address = <[u8; 20]>::try_from(&key[..])
                .map_err(|_| damaged(format!("an address of {} bytes", key.len())))?;
            let account = bcs::from_bytes(&value).map_err(|e| damaged(e.to_string()))?;
            Ok((AccountAddress(address), account))
        };
        entries.map(account).collect()
    }

    fn entries(
        &self,
        column: Column,
        start: &[u8],
        end: &[u8],
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.store
            .scan(column, start..end, ScanOrder::Ascending, usize::MAX)
    }

    fn meta<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let value = self.store.get(META, key)?;
        value
            .map(|value| bcs::from_bytes(&value).map_err(|e| damaged(META, key, e.to_string())))
            .transpose()
    }
}

fn put_accounts(
    batch: &mut WriteBatch,
    accounts: impl Iterator<Item = (AccountAddress, Option<Account>)>,
) {
    for (address, account) in accounts {
        match account {
            Some(account) => batch.put(ACCOUNTS, address.0, encode(&account)),
            None => batch.delete(ACCOUNTS, address.0),
        }
    }
}

const fn block_key(gei: GlobalExecIndex) -> [u8; 8] {
    gei.0.to_be_bytes()
}

#[allow(clippy::expect_used)]
fn encode(value: &impl Serialize) -> Vec<u8> {
    bcs::to_bytes(value).expect("plain structs always encode")
}

fn damaged(column: Column, key: &[u8], reason: String) -> StoreError {
    StoreError::Damaged {
        column: column.0,
        key: format!("{key:02x?}"),
        reason,
    }
}
