//! The real thread on which RocksDB is opened and closed. RocksDB compares its timer with the clock and fails to open
//! on a simulated thread. On this thread it sees real time, and the simulated thread waits for each result, so that
//! real time is not visible to the simulation.

use metanode_core::store::StoreError;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};
use tempfile::TempDir;

/// Files in memory, if available: a simulation syncs too often for a disk.
const MEMORY_FILES: &str = "/dev/shm";

type Job = Box<dyn FnOnce() + Send>;

/// The RocksDB thread of one simulation. Clones are the same server; thread and files exist until the last clone and
/// the last disk are dropped.
#[derive(Clone)]
pub struct RocksServer(Arc<Inner>);

struct Inner {
    /// `None` only while dropping: the thread ends when the sender is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    root: TempDir,
    disks: AtomicU64,
}

impl RocksServer {
    /// Starts the thread. Call it **before** the simulated runtime is entered.
    ///
    /// # Errors
    /// If temporary files or the thread cannot be created.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one thread that must not be simulated; its caller waits for every answer"
    )]
    pub fn start() -> io::Result<Self> {
        let mut place = tempfile::Builder::new();
        place.prefix("metasim-disks-");
        let root = if Path::new(MEMORY_FILES).is_dir() {
            place.tempdir_in(MEMORY_FILES)?
        } else {
            place.tempdir()?
        };
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = thread::Builder::new()
            .name("rocksdb".to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job()))?;
        Ok(Self(Arc::new(Inner {
            jobs: Some(jobs),
            thread: Some(thread),
            root,
            disks: AtomicU64::new(0),
        })))
    }

    /// A path for a new disk.
    pub(super) fn new_disk_path(&self) -> PathBuf {
        let number = self.0.disks.fetch_add(1, Ordering::Relaxed);
        self.0.root.path().join(format!("disk-{number}"))
    }

    /// Runs `job` on the server's thread while the caller waits.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::of_store("call", "the RocksDB thread panicked earlier");
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || {
            // The caller waits below for as long as this runs.
            let _ = answer.send(job());
        });
        let jobs = self.0.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The caller of a job has already got its panic as an error.
            let _ = thread.join();
        }
    }
}
