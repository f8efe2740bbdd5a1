//! Switches of the [known bugs](crate::bugs) of connections between nodes. With no bug enabled, arguments are returned
//! unchanged.

use super::{admission::Place, places::Kind, sessions::Caller};
use crate::{
    bugs::{self, KnownBug},
    types::{AuthorityIndex, Epoch},
};

/// The epoch to which a handshake is bound.
pub(super) fn bound(epoch: Epoch) -> Epoch {
    match bugs::enabled(KnownBug::HandshakeWithoutEpoch) {
        true => Epoch(0),
        false => epoch,
    }
}

/// Who calls, and says that it is `claimed`.
pub(super) fn caller(proven: Caller, claimed: Option<AuthorityIndex>) -> Caller {
    match claimed {
        Some(seat) if bugs::enabled(KnownBug::SeatFromGreeting) => Caller {
            // All that claim to be this member share its places.
            key: [seat.0.to_le_bytes()[0]; 32],
            seat: Some(seat),
        },
        _ => proven,
    }
}

/// The first message of a handshake has come, from somebody who has proven nothing. Returns whether another connection has
/// to go for it.
pub(crate) fn has_begun(place: &Place, caller: Caller) -> bool {
    bugs::enabled(KnownBug::FirstMessageIsProof)
        && place.prove(caller, Kind::Subscription).unwrap_or(false)
}

/// Whether a caller is treated like a member.
pub(super) fn is_member(is_member: bool) -> bool {
    is_member || bugs::enabled(KnownBug::GuestCountsAsMember)
}
