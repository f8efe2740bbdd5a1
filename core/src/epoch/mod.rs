//! The change from one epoch to the next (contract §7): when an epoch is over, what comes next, and what of it is
//! written down.
//!
//! Everything here is pure but [`EpochStore`] and [`EpochChange`], the task. Each step is recorded before the next is
//! taken, so a crash between any two resumes at the right one. Time decides one thing only, whether a node marks its
//! blocks: what is committed of these marks decides the rest, and no step is forced because it takes long.

mod bug_switches;
mod change;
mod driver;
mod duration;
mod record;

pub use change::{ChangeAction, ChangeView, next_action};
pub use driver::EpochChange;
pub use duration::epoch_has_elapsed;
pub use record::{EpochRecord, EpochStore};
