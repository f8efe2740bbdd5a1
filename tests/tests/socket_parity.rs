//! The behaviour of sockets on which the code relies, tested on the simulated sockets and on those of the operating
//! system.
//!
//! One set of tests for `metanode_sim::net` (the default build) and for `metanode_core::env::real` (the build without
//! `--cfg madsim`). Each runs over Unix sockets and over TCP; in the simulation also with tiny buffers and slow links.
//! Code must not rely on behaviour of Linux that is not tested here.

#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

use metanode_core::{
    env::{BoxListener, BoxStream, Network},
    types::Address,
};
use std::future::poll_fn;
use std::io::ErrorKind::{
    AddrInUse, AddrNotAvailable, BrokenPipe, ConnectionRefused, ConnectionReset, NotFound,
};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The networks of two processes, and an unused address of the second one.
struct Pair {
    client: Arc<dyn Network>,
    server: Arc<dyn Network>,
    address: Address,
}

impl Pair {
    async fn listen(&self) -> BoxListener {
        self.server.listen(&self.address).await.unwrap()
    }

    async fn connect(&self) -> BoxStream {
        self.client.connect(&self.address).await.unwrap()
    }

    /// Both ends of a connection: client and server.
    async fn connected(&self) -> (BoxStream, BoxStream) {
        let listener = self.listen().await;
        let (client, server) = tokio::join!(self.connect(), listener.accept());
        (client, server.unwrap())
    }

    async fn connect_error(&self) -> std::io::ErrorKind {
        let error = self.client.connect(&self.address).await.err();
        error.expect("there is no listener").kind()
    }

    async fn listen_error(&self) -> std::io::ErrorKind {
        let error = self.server.listen(&self.address).await.err();
        error.expect("the address is taken").kind()
    }

    fn path(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }
}

#[cfg(madsim)]
mod place {
    use super::*;
    use metanode_core::env::Entropy;
    use metanode_sim::net::{HostId, Kernel, Settings, SimNetwork};
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use std::time::Duration;

    struct OneSeed;

    impl Entropy for OneSeed {
        fn stream(&self, _: &str) -> ChaCha8Rng {
            ChaCha8Rng::seed_from_u64(1)
        }
    }

    fn tiny_and_slow() -> Settings {
        Settings {
            unix_buffer_bytes: 64,
            tcp_buffer_bytes: 64,
            backlog: 1,
            latency: Duration::from_micros(100)..=Duration::from_millis(5),
        }
    }

    pub fn everywhere(test: impl AsyncFn(Pair)) {
        for settings in [Settings::default(), tiny_and_slow()] {
            for is_unix in [true, false] {
                let runtime = madsim::runtime::Runtime::new();
                runtime.add_simulator::<Kernel>();
                runtime.block_on(async {
                    let kernel = Kernel::current();
                    kernel.configure(settings.clone(), Arc::new(OneSeed));
                    let server = HostId(2);
                    let (client, address) = match is_unix {
                        true => (server, Address::Unix("/tmp/parity.sock".into())),
                        false => (HostId(1), Address::Tcp((server.ip(), 9000).into())),
                    };
                    test(Pair {
                        client: Arc::new(SimNetwork::new(kernel.clone(), client)),
                        server: Arc::new(SimNetwork::new(kernel, server)),
                        address,
                    })
                    .await;
                });
            }
        }
    }
}

#[cfg(not(madsim))]
mod place {
    use super::*;
    use metanode_core::env::real::OsNetwork;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;

    static TESTS: AtomicU8 = AtomicU8::new(1);

    /// A test that takes longer hangs.
    const TIMEOUT: Duration = Duration::from_secs(30);

    pub fn everywhere(test: impl AsyncFn(Pair)) {
        let folder = tempfile::tempdir().unwrap();
        // One address per test, so that no other test takes the port in between.
        let ip = Ipv4Addr::new(127, 0, 1, TESTS.fetch_add(1, Ordering::Relaxed));
        let unused = std::net::TcpListener::bind((ip, 0)).unwrap();
        let port = unused.local_addr().unwrap();
        drop(unused);
        for address in [
            Address::Unix(folder.path().join("parity.sock")),
            Address::Tcp(port),
        ] {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let pair = Pair {
                client: Arc::new(OsNetwork),
                server: Arc::new(OsNetwork),
                address,
            };
            let test = async { tokio::time::timeout(TIMEOUT, test(pair)).await };
            runtime.block_on(test).expect("the test hangs");
        }
    }
}

use place::everywhere;

/// Reads to the end of the stream.
async fn rest(stream: &mut BoxStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Bytes that do not repeat at any power of two.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn bytes_arrive_in_order_in_both_directions_at_once() {
    everywhere(async |pair| {
        let (client, server) = pair.connected().await;
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let (mut from_client, mut to_client) = tokio::io::split(server);
        let sent = pattern(100_000);
        let mut echoed = vec![0; sent.len()];
        let (written, read, copied) = tokio::join!(
            to_server.write_all(&sent),
            from_server.read_exact(&mut echoed),
            async {
                let mut buffer = [0; 1000];
                let mut left = sent.len();
                while left > 0 {
                    let count = from_client.read(&mut buffer).await?;
                    to_client.write_all(&buffer[..count]).await?;
                    left -= count;
                }
                std::io::Result::Ok(())
            }
        );
        written.and(copied).unwrap();
        read.unwrap();
        assert!(echoed == sent);
    });
}

#[test]
fn a_read_returns_what_fits_and_leaves_the_rest() {
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        client.write_all(b"abcde").await.unwrap();
        let mut two = [0; 2];
        assert_eq!(server.read(&mut two).await.unwrap(), 2);
        assert_eq!(&two, b"ab");
        drop(client);
        assert_eq!(rest(&mut server).await, b"cde");
    });
}

#[test]
fn a_half_closed_connection_still_carries_the_reply() {
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut server).await, b"request");
        server.write_all(b"reply").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, b"reply");

        let error = client.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), BrokenPipe, "after its own shutdown");
        client
            .shutdown()
            .await
            .expect("a second shutdown has no effect");
    });
}

#[test]
fn a_close_with_everything_read_is_the_end_of_the_stream() {
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        server.write_all(b"bye").await.unwrap();
        drop(server);
        assert_eq!(rest(&mut client).await, b"bye");
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "it stays ended");
    });
}

#[test]
fn a_close_with_unread_bytes_is_a_reset_after_what_was_sent() {
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        client.write_all(b"xy").await.unwrap();
        server.write_all(b"last").await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 1);
        drop(server);

        let mut last = [0; 4];
        client.read_exact(&mut last).await.unwrap();
        assert_eq!(&last, b"last");
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ConnectionReset);
        let count = client.read(&mut [0; 8]).await.unwrap();
        assert_eq!(count, 0, "a reset is reported once");
        let error = client.write_all(b"z").await.unwrap_err();
        assert_eq!(error.kind(), BrokenPipe);
    });
}

#[test]
fn writing_to_a_closed_peer_fails_at_once_over_unix_and_eventually_over_tcp() {
    everywhere(async |pair| {
        let (mut client, server) = pair.connected().await;
        drop(server);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        let mut successes = 0;
        let error = loop {
            match client.write(b"unread").await {
                Ok(_) => successes += 1,
                Err(error) => break error.kind(),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(error, BrokenPipe);
        assert_eq!(successes == 0, pair.path().is_some(), "{successes}");
    });
}

#[test]
fn connecting_to_an_unused_address_fails() {
    everywhere(async |pair| {
        let expected = match pair.path() {
            Some(_) => NotFound,
            None => ConnectionRefused,
        };
        assert_eq!(pair.connect_error().await, expected);
    });
}

#[test]
fn an_address_has_one_listener() {
    everywhere(async |pair| {
        let _listener = pair.listen().await;
        assert_eq!(pair.listen_error().await, AddrInUse);
        pair.connect().await;
    });
}

#[test]
fn a_closed_listener_frees_its_port_but_leaves_its_path() {
    everywhere(async |pair| {
        drop(pair.listen().await);
        assert_eq!(pair.connect_error().await, ConnectionRefused);
        if let Some(path) = pair.path() {
            assert_eq!(pair.listen_error().await, AddrInUse, "a stale file");
            pair.server.unlink(path).unwrap();
            assert_eq!(pair.connect_error().await, NotFound);
        }
        pair.connected().await;
    });
}

#[test]
fn unlinking_removes_the_path_and_not_the_listener() {
    everywhere(async |pair| {
        let Some(path) = pair.path() else { return };
        let error = pair.server.unlink(path).unwrap_err();
        assert_eq!(error.kind(), NotFound);

        let first = pair.listen().await;
        let mut to_first = pair.connect().await;
        pair.server.unlink(path).unwrap();
        let second = pair.listen().await;
        // Closing the first listener must not remove the path, which belongs to the second.
        let mut at_first = first.accept().await.unwrap();
        drop(first);
        let (mut to_second, at_second) = tokio::join!(pair.connect(), second.accept());
        drop(at_second.unwrap());
        assert_eq!(rest(&mut to_second).await, b"");
        at_first.write_all(b"still here").await.unwrap();
        drop(at_first);
        assert_eq!(rest(&mut to_first).await, b"still here");
    });
}

#[test]
fn a_connection_that_is_not_accepted_is_reset_with_its_listener() {
    everywhere(async |pair| {
        let listener = pair.listen().await;
        let mut client = pair.connect().await;
        drop(listener);
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ConnectionReset);
    });
}

#[test]
fn a_connection_outlives_its_listener() {
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        assert_eq!(pair.connect_error().await, ConnectionRefused);
        client.write_all(b"on").await.unwrap();
        drop(client);
        assert_eq!(rest(&mut server).await, b"on");
    });
}

#[test]
fn what_is_written_before_accept_waits_for_it() {
    everywhere(async |pair| {
        let listener = pair.listen().await;
        let mut client = pair.connect().await;
        client.write_all(b"early").await.unwrap();
        drop(client);
        let mut server = listener.accept().await.unwrap();
        assert_eq!(rest(&mut server).await, b"early");
    });
}

#[test]
fn an_abandoned_accept_loses_no_connection() {
    everywhere(async |pair| {
        let listener = pair.listen().await;
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("there is no connection"),
            () = std::future::ready(()) => {}
        }
        let (mut client, server) = tokio::join!(pair.connect(), listener.accept());
        drop(server.unwrap());
        assert_eq!(rest(&mut client).await, b"");
    });
}

#[test]
fn a_peer_that_does_not_read_stops_the_writer_until_it_does() {
    const CHUNK: usize = 1 << 20;
    const LIMIT: usize = 1 << 28;
    everywhere(async |pair| {
        let (mut client, mut server) = pair.connected().await;
        client.write_all(b"a").await.unwrap();
        let chunk = vec![b'a'; CHUNK];
        let mut sent = 1;
        loop {
            let write =
                poll_fn(|context| Poll::Ready(Pin::new(&mut client).poll_write(context, &chunk)));
            match write.await {
                Poll::Ready(count) => sent += count.unwrap(),
                Poll::Pending => break,
            }
            assert!(sent < LIMIT, "nothing stops the writer");
        }
        let writes = async {
            client.write_all(b"b").await.unwrap();
            client.shutdown().await.unwrap();
        };
        let ((), bytes) = tokio::join!(writes, rest(&mut server));
        assert_eq!(bytes.len(), sent + 1);
        assert_eq!(bytes.last(), Some(&b'b'));
    });
}

#[test]
fn connections_do_not_mix() {
    const CONNECTIONS: u8 = 50;
    everywhere(async |pair| {
        let listener = pair.listen().await;
        let served = async {
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                streams.push(listener.accept().await.unwrap());
            }
            for stream in &mut streams {
                let number = stream.read_u8().await.unwrap();
                stream.write_all(&[number; 3]).await.unwrap();
            }
        };
        let asked = async {
            let mut streams = Vec::new();
            for number in 0..CONNECTIONS {
                let mut stream = pair.connect().await;
                stream.write_all(&[number]).await.unwrap();
                streams.push(stream);
            }
            for (number, stream) in (0..).zip(&mut streams) {
                assert_eq!(rest(stream).await, [number; 3]);
            }
        };
        tokio::join!(served, asked);
    });
}

#[test]
fn an_address_of_another_host_cannot_be_bound() {
    everywhere(async |mut pair| {
        if pair.path().is_none() {
            pair.address = "192.0.2.1:9000".parse().unwrap();
            let kind = pair.listen_error().await;
            assert_eq!(kind, AddrNotAvailable);
        }
    });
}
