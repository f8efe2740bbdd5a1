//! A stranger: somebody who is no process of the system, but reaches the TCP ports of its hosts, and the transaction sockets
//! on them. It asks what anybody may ask, orders what nobody outside may order, sends what is no message, and does not read or
//! does not continue.

mod act;
mod on_the_way;
mod peer;
mod sniffer;

pub use act::Act;
pub(crate) use peer::Public;

use crate::{
    addresses::{P2P_PORT, PEER_RPC_PORT, TRANSACTIONS_PATH},
    net::{HostId, Kernel, SimNetwork},
};
use bytes::Bytes;
use madsim::{runtime::Handle, task::NodeId};
use metanode_core::{
    env::{BoxStream, Network},
    executor::wire::{
        AdvanceEpoch, CurrentEpoch, GetBlocksRange, GetCurrentEpoch, GetLastBlockNumber,
        LastBlockNumber, Request, RequestPayload, Response, ResponsePayload,
    },
    framing::{Decoder, Framing, read_frame, write_frame},
    types::Address,
};
use on_the_way::AlterGreetings;
use peer::Victim;
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sniffer::Sniffer;
use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

/// Where strangers connect from: no process runs there.
pub(crate) const HOST: HostId = HostId(u16::MAX);

/// Connections that a stranger keeps open.
const CONNECTIONS: usize = 8;

/// Requests that it sends without reading an answer.
const UNREAD_REQUESTS: usize = 50;

/// Why a connection ended; always ignored.
type Ended = Box<dyn std::error::Error + Send + Sync>;

/// The process of a stranger. Dropping it ends it, with its connections.
pub(crate) struct StrangerGuard {
    runtime: Handle,
    node: NodeId,
}

impl StrangerGuard {
    pub fn spawn(
        runtime: &Handle,
        name: String,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let node = runtime.create_node().name(name).build();
        node.spawn(run);
        Self {
            runtime: runtime.clone(),
            node: node.id(),
        }
    }
}

impl Drop for StrangerGuard {
    fn drop(&mut self) {
        self.runtime.kill(self.node);
    }
}

/// Does what the act says, or connects to one of these hosts after the other, for ever.
pub(crate) async fn run(
    kernel: Kernel,
    hosts: Vec<u16>,
    public: Arc<Public>,
    act: Option<Act>,
    mut random: ChaCha8Rng,
) {
    if act == Some(Act::AlterGreeting) {
        let hosts = hosts.into_iter().map(HostId).collect();
        let _altering = kernel.install(AlterGreetings { hosts, random });
        return std::future::pending().await;
    }
    let sniffer = Sniffer::default();
    kernel.tap(sniffer.clone());
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let host = hosts[below(&mut random, hosts.len() as u64) as usize];
        let host = HostId(host);
        let (service, from, address) = match below(&mut random, 3) {
            _ if act.is_some() => (Service::Node, HOST, tcp(host, P2P_PORT)),
            0 => (Service::Node, HOST, tcp(host, P2P_PORT)),
            1 => (Service::Executor, HOST, tcp(host, PEER_RPC_PORT)),
            _ => (
                Service::Transactions,
                host,
                Address::Unix(TRANSACTIONS_PATH.into()),
            ),
        };
        let mut of_connection = ChaCha8Rng::seed_from_u64(random.next_u64());
        let network = SimNetwork::new(kernel.clone(), from);
        let (public, sniffer) = (public.clone(), sniffer.clone());
        connections.push_back(tokio::spawn(async move {
            if let Ok(stream) = network.connect(&address).await {
                // How it ends is up to the other side.
                let victim = Victim {
                    host,
                    public: &public,
                    act,
                    overheard: &sniffer,
                };
                let _ = use_connection(service, stream, victim, &mut of_connection).await;
            }
        }));
        if connections.len() > CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let pause_ms = 1 + below(&mut random, 100);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// What listens.
#[derive(Clone, Copy)]
enum Service {
    /// Consensus P2P.
    Node,
    /// The executor RPC for peers.
    Executor,
    Transactions,
}

fn tcp(host: HostId, port: u16) -> Address {
    Address::Tcp(SocketAddr::new(host.ip(), port))
}

async fn use_connection(
    service: Service,
    mut stream: BoxStream,
    victim: Victim<'_>,
    random: &mut ChaCha8Rng,
) -> Result<(), Ended> {
    match below(random, 6) {
        _ if victim.act.is_some() => return peer::call(stream, victim, random).await,
        0 => {}
        1 => {
            let noise: Vec<u8> = (0..1 + below(random, 2_000))
                .map(|_| random.next_u32() as u8)
                .collect();
            stream.write_all(&noise).await?;
        }
        2 => stream.write_all(&u32::MAX.to_be_bytes()).await?,
        3 => {
            // The begin of a message.
            stream.write_all(&[0, 0, 0, 200, 1]).await?;
        }
        _ => match service {
            Service::Node => return peer::call(stream, victim, random).await,
            Service::Executor => ask_executor(&mut stream, random).await?,
            Service::Transactions => send_frames(&mut stream, random).await?,
        },
    }
    match below(random, 2) {
        0 => std::future::pending().await,
        _ => while stream.read(&mut [0; 4_096]).await? > 0 {},
    }
    Ok(())
}

/// Frames for the transaction socket: batches, empty ones, such as are no batch, and last one that is too long, with further
/// frames in its place.
async fn send_frames(stream: &mut BoxStream, random: &mut ChaCha8Rng) -> Result<(), Ended> {
    let frames = 1 + below(random, 4);
    let frame = |length: u32, body: &[u8]| [&length.to_be_bytes()[..], body].concat();
    for _ in 0..frames {
        let noise = random.next_u32().to_be_bytes();
        let bytes = match below(random, 3) {
            // A transaction whose only field is a nonce.
            0 => frame(
                8,
                &[0x0a, 6, 0x62, 4, noise[0], noise[1], noise[2], noise[3]],
            ),
            1 => frame(2, &[0x0a, 0]),
            _ => frame(4, &noise),
        };
        stream.write_all(&bytes).await?;
    }
    let limit = u32::try_from(Framing::TRANSACTIONS.limit_bytes)?;
    stream.write_all(&(limit + 1).to_be_bytes()).await?;
    tokio::time::sleep(Duration::from_millis(1 + below(random, 50))).await;
    for _ in 0..frames {
        stream.write_all(&frame(2, &[0x0a, 0])).await?;
    }
    Ok(())
}

/// Questions to an executor, and the order to begin the next epoch.
async fn ask_executor(stream: &mut BoxStream, random: &mut ChaCha8Rng) -> Result<(), Ended> {
    if below(random, 2) == 0 {
        let range = GetBlocksRange {
            from: below(random, 3),
            to: u64::MAX,
            skip_bytes: 0,
        };
        for _ in 0..UNREAD_REQUESTS {
            send(stream, RequestPayload::GetBlocksRange(range)).await?;
        }
        return Ok(());
    }
    let mut decoder = Decoder::new(Framing::RPC);
    send(
        stream,
        RequestPayload::GetLastBlockNumber(GetLastBlockNumber::default()),
    )
    .await?;
    send(
        stream,
        RequestPayload::GetCurrentEpoch(GetCurrentEpoch::default()),
    )
    .await?;
    let (
        Some(ResponsePayload::LastBlockNumber(LastBlockNumber {
            last_block_number, ..
        })),
        Some(ResponsePayload::CurrentEpoch(CurrentEpoch { epoch })),
    ) = (
        answer(stream, &mut decoder).await?,
        answer(stream, &mut decoder).await?,
    )
    else {
        return Ok(());
    };
    let advance = AdvanceEpoch {
        new_epoch: epoch + 1,
        epoch_start_timestamp_ms: 1_000 * below(random, 1 << 32),
        boundary_block: last_block_number,
    };
    send(stream, RequestPayload::AdvanceEpoch(advance)).await
}

async fn send(stream: &mut BoxStream, payload: RequestPayload) -> Result<(), Ended> {
    let request = Request {
        payload: Some(payload),
    };
    let frame: Bytes = Framing::RPC.encode(&request)?;
    Ok(write_frame(stream, &frame).await?)
}

async fn answer(
    stream: &mut BoxStream,
    decoder: &mut Decoder,
) -> Result<Option<ResponsePayload>, Ended> {
    let body = read_frame(stream, decoder).await?;
    let body = body.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(Response::decode(body)?.payload)
}

fn below(random: &mut ChaCha8Rng, end: u64) -> u64 {
    random.next_u64() % end.max(1)
}
