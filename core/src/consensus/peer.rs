//! The client of one peer: a query connection that is opened on demand and dropped after any error.

use super::{
    protocol::{self, MessageError, PeerRequest, PeerResponse, Purpose},
    shared::Shared,
};
use crate::{
    env::{IdleTimeout, MonitoredStream},
    framing::{Decoder, ReadError, read_frame, write_frame},
    peers::{SecureStream, SessionError},
    store::StoreError,
    types::{Address, AuthorityIndex, BlockRef, CommitIndex, CommitRef, Round},
};
use std::io;
use thiserror::Error;
use tokio::sync::Mutex;

/// Why a peer gave no valid answer. The connection was dropped.
#[derive(Debug, Error)]
pub(super) enum PeerError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: Address, source: io::Error },
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("no frame could be read: {0}")]
    Read(#[from] ReadError),
    #[error("the peer closed the connection")]
    Closed,
    #[error(transparent)]
    NoSession(#[from] SessionError),
    #[error("no byte was received or sent for {timeout_ms} ms")]
    Idle { timeout_ms: u64 },
    #[error("no complete answer within {limit_ms} ms")]
    TooSlow { limit_ms: u128 },
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("expected an answer to {request}, found another one")]
    OtherAnswer { request: &'static str },
    #[error("the peer streamed a block that is invalid or of another author")]
    InvalidBlock,
    #[error("expected a block above round {after} in the stream, found one of round {found}")]
    NotAscending { after: Round, found: Round },
    #[error("a commit does not decode: {0}")]
    MalformedCommit(bcs::Error),
    #[error("expected commit {expected} of the sequence, found {found}")]
    OtherCommit {
        expected: CommitIndex,
        found: CommitRef,
    },
    #[error("the peer has no certified commit from {from} on")]
    NoCommits { from: CommitIndex },
    #[error("expected commit votes of 2f+1 stake for {commit}, found less")]
    NotCertified { commit: CommitRef },
    #[error("the peer has none of the {wanted} missing blocks of certified commits")]
    NoBlocks { wanted: usize },
    #[error("{block} is in two commits")]
    CommittedTwice { block: BlockRef },
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

/// An authenticated connection to a peer.
type Connection = (SecureStream<MonitoredStream>, Decoder);

/// The query connection to one peer.
pub(super) struct Peer {
    pub index: AuthorityIndex,
    address: Address,
    /// Counts the bytes of the successive query connections to this peer.
    idle: IdleTimeout,
    connection: Mutex<Option<Connection>>,
}

impl Peer {
    pub fn new(index: AuthorityIndex, address: Address) -> Self {
        Self {
            index,
            address,
            idle: IdleTimeout::default(),
            connection: Mutex::new(None),
        }
    }

    /// Sends a request and receives the answer. Fails if no byte is received or sent for the peer timeout.
    ///
    /// # Errors
    /// If there is no answer. The connection is dropped then, so that a late answer cannot be taken for another
    /// request.
    pub(super) async fn ask(
        &self,
        shared: &Shared,
        request: &PeerRequest,
    ) -> Result<PeerResponse, PeerError> {
        let mut connection = self.connection.lock().await;
        let taken = connection.take();
        let timeout_ms = shared.parameters.peer_timeout_ms;
        let exchange = async {
            let frame = protocol::frame(request)?;
            let (mut stream, mut decoder) = match taken {
                Some((mut stream, decoder)) => {
                    write_frame(&mut stream, &frame).await?;
                    (stream, decoder)
                }
                None => {
                    self.connect(shared, Purpose::Query, &frame, &self.idle)
                        .await?
                }
            };
            loop {
                let body = read_frame(&mut stream, &mut decoder).await?;
                let response = protocol::parse(&body.ok_or(PeerError::Closed)?)?;
                if response != PeerResponse::Wait {
                    return Ok((response, (stream, decoder)));
                }
            }
        };
        let end = self.idle.limit(timeout_ms, exchange).await;
        let (response, open) = end.unwrap_or(Err(PeerError::Idle { timeout_ms }))?;
        *connection = Some(open);
        Ok(response)
    }

    /// Opens a connection for `purpose`, whose bytes `idle` counts. `first` is sent with the purpose.
    pub(super) async fn connect(
        &self,
        shared: &Shared,
        purpose: Purpose,
        first: &[u8],
        idle: &IdleTimeout,
    ) -> Result<Connection, PeerError> {
        let connected = shared.env.network.connect(&self.address).await;
        let stream = idle.monitor(connected.map_err(|source| PeerError::Connect {
            address: self.address.clone(),
            source,
        })?);
        let sessions = &shared.retained.sessions;
        let (mut stream, newest_epoch) = sessions.connect(stream, self.index).await?;
        shared.has_entered(newest_epoch);
        let begin = [&protocol::frame(&purpose)?[..], first].concat();
        write_frame(&mut stream, &begin).await?;
        Ok((stream, Decoder::new(protocol::FRAMING)))
    }
}
