//! Gives the node what it has to deliver: clients send, the executor has nothing durable.

use super::{
    node::{Home, Node, Pace},
    sink::{Durable, Sink, pause},
    table::Case,
};
use metanode_core::{
    framing::Framing,
    types::{ClientTransaction, Transactions},
};
use prost::Message;
use std::{
    error::Error,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What was stored: the frames of all blocks, as the node writes them, and how many.
pub struct Filled {
    pub frames: Vec<u8>,
    pub blocks: u64,
}

/// Runs a node until it has stored the blocks of the case.
pub fn fill(home: &Home, case: Case) -> Result<Filled, Box<dyn Error>> {
    let pace = Pace {
        min_round_delay_ms: 1,
        window_blocks: 2 * case.blocks,
    };
    let validator = home.configure(pace)?;
    let sink = Sink::listen(home.path(), &validator, Durable::NeverButKept)?;
    let node = Node::start(home)?;
    let mut client = connect(home.path());
    let mut next = 0;
    while case.transactions > 0 && sink.blocks() < case.blocks {
        send(&mut client, case, next)?;
        next += case.transactions;
    }
    sink.reaches(case.blocks)?;
    node.end()?;
    Ok(Filled {
        blocks: sink.blocks(),
        frames: sink.frames(),
    })
}

/// Waits until the node listens.
fn connect(folder: &Path) -> UnixStream {
    let path = folder.join("transactions.sock");
    loop {
        match UnixStream::connect(&path) {
            Ok(client) => return client,
            Err(_) => pause(Duration::from_millis(1)),
        }
    }
}

/// Sends a batch and waits for the reply.
fn send(client: &mut UnixStream, case: Case, first: u64) -> Result<(), Box<dyn Error>> {
    let transaction = |nonce: u64| {
        let transaction = ClientTransaction {
            from_address: vec![1; 20].into(),
            to_address: vec![2; 20].into(),
            nonce: nonce.to_be_bytes().to_vec().into(),
            data: vec![3; case.data_bytes].into(),
            ..ClientTransaction::default()
        };
        transaction.encode_to_vec().into()
    };
    let transactions = (first..first + case.transactions)
        .map(transaction)
        .collect();
    client.write_all(&Framing::TRANSACTIONS.encode(&Transactions { transactions })?)?;
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut reply = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut reply)?;
    Ok(())
}
