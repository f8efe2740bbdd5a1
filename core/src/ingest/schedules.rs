//! Many schedules of clients, the task that stores what they send, the core that proposes and includes it, and the watermark
//! that removes it.

use super::{
    Intake, Journal, Phase, Pool, Submitter, intake,
    journal::{COLUMNS, STORE},
};
use crate::{
    env::{BoxListener, BoxStream, Event, EventSink, Network},
    schedules::{self, block, sub_dag},
    store::{MemoryDisk, MemoryStores, Scan, ScanOrder, StoreFactory},
    types::{Address, CommitDigest, GlobalExecIndex, Transaction, Transactions},
};
use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const CLIENTS: u8 = 3;
const TRANSACTIONS: u8 = 2;

/// # Panics
/// If a schedule shows a defect.
pub fn check() {
    schedules::run(take_propose_remove);
}

/// Everything that is taken is committed, and leaves the journal and its disk.
async fn take_propose_remove() {
    let disk = MemoryDisk::default();
    let stores = Arc::new(MemoryStores::new(&disk));
    let journal = Journal::open(stores.as_ref(), 1 << 20).expect("memory");
    let journal = Arc::new(journal);
    journal.enter(Phase::Proposing);
    let (intake, submissions) = intake();
    let env = schedules::env(Arc::new(Nothing), Arc::new(Nothing), stores);
    let storing = tokio::spawn(submissions.store(env, journal.clone()));
    let clients = (0..CLIENTS).map(|number| tokio::spawn(send(intake.clone(), number)));
    let clients: Vec<_> = clients.collect();
    let committed = Arc::new(AtomicU64::new(0));
    let removing = tokio::spawn(remove(journal.clone(), committed.clone()));
    let committing = tokio::spawn(commit(Pool::new(journal.clone()), committed));
    for client in clients {
        client.await.expect("no panic");
    }
    while journal.held().0 > 0 {
        tokio::task::yield_now().await;
    }
    // Returns when the removal has come to the disk, too.
    journal.executed(GlobalExecIndex(0));
    for task in [
        committing.abort_handle(),
        removing.abort_handle(),
        storing.abort_handle(),
    ] {
        task.abort();
    }
    disk.process_killed();
    let store = MemoryStores::new(&disk);
    let store = store.open(STORE, &COLUMNS).expect("memory");
    for column in COLUMNS {
        let scan = Scan {
            column,
            range: &[]..&[0xff; 9],
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        };
        let left = store.scan(scan).expect("memory");
        assert_eq!(left, [], "{column:?} holds what was removed");
    }
}

fn transaction(client: u8, number: u8) -> Transaction {
    // A field that is not known: what matters is that the bytes are a message of their own.
    Transaction(Bytes::copy_from_slice(&[0x0a, 2, client, number]))
}

async fn send(intake: Intake, client: u8) {
    for number in 0..TRANSACTIONS {
        let batch = Transactions {
            transactions: vec![transaction(client, number).0],
        };
        let frame = batch.encode_to_vec().into();
        let answered = intake.submit(frame, Submitter::Client, None).await;
        let answer = answered.await.expect("an answer");
        assert_eq!((answer.taken, answer.refusal), (1, None));
    }
}

/// Proposes and commits, for ever. The first commit contains what another node has proposed, of which this one may know
/// nothing yet; then it is in a second one, too. Everything else is in one.
async fn commit(mut pool: Pool, committed: Arc<AtomicU64>) {
    let by_another = transaction(0, 0);
    let mut transactions = vec![by_another.clone()];
    let mut times = BTreeMap::<Bytes, u32>::new();
    for index in 1.. {
        for transaction in &transactions {
            let times = times.entry(transaction.0.clone()).or_default();
            *times += 1;
            let most = 1 + u32::from(*transaction == by_another);
            assert!(*times <= most, "{transaction:?} is in {times} commits");
        }
        let commit = sub_dag(index, CommitDigest::default(), block(index, transactions));
        let gei = GlobalExecIndex(index.into());
        pool.included(gei, &commit).expect("memory");
        committed.store(gei.0, Ordering::SeqCst);
        transactions = pool.fill(usize::MAX);
        while transactions.is_empty() {
            tokio::task::yield_now().await;
            transactions = pool.fill(usize::MAX);
        }
    }
}

/// As nodes that do not deliver follow the watermark. The executor is a commit ahead of this node: another one delivers.
async fn remove(journal: Arc<Journal>, committed: Arc<AtomicU64>) {
    loop {
        journal.awaits_execution().await;
        journal.executed(GlobalExecIndex(committed.load(Ordering::SeqCst)).next());
        tokio::task::yield_now().await;
    }
}

/// No network and no events.
struct Nothing;

impl EventSink for Nothing {
    fn emit(&self, _: Event) {}
}

#[async_trait]
impl Network for Nothing {
    async fn connect(&self, _: &Address) -> io::Result<BoxStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    async fn listen(&self, _: &Address) -> io::Result<BoxListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn unlink(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}
