//! Never sign a round twice, also after losing what was written: before the first proposal, peers are asked for the
//! newest block of this authority that they know (contract §6.5).

use super::{
    peer::Peer,
    protocol::{PeerRequest, PeerResponse},
    shared::{Command, Shared},
};
use crate::types::{AuthorityIndex, Round, Stake, VerifiedBlock};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::info;

/// Asks all peers at once until 2f+1 stake (this authority included) has answered, then tells the core.
pub(super) async fn learn_own_round(shared: Arc<Shared>, own: AuthorityIndex) {
    info!(
        target: "[STARTUP]",
        committee = shared.committee.size(),
        "asking peers what this authority signed before it proposes"
    );
    let (answer, mut answers) = mpsc::channel(shared.peers.len().max(1));
    for position in 0..shared.peers.len() {
        shared.spawn(ask(shared.clone(), position, own, answer.clone()));
    }
    drop(answer);
    let mut stake: Stake = shared.committee.stake(own);
    let mut newest = Round(0);
    while stake < shared.committee.quorum() {
        let Some((peer, block)) = answers.recv().await else {
            return;
        };
        stake += shared.committee.stake(peer);
        info!(
            target: "[STARTUP]",
            %peer,
            stake = stake.0,
            quorum = shared.committee.quorum().0,
            "a peer told what this authority signed"
        );
        if let Some(block) = block {
            newest = newest.max(block.round);
            let blocks = Command::Blocks(vec![block]);
            if shared.commands.send(blocks).await.is_err() {
                return;
            }
        }
    }
    let _ = shared.commands.send(Command::OwnRound(newest)).await;
}

/// Asks one peer until it answers, or until nobody needs its answer any more.
async fn ask(
    shared: Arc<Shared>,
    position: usize,
    own: AuthorityIndex,
    answer: mpsc::Sender<(AuthorityIndex, Option<VerifiedBlock>)>,
) {
    let peer: &Peer = &shared.peers[position];
    let retry = Duration::from_millis(shared.parameters.peer_retry_min_ms);
    while !answer.is_closed() {
        let request = PeerRequest::NewestBlockOf(own);
        if let Ok(PeerResponse::NewestBlock(block)) = peer.ask(&shared, &request).await {
            let blocks = shared.verify(peer.index, block.into_iter().collect());
            let newest = blocks.into_iter().find(|block| block.author == own);
            let _ = answer.send((peer.index, newest)).await;
            return;
        }
        tokio::time::sleep(retry).await;
    }
}
