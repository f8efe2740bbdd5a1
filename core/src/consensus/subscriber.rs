//! Receiving one peer's blocks: a subscription that resumes where it broke, for ever.

use super::{
    protocol::Purpose,
    shared::{Command, Shared},
};
use crate::{consensus::peer::Peer, env::NodeEvent, executor::framing::read_frame};
use rand_core::Rng;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tracing::debug;

/// Subscribes to the peer at `position` for ever.
pub(super) async fn subscribe(shared: Arc<Shared>, position: usize) {
    let peer = &shared.peers[position];
    let mut jitter = shared
        .env
        .entropy
        .stream(&format!("consensus/subscribe/{}", peer.index));
    let parameters = &shared.parameters;
    let mut backoff_ms = parameters.peer_retry_min_ms;
    loop {
        let received = Arc::new(AtomicU64::new(0));
        let reading = read_blocks(shared.clone(), position, received.clone());
        let reading = shared.tasks.spawn(reading);
        watch_for_silence(&received, parameters.peer_silence_ms, || {
            reading.is_finished()
        })
        .await;
        reading.abort();
        if received.load(Ordering::Relaxed) > 0 {
            backoff_ms = parameters.peer_retry_min_ms;
        }
        let wait_ms = backoff_ms + u64::from(jitter.next_u32()) % backoff_ms.max(1);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        backoff_ms = (backoff_ms * 2).min(parameters.peer_retry_max_ms);
    }
}

/// Returns when the stream has ended, or has been silent for too long: a host that lost its power says nothing.
async fn watch_for_silence(received: &AtomicU64, silence_ms: u64, ended: impl Fn() -> bool) {
    let mut seen = received.load(Ordering::Relaxed);
    let mut silent_ms = 0;
    // Looked at in steps, so that an end is noticed soon and a live stream costs no timers.
    let step_ms = (silence_ms / 20).max(1);
    while !ended() && silent_ms < silence_ms {
        tokio::time::sleep(Duration::from_millis(step_ms)).await;
        let now = received.load(Ordering::Relaxed);
        silent_ms = if now == seen { silent_ms + step_ms } else { 0 };
        seen = now;
    }
}

async fn read_blocks(shared: Arc<Shared>, position: usize, received: Arc<AtomicU64>) {
    let peer = &shared.peers[position];
    if let Err(reason) = try_read_blocks(&shared, peer, &received).await {
        debug!(peer = %peer.index, %reason, "subscription");
    }
}

async fn try_read_blocks(shared: &Shared, peer: &Peer, received: &AtomicU64) -> Result<(), String> {
    let after = shared.wanted_after(peer.index);
    let (mut stream, mut decoder) = peer.connect(shared, Purpose::Subscribe { after }).await?;
    loop {
        let Some(body) = read_frame(&mut stream, &mut decoder)
            .await
            .map_err(|e| e.to_string())?
        else {
            return Err("the peer closed it".to_owned());
        };
        received.fetch_add(1, Ordering::Relaxed);
        let mut blocks = shared.verify(peer.index, vec![body]);
        blocks.retain(|block| {
            let own = block.author == peer.index;
            if !own {
                shared.env.emit(NodeEvent::Rejected {
                    from: peer.index.0,
                    reason: format!("streamed {}, which is not its own", block.reference()),
                });
            }
            own
        });
        if blocks.is_empty() {
            return Err("the peer streamed what is not to be believed".to_owned());
        }
        if shared.commands.send(Command::Blocks(blocks)).await.is_err() {
            return Ok(());
        }
    }
}
