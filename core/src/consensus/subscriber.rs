//! The subscription to one peer's blocks, which reconnects and resumes for ever.

use super::{
    protocol::Purpose,
    shared::{Command, Shared},
};
use crate::{
    backoff::Backoff,
    consensus::peer::{Peer, PeerError},
    env::{IdleTimeout, NodeEvent},
    framing::read_frame,
    peers::SessionError,
    types::Round,
};
use rand_core::Rng;
use std::{sync::Arc, time::Duration};
use tracing::debug;

/// Keeps a subscription to the peer at `position`, for ever.
pub(super) async fn subscribe(shared: Arc<Shared>, position: usize) {
    let peer = &shared.peers[position];
    let mut jitter = shared
        .env
        .entropy
        .stream(&format!("consensus/subscribe/{}", peer.index));
    let parameters = &shared.parameters;
    let mut backoff = Backoff::new(parameters.peer_retry_min_ms, parameters.peer_retry_max_ms);
    // Why there is no session with the peer: the log says it once.
    let mut refused = None;
    loop {
        let idle = IdleTimeout::default();
        // A separate task, so that received bytes wake only the reader and not the idle timeout.
        let reading = read_blocks(shared.clone(), position, idle.clone());
        let mut reading = shared.tasks.spawn(reading);
        tokio::select! {
            biased;
            ended = &mut reading => {
                let (has_read, refusal) = ended.unwrap_or_default();
                if has_read {
                    backoff.reset();
                    refused = None;
                }
                if let Some(refusal) = refusal
                    && refused.as_ref() != Some(&refusal)
                {
                    refused = Some(refusal.clone());
                    shared.env.emit(refusal);
                }
            }
            // A peer that does not propose is silent, too. When it proposes again, nobody may still be waiting.
            () = idle.elapsed(parameters.peer_silence_ms) => {
                reading.abort();
                backoff.reset();
            }
        }
        let pause = backoff.pause();
        // Not all nodes at once.
        let jitter_ms = u64::from(jitter.next_u32()) % (pause.as_millis() as u64).max(1);
        tokio::time::sleep(pause + Duration::from_millis(jitter_ms)).await;
    }
}

/// The rounds of a stream do not fall, or a peer could send what was verified before without end. It has two blocks of a
/// round if its disk was restored in between.
struct Ascending {
    last: Round,
    blocks: u8,
}

impl Ascending {
    const BLOCKS_PER_ROUND: u8 = 2;

    const fn above(after: Round) -> Self {
        Self {
            last: after,
            blocks: Self::BLOCKS_PER_ROUND,
        }
    }

    fn next(&mut self, found: Round) -> Result<(), PeerError> {
        if found > self.last {
            (self.last, self.blocks) = (found, 1);
        } else if found == self.last && self.blocks < Self::BLOCKS_PER_ROUND {
            self.blocks += 1;
        } else {
            let after = self.last;
            return Err(PeerError::NotAscending { after, found });
        }
        Ok(())
    }
}

/// Reads blocks until the connection ends. Returns whether there were any, and why an operator should look at the peer.
async fn read_blocks(
    shared: Arc<Shared>,
    position: usize,
    idle: IdleTimeout,
) -> (bool, Option<NodeEvent>) {
    let peer = &shared.peers[position];
    let mut has_read = false;
    match try_read_blocks(&shared, peer, &idle, &mut has_read).await {
        Ok(()) => {}
        Err(PeerError::NoSession(SessionError::OtherChain { difference })) => {
            let peer = peer.index.0;
            return (
                has_read,
                Some(NodeEvent::PeerOfOtherChain { peer, difference }),
            );
        }
        Err(PeerError::NoSession(
            error @ (SessionError::OtherKey { .. } | SessionError::UnusableKey { .. }),
        )) => {
            let (peer, reason) = (peer.index.0, error.to_string());
            return (
                has_read,
                Some(NodeEvent::PeerNotAuthenticated { peer, reason }),
            );
        }
        Err(error) => debug!(peer = %peer.index, %error, "subscription"),
    }
    (has_read, None)
}

async fn try_read_blocks(
    shared: &Shared,
    peer: &Peer,
    idle: &IdleTimeout,
    has_read: &mut bool,
) -> Result<(), PeerError> {
    let after = shared.wanted_after(peer.index);
    let subscription = Purpose::Subscribe { after };
    let (mut stream, mut decoder) = peer.connect(shared, subscription, &[], idle).await?;
    let _subscribed = shared.levels.subscribed();
    let mut ascending = Ascending::above(after);
    loop {
        let body = read_frame(&mut stream, &mut decoder).await?;
        let body = body.ok_or(PeerError::Closed)?;
        let mut blocks = shared.verify(peer.index, vec![body]);
        blocks.retain(|block| {
            let own = block.author == peer.index;
            if !own {
                shared.env.emit(NodeEvent::Rejected {
                    from: peer.index.0,
                    reason: format!(
                        "it streamed {}, a block of another author",
                        block.reference()
                    ),
                });
            }
            own
        });
        let Some(newest) = blocks.last().map(|block| block.round) else {
            return Err(PeerError::InvalidBlock);
        };
        ascending.next(newest)?;
        *has_read = true;
        let from = peer.index;
        if shared
            .commands
            .send(Command::Blocks { from, blocks })
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_up_and_has_two_blocks_of_a_round_at_most() {
        let accepted = |rounds: &[u32]| {
            let mut ascending = Ascending::above(Round(3));
            let mut rounds = rounds.iter();
            rounds.all(|round| ascending.next(Round(*round)).is_ok())
        };
        assert!(accepted(&[4, 5, 5, 9]));
        for refused in [&[3][..], &[5, 4], &[5, 5, 5]] {
            assert!(!accepted(refused), "{refused:?}");
        }
    }
}
