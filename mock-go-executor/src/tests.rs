//! The executor as a whole, over sockets and a disk in memory.

use crate::manners::Manners;
use crate::testing::running::{
    BLOCK_STREAM, PEER_RPC, RPC, Running, address, config, frame, response,
};
use metanode_core::{
    env::{ExecutorEvent, RpcKind},
    executor::bind::IN_USE,
    executor::wire::{
        AdvanceEpoch, BlockRequest, GetActiveValidators, GetBlocksRange, GetCurrentEpoch,
        GetEpochBoundaryData, GetEpochStartTimestamp, GetLastBlockNumber, GetValidatorsAtBlock,
        Request, RequestPayload, Response, ResponsePayload, StatusRequest,
    },
    framing::{Decoder, Framing, read_frame, write_frame},
    store::MemoryDisk,
    types::GlobalExecIndex,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

#[tokio::test]
async fn blocks_become_durable_once_and_in_order_over_restarts() {
    let disk = MemoryDisk::default();
    let first = Running::start(&disk);
    let _stream = first.deliver(1..=7).await;
    first.until_durable(7).await;
    assert_eq!(first.watermark().await, 7);
    assert_eq!(first.executed(), [1, 2, 3, 4, 5, 6, 7]);
    let root = first.world.last_executed_root();
    drop(first.stop().await);

    let second = Running::start(&disk);
    let _stream = second.deliver(8..=10).await;
    second.until_durable(10).await;
    assert_eq!(second.world.started(), (GlobalExecIndex(7), root.unwrap()));
    assert_eq!(second.executed(), [8, 9, 10]);
    let range = GetBlocksRange {
        from: 6,
        to: 99,
        skip_bytes: 0,
    };
    let ResponsePayload::BlocksRange(range) =
        second.ask(RequestPayload::GetBlocksRange(range)).await
    else {
        panic!("no blocks");
    };
    let stored: Vec<_> = range
        .blocks
        .iter()
        .map(|b| {
            Framing::BLOCK_STREAM
                .encode_body(&b.raw_block_bytes)
                .unwrap()
        })
        .collect();
    assert_eq!(stored, (6..=10).map(frame).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frame_may_come_in_pieces() {
    let executor = Running::start(&MemoryDisk::default());
    let mut stream = executor.connect(BLOCK_STREAM).await;
    for byte in [frame(1), frame(2)].concat() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    executor.until_durable(2).await;
}

#[tokio::test]
async fn the_newest_stream_supersedes_and_may_repeat_unreported_blocks() {
    let executor = Running::start(&MemoryDisk::default());
    let mut old = executor.deliver(1..=3).await;
    old.write_all(&frame(4)[..5]).await.unwrap();
    executor.until_durable(3).await;
    let _new = executor.deliver(1..=5).await;
    executor.until_durable(5).await;
    assert_eq!(executor.until_closed(1).await, "superseded by connection 2");
    assert_eq!(old.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(executor.executed(), [1, 2, 3, 4, 5]);
    assert_eq!(executor.refused(), [0; 0]);

    assert_eq!(executor.watermark().await, 5);
    let _again = executor.deliver([4, 5, 6]).await;
    executor.until_durable(6).await;
    assert_eq!(executor.refused(), [4, 5], "watermark 5 was reported");
}

#[tokio::test]
async fn a_queue_of_blocks_that_are_all_skipped_does_not_end_the_reading() {
    let executor = Running::start(&MemoryDisk::default());
    let _old = executor.deliver(1..=9).await;
    executor.until_durable(9).await;
    executor.stall();
    let _new = executor.deliver(6..=10).await;
    executor
        .world
        .until(|event| {
            let gei = GlobalExecIndex(9);
            (*event == ExecutorEvent::Received { connection: 2, gei }).then_some(())
        })
        .await;
    executor.resume();
    executor.until_durable(10).await;
    assert_eq!(executor.executed(), (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn blocks_of_a_superseded_stream_are_not_executed() {
    let executor = Running::start(&MemoryDisk::default());
    executor.stall();
    let _old = executor.deliver(1..=3).await;
    executor
        .world
        .until(|event| {
            let gei = GlobalExecIndex(3);
            (*event == ExecutorEvent::Received { connection: 1, gei }).then_some(())
        })
        .await;
    let _new = executor.deliver(1..=2).await;
    executor.until_closed(1).await;
    executor.resume();
    executor.until_durable(2).await;
    assert_eq!(executor.executed(), [1, 2]);
    assert_eq!(
        executor.stop().await.last_durable(),
        Some(GlobalExecIndex(2))
    );
}

#[tokio::test]
async fn a_gap_and_malformed_frames_end_the_stream() {
    let executor = Running::start(&MemoryDisk::default());
    let _stream = executor.deliver([1, 3, 2]).await;
    assert_eq!(
        executor.until_closed(1).await,
        "received block 3: the blocks from 2 on are missing before it"
    );
    assert_eq!(executor.refused(), [3]);

    let mut garbage = executor.connect(BLOCK_STREAM).await;
    garbage.write_all(&[2, 0xff, 0xff]).await.unwrap();
    let reason = executor.until_closed(2).await;
    assert!(
        reason.starts_with("a frame of 2 bytes is not a CommittedEpochData"),
        "{reason}"
    );

    let mut zero = executor.connect(BLOCK_STREAM).await;
    zero.write_all(&[0]).await.unwrap();
    zero.write_all(&frame(2)).await.unwrap();
    let reason = executor.until_closed(3).await;
    assert!(reason.starts_with("a frame of length 0"), "{reason}");
    executor.until_durable(1).await;
    assert_eq!(executor.executed(), [1]);
}

#[tokio::test]
async fn blocks_above_a_gap_wait_until_it_is_filled() {
    let manners = Manners {
        parked_blocks: 2,
        ..Manners::default()
    };
    let executor = Running::with_manners(&MemoryDisk::default(), manners);
    let _stream = executor.deliver([1, 3, 4, 2, 5, 8, 7, 9]).await;
    assert_eq!(
        executor.until_closed(1).await,
        "received block 9: the blocks from 6 on are missing before it, and no more can wait for them"
    );
    let _next = executor.deliver([6]).await;
    executor.until_durable(8).await;
    assert_eq!(executor.executed(), (1..=8).collect::<Vec<_>>());
    assert_eq!(executor.refused(), [9]);
}

#[tokio::test]
async fn two_streams_are_served_and_the_guard_decides() {
    let manners = Manners {
        serves_two_streams: true,
        ..Manners::default()
    };
    let executor = Running::with_manners(&MemoryDisk::default(), manners);
    let mut old = executor.deliver(1..=3).await;
    executor.until_durable(3).await;
    let _new = executor.deliver(3..=4).await;
    executor.until_durable(4).await;
    for gei in 4..=5 {
        write_frame(&mut old, &frame(gei)).await.unwrap();
    }
    executor.until_durable(5).await;
    assert_eq!(executor.executed(), [1, 2, 3, 4, 5]);
    assert_eq!(executor.refused(), [0; 0]);
    let _third = executor.deliver([]).await;
    assert_eq!(executor.until_closed(1).await, "superseded by connection 2");
}

#[tokio::test]
async fn a_stalled_executor_holds_the_sender_back_and_loses_nothing() {
    let executor = Running::start(&MemoryDisk::default());
    executor.stall();
    let mut stream = executor.connect(BLOCK_STREAM).await;
    let written = watch::Sender::new(0u64);
    let mut progress = written.subscribe();
    tokio::spawn(async move {
        for gei in 1..=40 {
            write_frame(&mut stream, &frame(gei)).await.unwrap();
            written.send_replace(gei);
        }
        std::future::pending::<()>().await;
    });
    let stuck = async { while progress.changed().await.is_ok() {} };
    let minute = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, stuck).await.is_err());
    assert!(*progress.borrow() < 40, "the intake is not bounded");
    assert_eq!(executor.watermark().await, 0);
    assert_eq!(executor.executed(), [0; 0]);

    executor.resume();
    executor.until_durable(40).await;
    assert_eq!(executor.executed(), (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_for_missing_epochs_and_blocks_are_refused() {
    let executor = Running::start(&MemoryDisk::default());
    let genesis = config().genesis;
    match executor
        .ask(RequestPayload::GetActiveValidators(GetActiveValidators {}))
        .await
    {
        ResponsePayload::ValidatorInfoList(list) => {
            assert_eq!(list.validators, genesis.validators);
            assert_eq!(list.epoch_timestamp_ms, genesis.epoch_timestamp_ms);
            assert_eq!(list.last_global_exec_index, 0);
        }
        other => panic!("no validators: {other:?}"),
    }
    match executor
        .ask(RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData {
            epoch: 0,
        }))
        .await
    {
        ResponsePayload::EpochBoundaryData(data) => {
            assert_eq!((data.epoch, data.boundary_block), (0, 0));
            assert_eq!(data.validators, genesis.validators);
        }
        other => panic!("no boundary data: {other:?}"),
    }
    for (request, reason) in [
        (
            RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch: 1 }),
            "epoch 1 has not begun",
        ),
        (
            RequestPayload::GetValidatorsAtBlock(GetValidatorsAtBlock { block_number: 1 }),
            "not been committed to DB yet",
        ),
        (
            RequestPayload::GetBlocksRange(GetBlocksRange {
                from: 2,
                to: 1,
                skip_bytes: 0,
            }),
            "not a range",
        ),
        (RequestPayload::Status(StatusRequest {}), "StatusRequest"),
    ] {
        let refusal = executor.refusal(request).await;
        assert!(refusal.contains(reason), "{refusal}");
    }
    let reported = executor.world.last(|event| match event {
        ExecutorEvent::Reported { watermark } => Some(*watermark),
        _ => None,
    });
    assert_eq!(
        reported,
        Some(GlobalExecIndex(0)),
        "a list of validators reports the watermark, too"
    );
}

#[tokio::test]
async fn an_epoch_needs_a_boundary_that_is_durable_and_a_start() {
    let executor = Running::start(&MemoryDisk::default());
    for (start_ms, boundary_block, reason) in [
        (
            9,
            3,
            "block 3 has not been committed to DB yet: the last one is 0",
        ),
        (
            0,
            0,
            "epoch 1 has no start: expected milliseconds since 1970, found 0",
        ),
    ] {
        let advance = RequestPayload::AdvanceEpoch(AdvanceEpoch {
            new_epoch: 1,
            epoch_start_timestamp_ms: start_ms,
            boundary_block,
        });
        assert_eq!(executor.refusal(advance).await, reason);
    }
}

#[tokio::test]
async fn a_peer_may_ask_and_not_advance_the_epoch() {
    let executor = Running::start(&MemoryDisk::default());
    let advance = RequestPayload::AdvanceEpoch(AdvanceEpoch {
        new_epoch: 1,
        epoch_start_timestamp_ms: 9,
        boundary_block: 0,
    });
    let refused = executor.ask_at(PEER_RPC, advance.clone()).await;
    assert!(
        matches!(&refused, ResponsePayload::Error(reason) if reason.contains("not for peers")),
        "{refused:?}"
    );
    let epoch = RequestPayload::GetCurrentEpoch(GetCurrentEpoch {});
    let answer = executor.ask_at(PEER_RPC, epoch).await;
    assert!(matches!(answer, ResponsePayload::CurrentEpoch(current) if current.epoch == 0));
    let advanced = executor.ask(advance).await;
    assert!(matches!(advanced, ResponsePayload::AdvanceEpoch(epoch) if epoch.new_epoch == 1));
}

#[tokio::test]
async fn peers_are_answered_five_questions_and_told_so_of_others() {
    let executor = Running::start(&MemoryDisk::default());
    let range = GetBlocksRange {
        from: 1,
        to: 1,
        skip_bytes: 0,
    };
    for asked in [
        RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}),
        RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}),
        RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch: 0 }),
        RequestPayload::GetEpochStartTimestamp(GetEpochStartTimestamp { epoch: 0 }),
        RequestPayload::GetBlocksRange(range),
    ] {
        let answer = executor.ask_at(PEER_RPC, asked).await;
        assert!(!matches!(answer, ResponsePayload::Error(_)), "{answer:?}");
    }
    for asked in [
        RequestPayload::GetActiveValidators(GetActiveValidators {}),
        RequestPayload::GetValidatorsAtBlock(GetValidatorsAtBlock { block_number: 0 }),
        RequestPayload::Block(BlockRequest {}),
        RequestPayload::Status(StatusRequest {}),
    ] {
        let answer = executor.ask_at(PEER_RPC, asked).await;
        let is_refused =
            matches!(&answer, ResponsePayload::Error(reason) if reason.contains("not for peers"));
        assert!(is_refused, "{answer:?}");
    }
}

#[tokio::test]
async fn an_epoch_begins_at_its_boundary_and_survives_a_restart() {
    let disk = MemoryDisk::default();
    let executor = Running::start(&disk);
    let mut stream = executor.deliver(1..=2).await;
    executor.until_durable(2).await;
    let advance = || {
        RequestPayload::AdvanceEpoch(AdvanceEpoch {
            new_epoch: 1,
            epoch_start_timestamp_ms: 9,
            boundary_block: 2,
        })
    };
    for _ in 0..2 {
        let response = executor.ask(advance()).await;
        assert!(matches!(response, ResponsePayload::AdvanceEpoch(epoch) if epoch.new_epoch == 1));
    }
    // Blocks of the old epoch are refused.
    write_frame(&mut stream, &frame(3)).await.unwrap();
    let refused = executor.world.until(|event| match event {
        ExecutorEvent::Refused { gei, .. } => Some(*gei),
        _ => None,
    });
    assert_eq!(refused.await, GlobalExecIndex(3));
    let closed = executor.until_closed(1).await;
    assert_eq!(
        closed,
        "received block 3: it was sent as one of epoch 0, and belongs to epoch 1"
    );
    drop(executor.stop().await);

    let executor = Running::start(&disk);
    let request = RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch: 1 });
    let ResponsePayload::EpochBoundaryData(data) = executor.ask(request).await else {
        panic!("no boundary data")
    };
    assert_eq!((data.boundary_block, data.epoch_start_timestamp_ms), (2, 9));
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_order_until_one_is_malformed() {
    let executor = Running::start(&MemoryDisk::default());
    let mut stream = executor.connect(RPC).await;
    let requests = [
        RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}),
        RequestPayload::GetActiveValidators(GetActiveValidators {}),
    ];
    for request in requests {
        let frame = Framing::RPC.encode(&Request::from(request)).unwrap();
        write_frame(&mut stream, &frame).await.unwrap();
    }
    let mut decoder = Decoder::new(Framing::RPC);
    let mut next = async || {
        let body = read_frame(&mut stream, &mut decoder).await.unwrap()?;
        Response::decode(body).unwrap().payload
    };
    assert!(matches!(
        next().await,
        Some(ResponsePayload::LastBlockNumber(_))
    ));
    assert!(matches!(
        next().await,
        Some(ResponsePayload::ValidatorInfoList(_))
    ));
    let replied = |event: &ExecutorEvent| match event {
        ExecutorEvent::Replied { kind } => Some(*kind),
        _ => None,
    };
    assert_eq!(
        executor.world.last(replied),
        Some(RpcKind::GetActiveValidators)
    );

    for (bad, expected) in [
        (&[0, 0, 0, 0][..], "length 0"),
        (&[0x7f, 0, 0, 0, 1, 2, 3], "expected at most"),
        (&[0, 0, 0, 1, 0xff], "is not a request"),
    ] {
        let mut stream = executor.connect(RPC).await;
        stream.write_all(bad).await.unwrap();
        match response(&mut stream).await {
            ResponsePayload::Error(reason) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("served: {other:?}"),
        }
        assert_eq!(
            stream.read(&mut [0]).await.unwrap(),
            0,
            "closed after {bad:?}"
        );
    }
}

#[tokio::test]
async fn a_clean_end_removes_socket_files_and_a_bound_path_is_refused() {
    let executor = Running::start(&MemoryDisk::default());
    let _stream = executor.deliver([1]).await;
    executor.until_durable(1).await;
    let mut second = Running::in_world(executor.world.sharing_network(&MemoryDisk::default()));
    let error = (&mut second.ended).await.unwrap().unwrap_err();
    assert!(error.to_string().contains(IN_USE), "{error}");
    assert!(matches!(
        second.world.events().last(),
        Some(ExecutorEvent::Failed { .. })
    ));

    let world = executor.stop().await;
    assert_eq!(world.events().last(), Some(&ExecutorEvent::Stopped));
    for path in [BLOCK_STREAM, RPC] {
        let error = world
            .env
            .network
            .connect(&address(path))
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}
