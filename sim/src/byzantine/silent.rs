//! Accepts connections and never sends anything.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::consensus::protocol::PeerResponse;

pub(super) struct Silent;

impl Strategy for Silent {
    fn stream(&mut self, _: Sent<'_>, _: &mut Context<'_>) -> Vec<Bytes> {
        vec![]
    }

    fn answer(&mut self, _: Asked<'_>, _: &mut Context<'_>) -> Option<PeerResponse> {
        None
    }
}
