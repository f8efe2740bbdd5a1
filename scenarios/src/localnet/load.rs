//! A client of every node or of its Sub, and what it was promised.
//!
//! A client sends batches of transfers to the transaction socket and waits for the reply. What was not answered is sent again.

use crate::live::{LiveError, LiveSocket};
use metanode_core::{
    framing::{Decoder, Framing},
    types::{Address, ClientTransaction, Transactions},
};
use prost::Message;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);
/// A client sends at most so many batches per second, however many transactions it is to send.
const BATCHES_PER_SECOND: u64 = 100;
/// Transactions of the smallest batch, and so of one reply.
const MIN_BATCH: u64 = 10;

/// What clients know.
#[derive(Default)]
pub struct Promised {
    /// The raw transactions that were answered `success`.
    transactions: Mutex<BTreeSet<Vec<u8>>>,
    count: AtomicU64,
}

impl Promised {
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes all of them.
    pub fn take(&self) -> BTreeSet<Vec<u8>> {
        let mut all = self
            .transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    fn add(&self, transactions: &[Vec<u8>]) {
        let mut all = self
            .transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.extend(transactions.iter().cloned());
        self.count.store(all.len() as u64, Ordering::Relaxed);
    }
}

/// All clients. They end when this is dropped.
pub struct Load {
    pub promised: Arc<Promised>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// One client per socket of a node or a Sub. `per_second` transactions of all clients together.
    pub fn begin(submission_sockets: &[PathBuf], per_second: u64) -> Self {
        let promised = Arc::new(Promised::default());
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = submission_sockets.len() as u64;
        let batch = (per_second / clients.max(1) / BATCHES_PER_SECOND).max(MIN_BATCH);
        let pause_ms = (1_000 * batch * clients).checked_div(per_second);
        let client = |(number, socket): (usize, &PathBuf)| {
            let client = Client {
                sender: number as u64 + 1,
                socket: Address::Unix(socket.clone()),
                promised: promised.clone(),
                is_over: is_over.clone(),
                batch,
                pause: Duration::from_millis(pause_ms?),
            };
            Some(thread::spawn(move || client.run()))
        };
        Self {
            clients: submission_sockets
                .iter()
                .enumerate()
                .filter_map(client)
                .collect(),
            promised,
            is_over,
        }
    }

    /// Ends all clients.
    pub fn end(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join(); // a client that panicked was promised what it has noted
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// The reply of the transaction socket (contract §8).
#[derive(Deserialize)]
struct Reply {
    success: bool,
    #[serde(default)]
    taken: Option<u64>,
}

struct Client {
    sender: u64,
    socket: Address,
    promised: Arc<Promised>,
    is_over: Arc<AtomicBool>,
    /// Transactions of a batch.
    batch: u64,
    pause: Duration,
}

impl Client {
    fn run(&self) {
        let mut nonce = 0;
        let mut connection = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let batch: Vec<_> = (nonce..nonce + self.batch)
                .map(|n| self.transfer(n))
                .collect();
            match self.ask(&mut connection, &batch) {
                Ok(taken) => {
                    self.promised.add(&batch[..taken]);
                    nonce += taken as u64;
                    thread::sleep(self.pause);
                }
                Err(_) => {
                    connection = None;
                    thread::sleep(RETRY);
                }
            }
        }
    }

    /// How many of the batch are promised.
    fn ask(
        &self,
        connection: &mut Option<LiveSocket>,
        batch: &[Vec<u8>],
    ) -> Result<usize, LiveError> {
        let socket = match connection {
            Some(open) => open,
            None => connection.insert(LiveSocket::connect(&self.socket, TIMEOUT)?),
        };
        let transactions = batch.iter().map(|raw| raw.clone().into()).collect();
        let frame = Framing::TRANSACTIONS.encode(&Transactions { transactions })?;
        socket.write(&frame, TIMEOUT)?;
        let mut decoder = Decoder::new(Framing::TRANSACTIONS);
        let reply = socket.read_frame(&mut decoder, TIMEOUT)?;
        let reply: Reply = serde_json::from_slice(&reply).map_err(|e| LiveError::Io(e.into()))?;
        let taken = reply.taken.map(|taken| usize::try_from(taken).unwrap_or(0));
        Ok(match (reply.success, taken) {
            (true, _) => batch.len(),
            (false, Some(taken)) if taken > 0 => taken.min(batch.len()),
            (false, _) => {
                thread::sleep(RETRY);
                0
            }
        })
    }

    fn transfer(&self, nonce: u64) -> Vec<u8> {
        let account = |number: u64| {
            let mut address = [0; 20];
            address[12..].copy_from_slice(&number.to_be_bytes());
            address.to_vec().into()
        };
        let transfer = ClientTransaction {
            from_address: account(self.sender),
            to_address: account(0),
            amount: 1_u64.to_be_bytes().to_vec().into(),
            nonce: nonce.to_be_bytes().to_vec().into(),
            ..ClientTransaction::default()
        };
        transfer.encode_to_vec()
    }
}
