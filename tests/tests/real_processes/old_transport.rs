//! The transport before the transaction socket, against real nodes: by its bytes, and with a Sub.

use crate::{
    client::{batch, frame, transfer},
    process::{Process, binary, eventually},
    transactions::Running,
    validator::free_address,
};
use metanode_core::types::Address;
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

const LIMIT: u32 = 10 * 1024 * 1024;

async fn start(address: SocketAddr) -> Running {
    Running::start(|validator| {
        validator.node.old_transport_listen_address = Some(address);
        validator.node.ingest.frame_timeout_ms = 1_000;
    })
    .await
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// The reply to what is written on a new connection, which ends with it: whether it is taken, and the message.
fn reply_to(address: SocketAddr, bytes: &[u8]) -> (u8, String) {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    reply(&mut stream)
}

fn reply(stream: &mut TcpStream) -> (u8, String) {
    let mut reply = vec![];
    stream.read_to_end(&mut reply).unwrap();
    let (header, message) = reply.split_at(5);
    let length = u32::from_be_bytes(*header.last_chunk().unwrap());
    assert_eq!(message.len(), length as usize);
    (header[0], String::from_utf8(message.to_vec()).unwrap())
}

#[tokio::test]
async fn a_connection_has_one_request_and_one_reply() {
    let address = free_address();
    let running = start(address).await;
    let taken = |count| (1, format!(r#"{{"success":true,"count":{count}}}"#));
    let refused = |reply: (u8, String), because: &str| {
        let (ok, message) = reply;
        let is_error = message.starts_with(r#"{"success":false,"error":"#);
        assert!(
            ok == 0 && is_error && message.contains(because),
            "{message}"
        );
    };

    let two = frame(&batch(&[transfer(1, 0, 0), transfer(1, 1, 200)]));
    assert_eq!(reply_to(address, &two), taken(2));
    let again = frame(&batch(&[transfer(1, 0, 0)]));
    assert_eq!(reply_to(address, &again), taken(1));
    let garbage = frame(&batch(&[vec![0xff; 9]]));
    refused(reply_to(address, &garbage), "no message `Transaction`");
    refused(reply_to(address, &[0; 4]), "length 0");
    let oversized = [&(LIMIT + 1).to_be_bytes()[..], &[7; 1000]].concat();
    refused(reply_to(address, &oversized), "10485761 bytes");

    // Half a length, half a body, and nothing, each then silent.
    for (half, limit_ms) in [(&two[..2], 5_000), (&two[..20], 1_000), (&[], 5_000)] {
        let because = format!("within {limit_ms} ms");
        refused(reply_to(address, half), &because);
    }
    // A client that closes without a request gets no reply.
    let mut stream = connect(address);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);

    assert_eq!(running.delivers(2).await, 2);
    running.stop().await;
}

#[tokio::test]
async fn one_client_more_than_allowed_is_refused() {
    let address = free_address();
    let running = Running::start(|validator| {
        validator.node.old_transport_listen_address = Some(address);
        validator.node.ingest.max_connections = 2;
    })
    .await;
    let mut held = [connect(address), connect(address)];
    let (ok, message) = reply(&mut connect(address));
    assert_eq!(ok, 0);
    assert!(message.contains("2 clients are connected"), "{message}");
    held[0]
        .write_all(&frame(&batch(&[transfer(1, 0, 0)])))
        .unwrap();
    assert_eq!(reply(&mut held[0]).0, 1);
    running.stop().await;
}

/// A Sub that waits for each exchange loses nothing, with fewer connections than workers.
#[tokio::test]
async fn a_sub_sends_over_the_old_transport() {
    let address = free_address();
    let running = start(address).await;
    let folder = running.path.parent().unwrap().to_owned();
    let local = folder.join("sub.sock");
    let config = format!(
        "transaction_socket_path = \"{address}\"\nlisten_address = \"{}\"\n\
        [old_transport]\npool_connections = 1\n[limits]\nworkers = 3\n",
        local.display()
    );
    fs::write(folder.join("sub.toml"), config).unwrap();
    let mut command = Command::new(binary("mock-go-executor"));
    command.args(["sub", "--config"]);
    command.arg(folder.join("sub.toml"));
    let sub = Process::start(&mut command, folder.join("sub.log"));
    eventually("the socket of the Sub", async || {
        UnixStream::connect(&local).ok()
    })
    .await;
    let to = Address::Unix(local).to_string();
    for nonce in 0..5 {
        let nonce = nonce.to_string();
        let mut command = Command::new(binary("mock-go-executor"));
        command.args(["send", "--to", &to, "--nonce", &nonce]);
        let output = command.output().unwrap();
        let reply = String::from_utf8(output.stdout).unwrap();
        assert_eq!(reply, "{\"success\":true,\"count\":1}\n");
    }
    assert_eq!(running.delivers(5).await, 5);
    sub.stop().await;
    running.stop().await;
}
