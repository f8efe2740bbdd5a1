//! Metrics of the processes, over plain sockets, and clients that send what is no request.

use crate::{
    process::{Process, binary, eventually},
    validator::{free_address, validators},
};
use metanode_core::types::Address;
use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes until the connection ends, by itself or by a reset.
fn reply(stream: &mut TcpStream) -> String {
    let mut reply = vec![];
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8(reply).unwrap()
}

fn asks(to: SocketAddr, request: &str) -> String {
    let mut stream = connect(to);
    stream.write_all(request.as_bytes()).unwrap();
    reply(&mut stream)
}

/// All values by name and labels.
fn metrics(of: SocketAddr) -> BTreeMap<String, f64> {
    let reply = asks(of, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    let values = body.lines().filter(|line| !line.starts_with('#'));
    values
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Waits until a metric is above a value.
async fn exceeds(of: SocketAddr, name: &str, bound: f64) -> f64 {
    eventually(&format!("{name} above {bound}"), async || {
        Some(metrics(of)[name]).filter(|value| *value > bound)
    })
    .await
}

fn start_sub(folder: &Path, transactions: &Path, rpc: &Address, metrics: SocketAddr) -> Process {
    let config = format!(
        "transaction_socket_path = \"{}\"\nlisten_address = \"{}\"\nmetrics_listen_address = \"{metrics}\"\n[follow]\n\
         master_address = \"{rpc}\"\ndata_dir = \"{}\"\n",
        transactions.display(),
        folder.join("sub.sock").display(),
        folder.join("sub-data").display(),
    );
    let file = folder.join("sub.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(binary("mock-go-executor"));
    command.args(["sub", "--config"]).arg(file);
    Process::start(&mut command, folder.join("sub.log"))
}

#[tokio::test]
async fn node_executor_and_sub_say_how_far_they_are() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    let validator = &mut all[0];
    let [of_node, of_executor, of_sub] = [(); 3].map(|()| free_address());
    validator.node.metrics_listen_address = Some(of_node);
    validator.executor.metrics_listen_address = Some(of_executor);
    let executor = validator.start_executor();
    let mut node = validator.start_node(&[]);
    let transactions = validator.transaction_path();
    let mut sub = start_sub(root.path(), &transactions, validator.rpc_address(), of_sub);
    node.line(&["is ready"]).await;
    sub.line(&["is connected"]).await;

    let durable = exceeds(of_node, "metanode_durable_gei", 0.0).await;
    exceeds(of_node, "metanode_durable_gei", durable).await;
    let node_now = metrics(of_node);
    for (name, value) in [
        ("metanode_epoch", 0.0),
        ("metanode_epoch_change_step", 0.0),
        ("metanode_proposals_paused", 0.0),
        ("metanode_peers", 0.0),
        ("metanode_window_capacity_blocks", 500.0),
        ("metanode_journal_bytes", 0.0),
        ("metanode_journal_limit_bytes", 67_108_864.0),
        ("metanode_stream_connects_total", 1.0),
        (
            "metanode_rpc_failures_total{kind=\"GetLastBlockNumber\"}",
            0.0,
        ),
    ] {
        assert_eq!(node_now[name], value, "{name}");
    }
    for name in [
        "process_start_time_seconds",
        "metanode_dag_round",
        "metanode_commits_total",
        "metanode_stream_written_blocks_total",
        "metanode_stream_written_bytes_total",
        "metanode_rpc_duration_seconds_count{kind=\"GetLastBlockNumber\"}",
    ] {
        assert!(node_now[name] > 0.0, "{name}");
    }
    assert!(node_now["metanode_last_commit_gei"] >= node_now["metanode_durable_gei"]);

    let output = Command::new(binary("mock-go-executor"))
        .args(["send", "--count", "1", "--to"])
        .arg(root.path().join("sub.sock"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let applied = "mock_executor_applied_transactions_total";
    assert_eq!(exceeds(of_executor, applied, 0.0).await, 1.0);
    let sub_now = metrics(of_sub);
    assert_eq!(sub_now["mock_sub_sent_transactions_total"], 1.0);
    assert_eq!(sub_now["mock_sub_answered_transactions_total"], 1.0);
    assert_eq!(sub_now["mock_sub_buffered_bytes"], 0.0);
    let executed = metrics(of_executor)["mock_executor_durable_block"];
    exceeds(of_sub, "mock_sub_followed_block", executed).await;
    for process in [sub, node, executor] {
        process.stop().await;
    }
}

#[tokio::test]
async fn strangers_get_no_more_than_their_bounds() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    let validator = &mut all[0];
    let address = free_address();
    validator.node.metrics_listen_address = Some(address);
    let mut node = validator.start_node(&[]);
    node.line(&["waits (attempt 1): "]).await;

    // Other paths, other methods, other protocols.
    let of = |request: &str| asks(address, request);
    assert!(of("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(of("DELETE /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(of("\0\0\0\u{1}hello\r\n\r\n").starts_with("HTTP/1.1 400 "));

    // Megabytes: the connection ends long before they are sent.
    let mut flood = connect(address);
    flood.write_all(b"GET /metrics HTTP/1.1\r\nName: ").unwrap();
    let piece = vec![b'a'; 64 * 1024];
    let sent = (0..1_024).take_while(|_| flood.write_all(&piece).is_ok());
    assert!(sent.count() < 1_024, "64 MiB were taken");

    // Silence, on more connections than are served: they end, and what comes later is served.
    let mut silent: Vec<_> = (0..50).map(|_| connect(address)).collect();
    for stream in &mut silent {
        assert_eq!(reply(stream), "");
    }
    let now = eventually("metrics", async || {
        let reply = asks(address, "GET /metrics HTTP/1.1\r\n\r\n");
        reply.contains("metanode_durable_gei 0\n").then_some(reply)
    });
    now.await;
    node.kill().await;
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_process_with_its_name() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    let address = free_address();
    let _taken = std::net::TcpListener::bind(address).unwrap();
    all[0].node.metrics_listen_address = Some(address);
    let mut command = Command::new(binary("metanode"));
    command.args(["run", "--config"]).arg(all[0].node_config());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = format!("cannot listen for metrics on {address}: Address already in use");
    assert!(error.contains(&expected), "{error}");
}
