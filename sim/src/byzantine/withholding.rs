//! Sends each block to some peers only. Those build on it, and the others have to get it from somebody: the author, who
//! should have it, does not give it away.

use super::{Conduct, Craft};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{AuthorityIndex, VerifiedBlock},
};

pub(super) struct Withholding;

impl Conduct for Withholding {
    fn stream(
        &mut self,
        _: AuthorityIndex,
        honest: &VerifiedBlock,
        craft: &mut Craft<'_>,
    ) -> Vec<Bytes> {
        match craft.one_in(2) {
            true => vec![honest.bytes().clone()],
            false => vec![],
        }
    }

    fn answer(
        &mut self,
        request: &PeerRequest,
        honest: PeerResponse,
        craft: &mut Craft<'_>,
    ) -> Option<PeerResponse> {
        match request {
            PeerRequest::Blocks(_) if craft.one_in(2) => Some(PeerResponse::Blocks(vec![])),
            PeerRequest::Blocks(_) => None,
            PeerRequest::Commits { .. } | PeerRequest::NewestBlockOf(_) => Some(honest),
        }
    }
}
