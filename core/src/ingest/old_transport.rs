//! The transport that the transaction socket replaced, for comparison (contract §8): one request per connection, its reply,
//! then the server closes. Batches are validated and stored like those of the transaction socket.
//!
//! The client that deployments used hands its connection to the next request before the reply has come. What it then
//! writes on the same connection is never read: the server cannot tell, because the protocol has no second request.

use super::{
    connection::{End, Shared, announced, discard, in_time, log_end},
    reply,
};
use crate::{
    deadline::timeout,
    env::BoxStream,
    framing::{Decoder, Framing},
};
use std::{io, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;
use tracing::debug;

/// Time from the connection to the last byte of the length.
const LENGTH_LIMIT: Duration = Duration::from_secs(5);

/// Serves the one request of a client.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: BoxStream) {
    match shared.reply_to_one(&mut stream).await {
        Ok(Some(reply)) => {
            if let Err(error) = write(&mut stream, &reply, shared.limit()).await {
                log_end(error);
            }
        }
        Ok(None) => {}
        Err(End::Io(error)) => log_end(error),
        Err(end) => {
            debug!(%end, "closes a connection of the old transport");
            let is_temporary = end.is_temporary();
            let body = reply::closing(end, is_temporary);
            let reply = reply::of_old_transport(false, &body);
            if write(&mut stream, &reply, shared.limit()).await.is_ok() {
                timeout(shared.limit(), discard(&mut stream)).await;
            }
        }
    }
}

/// Refuses a client.
pub(super) async fn refuse(mut stream: BoxStream, error: String, limit: Duration) {
    let reply = reply::of_old_transport(false, &reply::closing(error, true));
    let _ = write(&mut stream, &reply, limit).await; // the client sees that the connection ends
}

impl Shared {
    /// The reply to the only request. `None` if the client closes without one.
    async fn reply_to_one(&self, stream: &mut BoxStream) -> Result<Option<Vec<u8>>, End> {
        let mut decoder = Decoder::new(Framing::TRANSACTIONS);
        let length = in_time(LENGTH_LIMIT, announced(stream, &mut decoder));
        let Some(bytes) = length.await? else {
            return Ok(None);
        };
        let Some((body, memory)) = self.body(bytes, stream, &mut decoder).await? else {
            return Ok(None);
        };
        let answered = self.intake.submit(body, self.submitter, memory).await.await;
        let answer = answered.map_err(|_| End::Io(io::Error::other("the node ends")))?;
        let is_ok = answer.refusal.is_none();
        Ok(Some(reply::of_old_transport(is_ok, &reply::reply(&answer))))
    }
}

async fn write(stream: &mut BoxStream, reply: &[u8], limit: Duration) -> io::Result<()> {
    let written = async {
        stream.write_all(reply).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    let written = timeout(limit, written).await;
    written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
