//! The secrets of a session between nodes.

use crate::types::Epoch;

/// The secret keys of one session, for a witness that has to read it. They never leave a process in production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKeys {
    /// The caller's ephemeral public key, with which its first message begins.
    pub session: [u8; 32],
    /// For which the end that tells the keys has established the session.
    pub epoch: Epoch,
    pub from_caller: [u8; 32],
    pub from_listener: [u8; 32],
}
