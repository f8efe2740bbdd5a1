//! Accepts connections and says nothing: to its peers a validator that is there and never answers.

use super::{Context, Strategy};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{AuthorityIndex, VerifiedBlock},
};

pub(super) struct Silent;

impl Strategy for Silent {
    fn stream(&mut self, _: AuthorityIndex, _: &VerifiedBlock, _: &mut Context<'_>) -> Vec<Bytes> {
        vec![]
    }

    fn answer(
        &mut self,
        _: &PeerRequest,
        _: PeerResponse,
        _: &mut Context<'_>,
    ) -> Option<PeerResponse> {
        None
    }
}
