//! How a node without a seat hands what its journal holds to members (contract §8.9). It keeps the entries until they are
//! executed, so whatever a member answers, the next one gets what no commit contains by then.

use super::protocol::{self, Hello, MessageError, Purpose, Welcome};
use crate::{
    backoff::Backoff,
    deadline::timeout,
    env::Env,
    framing::{Decoder, FrameError, Framing, ReadError, read_frame, write_frame},
    ingest::{Journal, Position},
    store::StoreError,
    types::{Address, AddressError, AuthorityIndex, EpochStart, Transaction, Transactions},
};
use bytes::Bytes;
use std::{io, sync::Arc, time::Duration};
use thiserror::Error;
use tracing::{debug, info};

/// Transactions of one frame, in bytes. Less than every member buffers.
const FRAME_BYTES: usize = 1 << 20;

/// Times and limits of a hand-over.
pub(crate) struct Pace {
    /// Pause after a frame, doubling up to the maximum when nothing of it was taken, and after all of it was sent.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    /// Time for one frame and its reply, with the connection.
    pub timeout_ms: u64,
}

/// Why a member did not reply.
#[derive(Debug, Error)]
enum Failed {
    #[error("{0}")]
    Address(#[from] AddressError),
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
    #[error("it is of another chain: {0}")]
    OtherChain(String),
    #[error("no reply within {0} ms")]
    TooSlow(u64),
}

/// Hands over until commits contain all of it. A node that has no seat takes nothing new.
///
/// # Errors
/// If the disk fails.
pub(crate) async fn hand_over(
    env: Env,
    journal: Arc<Journal>,
    start: EpochStart,
    pace: Pace,
) -> Result<(), StoreError> {
    #[allow(clippy::cast_possible_truncation)] // at most as many as authority indexes
    let members = start.committee.size() as u16;
    let mut backoff = Backoff::new(pace.retry_min_ms, pace.retry_max_ms);
    let mut member = 0_u16;
    let mut after: Option<Position> = None;
    loop {
        let Some((transactions, last)) = journal.waiting(after, FRAME_BYTES)? else {
            if after.take().is_none() {
                return Ok(());
            }
            // All of it was sent once: now the next member.
            member = member.wrapping_add(1);
            tokio::time::sleep(Duration::from_millis(pace.retry_max_ms)).await;
            continue;
        };
        if transactions.is_empty() {
            after = Some(last); // damaged on this disk
            continue;
        }
        let to = AuthorityIndex(member % members);
        let address = &start.committee.authority(to).p2p_address;
        let patience = Duration::from_millis(pace.timeout_ms);
        let sent = timeout(patience, send(&env, &start, address, &transactions)).await;
        match sent.unwrap_or(Err(Failed::TooSlow(pace.timeout_ms))) {
            Ok(reply) => {
                let (count, reply) = (transactions.len(), String::from_utf8_lossy(&reply));
                info!(%to, count, %reply, "hands over transactions, because this node has no seat");
                after = Some(last);
                backoff.reset();
            }
            Err(error) => {
                debug!(%to, %error, "cannot hand over transactions");
                member = member.wrapping_add(1);
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// Sends a frame to a member. Returns its reply.
async fn send(
    env: &Env,
    start: &EpochStart,
    address: &str,
    transactions: &[Transaction],
) -> Result<Bytes, Failed> {
    let address: Address = address.parse()?;
    let mut stream = env.network.connect(&address).await?;
    let hello = Hello {
        chain: start.chain,
        epoch: start.base.epoch,
        from: None,
        purpose: Purpose::HandOver,
    };
    write_frame(&mut stream, &protocol::frame(&hello)?).await?;
    let mut decoder = Decoder::new(protocol::FRAMING);
    let body = read_frame(&mut stream, &mut decoder).await?;
    let welcome: Welcome = protocol::parse(&body.ok_or(Failed::Closed)?)?;
    if let Some(difference) = start.chain.difference(&welcome.chain) {
        return Err(Failed::OtherChain(difference));
    }
    let frame = Framing::TRANSACTIONS.encode(&Transactions {
        transactions: transactions.iter().map(|it| it.0.clone()).collect(),
    })?;
    write_frame(&mut stream, &frame).await?;
    read_frame(&mut stream, &mut decoder)
        .await?
        .ok_or(Failed::Closed)
}
