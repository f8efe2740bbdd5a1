//! Strangers at the port of consensus: altered messages inside of sessions, and floods (contract §10.8).

use crate::{
    process::Process,
    validator::{Validator, validators},
};
use metanode_core::{
    config::NodeConfig,
    consensus::protocol::{self, PeerRequest, Purpose},
    env::{Event, EventSink},
    executor::validators::committee,
    framing::write_frame,
    peers::{Hello, SecureStream, Sessions, SharedRandom, Welcome},
    types::{
        AuthorityIndex, BlockDigest, BlockRef, Chain, CommitIndex, Committee, Encryption, Epoch,
        NetworkKeyPair, Round,
    },
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// What a stranger needs to know to talk to a node as a guest.
struct Stranger {
    address: SocketAddr,
    sessions: Sessions,
    peer: AuthorityIndex,
}

struct Unwitnessed;

impl EventSink for Unwitnessed {
    fn emit(&self, _: Event) {}
}

impl Stranger {
    /// All it knows is public: the committee, and the chain, which the node tells to who is of another one.
    async fn of(node: &NodeConfig, committee: Committee, seed: u64) -> Self {
        let address = node.p2p_listen_address;
        let key = node.network_keys()[0].public();
        let mut members = committee.authorities();
        let peer = members.find(|(_, member)| member.network_key == key);
        let peer = peer.expect("the node is a member").0;
        drop(members);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        let sessions = Sessions::new(
            chain(address).await,
            Arc::new(committee),
            None,
            NetworkKeyPair::from_seed(Encryption::Noise, &key),
            SharedRandom::new(random),
            Arc::new(Unwitnessed),
        );
        Self {
            address,
            sessions,
            peer,
        }
    }

    async fn connect(&self) -> Option<SecureStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let session = self.sessions.connect(stream, self.peer);
        let session = timeout(Duration::from_secs(10), session).await;
        Some(session.ok()?.ok()?.0)
    }
}

/// The chain of a node, from its refusal of a greeting of another one.
async fn chain(address: SocketAddr) -> Chain {
    let hello = Hello {
        chain: Chain::default(),
        epoch: Epoch(0),
        from: None,
        handshake: vec![0; 96].into(),
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let frame = protocol::frame(&hello).unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).await.unwrap();
    protocol::parse::<Welcome>(&body).unwrap().chain
}

fn members(validator: &Validator) -> Committee {
    let (committee, left_out) =
        committee(Epoch(0), &validator.executor.genesis.validators).unwrap();
    assert_eq!(left_out, []);
    committee
}

fn requests() -> Vec<PeerRequest> {
    let block = BlockRef {
        round: Round(1),
        author: AuthorityIndex(0),
        digest: BlockDigest::of(b"block"),
    };
    let (from, to) = (CommitIndex(1), CommitIndex(u32::MAX));
    vec![
        PeerRequest::Blocks(vec![block; 3]),
        PeerRequest::Blocks(vec![block; 256]),
        PeerRequest::Commits { from, to },
        PeerRequest::Commits { from: to, to: from },
        PeerRequest::NewestBlockOf(AuthorityIndex(u16::MAX)),
    ]
}

/// Frames that are altered in one byte, cut off, or too long, as the first message of a session and as a later one.
#[tokio::test]
async fn altered_messages_of_guests_harm_nobody() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let committee = members(&all[0]);
    let validator = &mut all[0];
    let executor = validator.start_executor();
    let node = validator.start_node(&[("SINGLE_NODE", "1")]);
    let before = validator.reaches(3).await;
    // SINGLE_NODE is a chain of its own, with the committee of this node alone.
    let own = validator.node.network_keys()[0].public();
    let own = committee
        .authorities()
        .find(|(_, it)| it.network_key == own);
    let alone = committee.alone(own.unwrap().0);
    let stranger = Stranger::of(&validator.node, alone, 1).await;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut below = |end: usize| random.next_u64() as usize % end;
    let requests = requests();
    let mut sessions = 0;
    for _ in 0..150 {
        let Some(mut stream) = stranger.connect().await else {
            continue;
        };
        sessions += 1;
        let purpose = protocol::frame(&Purpose::Query).unwrap();
        let request = protocol::frame(&requests[below(requests.len())]).unwrap();
        let mut frame = match below(2) {
            0 => purpose.to_vec(),
            _ => {
                write_frame(&mut stream, &purpose).await.unwrap();
                request.to_vec()
            }
        };
        match below(3) {
            0 => {
                let at = below(frame.len());
                frame[at] ^= 1 << below(8);
            }
            1 => frame.truncate(below(frame.len())),
            _ => frame[0] = 0xff,
        }
        // It may have left already.
        let _ = write_frame(&mut stream, &frame).await;
        let _ = timeout(Duration::from_millis(5), stream.read(&mut [0; 64])).await;
    }
    assert!(sessions > 50, "only {sessions} sessions");
    validator.reaches(before + 20).await;
    node.stop().await;
    executor.stop().await;
}

/// What the attackers do, one after the other.
const ATTACKS: [&str; 5] = [
    "connect",
    "long-frames",
    "repeat",
    "stop-reading",
    "trickle",
];

/// The attacker: a process of its own, so that its CPU time is not the node's. Started by `a_node_withstands_floods`.
#[tokio::test]
#[ignore = "started by another test"]
async fn attacker() {
    let Ok(attack) = std::env::var("ATTACK") else {
        return;
    };
    let text = std::env::var("ATTACK_CONFIG").unwrap();
    let node = NodeConfig::parse(&fs::read_to_string(&text).unwrap(), text.as_ref()).unwrap();
    let genesis = std::env::var("ATTACK_GENESIS").unwrap();
    let executor = mock_go_executor::config::ExecutorConfig::load(genesis.as_ref()).unwrap();
    let (committee, _) = committee(Epoch(0), &executor.genesis.validators).unwrap();
    let stranger = Arc::new(Stranger::of(&node, committee, 7).await);
    let mut open = tokio::task::JoinSet::new();
    for number in 0..10_000u32 {
        let stranger = stranger.clone();
        match attack.as_str() {
            "connect" => open.spawn(async move {
                let stream = TcpStream::connect(stranger.address).await;
                sleep(Duration::from_secs(60)).await;
                drop(stream);
            }),
            "long-frames" => open.spawn(async move {
                if let Ok(mut stream) = TcpStream::connect(stranger.address).await {
                    let _ = stream.write_all(&(32u32 << 20).to_be_bytes()).await;
                    let _ = stream.write_all(&vec![7; 1 << 20]).await;
                    sleep(Duration::from_secs(60)).await;
                }
            }),
            "trickle" => open.spawn(async move {
                if let Ok(mut stream) = TcpStream::connect(stranger.address).await {
                    while stream.write_all(&[0]).await.is_ok() {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
            }),
            // "repeat" and "stop-reading"
            attack => {
                let reads = attack == "repeat";
                open.spawn(async move { stranger.ask(reads, number).await })
            }
        };
        // As many connections per second as a slow machine makes.
        sleep(Duration::from_millis(2)).await;
        while open.try_join_next().is_some() {}
    }
    sleep(Duration::from_secs(60)).await;
}

impl Stranger {
    /// Asks for one block 256 times in a request, again and again.
    async fn ask(&self, reads: bool, number: u32) {
        let Some(mut stream) = self.connect().await else {
            return;
        };
        let request = &requests()[1 + number as usize % 2];
        let purpose = protocol::frame(&Purpose::Query).unwrap();
        let frame = protocol::frame(request).unwrap();
        if write_frame(&mut stream, &purpose).await.is_err() {
            return;
        }
        while write_frame(&mut stream, &frame).await.is_ok() {
            if reads && stream.read(&mut [0; 65_536]).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }
}

/// A network of four, of which one node is attacked by somebody without a key, in turns with quiet phases.
#[tokio::test]
#[ignore = "minutes; part of `make soak`"]
async fn a_node_withstands_floods() {
    const PHASE: Duration = Duration::from_secs(12);
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let mut running: Vec<Process> = all.iter_mut().map(Validator::start_executor).collect();
    let nodes: Vec<_> = all.iter_mut().map(|it| it.start_node(&[])).collect();
    all[0].reaches(20).await;
    let node = &nodes[0];
    println!(
        "commits per second of the attacked node, quiet and attacked; memory and file descriptors after it"
    );
    for attack in ATTACKS {
        let quiet = commits(&all[0], PHASE).await;
        let mut attacker = start_attacker(&all[0], attack);
        sleep(Duration::from_secs(3)).await;
        let attacked = commits(&all[0], PHASE).await;
        let (memory_mib, files) = (node.resident_kib() >> 10, node.open_files());
        attacker.kill().unwrap();
        attacker.wait().unwrap();
        let again = commits(&all[0], PHASE).await;
        let quiet = (quiet + again) / 2.0;
        println!(
            "{attack:>13} {quiet:6.1} {attacked:6.1} {:5.2}  {memory_mib} MiB  {files} files",
            attacked / quiet
        );
        assert!(
            attacked > 0.8 * quiet,
            "{attack}: {attacked} of {quiet} commits per second"
        );
        assert!(memory_mib < 400, "{attack}: {memory_mib} MiB");
        assert!(files < 1_500, "{attack}: {files} file descriptors");
    }
    running.extend(nodes);
    for process in running {
        process.kill().await;
    }
}

/// Blocks per second.
async fn commits(validator: &Validator, time: Duration) -> f64 {
    let (began, before) = (Instant::now(), validator.watermark().await.unwrap());
    sleep(time).await;
    let after = validator.watermark().await.unwrap();
    (after - before) as f64 / began.elapsed().as_secs_f64()
}

fn start_attacker(validator: &Validator, attack: &str) -> Child {
    let config = validator.node_config();
    let genesis = validator.executor_config();
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("nice");
    command
        .args(["-n", "19"])
        .arg(program)
        .args(["--exact", "strangers::attacker", "--ignored"])
        .env("ATTACK", attack)
        .env("ATTACK_CONFIG", config)
        .env("ATTACK_GENESIS", genesis)
        .stdout(std::process::Stdio::null());
    command.spawn().unwrap()
}
