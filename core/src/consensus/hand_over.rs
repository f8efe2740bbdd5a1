//! How a node without a seat hands what its journal holds to members (contract §8.9). It keeps the entries until they are
//! executed, so whatever a member answers, the next one gets what no commit contains by then.

use super::{
    archive::RetainedEpoch,
    protocol::{self, MessageError, Purpose},
};
use crate::{
    backoff::Backoff,
    deadline::timeout,
    env::Env,
    excerpt::excerpt,
    framing::{Decoder, FrameError, Framing, ReadError, read_frame, write_frame},
    ingest::{Journal, Position},
    peers::SessionError,
    store::StoreError,
    types::{Address, AuthorityIndex, Transaction, Transactions},
};
use rand_core::Rng;
use serde::Deserialize;
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use thiserror::Error;
use tracing::{debug, info};

/// Transactions of one frame, in bytes, at most. Less than every member buffers.
const MOST_FRAME_BYTES: usize = 1 << 20;

/// The framing of replies: they are short, whatever a member sends.
const SHORT: Framing = Framing {
    limit_bytes: 4 * 1024,
    ..Framing::TRANSACTIONS
};

/// Times of a hand-over.
pub(crate) struct Pace {
    /// Pause after a member that takes nothing, doubling up to the maximum. The maximum is also the pause after all of it was
    /// sent.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    /// Time for one frame and its reply, with the connection.
    pub timeout_ms: u64,
}

/// What a member says, as in the replies of the transaction socket.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    success: bool,
    error: String,
    taken: usize,
}

/// Why a member did not reply.
#[derive(Debug, Error)]
enum Failed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the peer closed the connection")]
    Closed,
    #[error(transparent)]
    NoSession(#[from] SessionError),
    #[error("expected a reply in JSON: {0}")]
    NoReply(#[from] serde_json::Error),
    #[error("no reply within {0} ms")]
    TooSlow(u64),
}

/// Hands over what no commit contains, one frame to one member after the other, for as long as the node has no seat.
///
/// # Errors
/// If the disk fails.
pub(crate) async fn hand_over(
    env: Env,
    journal: Arc<Journal>,
    retained: Arc<RetainedEpoch>,
    pace: Pace,
) -> Result<Infallible, StoreError> {
    let mut backoff = Backoff::new(pace.retry_min_ms, pace.retry_max_ms);
    // Not all nodes that leave at the same time begin with the same member.
    let mut next_member = env.entropy.stream("hand-over").next_u32();
    let mut after: Option<Position> = None;
    // A slow link does not carry the largest frame in the time that a frame may take.
    let mut frame_bytes = MOST_FRAME_BYTES;
    loop {
        let Some((transactions, last)) = journal.waiting(after, frame_bytes)? else {
            after = None;
            tokio::time::sleep(Duration::from_millis(pace.retry_max_ms)).await;
            continue;
        };
        if transactions.is_empty() {
            after = Some(last); // damaged on this disk
            continue;
        }
        #[allow(clippy::cast_possible_truncation)]
        // there are no more members than authority indexes
        let member = AuthorityIndex((next_member % retained.start.committee.size() as u32) as u16);
        next_member = next_member.wrapping_add(1);
        let patience = Duration::from_millis(pace.timeout_ms);
        let sent = timeout(patience, send(&env, &retained, member, &transactions)).await;
        let count = transactions.len();
        match sent.unwrap_or(Err(Failed::TooSlow(pace.timeout_ms))) {
            Ok(reply) if reply.success || reply.taken > 0 => {
                info!(%member, count, "has handed over transactions, because this node has no seat");
                after = Some(last);
                frame_bytes = MOST_FRAME_BYTES.min(frame_bytes * 2);
                backoff.reset();
                continue;
            }
            Ok(Reply { error, .. }) => {
                info!(%member, error = excerpt(&error), "a member takes no transactions");
            }
            Err(error) => {
                if matches!(error, Failed::TooSlow(_)) {
                    frame_bytes = (frame_bytes / 2).max(1);
                }
                debug!(%member, %error, "cannot hand over transactions");
            }
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Sends a frame to a member. Returns its reply.
async fn send(
    env: &Env,
    retained: &RetainedEpoch,
    member: AuthorityIndex,
    transactions: &[Transaction],
) -> Result<Reply, Failed> {
    let address = Address::Tcp(retained.start.committee.authority(member).p2p_address);
    let stream = env.network.connect(&address).await?;
    let (mut stream, _) = retained.sessions.connect(stream, member).await?;
    write_frame(&mut stream, &protocol::frame(&Purpose::HandOver)?).await?;
    let mut decoder = Decoder::new(SHORT);
    let frame = Framing::TRANSACTIONS.encode(&Transactions {
        transactions: transactions.iter().map(|it| it.0.clone()).collect(),
    })?;
    write_frame(&mut stream, &frame).await?;
    let body = read_frame(&mut stream, &mut decoder).await?;
    Ok(serde_json::from_slice(&body.ok_or(Failed::Closed)?)?)
}
