//! The environment of production: sockets, clock and randomness of the operating system, RocksDB on its disk, and the log.

mod clock;
mod crash_points;
mod entropy;
mod line;
mod log;
mod network;
#[cfg(all(not(madsim), feature = "rocksdb"))] // the simulated tokio has no signals
pub mod process;

pub use clock::OsClock;
pub use crash_points::NoCrashPoints;
pub use entropy::OsEntropy;
pub use log::Log;
pub use network::OsNetwork;

/// What a binary does that was built for the simulator, which starts nodes and executors itself. Returns the exit code.
#[must_use]
pub fn refuse_to_run(program: &str) -> std::process::ExitCode {
    eprintln!("{program}: built for the simulator; `make real` builds the one to run");
    std::process::ExitCode::from(2)
}

/// The environment of a process whose stores live below `data_dir`, which is created with the first of them.
///
/// # Errors
/// If the operating system gives no randomness.
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
        events: Arc::new(Log::default()),
        monitor: Arc::new(super::Unmonitored),
        hashes: Arc::new(super::Computed),
    })
}
