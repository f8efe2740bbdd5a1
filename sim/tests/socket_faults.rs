//! What only simulated sockets have: links with latency, rules, processes that are killed or paused, taps.

#![cfg(madsim)]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::time::{TimeHandle, sleep, timeout};
use metanode_core::env::{Address, BoxListener, BoxStream, Entropy, Network};
use metanode_sim::net::{
    ConnectVerdict, Cut, HostId, Kernel, LatencySpike, Partition, Payload, ResetAll, Route, Rule,
    Segment, Settings, ShortWrites, SimNetwork, Verdict,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Result};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const A: HostId = HostId(1);
const B: HostId = HostId(2);

/// What the scheduler adds to a time while it runs a few tasks.
const SCHEDULING: Duration = Duration::from_micros(10);

struct Seed(u64);

impl Entropy for Seed {
    fn stream(&self, label: &str) -> ChaCha8Rng {
        let key = blake3::keyed_hash(
            blake3::hash(&self.0.to_le_bytes()).as_bytes(),
            label.as_bytes(),
        );
        ChaCha8Rng::from_seed(*key.as_bytes())
    }
}

fn simulate<T>(settings: Settings, test: impl AsyncFnOnce(Kernel) -> T) -> T {
    simulate_seed(1, settings, test)
}

fn simulate_seed<T>(seed: u64, settings: Settings, test: impl AsyncFnOnce(Kernel) -> T) -> T {
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.add_simulator::<Kernel>();
    runtime.block_on(async {
        let kernel = Kernel::current();
        kernel.configure(settings, Arc::new(Seed(seed)));
        test(kernel).await
    })
}

fn with_latency(latency: RangeInclusive<Duration>) -> Settings {
    Settings {
        latency,
        ..Settings::default()
    }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn now() -> Duration {
    TimeHandle::current().elapsed()
}

fn tcp(host: HostId) -> Address {
    Address::Tcp((host.ip(), 9000).into())
}

fn unix() -> Address {
    Address::Unix("/run/test.sock".into())
}

fn network(kernel: &Kernel, host: HostId) -> SimNetwork {
    SimNetwork::new(kernel.clone(), host)
}

/// A connection from `client` to `server`, the client's end first.
async fn connected(
    kernel: &Kernel,
    client: HostId,
    server: HostId,
    address: &Address,
) -> (BoxStream, BoxStream) {
    let listener = network(kernel, server).listen(address).await.unwrap();
    let network = network(kernel, client);
    let (client, server) = tokio::join!(network.connect(address), listener.accept());
    (client.unwrap(), server.unwrap())
}

fn partition(cut: Cut) -> Partition {
    Partition {
        a: BTreeSet::from([A]),
        b: BTreeSet::from([B]),
        cut,
    }
}

async fn read_some(stream: &mut BoxStream) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let count = stream.read(&mut bytes).await.unwrap();
    bytes.truncate(count);
    bytes
}

async fn read_error(stream: &mut BoxStream) -> ErrorKind {
    stream.read(&mut [0; 8]).await.unwrap_err().kind()
}

/// Whether nothing comes for a long time.
async fn is_silent(stream: &mut BoxStream) -> bool {
    timeout(ms(60_000), stream.read(&mut [0; 8])).await.is_err()
}

/// How long one byte takes from one end to the other.
async fn journey(from: &mut BoxStream, to: &mut BoxStream) -> Duration {
    let start = now();
    from.write_all(b"x").await.unwrap();
    to.read_u8().await.unwrap();
    now() - start
}

/// When each of ten bytes, sent 1 ms apart, is sent and read.
async fn journeys(kernel: Kernel) -> Vec<(Duration, Duration)> {
    let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
    let sends = async {
        let mut times = Vec::new();
        for number in 0..10 {
            times.push(now());
            client.write_all(&[number]).await.unwrap();
            sleep(ms(1)).await;
        }
        times
    };
    let reads = async {
        let mut times = Vec::new();
        for number in 0..10 {
            assert_eq!(server.read_u8().await.unwrap(), number);
            times.push(now());
        }
        times
    };
    let (sent, read) = tokio::join!(sends, reads);
    sent.into_iter().zip(read).collect()
}

#[test]
fn a_chunk_takes_the_latency_of_its_link_and_overtakes_none() {
    let journeys = simulate(with_latency(ms(5)..=ms(20)), journeys);
    let mut last_read = Duration::ZERO;
    for &(sent, read) in &journeys {
        assert!(read >= sent + ms(5) && read >= last_read);
        assert!(read <= (sent + ms(20)).max(last_read) + SCHEDULING);
        last_read = read;
    }
    let spread = |(sent, read): &(Duration, Duration)| read.abs_diff(*sent).as_millis();
    let taken: BTreeSet<_> = journeys.iter().map(spread).collect();
    assert!(taken.len() > 3, "latencies are drawn: {taken:?}");
}

#[test]
fn one_seed_gives_one_order_and_another_gives_another() {
    let run = |seed| simulate_seed(seed, with_latency(ms(5)..=ms(20)), journeys);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn traffic_on_one_link_moves_no_other() {
    let settings = with_latency(ms(5)..=ms(20));
    let quiet = simulate(settings.clone(), journeys);
    let noisy = simulate(settings, async |kernel| {
        let (mut noise, _other) = connected(&kernel, A, HostId(3), &tcp(HostId(3))).await;
        noise.write_all(b"noise").await.unwrap();
        journeys(kernel).await
    });
    for ((sent, read), (sent_in_noise, read_in_noise)) in quiet.into_iter().zip(noisy) {
        assert!((read - sent).abs_diff(read_in_noise - sent_in_noise) < SCHEDULING);
    }
}

#[test]
fn links_are_directed_and_may_be_faster_than_a_millisecond() {
    simulate(Settings::default(), async |kernel| {
        let fast = Duration::from_micros(300);
        kernel.set_link(A, B, fast..=fast);
        kernel.set_link(B, A, ms(7)..=ms(7));
        let start = now();
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let handshake = now() - start;
        assert!(handshake >= fast + ms(7) && handshake < fast + ms(7) + SCHEDULING);

        let taken = journey(&mut client, &mut server).await;
        assert!(taken >= fast && taken < fast + SCHEDULING, "{taken:?}");
    });
}

#[test]
fn a_refusal_takes_a_round_trip() {
    simulate(with_latency(ms(5)..=ms(5)), async |kernel| {
        let start = now();
        let error = network(&kernel, A).connect(&tcp(B)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(now() - start >= ms(10) && now() - start < ms(10) + SCHEDULING);
    });
}

#[test]
fn inside_a_host_nothing_takes_time() {
    simulate(with_latency(ms(5)..=ms(5)), async |kernel| {
        let start = now();
        let loopback: Address = "127.0.0.1:9000".parse().unwrap();
        for (host, address) in [(A, unix()), (A, loopback), (B, tcp(B))] {
            let (mut client, mut server) = connected(&kernel, host, host, &address).await;
            journey(&mut client, &mut server).await;
        }
        assert!(now() - start < SCHEDULING);
    });
}

#[test]
fn port_zero_becomes_a_free_port() {
    simulate(Settings::default(), async |kernel| {
        let network = network(&kernel, A);
        let any: Address = "0.0.0.0:0".parse().unwrap();
        let _first = network.listen(&any).await.unwrap();
        let _second = network.listen(&any).await.unwrap();
        let ports: BTreeSet<_> = kernel.listening(A).into_iter().collect();
        assert_eq!(ports.len(), 2);
        assert!(!ports.contains(&any));
    });
}

#[test]
fn a_partition_holds_up_the_stream_and_loses_nothing() {
    simulate(with_latency(ms(1)..=ms(5)), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let cut = kernel.install(partition(Cut::Both));
        client.write_all(b"one ").await.unwrap();
        client.write_all(b"two").await.unwrap();
        drop(client);
        assert!(is_silent(&mut server).await);
        drop(cut);
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"one two");
    });
}

#[test]
fn a_partition_can_cut_one_way() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let _cut = kernel.install(partition(Cut::BToA));
        client.write_all(b"there").await.unwrap();
        assert_eq!(read_some(&mut server).await, b"there");
        server.write_all(b"back").await.unwrap();
        assert!(is_silent(&mut client).await);
    });
}

#[test]
fn a_connection_across_a_partition_waits_until_it_heals() {
    simulate(Settings::default(), async |kernel| {
        let listener = network(&kernel, B).listen(&tcp(B)).await.unwrap();
        let cut = kernel.install(partition(Cut::BToA));
        let network = network(&kernel, A);
        let address = tcp(B);
        let abandoned = timeout(ms(10_000), network.connect(&address)).await;
        assert!(abandoned.is_err(), "it hangs");
        let start = now();
        let heals = async {
            sleep(ms(500)).await;
            drop(cut);
        };
        let (client, server, ()) =
            tokio::join!(network.connect(&address), listener.accept(), heals);
        assert!(client.is_ok() && server.is_ok());
        assert!(now() - start >= ms(500));
        assert_eq!(kernel.stats().connections, 1, "the abandoned one is none");
    });
}

#[test]
fn a_partition_leaves_hosts_alone_with_themselves() {
    simulate(Settings::default(), async |kernel| {
        let everybody = BTreeSet::from([A, B]);
        let _cut = kernel.install(Partition {
            a: everybody.clone(),
            b: everybody,
            cut: Cut::Both,
        });
        for address in [unix(), tcp(A)] {
            let (mut client, mut server) = connected(&kernel, A, A, &address).await;
            client.write_all(b"x").await.unwrap();
            assert_eq!(read_some(&mut server).await, b"x");
        }
    });
}

/// Holds everything and counts what it is asked.
struct HoldAll(Arc<Mutex<u32>>);

impl Rule for HoldAll {
    fn on_chunk(&mut self, _: &Segment<'_>) -> Verdict {
        *self.0.lock().unwrap() += 1;
        Verdict::Hold
    }
}

#[test]
fn what_two_rules_hold_goes_on_when_both_are_gone() {
    for first_goes_first in [true, false] {
        simulate(Settings::default(), async |kernel| {
            let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
            let asked = [Arc::default(), Arc::default()];
            let install = |count| kernel.install(HoldAll(count));
            let mut rules = Vec::from(asked.clone().map(install));
            client.write_all(b"x").await.unwrap();
            drop(rules.remove(usize::from(!first_goes_first)));
            assert!(is_silent(&mut server).await);
            drop(rules);
            assert_eq!(read_some(&mut server).await, b"x");
            let asked = asked.map(|count| *count.lock().unwrap());
            assert_eq!(asked, [1, u32::from(first_goes_first)]);
        });
    }
}

#[test]
fn a_latency_spike_delays_until_it_is_over() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let spike = kernel.install(LatencySpike {
            hosts: BTreeSet::from([B]),
            extra: ms(50),
        });
        assert!((ms(50)..ms(50) + SCHEDULING).contains(&journey(&mut client, &mut server).await));
        drop(spike);
        assert!(journey(&mut client, &mut server).await < SCHEDULING);
    });
}

#[test]
fn a_rejecting_firewall_kills_connections_and_refuses_new_ones() {
    simulate(with_latency(ms(1)..=ms(5)), async |kernel| {
        let listener = network(&kernel, B).listen(&tcp(B)).await.unwrap();
        let network = network(&kernel, A);
        let address = tcp(B);
        let (client, server) = tokio::join!(network.connect(&address), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let firewall = kernel.install(ResetAll {
            hosts: BTreeSet::from([A]),
        });
        client.write_all(b"x").await.unwrap();
        assert_eq!(read_error(&mut server).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut client).await, ErrorKind::ConnectionReset);
        let error = network.connect(&address).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        drop(firewall);
        network.connect(&address).await.unwrap();
    });
}

/// Kills a connection in the middle of the first chunk that is long enough.
struct TearAt(usize);

impl Rule for TearAt {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        match segment.payload {
            Payload::Data(length) if length > self.0 => Verdict::Reset {
                after_bytes: self.0,
            },
            _ => Verdict::Deliver,
        }
    }

    fn on_connect(&mut self, _: &Route) -> ConnectVerdict {
        ConnectVerdict::Delay(ms(3))
    }
}

#[test]
fn a_frame_can_be_torn() {
    simulate(Settings::default(), async |kernel| {
        let _rule = kernel.install(TearAt(3));
        let start = now();
        let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
        assert!(now() - start >= ms(3));
        client.write_all(b"ok").await.unwrap();
        client.write_all(b"torn").await.unwrap();
        assert_eq!(read_some(&mut server).await, b"oktor");
        assert_eq!(read_error(&mut server).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut client).await, ErrorKind::ConnectionReset);
    });
}

#[test]
fn short_writes_take_less_than_they_could() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
        let _rule = kernel.install(ShortWrites {
            max_bytes: 5,
            stream: Seed(1).stream("short writes"),
        });
        let mut taken = BTreeSet::new();
        for _ in 0..50 {
            let count = client.write(&[7; 100]).await.unwrap();
            assert_eq!(read_some(&mut server).await, vec![7; count]);
            taken.insert(count);
        }
        assert_eq!(taken, BTreeSet::from([1, 2, 3, 4, 5]));
    });
}

#[test]
fn connections_can_be_reset_from_outside() {
    simulate(Settings::default(), async |kernel| {
        let (mut doomed, mut peer) = connected(&kernel, A, B, &tcp(B)).await;
        let (mut spared, mut other) = connected(&kernel, A, A, &unix()).await;
        doomed.write_all(b"arrived").await.unwrap();
        assert_eq!(kernel.reset_connections(Route::crosses_hosts), 1);
        assert_eq!(read_some(&mut peer).await, b"arrived");
        assert_eq!(read_error(&mut peer).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut doomed).await, ErrorKind::ConnectionReset);
        spared.write_all(b"x").await.unwrap();
        assert_eq!(read_some(&mut other).await, b"x");
    });
}

/// A process that listens, accepts one connection, says hello and does nothing more.
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
fn a_death_behind_a_partition_is_seen_when_it_heals() {
    simulate(Settings::default(), async |kernel| {
        let node = process(&kernel, tcp(B));
        sleep(ms(1)).await;
        let mut client = network(&kernel, A).connect(&tcp(B)).await.unwrap();
        assert_eq!(read_some(&mut client).await, b"hello");
        let cut = kernel.install(partition(Cut::Both));
        Handle::current().kill(node.id());
        client.write_all(b"anybody there?").await.unwrap();
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

#[test]
fn a_tap_reads_the_wire() {
    simulate(Settings::default(), async |kernel| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        kernel.tap(Box::new(move |segment, bytes| {
            let line = (
                segment.from(),
                segment.to(),
                segment.offset,
                segment.payload,
                bytes.to_vec(),
            );
            log.lock().unwrap().push(line);
        }));
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        client.write_all(b"abc").await.unwrap();
        client.write_all(b"d").await.unwrap();
        server.write_all(b"reply").await.unwrap();
        drop(server);
        assert_eq!(
            *seen.lock().unwrap(),
            [
                (A, B, 0, Payload::Data(3), b"abc".to_vec()),
                (A, B, 3, Payload::Data(1), b"d".to_vec()),
                (B, A, 0, Payload::Data(5), b"reply".to_vec()),
                (B, A, 5, Payload::Reset, vec![]),
            ]
        );
        let stats = kernel.stats();
        assert_eq!((stats.connections, stats.chunks, stats.bytes), (1, 3, 9));
    });
}

/// Something that a world does to a connection between two hosts, or that its client does.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Partition,
    Spike,
    ShortWrites,
    TearAt(usize),
    Wait(u64),
    /// Uninstalls one of the rules.
    Uninstall(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..300_usize).prop_map(Step::Write),
        1 => Just(Step::Partition),
        1 => Just(Step::Spike),
        1 => Just(Step::ShortWrites),
        1 => (1..400_usize).prop_map(Step::TearAt),
        3 => (1..30_u64).prop_map(Step::Wait),
        3 => any::<usize>().prop_map(Step::Uninstall),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Runs the steps on a connection; returns what the client wrote and what the server read, and whether it read on
/// to the end.
async fn run_steps(kernel: Kernel, steps: Vec<Step>) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
    let writes = async {
        let mut written = Vec::new();
        let mut rules = Vec::new();
        let hosts = BTreeSet::from([A]);
        for step in steps {
            match step {
                Step::Write(count) => {
                    let bytes: Vec<u8> = (written.len()..written.len() + count)
                        .map(|at| (at % 251) as u8)
                        .collect();
                    let write = timeout(ms(100), client.write(&bytes)).await;
                    let taken = write.unwrap_or(Ok(0)).unwrap_or(0);
                    written.extend(&bytes[..taken]);
                }
                Step::Partition => rules.push(kernel.install(partition(Cut::Both))),
                Step::Spike => rules.push(kernel.install(LatencySpike {
                    hosts: hosts.clone(),
                    extra: ms(20),
                })),
                Step::ShortWrites => rules.push(kernel.install(ShortWrites {
                    max_bytes: 9,
                    stream: Seed(1).stream("short writes"),
                })),
                Step::TearAt(length) => rules.push(kernel.install(TearAt(length))),
                Step::Wait(duration_ms) => sleep(ms(duration_ms)).await,
                Step::Uninstall(_) if rules.is_empty() => {}
                Step::Uninstall(index) => drop(rules.remove(index % rules.len())),
            }
        }
        drop(rules);
        drop(client);
        written
    };
    let reads = async {
        let mut read = Vec::new();
        let to_the_end = server.read_to_end(&mut read).await.is_ok();
        (read, to_the_end)
    };
    let (written, (read, to_the_end)) = tokio::join!(writes, reads);
    (written, read, to_the_end)
}

proptest! {
    #[test]
    fn whatever_rules_do_a_stream_is_read_in_order_up_to_where_it_breaks(steps in steps()) {
        let settings = Settings {
            tcp_buffer_bytes: 1000,
            ..with_latency(ms(0)..=ms(10))
        };
        let tears = steps.iter().any(|step| matches!(step, Step::TearAt(_)));
        let (written, read, to_the_end) =
            simulate(settings, async |kernel| run_steps(kernel, steps).await);
        prop_assert!(written.starts_with(&read));
        prop_assert!(to_the_end || tears);
        prop_assert!(!to_the_end || written.len() == read.len());
    }
}
