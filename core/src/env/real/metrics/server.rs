//! The listener for metrics: one request per connection.
//!
//! Whoever reaches it may send anything, so everything is bounded: connections at a time, bytes of a request, time of an
//! exchange. A response is made only for a complete request.

use super::{
    registry::Metrics,
    request::{MOST_BYTES, answer},
};
use crate::{
    deadline::timeout,
    env::{BoxListener, BoxStream},
};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tracing::{debug, warn};

/// Connections at a time. Further ones are closed.
const MOST_CONNECTIONS: usize = 16;

/// Time of an exchange, from the connection to the last byte of the response.
const EXCHANGE: Duration = Duration::from_secs(5);

/// Time for which nothing is accepted after the operating system has refused to (too many open files).
const PAUSE: Duration = Duration::from_secs(1);

/// Answers requests for ever.
pub async fn serve(listener: BoxListener, metrics: Arc<Metrics>) -> Infallible {
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection for metrics; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = free.clone().try_acquire_owned() else {
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            match timeout(EXCHANGE, exchange(stream, &metrics)).await {
                Some(Ok(())) => {}
                Some(Err(error)) => debug!(%error, "a request for metrics ended"),
                None => debug!("a request for metrics took too long"),
            }
            drop(place);
        });
    }
}

async fn exchange(mut stream: BoxStream, metrics: &Metrics) -> io::Result<()> {
    let mut received = Vec::with_capacity(1024);
    let answer = loop {
        let room = MOST_BYTES - received.len();
        let mut limited = (&mut stream).take(room as u64);
        if limited.read_buf(&mut received).await? == 0 {
            return Ok(()); // it has gone
        }
        if let Some(answer) = answer(&received) {
            break answer;
        }
    };
    let response = answer.response(|| metrics.text());
    stream.write_all(&response).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::{super::Program, *};
    use crate::{env::Listener, types::TimestampMs};
    use async_trait::async_trait;
    use tokio::{
        io::DuplexStream,
        sync::{Mutex, mpsc},
    };

    /// Accepts what is sent.
    struct Accepts(Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

    #[async_trait]
    impl Listener for Accepts {
        async fn accept(&self) -> io::Result<BoxStream> {
            match self.0.lock().await.recv().await {
                Some(stream) => Ok(Box::new(stream)),
                None => std::future::pending().await,
            }
        }
    }

    struct Running(mpsc::UnboundedSender<DuplexStream>);

    impl Running {
        fn start() -> Self {
            let (clients, accepted) = mpsc::unbounded_channel();
            let metrics = Arc::new(Metrics::new(Program::Sub, TimestampMs(0)));
            tokio::spawn(serve(Box::new(Accepts(Mutex::new(accepted))), metrics));
            Self(clients)
        }

        fn connect(&self) -> DuplexStream {
            let (near, far) = tokio::io::duplex(1024);
            self.0.send(far).unwrap();
            near
        }
    }

    async fn reply(client: &mut DuplexStream) -> String {
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        reply
    }

    async fn asks(client: &mut DuplexStream) -> String {
        let request = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n";
        client.write_all(&request[..20]).await.unwrap();
        client.write_all(&request[20..]).await.unwrap();
        reply(client).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_answered_and_its_connection_closed() {
        let running = Running::start();
        for _ in 0..2 {
            let reply = asks(&mut running.connect()).await;
            assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
            let (head, body) = reply.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
            assert!(body.contains("\nmock_sub_queued_batches 0\n"), "{body}");
            assert!(body.ends_with("# EOF\n"), "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_are_disconnected_and_those_beyond_the_limit_closed() {
        let running = Running::start();
        let mut silent: Vec<_> = (0..MOST_CONNECTIONS).map(|_| running.connect()).collect();
        for client in &mut silent {
            client.write_all(b"GET /met").await.unwrap();
        }
        assert_eq!(reply(&mut running.connect()).await, "");
        for client in &mut silent {
            assert_eq!(reply(client).await, "", "after a time, nothing comes");
        }
        assert!(asks(&mut running.connect()).await.contains("200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn megabytes_are_refused_after_the_first_bytes() {
        let running = Running::start();
        let mut client = running.connect();
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let sent = async {
            let mut sent = 0;
            while writer.write_all(&[b'a'; 512]).await.is_ok() {
                sent += 512;
            }
            sent
        };
        let mut reply = String::new();
        let (sent, _) = tokio::join!(sent, reader.read_to_string(&mut reply));
        assert!(reply.starts_with("HTTP/1.1 4"), "{reply}");
        assert!(sent <= MOST_BYTES + 2 * 1024, "{sent} bytes");
    }
}
