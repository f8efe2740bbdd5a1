//! The trace: typed events in order, with a hash over all of them.
//!
//! Two runs of one build, scenario and seed have the same hash (invariant DET). The trace contains nothing that could
//! differ between them: no log lines, no ids of libraries, no real time. The hash does not cover texts for people, so
//! that a changed wording does not change it.

#[cfg(test)]
pub(crate) mod testing;

pub use crate::{clock::SimTime, process_id::ProcessId};

use crate::{byzantine::ByzantineStrategy, model::Derived, witness::Fact};
use metanode_core::{
    env::{Event, for_people},
    types::{CommitIndex, Epoch},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// One entry of the trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub at: SimTime,
    pub process: ProcessId,
    pub what: What,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum What {
    /// An event that a process emitted.
    Process(Event),
    /// An event of the world, about the process or the world itself.
    World(WorldEvent),
    /// A fact about the process, from its bytes.
    Seen(Fact),
    /// A result of the reference model.
    Derived(Derived),
}

/// An event of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorldEvent {
    /// The validator of this node is Byzantine for the whole run.
    TurnedByzantine {
        strategy: ByzantineStrategy,
    },
    /// The process was started, for the n-th time (from 1).
    Started {
        start: u32,
    },
    /// The process was ended; its writes are kept.
    Killed,
    /// The process has ended by itself; its writes are kept and its sockets are closed.
    Exited,
    /// The process was ended and its disk lost this many unsynced writes. Of `torn_writes` of them a part is on the
    /// disk.
    PowerLost {
        lost_writes: u32,
        torn_writes: u32,
    },
    /// The process panicked.
    Panicked {
        #[serde(serialize_with = "for_people")]
        message: String,
    },
    Paused,
    Resumed,
    /// The executor stopped executing. It still answers requests.
    Stalled,
    Unstalled,
    /// The hosts of these validators were cut off from all others.
    Partitioned {
        hosts: Vec<u16>,
    },
    PartitionHealed {
        hosts: Vec<u16>,
    },
    /// A fault began that has no event of its own above.
    FaultBegan {
        /// Its position in the plan.
        number: usize,
        #[serde(serialize_with = "for_people")]
        description: String,
    },
    /// The fault ended.
    FaultEnded {
        /// Its position in the plan.
        number: usize,
        #[serde(serialize_with = "for_people")]
        description: String,
    },
    /// A fault was skipped: more validators would have been down at once than the plan allows, or there is no backup to
    /// restore.
    FaultSkipped {
        /// Its position in the plan.
        number: usize,
        #[serde(serialize_with = "for_people")]
        description: String,
    },
    /// A backup of the process's disk from this time was restored, or the disk of another process was copied; what was
    /// written otherwise is lost.
    DiskRestored {
        taken: SimTime,
        copied_from: Option<ProcessId>,
    },
    /// Bits flipped in these commits on the process's disk.
    CommitsDamaged {
        commits: BTreeSet<(Epoch, CommitIndex)>,
    },
    /// All faults have ended; from now on progress is demanded (invariant LIVE).
    FaultsEnded,
    /// The process has so much memory in use. Only recorded if it is too much, because not every run measures it.
    InUse {
        #[serde(skip)]
        bytes: u64,
    },
}

/// The hash over all entries so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String")]
pub struct TraceHash(pub [u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..16] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TraceHash> for String {
    fn from(hash: TraceHash) -> Self {
        hash.to_string()
    }
}

/// blake3 hashes many chunks in parallel, so entries are passed in batches of this size.
const HASHED_AT_ONCE_BYTES: usize = 16 << 10;

/// The entries of a run so far. The hash covers all of them; only the newest `capacity` are kept for reports.
pub struct Trace {
    hasher: blake3::Hasher,
    /// Encoded entries that are not hashed yet.
    encoded: Vec<u8>,
    entries: std::collections::VecDeque<Entry>,
    capacity: usize,
    count: u64,
}

impl Trace {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            encoded: Vec::with_capacity(2 * HASHED_AT_ONCE_BYTES),
            entries: std::collections::VecDeque::new(),
            capacity,
            count: 0,
        }
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: Entry) {
        #[allow(clippy::expect_used)]
        bcs::serialize_into(&mut self.encoded, &entry).expect("entries are plain data");
        if self.encoded.len() >= HASHED_AT_ONCE_BYTES {
            self.hasher.update(&self.encoded);
            self.encoded.clear();
        }
        self.count += 1;
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        if self.capacity > 0 {
            self.entries.push_back(entry);
        }
    }

    /// The hash over all entries so far, in order.
    #[must_use]
    pub fn hash(&self) -> TraceHash {
        let mut hasher = self.hasher.clone();
        TraceHash(*hasher.update(&self.encoded).finalize().as_bytes())
    }

    /// The number of entries, kept or not.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }
}
