//! Switches of the [known bugs](crate::bugs) of the executor's sockets and answers. With no bug enabled, a failed
//! connection is not reused and arguments are returned unchanged.

use super::{RpcError, validators::ValidatorError};
use crate::{
    bugs::{self, KnownBug},
    config::WatermarkSource,
    types::{Authority, CommitteeError, Epoch},
};

/// Whether a connection is reused although this exchange on it failed.
pub(super) fn is_reused_after<T>(exchanged: &Result<T, RpcError>) -> bool {
    let is_late = matches!(exchanged, Err(RpcError::Timeout { .. }));
    is_late && bugs::enabled(KnownBug::LateReplyAnswersNextRequest)
}

/// Which number of the executor is W.
pub(super) fn source(configured: WatermarkSource) -> WatermarkSource {
    match bugs::enabled(KnownBug::BlockNumberTakenForGei) {
        true => WatermarkSource::LastBlockNumber,
        false => configured,
    }
}

/// Whether a Unix path that is in use may be the stale one of a crashed process.
pub(super) fn may_be_stale(in_use: bool) -> bool {
    in_use && !bugs::enabled(KnownBug::StaleSocketRefusesBind)
}

/// Validators that cannot be members are left out.
///
/// # Errors
/// With the bug, if there are any: the whole set counts as none.
pub(super) fn may_leave_out(left_out: &[ValidatorError]) -> Result<(), CommitteeError> {
    let fails = !left_out.is_empty() && bugs::enabled(KnownBug::UnusableValidatorEndsTheNode);
    match fails {
        true => Err(CommitteeError::Empty(Epoch(0))),
        false => Ok(()),
    }
}

/// An authority of a committee, whose order is that of the authority keys.
pub(super) fn authority(mut authority: Authority) -> Authority {
    if bugs::enabled(KnownBug::CommitteeByProtocolKey) {
        authority.authority_key = authority.protocol_key.0.to_vec();
    }
    authority
}
