//! Tests of the typed store of an epoch: reading back, order, and detection of damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use metanode_core::{
    store::{
        Column, CommitRun, ConsensusStore, Durability, MemoryDisk, MemoryStores, RocksOptions,
        RocksStores, Scan, ScanOrder, StoreError, StoreFactory, WriteBatch,
    },
    types::{
        AuthorityIndex, Block, BlockRef, ChainId, Commit, CommitDigest, CommitIndex, CommitRef,
        Epoch, KeyPair, Round, SignatureScheme, TimestampMs, VerifiedBlock,
    },
};
use std::collections::BTreeSet;

const EPOCH: Epoch = Epoch(3);

fn block(round: u32, author: u16, commit_votes: Vec<CommitRef>) -> VerifiedBlock {
    let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[author as u8; 32]);
    Block {
        epoch: EPOCH,
        round: Round(round),
        author: AuthorityIndex(author),
        timestamp_ms: TimestampMs(u64::from(round)),
        ancestors: vec![],
        transactions: vec![],
        commit_votes,
        end_of_epoch: false,
    }
    .sign(&keys, ChainId::default())
}

fn commit(index: u32, blocks: &[VerifiedBlock]) -> Commit {
    let blocks: Vec<BlockRef> = blocks.iter().map(VerifiedBlock::reference).collect();
    Commit {
        epoch: EPOCH,
        index: CommitIndex(index),
        previous: CommitDigest::default(),
        leader: *blocks.last().unwrap(),
        timestamp_ms: TimestampMs(7),
        epoch_began_ms: TimestampMs(7),
        ending: vec![],
        blocks,
    }
}

fn in_memory() -> (MemoryStores, ConsensusStore) {
    let factory = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&factory, EPOCH).unwrap();
    (factory, store)
}

/// Flips a bit in the value of the highest key of `column`.
fn damage(factory: &dyn StoreFactory, column: Column) {
    let name = ConsensusStore::store_name(EPOCH);
    let raw = factory.open(&name, &[column]).unwrap();
    let found = raw.scan(Scan {
        column,
        range: &[]..&[0xff; 99],
        order: ScanOrder::Descending,
        limit: 1,
    });
    let (key, value) = found.unwrap().remove(0);
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    let mut batch = WriteBatch::default();
    batch.put(column, &key, value);
    raw.write(batch, Durability::Synced).unwrap();
}

#[test]
fn writes_are_read_back_after_a_reopen() {
    let root = tempfile::tempdir().unwrap();
    let rocks = RocksStores::new(root.path(), RocksOptions::default());
    let memory = MemoryStores::new(&MemoryDisk::default());
    for factory in [&memory as &dyn StoreFactory, &rocks] {
        let blocks = [
            block(1, 0, vec![]),
            block(1, 1, vec![]),
            block(2, 0, vec![]),
        ];
        let [first, second, third] = [0, 1, 2].map(|i| blocks[i].reference());
        let absent = block(9, 9, vec![]).reference();
        let commits = [commit(1, &blocks[..1]), commit(2, &blocks[1..])];
        let store = ConsensusStore::open(factory, EPOCH).unwrap();
        assert_eq!(store.last_commit().unwrap(), None);
        store.write(&blocks, &commits, Durability::Synced).unwrap();
        drop(store);

        let store = ConsensusStore::open(factory, EPOCH).unwrap();
        let read = store.block(&second).unwrap().unwrap();
        assert_eq!(read.bytes(), blocks[1].bytes());
        assert_eq!(store.block(&absent).unwrap(), None);
        assert_eq!(
            store.blocks(&[third, absent, first]).unwrap(),
            [Some(blocks[2].clone()), None, Some(blocks[0].clone())]
        );
        assert_eq!(store.last_commit().unwrap(), Some(CommitIndex(2)));
        let read = store.commit(CommitIndex(1)).unwrap();
        assert_eq!(read.as_ref(), Some(&commits[0]));
        let read = store.commits(CommitIndex(1), CommitIndex(2)).unwrap();
        assert_eq!(read.intact, commits);
        assert_eq!(read.damaged, None);
        let sub_dag = store.sub_dag(&commits[1]).unwrap().unwrap();
        assert_eq!(sub_dag.reference, commits[1].reference());
        assert_eq!(sub_dag.blocks, blocks[1..]);
    }
}

#[test]
fn blocks_are_read_by_round_over_page_bounds_and_by_author() {
    let (_, store) = in_memory();
    // Rounds above 255, so that the test fails with a wrong byte order of keys; authority 2 stops early.
    let authors = |round| if round <= 260 { 0..3 } else { 0..2 };
    let blocks: Vec<_> = (1..=300)
        .flat_map(|round| authors(round).map(move |author| block(round, author, vec![])))
        .collect();
    store.write(&blocks, &[], Durability::Buffered).unwrap();

    assert_eq!(store.blocks_from_round(Round(0)).unwrap(), blocks);
    let first_of_255 = blocks.partition_point(|block| block.round < Round(255));
    let tail = store.blocks_from_round(Round(255)).unwrap();
    assert_eq!(tail, blocks[first_of_255..]);
    assert_eq!(store.blocks_from_round(Round(301)).unwrap(), []);

    let newest = |author| store.newest_block_of(AuthorityIndex(author)).unwrap();
    assert_eq!(newest(1), Some(Ok(block(300, 1, vec![]))));
    assert_eq!(newest(2), Some(Ok(block(260, 2, vec![]))));
    assert_eq!(newest(3), None);

    let of_one = store.blocks_of(AuthorityIndex(1), Round(254), 3).unwrap();
    assert_eq!(of_one, [254, 255, 256].map(|r| block(r, 1, vec![])));
    let of_two = store.blocks_of(AuthorityIndex(2), Round(259), 9).unwrap();
    assert_eq!(of_two, [259, 260].map(|r| block(r, 2, vec![])));
}

#[test]
fn votes_are_found_by_commit() {
    let (_, store) = in_memory();
    let first = commit(1, &[block(1, 0, vec![])]).reference();
    let rival = commit(1, &[block(1, 1, vec![])]).reference();
    let second = commit(2, &[block(2, 0, vec![])]).reference();
    let both = block(4, 0, vec![first, second]);
    let one = block(3, 1, vec![first]);
    let blocks = [both.clone(), one.clone(), block(3, 2, vec![rival])];
    store.write(&blocks, &[], Durability::Buffered).unwrap();
    let of = |commit, quorum| {
        let is_quorum = |authors: &BTreeSet<_>| authors.len() >= quorum;
        store.quorum_for(commit, is_quorum).unwrap()
    };
    assert_eq!(of(first, 2), Some(vec![one, both.clone()]));
    assert_eq!(of(first, 3), None);
    assert_eq!(of(second, 1), Some(vec![both]));
}

#[test]
fn an_author_that_repeats_its_vote_hides_nobody_and_is_not_read_to_the_end() {
    let (_, store) = in_memory();
    let commit = commit(1, &[block(1, 0, vec![])]).reference();
    let mut blocks: Vec<_> = (3..500)
        .map(|round| block(round, 1, vec![commit]))
        .collect();
    blocks.push(block(500, 2, vec![commit]));
    store.write(&blocks, &[], Durability::Buffered).unwrap();
    let of = |quorum| {
        let is_quorum = |authors: &BTreeSet<_>| authors.len() >= quorum;
        store.quorum_for(commit, is_quorum).unwrap()
    };
    let both = vec![blocks[0].clone(), blocks[497].clone()];
    assert_eq!((of(2), of(1)), (Some(both), Some(vec![blocks[0].clone()])));
}

#[test]
fn a_gap_among_commits_is_an_error_that_names_it() {
    let (_, store) = in_memory();
    let blocks = [block(1, 0, vec![])];
    let commits = [1, 2, 4].map(|index| commit(index, &blocks));
    store.write(&[], &commits, Durability::Buffered).unwrap();
    let range = |from, to| store.commits(CommitIndex(from), CommitIndex(to));
    assert_eq!(range(1, 2).unwrap().intact, commits[..2]);
    assert_eq!(range(2, 1).unwrap(), CommitRun::default());
    for (from, to, hole) in [(1, 4, "commit 3"), (4, 5, "commit 5"), (0, 1, "commit 0")] {
        match range(from, to) {
            Err(StoreError::Missing { what, .. }) => assert_eq!(what, hole),
            other => panic!("{from}..={to} gave {other:?}"),
        }
    }
}

#[test]
fn a_damaged_block_is_missing_and_not_replaced_by_an_older_one() {
    let (factory, store) = in_memory();
    let author = AuthorityIndex(0);
    let blocks = [block(1, 0, vec![]), block(2, 0, vec![])];
    let commit = commit(1, &blocks);
    store.write(&blocks, &[], Durability::Buffered).unwrap();
    store.sub_dag(&commit).unwrap().unwrap();
    drop(store);
    damage(&factory, Column("blocks"));

    let store = ConsensusStore::open(&factory, EPOCH).unwrap();
    assert_eq!(store.block(&blocks[1].reference()).unwrap(), None);
    assert_eq!(store.blocks_from_round(Round(0)).unwrap(), blocks[..1]);
    let of_author = store.blocks_of(author, Round(0), 9).unwrap();
    assert_eq!(of_author, blocks[..1]);
    let newest = store.newest_block_of(author).unwrap();
    assert_eq!(newest, Some(Err(blocks[1].reference())));
    assert_eq!(store.newest_round_of(author).unwrap(), Some(Round(2)));
    let missing = store.sub_dag(&commit).unwrap().unwrap_err();
    assert_eq!(missing, [blocks[1].reference()]);

    // A block fetched from a peer replaces it.
    store
        .write(&blocks[1..], &[], Durability::Buffered)
        .unwrap();
    assert_eq!(store.sub_dag(&commit).unwrap().unwrap().blocks, blocks);
}

#[test]
fn a_damaged_commit_ends_a_run_and_the_log_can_be_cut_before_it() {
    let (factory, store) = in_memory();
    let blocks = [block(1, 0, vec![])];
    let commits = [1, 2].map(|index| commit(index, &blocks));
    store.write(&[], &commits, Durability::Buffered).unwrap();
    drop(store);
    damage(&factory, Column("commits"));

    let store = ConsensusStore::open(&factory, EPOCH).unwrap();
    let both = || store.commits(CommitIndex(1), CommitIndex(2)).unwrap();
    assert_eq!(store.last_commit().unwrap(), Some(CommitIndex(2)));
    assert_eq!(store.commit(CommitIndex(2)).unwrap(), None);
    assert_eq!(both().intact, commits[..1]);
    assert_eq!(both().damaged, Some(CommitIndex(2)));

    store.cut_commits(CommitIndex(2)).unwrap();
    assert_eq!(store.last_commit().unwrap(), Some(CommitIndex(1)));
    store
        .write(&[], &commits[1..], Durability::Buffered)
        .unwrap();
    assert_eq!(both().intact, commits);
}

#[test]
fn each_epoch_has_its_own_store() {
    let (factory, old) = in_memory();
    let blocks = [block(1, 0, vec![])];
    old.write(&blocks, &[commit(1, &blocks)], Durability::Synced)
        .unwrap();
    let new = ConsensusStore::open(&factory, EPOCH.next()).unwrap();
    assert_eq!(new.last_commit().unwrap(), None);
    assert_eq!(factory.list().unwrap(), ["epoch-3", "epoch-4"]);
}
