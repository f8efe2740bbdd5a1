//! Asking one peer: a query connection that is made when needed and dropped when anything goes wrong.

use super::{
    idle_timeout::{IdleTimeout, MonitoredStream},
    protocol::{self, Hello, MessageError, PeerRequest, PeerResponse, Purpose},
    shared::Shared,
};
use crate::{
    framing::{Decoder, ReadError, read_frame, write_frame},
    store::StoreError,
    types::{Address, AuthorityIndex, BlockRef, CommitIndex, CommitRef},
};
use std::io;
use thiserror::Error;
use tokio::sync::Mutex;

/// Why a peer gave no usable answer. Its connection is gone then.
#[derive(Debug, Error)]
pub enum PeerError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: Address, source: io::Error },
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("no frame could be read: {0}")]
    Read(#[from] ReadError),
    #[error("the peer closed the connection")]
    Closed,
    #[error("no byte passed for {timeout_ms} ms")]
    Idle { timeout_ms: u64 },
    #[error("no whole answer came within {limit_ms} ms")]
    TooSlow { limit_ms: u128 },
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("expected an answer to {request}, found another one")]
    OtherAnswer { request: &'static str },
    #[error("the peer streamed a block that is not valid or not its own")]
    InvalidBlock,
    #[error("a commit does not decode: {0}")]
    MalformedCommit(bcs::Error),
    #[error("expected commit {expected} of the sequence, found {found}")]
    OtherCommit {
        expected: CommitIndex,
        found: CommitRef,
    },
    #[error("the peer has no certified commit of the range from {from} on")]
    NoCommits { from: CommitIndex },
    #[error("the votes that came for {commit} are less than a quorum's")]
    NotCertified { commit: CommitRef },
    #[error("the peer has none of {wanted} committed blocks")]
    NoBlocks { wanted: usize },
    #[error("{block} is committed twice")]
    CommittedTwice { block: BlockRef },
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

/// The query connection to one peer.
pub struct Peer {
    pub index: AuthorityIndex,
    address: Address,
    /// Everything that passes over the query connections to this peer, one after the other.
    idle: IdleTimeout,
    connection: Mutex<Option<(MonitoredStream, Decoder)>>,
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

    /// One request, one answer. It may take its time as long as bytes pass, but they must not stop for the peer
    /// timeout.
    ///
    /// # Errors
    /// If there is no answer; the connection is gone then, so a late answer meets nobody.
    pub(super) async fn ask(
        &self,
        shared: &Shared,
        request: &PeerRequest,
    ) -> Result<PeerResponse, PeerError> {
        let mut connection = self.connection.lock().await;
        let taken = connection.take();
        let timeout_ms = shared.parameters.peer_timeout_ms;
        let exchange = async {
            let (mut stream, mut decoder) = match taken {
                Some(open) => open,
                None => self.connect(shared, Purpose::Query, &self.idle).await?,
            };
            let frame = protocol::frame(request)?;
            write_frame(&mut stream, &frame).await?;
            let body = read_frame(&mut stream, &mut decoder).await?;
            let response = protocol::parse(&body.ok_or(PeerError::Closed)?)?;
            Ok((response, (stream, decoder)))
        };
        let end = tokio::select! {
            biased;
            end = exchange => end,
            () = self.idle.elapsed(timeout_ms) => Err(PeerError::Idle { timeout_ms }),
        };
        let (response, open) = end?;
        *connection = Some(open);
        Ok(response)
    }

    /// A new connection for `purpose`, whose bytes `idle` counts.
    pub(super) async fn connect(
        &self,
        shared: &Shared,
        purpose: Purpose,
        idle: &IdleTimeout,
    ) -> Result<(MonitoredStream, Decoder), PeerError> {
        let connected = shared.env.network.connect(&self.address).await;
        let mut stream = idle.monitor(connected.map_err(|source| PeerError::Connect {
            address: self.address.clone(),
            source,
        })?);
        let hello = Hello {
            epoch: shared.committee.epoch(),
            from: shared.retained.own,
            purpose,
        };
        write_frame(&mut stream, &protocol::frame(&hello)?).await?;
        Ok((stream, Decoder::new(protocol::FRAMING)))
    }
}
