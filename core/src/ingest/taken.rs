//! What is taken and not executed, with the commits that contain it. Pure.

use crate::types::{GlobalExecIndex, Transaction};
use std::collections::{BTreeMap, btree_map};
use xxhash_rust::xxh3::xxh3_64;

/// Who submits a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// A client of the transaction socket.
    Client,
    /// Another node, which has no seat. It is not authenticated, so all nodes together find place in a quarter of the
    /// journal: the rest is for clients.
    Node,
}

/// What a taken transaction uses beside its bytes: its place in the tables, and the header of an own block's entry.
pub(super) const OVERHEAD_BYTES: usize = 128;

/// The bytes of a transaction. Not its hash, which covers no signature: bytes with another signature are another promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest {
    /// So that most of what others propose needs no more to be told apart from what is taken here.
    checksum: u64,
    blake3: [u8; 32],
}

impl Digest {
    pub fn of(transaction: &Transaction) -> Self {
        Self {
            checksum: xxh3_64(&transaction.0),
            blake3: *blake3::hash(&transaction.0).as_bytes(),
        }
    }
}

/// The position of a transaction in the order in which they were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sequence(pub u64);

/// A transaction that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub sequence: Sequence,
    pub bytes: usize,
    /// After a restart a client, whoever it was.
    pub submitter: Submitter,
    /// The first commit that contains it.
    pub included: Option<GlobalExecIndex>,
}

/// What is taken and not executed.
#[derive(Debug, Default)]
pub(super) struct Taken {
    by_digest: BTreeMap<Digest, Entry>,
    included: BTreeMap<GlobalExecIndex, Vec<Digest>>,
    held_bytes: usize,
    /// Those of nodes.
    handed_over_bytes: usize,
}

impl Taken {
    pub fn contains(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }

    /// The entry of a transaction.
    pub fn find(&self, transaction: &Transaction) -> Option<Entry> {
        let digest = self.digest_of(transaction)?;
        self.by_digest.get(&digest).copied()
    }

    /// `None` if the transaction is certainly not taken.
    fn digest_of(&self, transaction: &Transaction) -> Option<Digest> {
        let checksum = xxh3_64(&transaction.0);
        let first = Digest {
            checksum,
            blake3: [0; 32],
        };
        let (next, _) = self.by_digest.range(first..).next()?;
        (next.checksum == checksum).then(|| Digest::of(transaction))
    }

    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Bytes of all of it, each with [`OVERHEAD_BYTES`] more.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The part of it that nodes have handed over.
    pub const fn handed_over_bytes(&self) -> usize {
        self.handed_over_bytes
    }

    /// Adds a transaction of this size. Returns whether it is new: one that is there stays as it is.
    pub fn insert(
        &mut self,
        digest: Digest,
        sequence: Sequence,
        bytes: usize,
        submitter: Submitter,
    ) -> bool {
        let btree_map::Entry::Vacant(place) = self.by_digest.entry(digest) else {
            return false;
        };
        place.insert(Entry {
            sequence,
            bytes,
            submitter,
            included: None,
        });
        self.held_bytes += bytes + OVERHEAD_BYTES;
        if submitter == Submitter::Node {
            self.handed_over_bytes += bytes + OVERHEAD_BYTES;
        }
        true
    }

    /// Notes that a commit contains a transaction. `None` if it is not taken, or an earlier commit contains it.
    pub fn include(&mut self, transaction: &Transaction, gei: GlobalExecIndex) -> Option<Entry> {
        let digest = self.digest_of(transaction)?;
        let entry = self.by_digest.get_mut(&digest)?;
        if entry.included.is_some() {
            return None;
        }
        entry.included = Some(gei);
        self.included.entry(gei).or_default().push(digest);
        Some(*entry)
    }

    /// What no commit contains, in the order in which it was taken, after this one.
    pub fn waiting(&self, after: Option<Sequence>) -> Vec<Entry> {
        let entries = self.by_digest.values();
        let waits = |entry: &&Entry| entry.included.is_none() && Some(entry.sequence) > after;
        let mut waiting: Vec<_> = entries.filter(waits).copied().collect();
        waiting.sort_unstable_by_key(|entry| entry.sequence);
        waiting
    }

    /// Whether a commit contains some of it.
    pub fn awaits_execution(&self) -> bool {
        !self.included.is_empty()
    }

    /// Forgets which commits contain what; only for the bug of the same name.
    #[cfg_attr(not(feature = "museum"), allow(dead_code))]
    pub fn forget_inclusions(&mut self) {
        self.included.clear();
    }

    /// Removes what commits up to this watermark contain.
    pub fn executed(&mut self, watermark: GlobalExecIndex) -> Vec<Entry> {
        let later = self.included.split_off(&watermark.next());
        let executed = std::mem::replace(&mut self.included, later);
        let removed = executed.into_values().flatten();
        let removed = removed.filter_map(|digest| self.by_digest.remove(&digest));
        removed
            .inspect(|entry| {
                let bytes = entry.bytes + OVERHEAD_BYTES;
                self.held_bytes -= bytes;
                if entry.submitter == Submitter::Node {
                    self.handed_over_bytes -= bytes;
                }
            })
            .collect()
    }
}
