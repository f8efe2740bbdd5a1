//! Arbitrary, altered and truncated bytes on every listener and every client of both binaries: no panic, no growth, the
//! connection closed, and others served as before.
//!
//! `tests/corpus` holds messages to alter, one file per channel, one message in hexadecimal per line: what Go wrote, and what
//! once did harm. Each is sent as it is, too. `make soak` does the same for minutes.

#![allow(clippy::disallowed_methods)] // attackers are threads with blocking sockets

use crate::{
    process::{Process, binary, eventually},
    validator::{Validator, free_address, validators},
};
use metanode_core::{
    consensus::protocol,
    peers::{Hello, Welcome},
    types::{Address, AuthorityIndex, Chain, Epoch},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A connection that is not closed after this is left.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a process may grow by while it is attacked, over what it has after a first round of the same attack.
const GROWTH_KIB: u64 = 64 * 1024;

/// The messages of a channel, and how they are altered.
struct Corpus {
    messages: Vec<Vec<u8>>,
    random: ChaCha8Rng,
    sent: usize,
}

impl Corpus {
    fn of(channel: &str, seed: u64) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let text = fs::read_to_string(folder.join(format!("{channel}.hex"))).unwrap();
        let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        let message = |line: &str| {
            (0..line.len())
                .step_by(2)
                .map(|at| byte(line, at))
                .collect()
        };
        Self::new(text.lines().map(message).collect(), seed)
    }

    /// Greetings between nodes of the chain of the node that listens at `peer`. What comes after them is encrypted:
    /// `strangers.rs` alters it.
    fn of_peers(peer: &Address, seed: u64) -> Self {
        let Address::Tcp(socket) = peer else {
            panic!("expected a TCP address, found {peer}");
        };
        let hello = |chain, epoch, handshake: &[u8]| {
            let hello = Hello {
                chain,
                epoch: Epoch(epoch),
                from: Some(AuthorityIndex(0)),
                handshake: handshake.to_vec().into(),
            };
            protocol::frame(&hello).unwrap().to_vec()
        };
        let mut stream = TcpStream::connect(socket).unwrap();
        let other = hello(Chain::default(), 0, &[7; 96]);
        stream.write_all(&other).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut body).unwrap();
        let chain = protocol::parse::<Welcome>(&body).unwrap().chain;
        let record = [&[0, 60][..], &[9; 60]].concat();
        let messages = vec![
            hello(chain, 0, &[7; 96]),
            hello(chain, 0, &[]),
            hello(chain, 0, &[7; 700]),
            hello(chain, 1, &[7; 96]),
            hello(chain, u64::MAX, &[7; 96]),
            [hello(chain, 0, &[7; 96]), record].concat(),
            other,
        ];
        Self::new(messages, seed)
    }

    fn new(messages: Vec<Vec<u8>>, seed: u64) -> Self {
        Self {
            messages,
            random: ChaCha8Rng::seed_from_u64(seed),
            sent: 0,
        }
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.random.next_u64() % count.max(1) as u64).unwrap()
    }

    /// The messages as they are, then altered ones.
    fn next(&mut self) -> Vec<u8> {
        self.sent += 1;
        if let Some(message) = self.messages.get(self.sent - 1) {
            return message.clone();
        }
        let picked = self.below(self.messages.len());
        let mut bytes = self.messages[picked].clone();
        for _ in 0..=self.below(4) {
            self.alter(&mut bytes);
        }
        bytes
    }

    fn alter(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(7) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
            3 => {
                let other = self.below(self.messages.len());
                let tail = self.messages[other].clone();
                let from = self.below(tail.len());
                bytes.truncate(at);
                bytes.extend(&tail[from..]);
            }
            4 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            // Lengths are at the beginning.
            5 => {
                let length = u32::try_from(self.random.next_u64() >> 36).unwrap();
                let prefix = length.to_be_bytes();
                bytes.splice(..bytes.len().min(4), prefix);
            }
            _ => {
                let count = self.below(300);
                let random = (0..count).map(|_| self.random.next_u64() as u8);
                bytes.extend(random.collect::<Vec<_>>());
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, bytes: &[u8]) {
    // The process may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut reply = [0; 4096];
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && stream.read(&mut reply).is_ok_and(|read| read > 0) {}
}

/// Connects and sends one message.
fn attack(process: &Process, address: &Address, bytes: &[u8]) {
    let connected: io::Result<Box<dyn ReadWrite>> = match address {
        Address::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream) as _)
        }),
        Address::Tcp(socket) => TcpStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream) as _)
        }),
    };
    match connected {
        Ok(stream) => exchange(stream, bytes),
        Err(e) => panic!("{address} does not listen any more: {e}\n{}", process.log()),
    }
}

/// Somebody who answers whatever a client asks with such bytes, and closes the connection.
struct Answering {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Answering {
    fn listen(address: &Address, mut corpus: Corpus) -> Self {
        let answering = Self {
            is_over: Arc::default(),
            answered: Arc::default(),
        };
        let (is_over, answered) = (answering.is_over.clone(), answering.answered.clone());
        let mut answer = move |stream: &mut dyn ReadWrite| {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request); // some clients wait for the first message
            let _ = stream.write_all(&corpus.next());
            answered.fetch_add(1, Ordering::Relaxed);
            !is_over.load(Ordering::Relaxed)
        };
        match address {
            Address::Unix(path) => {
                let listener = UnixListener::bind(path).unwrap();
                thread::spawn(move || {
                    for mut stream in listener.incoming().map_while(Result::ok) {
                        stream.set_read_timeout(Some(PATIENCE)).unwrap();
                        if !answer(&mut stream) {
                            return;
                        }
                    }
                });
            }
            Address::Tcp(socket) => {
                let listener = TcpListener::bind(socket).unwrap();
                thread::spawn(move || {
                    for mut stream in listener.incoming().map_while(Result::ok) {
                        stream.set_read_timeout(Some(PATIENCE)).unwrap();
                        if !answer(&mut stream) {
                            return;
                        }
                    }
                });
            }
        }
        answering
    }

    async fn has_answered(&self, count: u64) {
        eventually("clients that ask", async || {
            (self.answered.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn assert_unharmed(process: &Process, resident_kib: u64, what: &str) {
    let log = process.log();
    assert!(!log.contains("panicked"), "{what}:\n{log}");
    let now = process.resident_kib();
    assert!(
        now < resident_kib + GROWTH_KIB,
        "{what}: {now} KiB after, {resident_kib} KiB before"
    );
}

/// Attacks a listener of a process, and asserts that it is as before.
fn attack_listener(process: &Process, address: &Address, mut corpus: Corpus, rounds: usize) {
    let warm_up = corpus.messages.len() + rounds / 4;
    for _ in 0..warm_up {
        attack(process, address, &corpus.next());
    }
    let before = process.resident_kib();
    for _ in 0..rounds {
        attack(process, address, &corpus.next());
    }
    assert_unharmed(process, before, &address.to_string());
}

fn sub_config(validator: &Validator, folder: &Path) -> (PathBuf, Address) {
    let listen = folder.join("sub.sock");
    let config = folder.join("sub.toml");
    let text = format!(
        "transaction_socket_path = {:?}\nlisten_address = {listen:?}\n[follow]\nmaster_address = {:?}\ndata_dir = {:?}\n",
        validator.transaction_path(),
        validator.rpc_path(),
        folder.join("sub")
    );
    fs::write(&config, text).unwrap();
    (config, Address::Unix(listen))
}

fn start_sub(config: &Path, log: PathBuf) -> Process {
    let mut command = Command::new(binary("mock-go-executor"));
    command.args(["sub", "--config"]).arg(config);
    Process::start(&mut command, log)
}

async fn listeners(rounds: usize) {
    let root = TempDir::new().unwrap();
    let mut validator = validators(root.path(), 1).remove(0);
    let old = free_address();
    let peer_rpc = Address::Tcp(free_address());
    validator.node.old_transport_listen_address = Some(old);
    validator.executor.peer_rpc_address = Some(peer_rpc.clone());
    let executor = validator.start_executor();
    let node = validator.start_node(&[("SINGLE_NODE", "1")]);
    let before = validator.reaches(3).await;
    let (config, local) = sub_config(&validator, root.path());
    let mut sub = start_sub(&config, validator.next_log("sub"));
    sub.line(&["is connected to its metanode"]).await;

    let p2p = Address::Tcp(validator.node.p2p_listen_address);
    let transactions = Address::Unix(validator.transaction_path());
    let stream = validator.executor.block_stream_address.clone();
    attack_listener(&node, &transactions, Corpus::of("transactions", 1), rounds);
    attack_listener(
        &node,
        &Address::Tcp(old),
        Corpus::of("transactions", 1),
        rounds,
    );
    attack_listener(&node, &p2p, Corpus::of_peers(&p2p, 1), rounds);
    attack_listener(
        &executor,
        validator.rpc_address(),
        Corpus::of("rpc-requests", 1),
        rounds,
    );
    attack_listener(&executor, &peer_rpc, Corpus::of("rpc-requests", 1), rounds);
    attack_listener(&sub, &local, Corpus::of("transactions", 1), rounds);
    // Each of these takes the stream from the node, which takes it back.
    attack_listener(&executor, &stream, Corpus::of("blocks", 1), rounds);
    validator.reaches(before + 20).await;
    for process in [sub, node, executor] {
        process.stop().await;
    }
}

async fn clients(answers: u64) {
    let root = TempDir::new().unwrap();
    let mut validator = validators(root.path(), 2).remove(0);
    let peer = validator.executor.genesis.validators[1].p2p_address.clone();
    let peer: Address = peer.parse().unwrap();
    // An executor that answers anything: the node never starts. Then a real one, and a peer that answers anything.
    {
        let executor = Answering::listen(validator.rpc_address(), Corpus::of("rpc-replies", 2));
        let node = validator.start_node(&[]);
        executor.has_answered(answers).await;
        assert_unharmed(&node, 64 * 1024, "a node and its executor");
        node.kill().await;
    }
    fs::remove_file(validator.rpc_path()).unwrap();
    let executor = validator.start_executor();
    {
        let others = Answering::listen(&peer, Corpus::of("peer-answers", 3));
        let node = validator.start_node(&[]);
        others.has_answered(answers).await;
        assert_unharmed(&node, 64 * 1024, "a node and its peer");
        node.kill().await;
    }
    executor.kill().await;
    fs::remove_file(validator.rpc_path()).unwrap();
    let _ = fs::remove_file(validator.transaction_path()); // a node that was killed may have left it
    let node = Answering::listen(
        &Address::Unix(validator.transaction_path()),
        Corpus::of("replies", 4),
    );
    let master = Answering::listen(validator.rpc_address(), Corpus::of("rpc-replies", 5));
    let (config, local) = sub_config(&validator, root.path());
    let sub = start_sub(&config, validator.next_log("sub"));
    let batch = Corpus::of("transactions", 6).next();
    for answered in 1..=answers {
        eventually("the Sub", async || {
            root.path().join("sub.sock").exists().then_some(())
        })
        .await;
        attack(&sub, &local, &batch);
        node.has_answered(answered).await;
    }
    master.has_answered(answers).await;
    assert_unharmed(&sub, 64 * 1024, "a Sub, its node and its Master");
    sub.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_survive_hostile_bytes() {
    listeners(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_survive_hostile_answers() {
    clients(8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn listeners_survive_hostile_bytes_for_minutes() {
    listeners(2_000).await;
}
