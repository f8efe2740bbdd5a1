//! Transactions in (contract §8): what clients send is stored in the journal before they are told so, proposed until a
//! commit contains it, and removed when the executor has it durable.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | contains |
//! |---|---|
//! | `batch` | the transactions of a frame, and why some are refused (pure) |
//! | `reply` | the JSON of a reply (pure) |
//! | `taken` | which transactions are taken, which commits contain them, how much space they use (pure) |
//! | `bug_switches` | where known bugs are switched on |
//! | `journal` | what is taken, on disk |
//! | `pool` | what is to be proposed, in the order in which it was taken |
//! | `intake` | the task that stores what all connections receive, with one sync for several batches |
//! | `connection` | one client: frames in, replies out |
//! | `old_transport` | one client of the transport before: one request, one reply |
//! | `server` | the listeners, their bounds |
//! | `handed_over` | what nodes without a seat hand over |

mod batch;
mod bug_switches;
mod connection;
mod handed_over;
mod intake;
mod journal;
#[cfg(test)]
mod journal_tests;
mod old_transport;
mod pool;
#[cfg(test)]
mod pool_tests;
mod reply;
#[cfg(shuttle)]
pub mod schedules;
mod server;
mod taken;
#[cfg(test)]
pub(crate) mod testing;

pub use batch::{Batch, Refusal};
pub(crate) use handed_over::HandedOver;
pub use intake::{Intake, Submissions, intake};
pub(crate) use journal::Position;
pub use journal::{Answer, Journal, Phase};
pub(crate) use pool::Pool;
pub use server::{Server, Transport};
pub use taken::Submitter;
