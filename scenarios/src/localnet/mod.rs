//! A local network of real processes under faults: the binaries that operators run, judged by their event logs, by the chains
//! of their executors, by their data directories and by what clients were told.
//!
//! | module | content |
//! |---|---|
//! | `layout` | folders, addresses and configurations |
//! | `chaos` | which fault comes when (pure) |
//! | `process` | starting, signalling and observing processes |
//! | `links` | proxies between nodes: latency, and validators that are cut off |
//! | `impostor` | somebody else who listens where an executor did |
//! | `load` | a client of every node or of its Sub, and what it was promised |
//! | `progress` | how far processes are, by their event logs |
//! | `small_disks` | a file system for the data of each process, which can be filled |
//! | `network` | all processes, and what a fault does to them |
//! | `chain` | the chains of executors and Subs at the end, compared |
//! | `stores` | the data directories of a network that has ended |
//! | `verdict` | what was wrong in a run |
//! | `run` | one run from its options to its verdict |
//!
//! Everything here happens in real time.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes need real threads and real time, outside of every simulation"
)]

mod chain;
mod chaos;
mod impostor;
mod layout;
mod links;
mod load;
mod network;
mod process;
mod progress;
mod run;
mod small_disks;
#[cfg(feature = "rocksdb")]
mod stores;
mod verdict;

pub use chaos::Chaos;
pub use layout::{Size, Topology};
pub use network::Bugs;
pub use progress::Progress;
pub use run::{LocalnetError, Options, Outcome, Status, run};
pub use verdict::Failure;
