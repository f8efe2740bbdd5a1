//! The subscription to one peer's blocks, which reconnects and resumes for ever.

use super::{
    protocol::Purpose,
    shared::{Command, Shared},
};
use crate::{
    backoff::Backoff,
    consensus::peer::{Peer, PeerError},
    env::{IdleTimeout, NodeEvent},
    excerpt::excerpt,
    framing::read_frame,
    peers::SessionError,
    reminder::Reminder,
    types::{AuthorityIndex, EpochEnding, Round},
};
use rand_core::Rng;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::debug;

/// The time after which it is told that a peer sends no blocks. It doubles.
const TELL_SILENCE_MS: u64 = 10_000;

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
    let mut silence = Reminder::new(TELL_SILENCE_MS, 0);
    loop {
        let idle = IdleTimeout::default();
        let has_read = Arc::new(HasRead {
            blocks: AtomicBool::new(false),
            silence_was_told: silence.is_told(),
        });
        // A separate task, so that received bytes wake only the reader and not the idle timeout.
        let reading = read_blocks(shared.clone(), position, idle.clone(), has_read.clone());
        let mut reading = shared.tasks.spawn(reading);
        let ended = tokio::select! {
            biased;
            ended = &mut reading => ended.unwrap_or(PeerError::Closed),
            // A peer that does not propose is silent, too. When it proposes again, nobody may still be waiting.
            () = idle.elapsed(parameters.peer_silence_ms) => {
                reading.abort();
                backoff.reset();
                let timeout_ms = parameters.peer_silence_ms;
                PeerError::Idle { timeout_ms }
            }
        };
        if has_read.blocks.load(Ordering::Relaxed) {
            backoff.reset();
            refused = None;
            silence.over();
        }
        if let Some(refusal) = refusal(peer.index, &ended)
            && refused.as_ref() != Some(&refusal)
        {
            refused = Some(refusal.clone());
            shared.env.emit(refusal);
        }
        tell(&shared, peer.index, &mut silence, &ended);
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

/// Whether a subscription has brought blocks.
struct HasRead {
    blocks: AtomicBool,
    /// It was told that the peer sends none.
    silence_was_told: bool,
}

/// Why an operator should look at the peer.
fn refusal(peer: AuthorityIndex, ended: &PeerError) -> Option<NodeEvent> {
    let PeerError::NoSession(error) = ended else {
        return None;
    };
    let peer = peer.0;
    match error {
        SessionError::OtherChain { difference } => Some(NodeEvent::PeerOfOtherChain {
            peer,
            difference: difference.clone(),
        }),
        SessionError::OtherKey { .. } | SessionError::UnusableKey { .. } => {
            let reason = error.to_string();
            Some(NodeEvent::PeerNotAuthenticated { peer, reason })
        }
        _ => None,
    }
}

/// Tells of a peer that sends no blocks. In an epoch of which this node has the end, none are expected. What peers say of
/// epochs is no reason to be silent: one of them could keep all warnings back.
fn tell(shared: &Shared, peer: AuthorityIndex, silence: &mut Reminder, ended: &PeerError) {
    if shared.progress.borrow().ending != EpochEnding::No {
        silence.over();
    } else if let Some(for_ms) = silence.lasts(shared.elapsed_ms()) {
        shared.env.emit(NodeEvent::PeerSilent {
            peer: peer.0,
            for_ms,
            reason: excerpt(&ended.to_string()),
        });
    }
}

/// Reads blocks until the connection ends. Returns why it has.
async fn read_blocks(
    shared: Arc<Shared>,
    position: usize,
    idle: IdleTimeout,
    has_read: Arc<HasRead>,
) -> PeerError {
    let peer = &shared.peers[position];
    let Err(error) = try_read_blocks(&shared, peer, &idle, &has_read).await;
    debug!(peer = %peer.index, %error, "subscription");
    error
}

async fn try_read_blocks(
    shared: &Shared,
    peer: &Peer,
    idle: &IdleTimeout,
    has_read: &HasRead,
) -> Result<Infallible, PeerError> {
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
        let from = peer.index;
        if !has_read.blocks.swap(true, Ordering::Relaxed) && has_read.silence_was_told {
            let peer = from.0;
            shared.env.emit(NodeEvent::PeerHeardAgain { peer });
        }
        let command = Command::Blocks { from, blocks };
        if shared.commands.send(command).await.is_err() {
            // Consensus has ended.
            std::future::pending::<()>().await;
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
