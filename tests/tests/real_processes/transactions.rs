//! Transactions into real nodes: a client that is written against the wire alone, and a Sub.

use crate::{
    client::{Client, batch, frame, transfer, varint},
    process::{Process, binary, eventually},
    validator::{Validator, validators},
};
use metanode_core::types::Address;
use std::{collections::BTreeSet, fs, os::unix::net::UnixStream, path::PathBuf, process::Command};
use tempfile::TempDir;

const ALONE: [(&str, &str); 1] = [("SINGLE_NODE", "1")];

/// Processes of a validator that is its committee alone.
pub struct Running {
    _root: TempDir,
    validator: Validator,
    node: Process,
    executor: Process,
    pub path: PathBuf,
}

impl Running {
    pub async fn start(limits: impl FnOnce(&mut Validator)) -> Self {
        let root = TempDir::new().unwrap();
        let mut validator = validators(root.path(), 1).remove(0);
        limits(&mut validator);
        let path = validator.transaction_path();
        let executor = validator.start_executor();
        let node = validator.start_node(&ALONE);
        validator.reaches(3).await;
        Self {
            _root: root,
            validator,
            node,
            executor,
            path,
        }
    }

    /// Waits until this many transactions are delivered, and returns how many different ones were.
    pub async fn delivers(&self, count: usize) -> usize {
        eventually("delivered transactions", async || {
            let last = self.validator.watermark().await?;
            let blocks = self.validator.blocks(last).await;
            let transactions = blocks.iter().flat_map(|of| &of.blocks);
            let delivered = transactions.flat_map(|of| &of.transactions);
            let delivered: BTreeSet<_> = delivered.map(|it| it.digest.clone()).collect();
            (delivered.len() >= count).then_some(delivered.len())
        })
        .await
    }

    pub async fn stop(self) {
        self.node.stop().await;
        self.executor.stop().await;
        assert!(!self.path.exists(), "the socket was left behind");
    }
}

const TAKEN_1: &str = r#"{"success":true,"count":1}"#;

fn error(reply: &str) -> &str {
    assert!(reply.starts_with(r#"{"success":false,"error":"#), "{reply}");
    reply
}

#[tokio::test]
async fn every_frame_of_a_client_is_answered_as_the_contract_says() {
    const LIMIT: usize = 10 * 1024 * 1024;
    let running = Running::start(|validator| {
        validator.node.ingest.frame_timeout_ms = 1_000;
    })
    .await;
    let mut client = Client::connect(&running.path).unwrap();

    // Several frames on one connection, the same transaction twice.
    assert_eq!(client.asks(&batch(&[transfer(1, 0, 0)])), TAKEN_1);
    assert_eq!(client.asks(&batch(&[transfer(1, 0, 0)])), TAKEN_1);
    let two = batch(&[transfer(1, 1, 0), transfer(1, 2, 200)]);
    assert_eq!(client.asks(&two), r#"{"success":true,"count":2}"#);

    // Three frames at once.
    let three: Vec<u8> = (3..6)
        .flat_map(|n| frame(&batch(&[transfer(1, n, 0)])))
        .collect();
    client.send(&three);
    assert_eq!(
        [client.reply(), client.reply(), client.reply()],
        [TAKEN_1; 3]
    );

    // What no block carries; what comes before it is taken.
    let too_large = batch(&[
        transfer(1, 6, 0),
        transfer(1, 7, 4 * 1024 * 1024),
        transfer(1, 8, 0),
    ]);
    let reply = client.asks(&too_large);
    assert!(
        error(&reply).contains("transaction 1 of the batch"),
        "{reply}"
    );
    assert!(reply.ends_with(r#","taken":1,"retry":false}"#), "{reply}");

    // Garbage between two frames that are right.
    let reply = client.asks(b"\xff\xff\xff");
    assert!(error(&reply).contains("Transactions"), "{reply}");
    let reply = client.asks(&batch(&[vec![0xff; 9]]));
    assert!(
        error(&reply).contains("no message `Transaction`"),
        "{reply}"
    );
    assert_eq!(client.asks(&batch(&[transfer(1, 7, 0)])), TAKEN_1);

    // A frame of the largest size, and one beyond.
    let mut largest = batch(&[
        transfer(1, 8, 3 * 1024 * 1024),
        transfer(1, 9, 3 * 1024 * 1024),
    ]);
    let rest = LIMIT - largest.len();
    let unknown = [&[0x7a], &varint(rest - 5)[..]].concat();
    largest.extend(&unknown);
    largest.resize(LIMIT, 0);
    assert_eq!(client.asks(&largest), r#"{"success":true,"count":2}"#);
    client.send(&u32::try_from(LIMIT + 1).unwrap().to_be_bytes());
    client.send(&[7; 1000]);
    let reply = client.reply();
    assert!(error(&reply).contains("10485761 bytes"), "{reply}");
    assert!(client.is_closed());

    // No frame at all.
    let mut client = Client::connect(&running.path).unwrap();
    client.send(&[0; 4]);
    let reply = client.reply();
    assert!(error(&reply).contains("length 0"), "{reply}");
    assert!(client.is_closed());

    // Half a frame, then silence; half a length, then silence.
    for half in [&frame(&batch(&[transfer(1, 10, 0)]))[..20], &[0, 0][..]] {
        let mut client = Client::connect(&running.path).unwrap();
        client.send(half);
        let reply = client.reply();
        assert!(error(&reply).contains("within 1000 ms"), "{reply}");
        assert!(client.is_closed());
    }

    assert_eq!(running.delivers(10).await, 10, "nonces 0 to 9, each once");
    running.stop().await;
}

#[tokio::test]
async fn a_thousand_clients_are_served_and_one_more_is_refused() {
    let running = Running::start(|validator| {
        validator.node.ingest.max_connections = 1_000;
    })
    .await;
    let mut clients: Vec<_> = (0..1_000)
        .map(|_| Client::connect(&running.path).unwrap())
        .collect();
    for (nonce, client) in (0..).zip(clients.iter_mut().rev().take(50)) {
        assert_eq!(client.asks(&batch(&[transfer(1, nonce, 0)])), TAKEN_1);
    }
    let mut one_more = Client::connect(&running.path).unwrap();
    let reply = one_more.reply();
    assert!(
        error(&reply).contains("1000 clients are connected"),
        "{reply}"
    );
    drop(clients);
    assert_eq!(running.delivers(50).await, 50);
    running.stop().await;
}

#[tokio::test]
async fn what_was_answered_with_success_is_executed_once_although_the_node_is_killed() {
    let mut running = Running::start(|_| {}).await;
    let mut taken = 0;
    for round in 0..3 {
        let mut client = Client::connect(&running.path).unwrap();
        for nonce in (0..20).map(|n| round * 20 + n) {
            // Queued, while the node starts.
            let reply = client.asks(&batch(&[transfer(1, nonce, 0)]));
            assert!(reply.starts_with(r#"{"success":true,"#), "{reply}");
            taken += 1;
        }
        running.node.kill().await;
        running.node = running.validator.start_node(&ALONE);
        eventually("the socket", async || {
            UnixStream::connect(&running.path).ok()
        })
        .await;
    }
    assert_eq!(running.delivers(taken).await, taken);
    running.stop().await;
}

/// Client, Sub, node, executor; the node is killed while the Sub has work.
#[tokio::test]
async fn a_sub_forwards_what_clients_send_also_while_the_node_is_down() {
    let mut running = Running::start(|_| {}).await;
    let folder = running.path.parent().unwrap().to_owned();
    let local = folder.join("sub.sock");
    let config = format!(
        "transaction_socket_path = \"{}\"\nlisten_address = \"{}\"\n[limits]\nworkers = 2\n",
        running.path.display(),
        local.display()
    );
    fs::write(folder.join("sub.toml"), config).unwrap();
    let mut command = Command::new(binary("mock-go-executor"));
    command
        .args(["sub", "--config"])
        .arg(folder.join("sub.toml"));
    let mut sub = Process::start(&mut command, folder.join("sub.log"));
    sub.line(&["is connected"]).await;

    let send = |nonce: u8, count: u8| {
        let mut command = Command::new(binary("mock-go-executor"));
        let to = Address::Unix(local.clone()).to_string();
        command.args(["send", "--to", &to]);
        command.args(["--nonce", &nonce.to_string(), "--count", &count.to_string()]);
        command
    };
    let output = send(0, 3).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"success\":true,\"count\":3}\n"
    );
    running.node.kill().await;
    let waiting = send(3, 4)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    running.node = running.validator.start_node(&ALONE);
    let output = waiting.wait_with_output().unwrap();
    let reply = String::from_utf8(output.stdout).unwrap();
    assert!(reply.starts_with("{\"success\":true,"), "{reply}");
    assert_eq!(running.delivers(7).await, 7);
    sub.stop().await;
    assert!(!local.exists(), "the socket was left behind");
    running.stop().await;
}
