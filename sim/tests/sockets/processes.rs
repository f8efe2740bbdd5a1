//! Processes that are killed or paused, and taps.

use super::*;

/// A process that listens, accepts one connection, sends `hello` and then waits.
fn process(kernel: &Kernel, address: Address) -> NodeHandle {
    async fn accepts(listener: BoxListener) -> Result<()> {
        let mut stream = listener.accept().await?;
        stream.write_all(b"hello").await?;
        std::future::pending().await
    }
    let network = network(kernel, B);
    let node = Handle::current().create_node().build();
    node.spawn(async move { accepts(network.listen(&address).await?).await });
    node
}

#[test]
fn the_sockets_of_a_killed_process_are_closed_as_the_kernel_does() {
    for (client, address) in [(B, unix()), (A, tcp(B))] {
        for leaves_unread in [true, false] {
            simulate(Settings::default(), async |kernel| {
                let node = process(&kernel, address.clone());
                sleep(ms(1)).await;
                let network = network(&kernel, client);
                let mut accepted = network.connect(&address).await.unwrap();
                let mut waiting = network.connect(&address).await.unwrap();
                sleep(ms(1)).await;
                if leaves_unread {
                    accepted.write_all(b"x").await.unwrap();
                }
                Handle::current().kill(node.id());

                assert_eq!(read_some(&mut accepted).await, b"hello");
                match accepted.read(&mut [0; 8]).await {
                    Ok(count) => assert!(count == 0 && !leaves_unread),
                    Err(error) => {
                        assert!(error.kind() == ErrorKind::ConnectionReset && leaves_unread);
                    }
                }
                assert_eq!(read_error(&mut waiting).await, ErrorKind::ConnectionReset);
                let error = network.connect(&address).await.err().unwrap();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                assert_eq!(kernel.listening(B), []);
            });
        }
    }
}

#[test]
fn a_close_behind_a_partition_is_seen_when_it_heals() {
    simulate(Settings::default(), async |kernel| {
        let node = process(&kernel, tcp(B));
        sleep(ms(1)).await;
        let mut client = network(&kernel, A).connect(&tcp(B)).await.unwrap();
        assert_eq!(read_some(&mut client).await, b"hello");
        let cut = kernel.install(partition(Cut::Both));
        Handle::current().kill(node.id());
        client.write_all(b"data").await.unwrap();
        assert!(is_silent(&mut client).await);
        drop(cut);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        sleep(ms(1)).await;
        let error = client.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn data_that_reaches_a_closed_socket_over_a_link_is_answered_with_a_reset() {
    simulate(with_latency(ms(5)..=ms(5)), async |kernel| {
        let (mut client, server) = connected(&kernel, A, B, &tcp(B)).await;
        client.write_all(b"too late").await.unwrap();
        drop(server);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        sleep(ms(10)).await;
        let error = client.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_paused_process_loses_no_bytes() {
    let tiny = Settings {
        tcp_buffer_bytes: 16,
        ..with_latency(ms(1)..=ms(2))
    };
    simulate(tiny, async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let node = Handle::current().create_node().build();
        let reader = node.spawn(async move {
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.map(|_| bytes)
        });
        let sent: Vec<u8> = (0..100).collect();
        let writes = async {
            client.write_all(&sent).await.unwrap();
            drop(client);
        };
        let pauses = async {
            sleep(ms(3)).await;
            Handle::current().pause(node.id());
            sleep(ms(1000)).await;
            Handle::current().resume(node.id());
        };
        let ((), ()) = tokio::join!(writes, pauses);
        assert_eq!(reader.await.unwrap().unwrap(), sent);
    });
}

/// What a tap observes.
#[derive(Debug, PartialEq, Eq)]
enum Observed {
    Sent(HostId, HostId, u64, Payload, Vec<u8>),
    Read(Side, u64),
    Closed,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Observed>>>);

impl Log {
    fn add(&self, observed: Observed) {
        self.0.lock().unwrap().push(observed);
    }
}

impl Tap for Log {
    fn sent(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        self.add(Observed::Sent(
            segment.from(),
            segment.to(),
            segment.offset,
            segment.payload,
            bytes.to_vec(),
        ));
    }

    fn read(&mut self, connection: ConnectionId, route: &Route, reader: Side, total_bytes: u64) {
        assert_eq!((connection, route.server), (ConnectionId(1), B));
        self.add(Observed::Read(reader, total_bytes));
    }

    fn closed(&mut self, connection: ConnectionId) {
        assert_eq!(connection, ConnectionId(1));
        self.add(Observed::Closed);
    }
}

#[test]
fn a_tap_observes_what_is_sent_and_read_and_the_end() {
    simulate(Settings::default(), async |kernel| {
        let log = Log::default();
        kernel.tap(log.clone());
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        client.write_all(b"abc").await.unwrap();
        client.write_all(b"d").await.unwrap();
        server.read_exact(&mut [0; 2]).await.unwrap();
        server.read_exact(&mut [0; 1]).await.unwrap();
        server.write_all(b"reply").await.unwrap();
        drop(server);
        assert_eq!(read_some(&mut client).await, b"reply");
        drop(client);
        assert_eq!(
            *log.0.lock().unwrap(),
            [
                Observed::Sent(A, B, 0, Payload::Data(3), b"abc".to_vec()),
                Observed::Sent(A, B, 3, Payload::Data(1), b"d".to_vec()),
                Observed::Read(Side::Server, 2),
                Observed::Read(Side::Server, 3),
                Observed::Sent(B, A, 0, Payload::Data(5), b"reply".to_vec()),
                Observed::Sent(B, A, 5, Payload::Reset, vec![]),
                Observed::Read(Side::Client, 5),
                Observed::Closed,
            ]
        );
        let stats = kernel.stats();
        assert_eq!((stats.connections, stats.chunks, stats.bytes), (1, 3, 9));
    });
}
