//! Tests of what only simulated sockets have: links with latency, rules, processes that are killed or paused, taps.
//! Behaviour that they share with the operating system is tested in `tests/tests/socket_parity.rs`.

#![cfg(madsim)]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

mod links;
mod order;
mod processes;
mod rules;

use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::time::{TimeHandle, sleep, timeout};
use metanode_core::{
    env::{BoxListener, BoxStream, Entropy, Network},
    types::Address,
};
use metanode_sim::net::{
    ConnectVerdict, ConnectionId, Cut, Hijack, HostId, Kernel, LatencySpike, Partition, Payload,
    ResetAll, Route, Rule, Segment, Settings, ShortWrites, Side, SimNetwork, Tap, Verdict,
};
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

/// Time that the scheduler adds while it runs a few tasks.
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
        hosts: BTreeSet::from([A]),
        others: BTreeSet::from([B]),
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

/// Whether nothing arrives for a long time.
async fn is_silent(stream: &mut BoxStream) -> bool {
    timeout(ms(60_000), stream.read(&mut [0; 8])).await.is_err()
}

/// The time that one byte takes from one end to the other.
async fn transfer(from: &mut BoxStream, to: &mut BoxStream) -> Duration {
    let start = now();
    from.write_all(b"x").await.unwrap();
    to.read_u8().await.unwrap();
    now() - start
}

/// Resets a connection in the middle of the first chunk that is long enough.
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
