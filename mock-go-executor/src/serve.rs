//! Accepting connections, and driving several of them inside one task.

use metanode_core::env::{BoxStream, Listener};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
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
/// so are they.
pub async fn serve_each<F: Future<Output = ()> + Send>(
    listener: &dyn Listener,
    exchange: impl Fn(BoxStream) -> F,
) -> Infallible {
    let mut open: Vec<Pin<Box<F>>> = vec![];
    let mut accepting = Box::pin(accept(listener));
    loop {
        let stream = poll_fn(|context| {
            open.retain_mut(|exchange| exchange.as_mut().poll(context).is_pending());
            accepting.as_mut().poll(context)
        })
        .await;
        accepting.set(accept(listener));
        open.push(Box::pin(exchange(stream)));
    }
}
