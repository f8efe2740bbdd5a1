//! What a stranger does, if it does one thing only.

use serde::{Deserialize, Serialize};

/// What a stranger does at the port at which nodes talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// As a guest it takes as much as it gets, and asks for more than it reads.
    Flood,
    /// It greets as a member, with a key of its own.
    ClaimSeat,
    /// It repeats greetings of members.
    RepeatGreeting,
    /// It is on the way, and changes the epoch in greetings.
    AlterGreeting,
}
