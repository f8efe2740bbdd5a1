//! Asking one peer: a query connection that is made when needed and dropped when anything goes wrong.

use super::{
    protocol::{self, Hello, PeerRequest, PeerResponse, Purpose},
    shared::Shared,
};
use crate::{
    env::{Address, BoxStream},
    executor::framing::{Decoder, read_frame, write_frame},
    types::AuthorityIndex,
};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Mutex;

/// A peer that gave no usable answer.
#[derive(Debug, Error)]
#[error("authority {peer} at {address}: {reason}")]
pub struct PeerError {
    pub peer: AuthorityIndex,
    pub address: Address,
    pub reason: String,
}

/// The query connection to one peer.
pub struct Peer {
    pub index: AuthorityIndex,
    address: Address,
    connection: Mutex<Option<(BoxStream, Decoder)>>,
}

impl Peer {
    pub fn new(index: AuthorityIndex, address: Address) -> Self {
        Self {
            index,
            address,
            connection: Mutex::new(None),
        }
    }

    /// One request, one answer, within the peer timeout.
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
                None => self.connect(shared, Purpose::Query).await?,
            };
            let frame = protocol::frame(request)?;
            write_frame(&mut stream, &frame)
                .await
                .map_err(|e| e.to_string())?;
            let body = read_frame(&mut stream, &mut decoder)
                .await
                .map_err(|e| e.to_string())?
                .ok_or("it closed the connection")?;
            let response = protocol::parse(&body)?;
            Ok((response, (stream, decoder)))
        };
        match tokio::time::timeout(Duration::from_millis(timeout_ms), exchange).await {
            Ok(Ok((response, open))) => {
                *connection = Some(open);
                Ok(response)
            }
            Ok(Err(reason)) => Err(self.error(reason)),
            Err(_) => Err(self.error(format!("no answer within {timeout_ms} ms"))),
        }
    }

    /// A new connection for `purpose`.
    pub(super) async fn connect(
        &self,
        shared: &Shared,
        purpose: Purpose,
    ) -> Result<(BoxStream, Decoder), String> {
        let mut stream = shared
            .env
            .network
            .connect(&self.address)
            .await
            .map_err(|e| e.to_string())?;
        let hello = Hello {
            epoch: shared.committee.epoch(),
            from: shared.own,
            purpose,
        };
        write_frame(&mut stream, &protocol::frame(&hello)?)
            .await
            .map_err(|e| e.to_string())?;
        Ok((stream, Decoder::new(protocol::FRAMING)))
    }

    fn error(&self, reason: String) -> PeerError {
        PeerError {
            peer: self.index,
            address: self.address.clone(),
            reason,
        }
    }
}
