//! What encryption between nodes costs: CPU seconds of all nodes per committed megabyte, with links that are encrypted and
//! with readable ones, which have the same handshake and records. Nodes run in a process of their own, executors and clients
//! in this one.

mod nodes;

pub use nodes::nodes;

use crate::links::nodes::{Members, Nodes};
use bytes::Bytes;
use metanode_core::{
    env::{Event, EventSink, ExecutorEvent, real},
    executor::wire::ValidatorInfo,
    framing::{Decoder, Framing, read_frame, write_frame},
    types::{Address, ClientTransaction, Encryption, Transactions},
};
use mock_go_executor::{Controls, ExecutorConfig};
use prost::Message;
use std::{
    error::Error,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::UnixStream, sync::watch};

const EXECUTOR_EXAMPLE: &str = include_str!("../../../../mock-go-executor/executor.example.toml");

/// Measured after so many megabytes, and for so many.
const BEFORE_MB: u64 = 4;
const MEASURED_MB: u64 = 24;

/// Each node gets a batch in turn.
const TRANSACTION_BYTES: usize = 1_000;
const BATCH: u64 = 100;
const BATCHES_PER_SECOND: u64 = 20;

/// Pairs of runs, one of each way. What else the machine does changes slowly, so each pair is compared in itself.
const PAIRS: usize = 9;

/// Prints what both ways cost.
pub fn compare() -> Result<(), Box<dyn Error>> {
    println!(
        "links: CPU ms of all nodes per committed MB, {PAIRS} pairs of runs of {MEASURED_MB} MB, medians\n\
         {:>10} {:>10} {:>10} {:>18}",
        "members", "readable", "encrypted", "ratio of a pair"
    );
    for members in [4, 10] {
        let pairs: Vec<(f64, f64)> = (0..PAIRS)
            .map(|_| {
                let readable = measure(members, Encryption::Readable)?;
                Ok((readable, measure(members, Encryption::Noise)?))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        let of = |value: fn(&(f64, f64)) -> f64| median(pairs.iter().map(value).collect());
        println!(
            "{members:>10} {:>10.0} {:>10.0} {:>18.2}",
            of(|pair| pair.0),
            of(|pair| pair.1),
            of(|pair| pair.1 / pair.0)
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU milliseconds per megabyte.
#[tokio::main]
async fn measure(members: u16, encryption: Encryption) -> Result<f64, Box<dyn Error>> {
    let members = Members::new(members, encryption)?;
    let executed = Arc::new(Executed::default());
    let validators = members.validators()?;
    for member in 0..members.count {
        let (env, config) = executor(&members, member, &validators, &executed)?;
        tokio::spawn(async move {
            let (_nobody, controls) = watch::channel(Controls::default());
            mock_go_executor::run(env, config, controls, pending()).await
        });
    }
    let mut nodes = Nodes::start(&members)?;
    let sending = tokio::spawn({
        let sockets: Vec<_> = (0..members.count)
            .map(|n| members.transactions(n))
            .collect();
        async move { send(&sockets).await.map_err(|error| error.to_string()) }
    });
    executed.reaches(BEFORE_MB << 20).await;
    let before = nodes.cpu_ms()?;
    executed.reaches((BEFORE_MB + MEASURED_MB) << 20).await;
    let used = nodes.cpu_ms()? - before;
    sending.abort();
    Ok(used as f64 / MEASURED_MB as f64)
}

fn executor(
    members: &Members,
    member: u16,
    validators: &[ValidatorInfo],
    executed: &Arc<Executed>,
) -> Result<(metanode_core::env::Env, ExecutorConfig), Box<dyn Error>> {
    let mut config = ExecutorConfig::parse(EXECUTOR_EXAMPLE, "executor.example.toml")?;
    config.block_stream_address = Address::Unix(members.blocks(member));
    config.rpc_address = Address::Unix(members.rpc(member));
    config.metrics_listen_address = None;
    config.genesis.validators = validators.to_vec();
    let folder = members.folder().join(format!("executor-{member}"));
    std::fs::create_dir(&folder)?;
    let mut env = real::env(&folder)?;
    if member == 0 {
        env.events = executed.clone();
    }
    Ok((env, config))
}

/// The transactions that executor 0 has executed.
#[derive(Default)]
struct Executed(AtomicU64);

impl Executed {
    async fn reaches(&self, bytes: u64) {
        while self.0.load(Ordering::Relaxed) * (TRANSACTION_BYTES as u64) < bytes {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl EventSink for Executed {
    fn emit(&self, event: Event) {
        if let Event::Executor(ExecutorEvent::Executed {
            applied, skipped, ..
        }) = event
        {
            let count = applied.len() as u64 + u64::from(skipped);
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Sends batches, to one node after the other, at an even rate.
async fn send(sockets: &[std::path::PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut connections = vec![];
    for socket in sockets {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connections.push((
            UnixStream::connect(socket).await?,
            Decoder::new(Framing::TRANSACTIONS),
        ));
    }
    let mut next = tokio::time::interval(Duration::from_millis(1_000 / BATCHES_PER_SECOND));
    for number in 0.. {
        next.tick().await;
        let turn = usize::try_from(number)? % connections.len();
        let (stream, decoder) = &mut connections[turn];
        let transactions = (0..BATCH)
            .map(|n| transaction(number * BATCH + n))
            .collect();
        let frame = Framing::TRANSACTIONS.encode(&Transactions { transactions })?;
        loop {
            write_frame(stream, &frame).await?;
            let reply = read_frame(stream, decoder).await?.ok_or("closed")?;
            let reply: serde_json::Value = serde_json::from_slice(&reply)?;
            if reply["success"] == true {
                break;
            }
            // It is starting.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

fn transaction(number: u64) -> Bytes {
    let mut data = number.to_be_bytes().to_vec();
    data.resize(TRANSACTION_BYTES, 7);
    let transaction = ClientTransaction {
        data: data.into(),
        from_address: number.to_be_bytes().repeat(3)[..20].to_vec().into(),
        ..ClientTransaction::default()
    };
    transaction.encode_to_vec().into()
}
