//! Accepting connections, and driving several of them inside one task.

use metanode_core::env::{BoxStream, Listener};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

/// The next connection. An error of `accept(2)` (too many open files) is logged, and the call is repeated after a
/// pause.
pub async fn accept(listener: &dyn Listener) -> BoxStream {
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves every connection of `listener` with `exchange`, all inside the caller's task: when this future is dropped,
/// so are they. Ends with the first error of any of them.
pub async fn serve_each<E, F: Future<Output = Result<(), E>> + Send>(
    listener: &dyn Listener,
    exchange: impl Fn(BoxStream) -> F,
) -> E {
    let mut open: Vec<Pin<Box<F>>> = vec![];
    let mut accepting = Box::pin(accept(listener));
    loop {
        let accepted = poll_fn(|context| {
            let mut failed = None;
            open.retain_mut(|exchange| match exchange.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(ended) => {
                    failed = failed.take().or(ended.err());
                    false
                }
            });
            match failed {
                Some(error) => Poll::Ready(Err(error)),
                None => accepting.as_mut().poll(context).map(Ok),
            }
        });
        match accepted.await {
            Ok(stream) => {
                accepting.set(accept(listener));
                open.push(Box::pin(exchange(stream)));
            }
            Err(error) => return error,
        }
    }
}
