//! Events about the executors of peers (contract §10), in the log under `[PEER EPOCH]`.

use super::for_people;
use crate::types::{BestPeer, ChainPosition, GlobalExecIndex, Standing, StateRoot};
use derive_more::Display;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Events about the executors of peers. `peer` is the place of one in the configuration, from 0.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerEvent {
    /// The executors of peers are asked for epoch and block (contract §10.1), all at once.
    #[display("asks {peers} peers for epoch and block")]
    Asked { peers: u16 },
    /// A peer answered. `peer` is its place in the configuration, from 0.
    #[display("learns that peer {peer} ({address}) is at {position}")]
    Answered {
        peer: u16,
        #[serde(serialize_with = "for_people")]
        address: String,
        position: ChainPosition,
    },
    /// A peer did not answer in time, or with something else.
    #[display("has no answer of peer {peer} ({address}): {reason}")]
    Silent {
        peer: u16,
        #[serde(serialize_with = "for_people")]
        address: String,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The answers of all peers were compared with the position of the own executor.
    #[display("is {standing}: {answered} of {peers} peers have answered, {}", Positions { own, best, address })]
    Compared {
        standing: Standing,
        peers: u16,
        answered: u16,
        /// Of the own executor, when the peers had answered.
        own: Option<ChainPosition>,
        /// Of the last commit that the node has stored itself.
        stored: Option<ChainPosition>,
        best: Option<BestPeer>,
        /// That of the best peer.
        #[serde(serialize_with = "for_people")]
        address: String,
    },
    /// The own executor is behind the best peer, as in the comparison before. The speed is that of the last rounds;
    /// `remaining_ms` is missing if the gap does not become smaller.
    #[display("catches up: {remaining_blocks} blocks are left, {blocks_per_second} are executed per second, {}", TimeLeft(*remaining_ms))]
    CatchingUp {
        remaining_blocks: u64,
        blocks_per_second: u64,
        remaining_ms: Option<u64>,
    },
    /// Executors of peers report another state root than the own one. If `needed` do, the node stops (contract §10.5).
    #[display(
        "sees that after block {block} {peers} peers have state root {other} and its own executor {own}: {needed} would \
        prove a fork"
    )]
    RootsDiffer {
        block: GlobalExecIndex,
        own: StateRoot,
        other: StateRoot,
        peers: u16,
        needed: u16,
    },
    /// Peers are configured and not asked.
    #[display("does not ask {peers} peers for epoch and block, because {reason}")]
    Skipped {
        peers: u16,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}

/// The time that catching up takes.
struct TimeLeft(Option<u64>);

impl fmt::Display for TimeLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => write!(f, "which takes {} s more", ms.div_ceil(1_000)),
            None => f.write_str("and the chain grows as fast or faster"),
        }
    }
}

/// The positions of a comparison.
struct Positions<'a> {
    own: &'a Option<ChainPosition>,
    best: &'a Option<BestPeer>,
    address: &'a str,
}

impl fmt::Display for Positions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.own {
            Some(own) => write!(f, "the own executor is at {own}")?,
            None => f.write_str("the own executor has not answered")?,
        }
        match self.best {
            Some(BestPeer {
                peer,
                position,
                support,
            }) => {
                let address = self.address;
                write!(
                    f,
                    ", the best is peer {peer} ({address}) at {position}: {support}"
                )
            }
            None => Ok(()),
        }
    }
}
