//! What a node answers to peers, and which own blocks it streams.

use super::{
    archive::RetainedEpoch,
    peer_stream::PeerStream,
    protocol::{self, MAX_ANSWER_BYTES, MAX_GUEST_ANSWER_BYTES, PeerRequest, PeerResponse},
    server::{
        Answers, ConnectionEnd, answer, answer_queries, certified_commits, stream_own_blocks,
    },
};
use crate::{
    config::PeerParameters,
    dag::test_dag::TestDag,
    env::{BoxStream, IdleTimeout, Unmonitored},
    framing::{Decoder, ReadError, read_frame, write_frame},
    peers::{
        Admission, Place, SecureStream,
        testing::{self, sessions},
    },
    store::{ConsensusStore, Durability, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, Block, Chain, ChainId, Commit, CommitDigest, CommitIndex, CommitRef, Epoch,
        EpochBase, EpochStart, KeyPair, Round, SignatureScheme, TimestampMs, Transaction,
        VerifiedBlock,
    },
};
use std::{io, sync::Arc};

fn block(round: u32, author: u16, commit_votes: Vec<CommitRef>) -> VerifiedBlock {
    sign(unsigned(round, author, commit_votes))
}

fn unsigned(round: u32, author: u16, commit_votes: Vec<CommitRef>) -> Block {
    Block {
        epoch: Epoch(0),
        round: Round(round),
        author: AuthorityIndex(author),
        timestamp_ms: TimestampMs(0),
        ancestors: vec![],
        transactions: vec![],
        commit_votes,
        end_of_epoch: false,
    }
}

fn sign(block: Block) -> VerifiedBlock {
    block.sign(
        &KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]),
        ChainId::default(),
    )
}

fn commit(index: u32) -> Commit {
    let leader = block(index, 0, vec![]).reference();
    Commit {
        epoch: Epoch(0),
        index: CommitIndex(index),
        previous: CommitDigest::default(),
        leader,
        timestamp_ms: TimestampMs(0),
        epoch_began_ms: TimestampMs(0),
        ending: vec![],
        blocks: vec![leader],
    }
}

fn epoch_start() -> EpochStart {
    EpochStart {
        base: EpochBase::GENESIS,
        timestamp_ms: TimestampMs(0),
        committee: TestDag::of(4).committee,
        chain: Chain::default(),
    }
}

fn retained(own: Option<AuthorityIndex>, store: ConsensusStore) -> RetainedEpoch {
    let start = epoch_start();
    let sessions = sessions(&start.committee, own);
    RetainedEpoch::new(Arc::new(Unmonitored), start, own, sessions, store).unwrap()
}

/// A guest, and the listener's end of its connection, over a socket that holds so many bytes.
async fn connected(capacity: usize, silence_ms: u64) -> (SecureStream<BoxStream>, PeerStream) {
    let idle = IdleTimeout::default();
    let (near, far) = tokio::io::duplex(capacity);
    let far = idle.monitor(Box::new(far));
    let (near, far) = testing::connected(&epoch_start().committee, near, far).await;
    (near, PeerStream::new(far, idle, silence_ms, 10))
}

fn place() -> Place {
    Admission::new(PeerParameters::default()).accept()
}

const ONE_BY_ONE: Answers = Answers {
    batch: 1,
    most_bytes: MAX_ANSWER_BYTES,
};

/// The number of commits in the answer if each (commit, number of authorities) of `votes` has that many votes. The
/// batch size is 1.
fn answered(votes: &[(u32, u16)]) -> usize {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let commits: Vec<_> = (1..=4).map(commit).collect();
    for (index, voters) in votes {
        let vote = commit(*index).reference();
        let voters = (0..*voters).map(|author| block(9, author, vec![vote]));
        let voters: Vec<_> = voters.collect();
        store.write(&voters, &[], Durability::Buffered).unwrap();
    }
    store.write(&[], &commits, Durability::Synced).unwrap();
    let retained = retained(None, store);
    let all = CommitIndex(u32::MAX);
    match certified_commits(&retained, ONE_BY_ONE, CommitIndex(1), all)
        .unwrap()
        .0
    {
        PeerResponse::Commits {
            commits, voters, ..
        } => {
            assert!(
                commits.is_empty() || voters.len() == 3,
                "not the votes of a quorum"
            );
            commits.len()
        }
        other => panic!("expected commits, found {other:?}"),
    }
}

/// A peer subscribes when there are own blocks of the rounds 1 and 2. While its link carries nothing, those of the
/// rounds 3 to 9 are made, commits contain those of the rounds 4 and 8, and rounds up to 6 are collected.
#[tokio::test]
async fn later_blocks_that_came_too_late_for_every_commit_are_not_streamed() {
    let own = AuthorityIndex(0);
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let blocks: Vec<_> = (1..=9).map(|round| block(round, own.0, vec![])).collect();
    store.write(&blocks[..2], &[], Durability::Synced).unwrap();
    let retained = retained(Some(own), store);
    let (mut peer, peer_stream) = connected(1, 1_000).await;
    let place = place();
    let streaming = stream_own_blocks(&retained, peer_stream, Round(0), &place);
    let reading = async {
        // One byte of the first block is in the buffer now.
        tokio::task::yield_now().await;
        for block in &blocks[2..] {
            retained
                .store
                .write(std::slice::from_ref(block), &[], Durability::Synced)
                .unwrap();
            retained.own_blocks.publish(block.clone());
        }
        let committed = [2, 4, 8].map(Round);
        retained.own_blocks.on_committed(committed, Round(6));
        let mut decoder = Decoder::new(protocol::FRAMING);
        let mut rounds = vec![];
        while rounds.last() != Some(&9) {
            let body = read_frame(&mut peer, &mut decoder).await.unwrap().unwrap();
            rounds.push(VerifiedBlock::decode(body).unwrap().round.0);
        }
        rounds
    };
    tokio::select! {
        biased;
        _ = streaming => panic!("the stream ended"),
        rounds = reading => assert_eq!(rounds, [1, 2, 4, 7, 8, 9]),
    }
}

#[test]
fn voters_that_do_not_fit_into_an_answer_are_named() {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let commit = commit(1);
    let transaction = Transaction(vec![0; MAX_ANSWER_BYTES / 2 - 1024].into());
    let voters: Vec<_> = (0..4)
        .map(|author| {
            let mut block = unsigned(9, author, vec![commit.reference()]);
            block.transactions = vec![transaction.clone()];
            sign(block)
        })
        .collect();
    store.write(&voters, &[commit], Durability::Synced).unwrap();
    let retained = retained(None, store);
    let answer = certified_commits(&retained, ONE_BY_ONE, CommitIndex(1), CommitIndex(1));
    let (answer, read_bytes) = answer.unwrap();
    let all: usize = voters.iter().map(|voter| voter.bytes().len()).sum();
    assert!(read_bytes >= all, "what is not sent is read, too");
    assert!(protocol::frame(&answer).is_ok());
    let PeerResponse::Commits {
        voters: sent,
        further_voters,
        ..
    } = answer
    else {
        panic!("expected commits, found {answer:?}");
    };
    assert_eq!(sent, [voters[0].bytes(), voters[1].bytes()]);
    assert_eq!(
        further_voters,
        [voters[2].reference(), voters[3].reference()]
    );
}

#[test]
fn a_block_that_is_named_twice_is_sent_once_and_guests_get_less() {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let blocks: Vec<_> = (0..4).map(|author| large(9, author)).collect();
    store.write(&blocks, &[], Durability::Synced).unwrap();
    let retained = retained(None, store);
    let twice: Vec<_> = blocks
        .iter()
        .chain(&blocks)
        .map(|b| b.reference())
        .collect();
    let sent = |most_bytes| {
        let limits = Answers {
            most_bytes,
            ..ONE_BY_ONE
        };
        let request = PeerRequest::Blocks(twice.clone());
        match answer(&retained, limits, request).unwrap().response {
            PeerResponse::Blocks(sent) => sent,
            other => panic!("expected blocks, found {other:?}"),
        }
    };
    let bytes: Vec<_> = blocks.iter().map(|block| block.bytes().clone()).collect();
    assert_eq!(sent(MAX_ANSWER_BYTES), bytes);
    assert_eq!(sent(MAX_GUEST_ANSWER_BYTES), bytes[..3]);
    assert_eq!(sent(0), bytes[..1], "or nobody would ever have it");
}

/// A block of 400 KB.
fn large(round: u32, author: u16) -> VerifiedBlock {
    let mut block = unsigned(round, author, vec![]);
    block.transactions = vec![Transaction(vec![0; 400_000].into())];
    sign(block)
}

#[test]
fn a_subscription_holds_a_few_large_blocks_at_a_time() {
    let own = AuthorityIndex(0);
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let blocks: Vec<_> = (1..=10).map(|round| large(round, own.0)).collect();
    store.write(&blocks, &[], Durability::Synced).unwrap();
    let retained = retained(Some(own), store);
    let (mut after, mut rounds) = (Round(0), vec![]);
    loop {
        let page = retained.own_blocks.after(after).unwrap();
        assert!(page.len() <= 4, "{} blocks", page.len());
        let Some(last) = page.last() else {
            break;
        };
        after = last.round;
        rounds.extend(page.iter().map(|block| block.round.0));
    }
    assert_eq!(rounds, Vec::from_iter(1..=10));
    for block in blocks {
        retained.own_blocks.publish(block);
    }
    let recent = retained.own_blocks.after(Round(0)).unwrap();
    assert_eq!(recent.len(), 3, "they share its limit");
}

#[tokio::test(start_paused = true)]
async fn who_has_to_wait_for_its_rate_hears_that_the_answer_will_come() {
    let store = ConsensusStore::open(&MemoryStores::new(&MemoryDisk::default()), Epoch(0));
    let retained = retained(None, store.unwrap());
    let (mut peer, stream) = connected(1_024, 100).await;
    let parameters = PeerParameters::default();
    let place = Admission::new(parameters.clone()).accept();
    // Two seconds' worth: one of them is over at once.
    place.take(2 * parameters.guest_bytes_per_second as usize);
    let asking = async {
        let request = protocol::frame(&PeerRequest::NewestBlockOf(AuthorityIndex(0))).unwrap();
        write_frame(&mut peer, &request).await.unwrap();
        let mut decoder = Decoder::new(protocol::FRAMING);
        let mut waited = 0;
        loop {
            let body = read_frame(&mut peer, &mut decoder).await.unwrap().unwrap();
            match protocol::parse(&body).unwrap() {
                PeerResponse::Wait => waited += 1,
                answer => break (waited, answer),
            }
        }
    };
    let (waited, answer) = tokio::select! {
        biased;
        end = answer_queries(&retained, 1, stream, &place) => panic!("{end:?}"),
        answered = asking => answered,
    };
    assert!((90..=101).contains(&waited), "every 10 ms: {waited}");
    assert_eq!(answer, PeerResponse::NewestBlock(None));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answer_or_asks_too_much_is_left() {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
    let large = block(9, 0, vec![commit(1).reference(); 100]);
    store
        .write(std::slice::from_ref(&large), &[], Durability::Synced)
        .unwrap();
    let retained = retained(None, store);
    let end = async |request: &[u8]| {
        let (mut peer, stream) = connected(1024, 100).await;
        let place = place();
        let asking = async {
            write_frame(&mut peer, request).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            end = answer_queries(&retained, 1, stream, &place) => end.unwrap_err(),
            () = asking => unreachable!(),
        }
    };
    let request = protocol::frame(&PeerRequest::Blocks(vec![large.reference()])).unwrap();
    let ConnectionEnd::Io(silent) = end(&request).await else {
        panic!("expected a peer that is silent");
    };
    assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    let request = PeerRequest::Blocks(vec![large.reference(); 2_000]);
    let request = protocol::frame(&request).unwrap();
    assert!(matches!(
        end(&request[..8]).await,
        ConnectionEnd::Read(ReadError::Frame(_))
    ));
}

#[test]
fn commits_without_votes_are_sent_up_to_the_next_with_votes_of_a_quorum() {
    assert_eq!(answered(&[(1, 3), (3, 3)]), 1);
    assert_eq!(answered(&[(1, 2), (3, 3)]), 3);
    assert_eq!(answered(&[(1, 2), (4, 2)]), 0);
}
