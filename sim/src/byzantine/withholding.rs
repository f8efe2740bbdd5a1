//! Sends each block to some peers only. These build on it, and the others must fetch it from them: the author does not
//! answer.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::consensus::protocol::{PeerRequest, PeerResponse};

pub(super) struct Withholding;

impl Strategy for Withholding {
    fn stream(&mut self, Sent { honest, .. }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        match context.one_in(2) {
            true => vec![honest.bytes().clone()],
            false => vec![],
        }
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        match asked.request {
            PeerRequest::Blocks(_) if context.one_in(2) => Some(PeerResponse::Blocks(vec![])),
            PeerRequest::Blocks(_) => None,
            PeerRequest::Commits { .. } | PeerRequest::NewestBlockOf(_) => Some(asked.honest),
        }
    }
}
