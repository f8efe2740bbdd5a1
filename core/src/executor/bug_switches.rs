//! Where the [known bugs](crate::bugs) of the executor's sockets are switched on. With no bug enabled, everything is
//! passed on as it is.

use super::RpcError;
use crate::bugs::{self, KnownBug};

/// Whether a connection may be used again although the exchange on it failed.
pub(super) fn is_reused_after<T>(exchanged: &Result<T, RpcError>) -> bool {
    let is_late = matches!(exchanged, Err(RpcError::Timeout { .. }));
    is_late && bugs::enabled(KnownBug::LateReplyAnswersNextRequest)
}

/// Whether a Unix path that is in use may be one that a crash left behind.
pub(super) fn may_be_stale(in_use: bool) -> bool {
    in_use && !bugs::enabled(KnownBug::StaleSocketRefusesBind)
}
