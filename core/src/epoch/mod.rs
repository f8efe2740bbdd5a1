//! The change from one epoch to the next (contract §7): the condition for its end, the steps, and their records.
//!
//! Everything here is pure except [`EpochStore`] and the task [`EpochChange`]. Each step is recorded before the next
//! one, so the change resumes after a crash at any point. Time only decides whether a node marks its blocks; the
//! committed marks decide the rest, and no step has a timeout that forces it.

mod bug_switches;
mod change;
mod driver;
mod duration;
mod record;

use change::{ChangeAction, ChangeView, next_action};
pub(crate) use driver::EpochChange;
pub use duration::epoch_has_elapsed;
pub(crate) use record::{EpochRecord, EpochStore};
