//! Prevents signing a round twice after a loss of unsynced writes: before the first proposal, peers are queried for
//! this authority's newest block (contract §6.5).

use super::{
    peer::Peer,
    protocol::{PeerRequest, PeerResponse},
    shared::{Command, Shared},
};
use crate::types::{AuthorityIndex, Committee, Epoch, Round, Stake, VerifiedBlock};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::{debug, info};

/// The first query of a process that a quorum answered. The disk may be older than what this authority did before the
/// process began. It cannot have signed in an epoch after the next one of any that the quorum knew then: a quorum that it
/// shares an honest member with has certified the beginning of that epoch, if its members are the same.
pub(crate) struct Asked {
    /// Of the epoch in which it was asked.
    committee: Arc<Committee>,
    /// The last epoch in which this authority may have signed.
    until: Epoch,
}

impl Asked {
    /// Whether this authority has signed nothing in this epoch before the process began. `between` are the committees of
    /// the epochs before it that this node remembers.
    pub fn precedes<'a>(
        &self,
        epoch: Epoch,
        between: impl IntoIterator<Item = &'a Committee>,
    ) -> bool {
        let asked_in = self.committee.epoch();
        let mut between = between.into_iter();
        let is_same = |committee: &Committee| {
            committee.epoch() < asked_in || committee.authorities().eq(self.committee.authorities())
        };
        epoch > self.until && between.all(is_same)
    }
}

/// Queries all peers concurrently until 2f+1 stake (including this authority) has answered, waits a little longer for
/// the others, and sends the result to the core.
pub(super) async fn recover(shared: Arc<Shared>, own: AuthorityIndex) {
    let (answer, mut answers) = mpsc::channel(shared.peers.len().max(1));
    for position in 0..shared.peers.len() {
        shared.spawn(ask(shared.clone(), position, own, answer.clone()));
    }
    drop(answer);
    let (committee, parameters) = (&shared.committee, &shared.parameters);
    let usual = Duration::from_millis(parameters.peer_retry_max_ms);
    let grace = Duration::from_millis(parameters.fetch_delay_ms);
    let mut stake: Stake = committee.stake(own);
    let mut newest = Round(0);
    let mut alarm = Box::pin(tokio::time::sleep(usual));
    loop {
        tokio::select! {
            biased;
            answered = answers.recv() => {
                // All peers have answered.
                let Some((peer, block)) = answered else { break };
                let had_quorum = stake >= committee.quorum();
                stake += committee.stake(peer);
                if stake >= committee.quorum() && !had_quorum {
                    alarm = Box::pin(tokio::time::sleep(grace));
                }
                if let Some(block) = block {
                    newest = newest.max(block.round);
                    let (from, blocks) = (peer, vec![block]);
                    if shared.commands.send(Command::Blocks { from, blocks }).await.is_err() {
                        return;
                    }
                }
            }
            () = &mut alarm => {
                if stake >= committee.quorum() {
                    break;
                }
                info!(
                    target: "[STARTUP]",
                    stake = stake.0,
                    quorum = committee.quorum().0,
                    "waiting for 2f+1 stake to return this authority's newest block before proposing"
                );
                alarm = Box::pin(tokio::time::sleep(usual));
            }
        }
    }
    let known = (*shared.newest_epoch.borrow()).max(committee.epoch());
    let _ = shared.asked.set(Asked {
        committee: committee.clone(),
        until: Epoch(known.0.saturating_add(1)),
    });
    info!(target: "[STARTUP]", stake = stake.0, round = %newest, "peers returned this authority's newest block");
    let _ = shared
        .commands
        .send(Command::LastProposedRound(newest))
        .await;
}

/// Queries one peer until it answers or the answer is not needed any more.
async fn ask(
    shared: Arc<Shared>,
    position: usize,
    own: AuthorityIndex,
    answer: mpsc::Sender<(AuthorityIndex, Option<VerifiedBlock>)>,
) {
    let peer: &Peer = &shared.peers[position];
    let retry = Duration::from_millis(shared.parameters.peer_retry_min_ms);
    let asking = async {
        loop {
            match peer.ask(&shared, &PeerRequest::NewestBlockOf(own)).await {
                Ok(PeerResponse::NewestBlock(block)) => break block,
                Ok(other) => {
                    debug!(peer = %peer.index, ?other, "expected the newest block, found another answer")
                }
                Err(error) => {
                    debug!(peer = %peer.index, %error, "cannot query the own newest block")
                }
            }
            tokio::time::sleep(retry).await;
        }
    };
    let block = tokio::select! {
        biased;
        () = answer.closed() => return,
        block = asking => block,
    };
    let blocks = shared.verify(peer.index, block.into_iter().collect());
    let newest = blocks.into_iter().find(|block| block.author == own);
    let _ = answer.send((peer.index, newest)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::test_dag::TestDag;

    #[test]
    fn an_epoch_is_later_only_beyond_what_the_same_members_knew() {
        let committee =
            |epoch, stakes: &[u64]| TestDag::with_stakes(Epoch(epoch), stakes).committee;
        let asked = Asked {
            committee: committee(3, &[1, 1, 1]),
            until: Epoch(5),
        };
        let same: Vec<_> = (2..6).map(|epoch| committee(epoch, &[1, 1, 1])).collect();
        let precedes = |epoch, between: &[Arc<Committee>]| {
            asked.precedes(Epoch(epoch), between.iter().map(|committee| &**committee))
        };
        assert!(!precedes(5, &same) && precedes(6, &same));
        let changed = [&same[..3], &[committee(5, &[1, 2, 1])]].concat();
        assert!(!precedes(6, &changed));
        let before = [&[committee(2, &[7])], &same[1..]].concat();
        assert!(precedes(6, &before), "whoever was a member earlier");
    }
}
