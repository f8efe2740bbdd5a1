//! The local way in: clients on this machine send frames like those of the transaction socket, and get the metanode's
//! replies. A client whose batch finds no place in the queue waits, and all its later frames with it.

use super::batch::Batch;
use crate::serve::serve_each;
use bytes::Bytes;
use metanode_core::{
    env::{BoxStream, Listener},
    framing::{Decoder, Framing, read_frame, write_frame},
};
use std::convert::Infallible;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// Serves clients for ever.
pub(super) async fn serve(listener: &dyn Listener, batches: &mpsc::Sender<Batch>) -> Infallible {
    serve_each(listener, |stream| async move {
        if let Err(error) = serve_client(stream, batches).await {
            debug!(%error, "a local client's connection ended");
        }
        Ok(())
    })
    .await
}

async fn serve_client(
    mut stream: BoxStream,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut decoder = Decoder::new(Framing::TRANSACTIONS);
    while let Some(body) = read_frame(&mut stream, &mut decoder).await? {
        let reply = forwarded(body, batches).await?;
        let frame = Framing::TRANSACTIONS.encode_body(&reply)?;
        write_frame(&mut stream, &frame).await?;
    }
    Ok(())
}

/// The metanode's reply to a frame.
async fn forwarded(
    body: Bytes,
    batches: &mpsc::Sender<Batch>,
) -> Result<Bytes, oneshot::error::RecvError> {
    let (answer, answered) = oneshot::channel();
    let _ = batches.send(Batch::Forwarded { body, answer }).await; // else `answered` is an error
    answered.await
}
