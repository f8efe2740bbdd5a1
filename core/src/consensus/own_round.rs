//! Never sign a round twice, also after losing what was written: before the first proposal, peers are asked for the
//! newest block of this authority that they know (contract §6.5).

use super::{
    protocol::{PeerRequest, PeerResponse},
    shared::{Command, Shared},
};
use crate::types::{AuthorityIndex, Round, Stake};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tracing::info;

/// Asks until 2f+1 stake (this authority included) has answered, then tells the core.
pub(super) async fn learn_own_round(shared: Arc<Shared>, own_index: AuthorityIndex) {
    let mut answered = BTreeSet::from([own_index]);
    let mut newest = Round(0);
    loop {
        for peer in &shared.peers {
            if answered.contains(&peer.index) {
                continue;
            }
            let request = PeerRequest::NewestBlockOf(own_index);
            let Ok(PeerResponse::NewestBlock(block)) = peer.ask(&shared, &request).await else {
                continue;
            };
            let blocks = shared.verify(peer.index, block.into_iter().collect());
            answered.insert(peer.index);
            if let Some(own) = blocks.into_iter().find(|b| b.author == own_index) {
                newest = newest.max(own.round);
                if shared
                    .commands
                    .send(Command::Blocks(vec![own]))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
        let stake: Stake = answered.iter().map(|i| shared.committee.stake(*i)).sum();
        if stake >= shared.committee.quorum() {
            break;
        }
        info!(
            target: "[STARTUP]",
            answered = answered.len(),
            committee = shared.committee.size(),
            "waiting for peers to tell what this authority signed before it proposes"
        );
        let retry = Duration::from_millis(shared.parameters.peer_retry_min_ms);
        tokio::time::sleep(retry).await;
    }
    let _ = shared.commands.send(Command::OwnRound(newest)).await;
}
