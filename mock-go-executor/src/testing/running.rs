//! A running executor in memory, and the metanode's side of its sockets.

use super::{TestWorld, block, transfer};
use crate::{Controls, ExecutorConfig, ExecutorError, Genesis, Guard, Manners, run};
use bytes::Bytes;
use metanode_core::{
    env::{BoxStream, ExecutorEvent},
    executor::wire::{
        GetLastBlockNumber, LastBlockNumber, Request, RequestPayload, Response, ResponsePayload,
        ValidatorInfo,
    },
    framing::{Decoder, Framing, read_frame, write_frame},
    store::MemoryDisk,
    types::{Address, Authority, GlobalExecIndex, NetworkKey, PublicKey, Stake},
};
use prost::Message;
use tokio::sync::{oneshot, watch};

pub const BLOCK_STREAM: &str = "/run/executor0.sock";
pub const RPC: &str = "/run/rust-go.sock_1";
pub const PEER_RPC: &str = "10.0.0.1:7000";

pub fn config() -> ExecutorConfig {
    let validator = Authority {
        authority_key: vec![1],
        protocol_key: PublicKey([1; 32]),
        network_key: NetworkKey([1; 32]),
        stake: Stake(1),
        address: [1; 20],
        p2p_address: ([10, 0, 0, 1], 9000).into(),
        name: "validator-0".into(),
    };
    ExecutorConfig {
        block_stream_address: address(BLOCK_STREAM),
        rpc_address: address(RPC),
        peer_rpc_address: Some(address(PEER_RPC)),
        peer_rpc_port: None,
        metrics_listen_address: None,
        guard: Guard::Strict,
        execute_us: [100, 3000],
        flush_every_blocks: [1, 5],
        flush_idle_ms: 20,
        range_reply_bytes: 1 << 20,
        epoch_start_granularity_ms: 1,
        manners: Manners::default(),
        data_dir: "unused".into(),
        genesis: Genesis {
            epoch_timestamp_ms: 1_700_000_000_000,
            initial_balance: 1000,
            accounts: [].into(),
            unusable_validators: vec![],
            validators: vec![ValidatorInfo::from(&validator)],
            changes: vec![],
        },
    }
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub fn frame(gei: u64) -> Bytes {
    let block = block(gei, [transfer(0, 1, 1, gei - 1)]);
    Framing::BLOCK_STREAM.encode(&block).unwrap()
}

/// A running executor.
pub struct Running {
    pub world: TestWorld,
    pub controls: watch::Sender<Controls>,
    pub shutdown: oneshot::Sender<()>,
    pub ended: oneshot::Receiver<Result<(), ExecutorError>>,
}

impl Running {
    pub fn start(disk: &MemoryDisk) -> Self {
        Self::in_world(TestWorld::new(disk))
    }

    pub fn with_manners(disk: &MemoryDisk, manners: Manners) -> Self {
        let config = ExecutorConfig {
            manners,
            ..config()
        };
        Self::configured(TestWorld::new(disk), config)
    }

    pub fn in_world(world: TestWorld) -> Self {
        Self::configured(world, config())
    }

    fn configured(world: TestWorld, config: ExecutorConfig) -> Self {
        let (controls, controls_receiver) = watch::channel(Controls::default());
        let (shutdown, shutdown_receiver) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let env = world.env.clone();
        tokio::spawn(async move {
            let shutdown = async { drop(shutdown_receiver.await) };
            let _ = end.send(run(env, config, controls_receiver, shutdown).await);
        });
        Self {
            world,
            controls,
            shutdown,
            ended,
        }
    }

    /// Stops execution, until `resume`.
    pub fn stall(&self) {
        self.controls
            .send(Controls {
                stalled: true,
                ..Controls::default()
            })
            .unwrap();
    }

    pub fn resume(&self) {
        self.controls.send(Controls::default()).unwrap();
    }

    pub async fn connect(&self, to: &str) -> BoxStream {
        self.world
            .until(|event| matches!(event, ExecutorEvent::Started { .. }).then_some(()))
            .await;
        self.world.env.network.connect(&address(to)).await.unwrap()
    }

    pub async fn deliver(&self, blocks: impl IntoIterator<Item = u64>) -> BoxStream {
        let mut stream = self.connect(BLOCK_STREAM).await;
        for gei in blocks {
            write_frame(&mut stream, &frame(gei)).await.unwrap();
        }
        stream
    }

    pub async fn until_durable(&self, gei: u64) {
        self.world
            .until(|event| {
                let watermark = GlobalExecIndex(gei);
                (*event == ExecutorEvent::Durable { watermark }).then_some(())
            })
            .await;
    }

    pub async fn until_closed(&self, connection: u64) -> String {
        self.world
            .until(|event| match event {
                ExecutorEvent::StreamClosed {
                    connection: closed,
                    reason,
                } if *closed == connection => Some(reason.clone()),
                _ => None,
            })
            .await
    }

    pub async fn ask(&self, payload: RequestPayload) -> ResponsePayload {
        self.ask_at(RPC, payload).await
    }

    pub async fn ask_at(&self, address: &str, payload: RequestPayload) -> ResponsePayload {
        let mut stream = self.connect(address).await;
        let request = Request::from(payload);
        write_frame(&mut stream, &Framing::RPC.encode(&request).unwrap())
            .await
            .unwrap();
        response(&mut stream).await
    }

    pub async fn refusal(&self, payload: RequestPayload) -> String {
        match self.ask(payload).await {
            ResponsePayload::Error(reason) => reason,
            served => panic!("served: {served:?}"),
        }
    }

    pub async fn watermark(&self) -> u64 {
        match self
            .ask(RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}))
            .await
        {
            ResponsePayload::LastBlockNumber(LastBlockNumber { last_block_number }) => {
                last_block_number
            }
            other => panic!("no watermark: {other:?}"),
        }
    }

    pub fn executed(&self) -> Vec<u64> {
        let gei = |event| match event {
            ExecutorEvent::Executed { gei, .. } => Some(gei.0),
            _ => None,
        };
        self.world.events().into_iter().filter_map(gei).collect()
    }

    pub fn refused(&self) -> Vec<u64> {
        let gei = |event| match event {
            ExecutorEvent::Refused { gei, .. } => Some(gei.0),
            _ => None,
        };
        self.world.events().into_iter().filter_map(gei).collect()
    }

    pub async fn stop(self) -> TestWorld {
        self.shutdown.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
        self.world
    }
}

pub async fn response(stream: &mut BoxStream) -> ResponsePayload {
    let body = read_frame(stream, &mut Decoder::new(Framing::RPC)).await;
    let response = Response::decode(body.unwrap().unwrap()).unwrap();
    response.payload.unwrap()
}
