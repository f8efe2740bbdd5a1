//! Switches of the [known bugs](crate::bugs) of peer discovery. With no bug enabled, the first argument is returned unchanged.

use super::compare::{Compared, by_blocks, needed};
use crate::{
    bugs::{self, KnownBug},
    types::{BestPeer, ChainPosition, Standing, Support, UnknownBecause},
};

/// The best peer.
pub(super) fn best(best: Option<BestPeer>, compared: &Compared<'_>) -> Option<BestPeer> {
    let chosen = if bugs::enabled(KnownBug::BestPeerByFirstAnswer) {
        compared.answers.first()
    } else if bugs::enabled(KnownBug::FurthestClaimBelieved) {
        compared.answers.iter().max_by_key(|answer| answer.position)
    } else {
        return best;
    };
    chosen.map(|answer| BestPeer {
        peer: answer.peer,
        position: answer.position,
        support: Support::Peers {
            peers: needed(compared.peers),
        },
    })
}

/// Where the own executor stands.
pub(super) fn standing(
    standing: Standing,
    best: Option<&BestPeer>,
    own: Option<ChainPosition>,
) -> Standing {
    let is_unanswered = standing == Standing::Unknown(UnknownBecause::NoAnswer);
    if is_unanswered && bugs::enabled(KnownBug::NoAnswerReadsAsInSync) {
        return Standing::InSync;
    }
    match (standing, best, own) {
        (Standing::Behind(_), Some(best), Some(own))
            if bugs::enabled(KnownBug::GapAcrossEpochs) =>
        {
            by_blocks(own, best.position)
        }
        _ => standing,
    }
}

/// How many peers have to report another state root, so that the node stops.
pub(super) fn forking(needed: u16) -> u16 {
    match bugs::enabled(KnownBug::OnePeerStopsTheNode) {
        true => 1,
        false => needed,
    }
}
