//! Byzantine validators: members of the committee with real keys that deviate from the protocol. At most f of 3f+1 in a
//! run.
//!
//! A Byzantine validator has no node. In its place runs a [process](process::run) that subscribes to its peers and
//! builds the block of every round as a node does. Then its [`ByzantineStrategy`] decides what each peer gets instead.
//! There is one file per strategy; its decisions depend only on received blocks and a random stream. Most strategies play
//! one role; a [program](Move) is a list of moves that the seed draws.
//!
//! A Byzantine validator knows only its own keys, the committees and what others sent to it. It emits no events; its
//! effects are visible in the events of honest nodes.

mod context;
mod equivocating;
mod flooding;
mod forging;
mod invalid;
mod lying;
mod memory;
mod process;
mod program;
mod programmed;
mod silent;
#[cfg(test)]
mod testing;
mod withholding;

pub use program::{
    Ancestors, Answers, Audience, BlockRound, Extra, Move, Payload, Signature, Votes, Welcomes,
};

pub(crate) use process::{Identity, Setup, run};

use bytes::Bytes;
use context::Context;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{AuthorityIndex, Chain, Epoch, VerifiedBlock},
};
use programmed::{Programmed, Surroundings};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a Byzantine validator deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByzantineStrategy {
    /// Signs several blocks for a round and sends different ones to different peers.
    Equivocating,
    /// Sends its blocks to some peers only, and does not answer requests for them.
    Withholding,
    /// Sends invalid blocks, and valid blocks with unusual contents.
    Invalid,
    /// Sends blocks with forged signatures.
    Forging,
    /// Names ancestors that do not exist, are too old, or too few.
    Lying,
    /// Sends many further blocks: for the same round, for old rounds, for rounds far ahead.
    Flooding,
    /// Accepts connections and sends nothing.
    Silent,
    /// Does what its program says.
    Program,
}

impl ByzantineStrategy {
    pub const ALL: &'static [Self] = &[
        Self::Equivocating,
        Self::Withholding,
        Self::Invalid,
        Self::Forging,
        Self::Lying,
        Self::Flooding,
        Self::Silent,
        Self::Program,
    ];
}

/// One Byzantine validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByzantinePlan {
    pub validator: u16,
    pub strategy: ByzantineStrategy,
    /// The moves of [`ByzantineStrategy::Program`]; empty for the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub program: Vec<Move>,
}

impl ByzantinePlan {
    fn new_strategy(&self, surroundings: Surroundings) -> Box<dyn Strategy> {
        use ByzantineStrategy as Is;
        match self.strategy {
            Is::Equivocating => Box::<equivocating::Equivocating>::default(),
            Is::Withholding => Box::new(withholding::Withholding),
            Is::Invalid => Box::new(invalid::Invalid),
            Is::Forging => Box::new(forging::Forging),
            Is::Lying => Box::new(lying::Lying),
            Is::Flooding => Box::new(flooding::Flooding),
            Is::Silent => Box::new(silent::Silent),
            Is::Program => Box::new(Programmed::new(self.program.clone(), surroundings)),
        }
    }
}

/// f of 3f+1: the number of validators that may be Byzantine.
#[must_use]
pub const fn most_byzantine(validators: u16) -> u16 {
    validators.saturating_sub(1) / 3
}

/// A block for a peer.
#[derive(Clone, Copy)]
struct Sent<'a> {
    to: AuthorityIndex,
    /// What an honest validator sends to every peer.
    honest: &'a VerifiedBlock,
}

/// A request of a peer.
struct Asked<'a> {
    request: &'a PeerRequest,
    /// What an honest validator answers.
    honest: PeerResponse,
}

/// What a caller is told at the begin of a connection.
#[derive(Clone, Copy)]
struct Welcomed {
    chain: Chain,
    /// The newest epoch that the listener has entered.
    newest_epoch: Epoch,
}

/// The decisions of a Byzantine validator.
trait Strategy: Send {
    /// What the peer gets instead of the honest block.
    fn stream(&mut self, sent: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes>;

    /// The answer instead of the honest one. `None`: no answer, ever.
    fn answer(&mut self, asked: Asked<'_>, _: &mut Context<'_>) -> Option<PeerResponse> {
        Some(asked.honest)
    }

    /// What a caller is told instead of the truth. `None`: nothing, ever.
    fn welcome(&mut self, honest: Welcomed) -> Option<Welcomed> {
        Some(honest)
    }

    /// The time until the answer is sent.
    fn delay(&self, _: &mut Context<'_>) -> Duration {
        Duration::ZERO
    }
}
