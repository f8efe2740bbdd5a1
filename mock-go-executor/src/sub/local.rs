//! The local way in: clients on this machine send frames like those of the transaction socket, and get the metanode's
//! replies. A client whose batch finds no place in the queue waits, and all its later frames with it.

use super::{
    batch::Batch,
    queue::{Batches, Ended, Memory},
};
use crate::serve::serve_each;
use bytes::Bytes;
use metanode_core::{
    deadline::timeout,
    env::{BoxStream, Listener},
    framing::{Decoder, Framing, read_frame, read_more, write_frame},
};
use std::{convert::Infallible, time::Duration};
use tokio::sync::oneshot;
use tracing::debug;

/// Serves clients for ever. A frame has `patience` to arrive once its memory is reserved.
pub(super) async fn serve(
    listener: &dyn Listener,
    batches: &Batches,
    patience: Duration,
) -> Infallible {
    serve_each(listener, |stream| async move {
        if let Err(error) = serve_client(stream, batches, patience).await {
            debug!(%error, "a local client's connection ended");
        }
        Ok(())
    })
    .await
}

async fn serve_client(
    mut stream: BoxStream,
    batches: &Batches,
    patience: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut decoder = Decoder::new(Framing::TRANSACTIONS);
    loop {
        let bytes = match decoder.announced_bytes()? {
            Some(bytes) => bytes,
            None if read_more(&mut stream, &mut decoder).await? => continue,
            None => return Ok(()),
        };
        let memory = batches.reserve(bytes).await?;
        decoder.allocate_announced();
        let read = timeout(patience, read_frame(&mut stream, &mut decoder)).await;
        let body = read.ok_or("expected the whole frame in time")??;
        let Some(body) = body else { return Ok(()) };
        let reply = forwarded(body, memory, batches).await?;
        let frame = Framing::TRANSACTIONS.encode_body(&reply)?;
        write_frame(&mut stream, &frame).await?;
    }
}

/// The metanode's reply to a frame.
async fn forwarded(body: Bytes, memory: Memory, batches: &Batches) -> Result<Bytes, Ended> {
    let (answer, answered) = oneshot::channel();
    let batch = Batch::Forwarded { body, answer };
    batches.send_reserved(batch, memory).await?;
    answered.await.map_err(|_| Ended)
}
