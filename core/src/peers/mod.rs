//! Who may speak, and who is ahead: authenticated and encrypted connections between nodes, what each of them may take, and
//! what a node knows of the executors of its peers (contract §10).
//!
//! | module | contains |
//! |---|---|
//! | `greeting` | the first messages, which are not encrypted |
//! | `handshake` | Noise: proofs of network keys (pure) |
//! | `readable` | cryptography that a simulation can read |
//! | `secure_stream` | the encrypted stream |
//! | `sessions` | from a connected socket to an authenticated stream, at both ends |
//! | `admission` | the connections of a listener: which may stay, and what each may take |
//! | `places` | how many connections each peer may have (pure) |
//! | `rate` | how much each peer may take (pure) |
//! | [`discovery`] | asks the executors of peers for epoch and block, says whether the own one is behind, and notices a fork |
//!
//! Must not know what the streams carry.

mod admission;
pub(crate) mod bug_switches;
pub mod discovery;
mod greeting;
mod handshake;
mod places;
mod rate;
mod readable;
mod secure_stream;
mod sessions;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Admission, Place};
pub use greeting::{HandshakeReply, Hello, PLAIN_FRAMING, RetainedEpochs, Welcome};
pub use handshake::SharedRandom;
pub(crate) use places::{Kind, NoPlace};
pub use secure_stream::SecureStream;
pub use sessions::{Accepted, Caller, SessionError, Sessions, read_hello, refuse};
