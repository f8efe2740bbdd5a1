//! Sockets of the operating system for conversations with real processes: blocking, each wait with a deadline.
//!
//! The program that simulates has tokio only inside of a simulation, so this is the standard library. Nothing here
//! knows what the frames contain.
//!
//! | module | content |
//! |---|---|
//! | `deadline` | deadlines and the time of day |
//! | `socket` | connections over Unix sockets and TCP |
//! | `listener` | listening on either |

mod deadline;
mod listener;
mod socket;

pub(crate) use deadline::{Deadline, now_ms, pause};
pub use listener::ListenError;
pub(crate) use listener::LiveListener;
pub use socket::LiveError;
pub(crate) use socket::{LiveSocket, Polled};
