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

/// Frames up to this size arrive without the common memory, as those of a metanode.
const SMALL_FRAME_BYTES: usize = 64 * 1024;

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
        let arriving = match bytes > SMALL_FRAME_BYTES {
            true => Some(batches.reserve_arriving(bytes).await?),
            false => None,
        };
        decoder.allocate_announced();
        let read = timeout(patience, read_frame(&mut stream, &mut decoder)).await;
        let body = read.ok_or("expected the whole frame in time")??;
        let Some(body) = body else { return Ok(()) };
        let memory = batches.reserve(body.len()).await?;
        drop(arriving);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sub::{config::SubLimits, queue::queue};
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    use tokio::io::{AsyncWriteExt, duplex};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn frames_that_are_announced_and_do_not_come_hold_up_neither_batches_nor_small_frames() {
        let limits = SubLimits::default();
        let (batches, queue) = queue(&limits);
        let largest = u32::try_from(Framing::TRANSACTIONS.limit_bytes).unwrap();
        for _ in 0..2 * limits.max_buffered_bytes.get() / largest {
            let (mut client, server) = duplex(64);
            client.write_all(&largest.to_be_bytes()).await.unwrap();
            let batches = batches.clone();
            tokio::spawn(async move {
                let _client = client;
                let served = serve_client(Box::new(server), &batches, HOUR).await;
                served.map_err(|e| e.to_string())
            });
        }
        tokio::task::yield_now().await;
        let mut context = Context::from_waker(Waker::noop());
        let formed = Batch::Formed(vec![Bytes::from_static(&[7; 1_000]); 1_000]);
        let sent = pin!(batches.send(formed)).poll(&mut context);
        assert_eq!(sent, Poll::Ready(Ok(())));
        drop(queue.next().await);
        let (mut client, server) = duplex(1_000);
        let small = Framing::TRANSACTIONS.encode_body(&[7; 100]).unwrap();
        client.write_all(&small).await.unwrap();
        let serving = async { serve_client(Box::new(server), &batches, HOUR).await };
        tokio::select! {
            biased;
            queued = queue.next() => assert!(queued.is_some()),
            _ = serving => panic!("it waits for the reply"),
        }
    }
}
