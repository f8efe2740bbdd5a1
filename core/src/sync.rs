//! Locks and atomics: those of `std`. Built with `--cfg shuttle` they are those of a scheduler that tries many schedules of
//! the tasks (`delivery::schedules`), as tokio's are.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
