//! Bytes of the node's own encoders, split in all ways, give the facts that they mean. Other bytes give no panic.

use super::{
    Blocks, Channel, Connections, ContentHash, End, Ends, Fact, Frame, Reply, Request, SeenBlock,
};
use crate::process_id::ProcessId;
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{self, PeerRequest, PeerResponse, Purpose},
    executor::wire::{self, RequestPayload, ResponsePayload},
    framing::Framing,
    peers::{HandshakeReply, Hello, Welcome},
    types::{
        AuthorityIndex, Block, Chain, ChainId, CommitIndex, Epoch, GlobalExecIndex, KeyPair, Round,
        SignatureScheme, TimestampMs, Transaction, VerifiedBlock,
    },
};
use proptest::prelude::*;
use std::sync::Arc;

const NODE: ProcessId = ProcessId::Node(0);
const OTHER: ProcessId = ProcessId::Node(1);
const EXECUTOR: ProcessId = ProcessId::Executor(0);
const SUB: ProcessId = ProcessId::Sub(0);
const CHANNELS: [Channel; 5] = [
    Channel::BlockStream,
    Channel::ExecutorRpc,
    Channel::Peers,
    Channel::Transactions,
    Channel::OldTransport,
];

type Facts = Vec<(ProcessId, Fact)>;

const fn ends(channel: Channel) -> Ends {
    let (client, server) = match channel {
        Channel::Peers => (NODE, OTHER),
        Channel::BlockStream | Channel::ExecutorRpc | Channel::PeerRpc => (NODE, EXECUTOR),
        Channel::Transactions | Channel::OldTransport => (SUB, NODE),
    };
    Ends {
        channel,
        client,
        server,
    }
}

/// The facts of a connection on which the client writes, the server reads, the server writes, the client reads: each in
/// pieces of these sizes, then the rest.
fn facts(channel: Channel, [client, server]: [&[u8]; 2], sizes: &[usize]) -> Facts {
    let mut facts = vec![];
    let mut connections = Connections::new(Blocks::default(), false, None);
    let sides = [
        (End::Client, End::Server, client),
        (End::Server, End::Client, server),
    ];
    for (writer, reader, mut stream) in sides {
        let written = stream.len();
        for size in sizes.iter().copied().chain([usize::MAX]) {
            let (piece, rest) = stream.split_at(size.min(stream.len()));
            connections.sent(1, || Some(ends(channel)), writer, piece, &mut facts);
            stream = rest;
        }
        let mut total = 0;
        for size in sizes.iter().copied().chain([written]) {
            total = written.min(total + size);
            connections.read(1, reader, total as u64, &mut facts);
        }
    }
    facts
}

/// A delivered block in both representations.
fn delivered(gei: u64) -> (wire::CommittedEpochData, Arc<Frame>) {
    let transactions: Vec<_> = (0..gei % 4)
        .map(|n| (7, Bytes::from(vec![9; 90 * usize::try_from(n).unwrap()])))
        .collect();
    let of_node = wire::CommittedEpochData {
        blocks: vec![wire::CommittedBlock {
            epoch: 2,
            height: gei,
            transactions: transactions
                .iter()
                .cloned()
                .map(|(worker_id, digest)| wire::TransactionExe { digest, worker_id })
                .collect(),
        }],
        global_exec_index: gei,
        commit_index: u32::try_from(gei).unwrap(),
        epoch: 2,
        commit_timestamp_ms: 5,
        leader_author_index: 1,
        leader_address: Bytes::from_static(&[4; 20]),
    };
    let worker_and_bytes = transactions.iter().map(|(worker, raw)| (*worker, &raw[..]));
    let seen = Frame {
        gei: GlobalExecIndex(gei),
        epoch: Epoch(2),
        commit: CommitIndex(of_node.commit_index),
        timestamp_ms: TimestampMs(5),
        leader: AuthorityIndex(1),
        leader_address: vec![4; 20],
        content: ContentHash::of(worker_and_bytes),
        transactions: transactions.into_iter().map(|(_, raw)| raw).collect(),
    };
    (of_node, Arc::new(seen))
}

fn block(round: u32) -> VerifiedBlock {
    let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[7; 32]);
    Block {
        epoch: Epoch(0),
        round: Round(round),
        author: AuthorityIndex(1),
        timestamp_ms: TimestampMs(8),
        ancestors: vec![Block::genesis(Epoch(0), AuthorityIndex(0)).reference()],
        transactions: vec![Transaction(Bytes::from(vec![5; 150]))],
        commit_votes: vec![],
        end_of_epoch: false,
    }
    .sign(&keys, ChainId::default())
}

fn seen(block: &VerifiedBlock) -> Arc<SeenBlock> {
    Blocks::default().decode(block.bytes()).unwrap()
}

/// A readable record for each part of these bytes.
fn sealed(plain: &[u8]) -> Vec<u8> {
    let records = plain.chunks(100).flat_map(|part| {
        let length = u16::try_from(part.len() + 16).unwrap().to_be_bytes();
        [&length[..], part, &[0xab; 16]].concat()
    });
    records.collect()
}

fn hello(purpose: Purpose) -> Vec<u8> {
    let hello = Hello {
        chain: Chain::default(),
        epoch: Epoch(3),
        from: Some(AuthorityIndex(0)),
        handshake: Bytes::from_static(&[7; 96]),
    };
    let purpose = protocol::frame(&purpose).unwrap();
    [&protocol::frame(&hello).unwrap()[..], &sealed(&purpose)].concat()
}

fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        chain: Chain::default(),
        reply: HandshakeReply::Handshake(Bytes::from_static(&[7; 48])),
    };
    protocol::frame(&welcome).unwrap().into()
}

fn subscribes() -> Vec<u8> {
    hello(Purpose::Subscribe { after: Round(5) })
}

fn peer_frame(body: &[u8]) -> Bytes {
    protocol::FRAMING.encode_body(body).unwrap()
}

fn rpc_reply(payload: ResponsePayload) -> Bytes {
    Framing::RPC.encode(&wire::Response::from(payload)).unwrap()
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..5, 1usize..200, 1usize..900], 0..60)
}

proptest! {
    #[test]
    fn a_block_stream_is_seen_frame_by_frame(count in 0u64..8, sizes in sizes()) {
        let (mut stream, mut sent, mut read) = (vec![], vec![], vec![]);
        for gei in 1..=count {
            let (of_node, frame) = delivered(gei);
            stream.extend(Framing::BLOCK_STREAM.encode(&of_node).unwrap());
            sent.push((NODE, Fact::FrameSent { connection: 1, frame }));
            read.push((EXECUTOR, Fact::FrameRead { connection: 1, gei: GlobalExecIndex(gei) }));
        }
        sent.extend(read);
        prop_assert_eq!(facts(Channel::BlockStream, [&stream, &[]], &sizes), sent);
    }

    #[test]
    fn requests_and_replies_are_numbered(count in 0u64..8, sizes in sizes()) {
        let (mut streams, mut sent, mut replied, mut read) = ([vec![], vec![]], vec![], vec![], vec![]);
        for number in 1..=count {
            let connection = 1;
            let from = RequestPayload::GetBlocksRange(wire::GetBlocksRange { from: number, to: 9, skip_bytes: 0 });
            streams[0].extend(Framing::RPC.encode(&wire::Request::from(from)).unwrap());
            let request = Request::GetBlocksRange { from: GlobalExecIndex(number), to: GlobalExecIndex(9) };
            sent.push((NODE, Fact::RequestSent { connection, number, request }));

            streams[1].extend(rpc_reply(ResponsePayload::LastBlockNumber(wire::LastBlockNumber { last_block_number: number })));
            let reply = Arc::new(Reply::LastBlockNumber(GlobalExecIndex(number)));
            replied.push((EXECUTOR, Fact::ReplySent { connection, number, reply: reply.clone() }));
            read.push((NODE, Fact::ReplyRead { connection, number, reply }));
        }
        sent.extend(replied.into_iter().chain(read));
        let [client, server] = &streams;
        prop_assert_eq!(facts(Channel::ExecutorRpc, [client, server], &sizes), sent);
    }

    #[test]
    fn a_streamed_block_is_seen_the_first_time(rounds in prop::collection::vec(1u32..6, 0..12), sizes in sizes()) {
        let (mut stream, mut expected) = (welcome(), vec![]);
        for round in rounds {
            let block = block(round);
            stream.extend(sealed(&peer_frame(block.bytes())));
            let fact = (OTHER, Fact::BlockSent { block: seen(&block) });
            if !expected.contains(&fact) {
                expected.push(fact);
            }
        }
        prop_assert_eq!(facts(Channel::Peers, [&subscribes(), &stream], &sizes), expected);
    }

    #[test]
    fn blocks_in_answers_are_seen(sizes in sizes()) {
        let requests = [
            PeerRequest::Blocks(vec![block(1).reference(), block(2).reference()]),
            PeerRequest::Commits { from: CommitIndex(1), to: CommitIndex(2) },
            PeerRequest::NewestBlockOf(AuthorityIndex(2)),
        ];
        let mut client = hello(Purpose::Query);
        client.extend(requests.iter().flat_map(|request| sealed(&protocol::frame(request).unwrap())));
        let blocks = [1, 2, 3, 4].map(block);
        let bytes = blocks.each_ref().map(|block| block.bytes().clone());
        let [a, b, c, d] = bytes;
        let answers = [
            PeerResponse::Blocks(vec![a.clone(), b]),
            PeerResponse::Blocks(vec![]),
            PeerResponse::Commits { commits: vec![Bytes::from_static(b"any")], voters: vec![a, c], further_voters: vec![block(4).reference()] },
            PeerResponse::NewestBlock(Some(d)),
            PeerResponse::NewestBlock(None),
        ];
        let mut server = welcome();
        server.extend(answers.iter().flat_map(|answer| sealed(&protocol::frame(answer).unwrap())));
        let expected: Facts = blocks.iter().map(|block| (OTHER, Fact::BlockSent { block: seen(block) })).collect();
        prop_assert_eq!(facts(Channel::Peers, [&client, &server], &sizes), expected);
    }

    #[test]
    fn random_bytes_give_at_most_one_malformed_in_each_direction(
        bodies in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..60)), 1..6),
        greeting in prop_oneof![Just(vec![]), Just(subscribes()), Just(hello(Purpose::Query))],
        sizes in sizes(),
    ) {
        let mut stream = vec![];
        for (is_framed, body) in &bodies {
            if *is_framed {
                stream.extend(peer_frame(body));
            } else {
                stream.extend(body);
            }
        }
        let client = [&greeting[..], &stream].concat();
        for channel in CHANNELS {
            let facts = facts(channel, [&client, &stream], &sizes);
            for process in [NODE, EXECUTOR, OTHER] {
                let malformed = facts.iter().filter(|(of, fact)| *of == process && is_malformed(fact));
                prop_assert!(malformed.count() <= 1);
            }
        }
    }
}

const fn is_malformed(fact: &Fact) -> bool {
    matches!(fact, Fact::Malformed { connection: 1, .. })
}

/// The facts of what the server writes to a client that wrote `client`, one segment a message. `None` is malformed.
fn rounds_seen(client: &[u8], messages: &[Bytes]) -> Vec<Option<u32>> {
    let server = [welcome(), sealed(&messages.concat())].concat();
    let facts = facts(Channel::Peers, [client, &server], &[]);
    let of_server = facts.into_iter().filter(|(process, _)| *process == OTHER);
    of_server
        .map(|(_, fact)| match fact {
            Fact::BlockSent { block } => Some(block.reference.round.0),
            fact => {
                assert!(is_malformed(&fact), "{fact}");
                None
            }
        })
        .collect()
}

#[test]
fn an_invalid_length_is_one_fact_and_ends_its_direction_only() {
    for (channel, process, length) in [
        (Channel::BlockStream, NODE, vec![0]),
        (
            Channel::BlockStream,
            NODE,
            vec![0x81, 0x80, 0x80, 0x20, 1, 1],
        ),
        (Channel::ExecutorRpc, NODE, vec![0, 0xa0, 0, 1]),
    ] {
        let client = [&length[..], &peer_frame(b"more")].concat();
        let found = facts(channel, [&client, &[]], &[1, 1, 1]);
        let [(of, Fact::Malformed { reason, .. })] = &found[..] else {
            panic!("{found:?}");
        };
        assert!(
            *of == process && reason.contains("expected 1 to"),
            "{reason}"
        );
    }
    let reply = rpc_reply(ResponsePayload::Error("no".to_owned()));
    let found = facts(Channel::ExecutorRpc, [&[0; 4], &reply], &[]);
    assert_eq!(found.len(), 3, "malformed, sent, read: {found:?}");
    let found = facts(Channel::BlockStream, [&[], b"answer"], &[]);
    assert!(matches!(&found[..], [(EXECUTOR, fact)] if is_malformed(fact)));
}

#[test]
fn blocks_after_one_that_does_not_decode_are_seen() {
    let [a, b, c] = [1, 2, 3].map(|round| block(round).bytes().clone());
    let noise = Bytes::from_static(b"noise");
    let stream = [&a, &noise, &b, &noise].map(|body| peer_frame(body));
    let expected = [Some(1), None, Some(2)];
    assert_eq!(rounds_seen(&subscribes(), &stream), expected);

    let answer = |answer| protocol::frame(&answer).unwrap();
    let undecodable = peer_frame(b"\x07");
    let answers = [
        answer(PeerResponse::Blocks(vec![a.clone(), noise.clone(), b])),
        answer(PeerResponse::NewestBlock(Some(noise))),
        answer(PeerResponse::NewestBlock(Some(c))),
        undecodable,
        answer(PeerResponse::NewestBlock(Some(block(4).bytes().clone()))),
    ];
    let expected = [Some(1), None, Some(2), Some(3)];
    assert_eq!(rounds_seen(&hello(Purpose::Query), &answers), expected);
    assert_eq!(rounds_seen(&[], &answers), [None], "before the hello");
    let answers = &answers[3..];
    assert_eq!(rounds_seen(&hello(Purpose::Query), answers), [None]);
}

#[test]
fn a_client_that_does_not_follow_the_protocol_is_malformed() {
    let request = protocol::frame(&PeerRequest::NewestBlockOf(AuthorityIndex(2))).unwrap();
    let queries = hello(Purpose::Query);
    let clients = [
        [subscribes(), sealed(&request)].concat(),
        [&queries[..], &sealed(&peer_frame(b"\x03"))].concat(),
        [&queries[..], &sealed(&peer_frame(b"\x02\x00\x00\x00"))].concat(),
        // A length above the limit, in a record.
        [&queries[..], &sealed(&[2, 0, 0, 1])].concat(),
        // A record without content.
        [&queries[..], &[0, 16], &[0xab; 16]].concat(),
        // No greeting, and one that is too long.
        peer_frame(b"\x00").into(),
        vec![0, 0, 4, 1],
    ];
    for client in clients {
        let found = facts(Channel::Peers, [&client, &[]], &[]);
        assert!(
            matches!(&found[..], [(NODE, fact)] if is_malformed(fact)),
            "{found:?}"
        );
    }
}

#[test]
fn a_reply_is_read_at_its_last_byte() {
    let reply = rpc_reply(ResponsePayload::Error("no".to_owned()));
    let mut connections = Connections::new(Blocks::default(), false, None);
    let mut facts = vec![];
    let observed = || Some(ends(Channel::ExecutorRpc));
    connections.sent(1, observed, End::Server, &reply, &mut facts);
    connections.sent(1, || None, End::Server, &reply, &mut facts);
    assert_eq!(facts.len(), 2);
    let length = reply.len() as u64;
    for (total, expected) in [
        (1, 2),
        (length / 2, 2),
        (length - 1, 2),
        (length, 3),
        (2 * length - 1, 3),
        (2 * length, 4),
    ] {
        connections.read(1, End::Server, total, &mut facts);
        connections.read(1, End::Client, total, &mut facts);
        assert_eq!(facts.len(), expected, "after {total} of {length} bytes");
    }
}

#[test]
fn a_connection_is_asked_for_once_and_forgotten_when_closed() {
    let mut connections = Connections::new(Blocks::default(), false, None);
    let mut facts = vec![];
    connections.sent(1, || None, End::Client, &[0], &mut facts);
    let never = || panic!("asked again");
    connections.sent(1, never, End::Client, &[0], &mut facts);
    connections.sent(2, never, End::Client, &[], &mut facts);
    connections.read(1, End::Server, 1, &mut facts);
    assert_eq!(facts, []);
    connections.closed(1, &mut facts);
    connections.read(1, End::Server, 2, &mut facts);
    let observed = || Some(ends(Channel::BlockStream));
    connections.sent(1, observed, End::Client, &[0], &mut facts);
    assert!(matches!(&facts[..], [(NODE, fact)] if is_malformed(fact)));
}

#[test]
fn on_the_old_transport_the_reply_belongs_to_the_first_request() {
    let request = |byte: u8| {
        let transaction = [0x0a, 2, 0x62, byte]; // not a message, which the witness does not ask
        Framing::TRANSACTIONS.encode_body(&transaction).unwrap()
    };
    let sent = [request(1), request(2)].concat();
    let json = br#"{"success":true,"count":1}"#;
    let length = u32::try_from(json.len()).unwrap().to_be_bytes();
    let reply = [&[1][..], &length, json].concat();
    for size in [1, 7, 100] {
        let facts = facts(Channel::OldTransport, [&sent, &reply], &[size, size]);
        let kinds: Vec<_> = facts
            .iter()
            .map(|(process, fact)| match fact {
                Fact::OldRequestSent {
                    number,
                    transactions,
                    ..
                } => (*process, "request", *number, transactions.len()),
                Fact::BatchAnswered { number, taken, .. } => {
                    (*process, "answer", *number, taken.len())
                }
                Fact::OldReplyRead { number, .. } => (*process, "read", *number, 0),
                other => panic!("{other}"),
            })
            .collect();
        let expected = [
            (SUB, "request", 1, 1),
            (SUB, "request", 2, 1),
            (NODE, "answer", 1, 1),
            (SUB, "read", 1, 0),
        ];
        assert_eq!(kinds, expected);
    }
}

#[test]
fn what_a_peer_replies_is_no_watermark_of_the_own_executor_and_noise_is_no_answer() {
    let reply = Framing::RPC.encode_body(&[0x2a, 2, 8, 7]).unwrap(); // last block 7
    let noise = Framing::RPC.encode_body(&[0xff; 4]).unwrap();
    let request = Framing::RPC.encode_body(&[0x2a, 0]).unwrap();
    let sent = [&request[..], &request].concat();
    let replies = [&noise[..], &reply].concat();
    let found = facts(Channel::PeerRpc, [&sent, &replies], &[100, 100]);
    let found: Vec<_> = found.iter().map(|(_, fact)| fact.to_string()).collect();
    let expected = [
        "the wire has request 1 to peer 0: GetLastBlockNumber (connection 1)",
        "the wire has request 2 to peer 0: GetLastBlockNumber (connection 1)",
        "reply 2 of peer 0 was read: last block 7 (connection 1)",
    ];
    assert_eq!(found, expected);
}
