//! The environment of production: sockets, clock and randomness of the operating system, RocksDB, the log and metrics.

mod clock;
mod crash_points;
mod entropy;
mod event_log;
mod events;
mod line;
mod log;
#[cfg(test)]
mod log_tests;
pub mod metrics;
mod network;
#[cfg(all(not(madsim), feature = "rocksdb"))] // madsim-tokio has no signals
pub mod process;
mod rpc_times;
#[cfg(all(not(madsim), feature = "rocksdb"))] // nor several threads
mod stores;

pub use clock::OsClock;
pub use crash_points::NoCrashPoints;
pub use entropy::OsEntropy;
pub use event_log::EventLog;
pub use events::Events;
pub use network::OsNetwork;
#[cfg(all(not(madsim), feature = "rocksdb"))]
pub use stores::BlockInPlaceStores;

/// The `main` of a binary that was compiled for the simulator: prints an error and returns the exit code.
#[must_use]
pub fn refuse_to_run(program: &str) -> std::process::ExitCode {
    eprintln!(
        "{program}: this binary was compiled for the simulator; run `make real` to build one for production"
    );
    std::process::ExitCode::from(2)
}

/// The environment of a process with its stores below `data_dir`, which is created with the first store.
///
/// # Errors
/// If the operating system provides no randomness.
#[cfg(feature = "rocksdb")]
pub fn env(data_dir: &std::path::Path) -> std::io::Result<super::Env> {
    use crate::store::{RocksOptions, RocksStores};
    use std::sync::Arc;

    Ok(super::Env {
        network: Arc::new(OsNetwork),
        clock: Arc::new(OsClock),
        stores: Arc::new(RocksStores::new(data_dir, RocksOptions::default())),
        entropy: Arc::new(OsEntropy::new()?),
        crash_points: Arc::new(NoCrashPoints),
        events: Arc::new(Events::default()),
        monitor: Arc::new(super::Unmonitored),
        hashes: Arc::new(super::Computed),
    })
}
