//! Switches of the [known bugs](crate::bugs) of connections between nodes. With no bug enabled, arguments are returned
//! unchanged.

use super::{places::Seat, sessions::Caller};
use crate::{
    bugs::{self, KnownBug},
    types::AuthorityIndex,
};

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

/// The seat that a caller has before it has sent anything that is encrypted.
pub(super) fn unproven(seat: Seat) -> Seat {
    match bugs::enabled(KnownBug::FirstMessageIsProof) {
        true => seat,
        false => Seat::Pending,
    }
}

/// Whether a caller is treated like a member.
pub(super) fn is_member(is_member: bool) -> bool {
    is_member || bugs::enabled(KnownBug::GuestCountsAsMember)
}
