//! Accepts connections and says nothing: to its peers a validator that is there and never answers.

use super::{Conduct, Craft};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{AuthorityIndex, VerifiedBlock},
};

pub(super) struct Silent;

impl Conduct for Silent {
    fn stream(&mut self, _: AuthorityIndex, _: &VerifiedBlock, _: &mut Craft<'_>) -> Vec<Bytes> {
        vec![]
    }

    fn answer(
        &mut self,
        _: &PeerRequest,
        _: PeerResponse,
        _: &mut Craft<'_>,
    ) -> Option<PeerResponse> {
        None
    }
}
