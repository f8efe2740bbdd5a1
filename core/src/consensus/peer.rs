//! Asking one peer: a query connection that is made when needed and dropped when anything goes wrong.

use super::{
    idle_timeout::{IdleTimeout, MonitoredStream},
    protocol::{self, Hello, PeerRequest, PeerResponse, Purpose},
    shared::Shared,
};
use crate::{
    framing::{Decoder, read_frame, write_frame},
    types::{Address, AuthorityIndex},
};
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
        let end = tokio::select! {
            biased;
            end = exchange => end,
            () = self.idle.elapsed(timeout_ms) => Err(format!("silent for {timeout_ms} ms")),
        };
        let (response, open) = end.map_err(|reason| self.error(reason))?;
        *connection = Some(open);
        Ok(response)
    }

    /// A new connection for `purpose`, whose bytes `idle` counts.
    pub(super) async fn connect(
        &self,
        shared: &Shared,
        purpose: Purpose,
        idle: &IdleTimeout,
    ) -> Result<(MonitoredStream, Decoder), String> {
        let connected = shared.env.network.connect(&self.address).await;
        let mut stream = idle.monitor(connected.map_err(|e| e.to_string())?);
        let hello = Hello {
            epoch: shared.committee.epoch(),
            from: shared.retained.own,
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
