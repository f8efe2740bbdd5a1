//! Test support: blocks, signed by the node's own code, round by round.

use super::{Derived, Genesis, Model, committee::Committee};
use crate::witness::{Blocks, Frame, Member, SeenBlock, SeenCommit};
use bytes::Bytes;
use metanode_core::types::{
    self, Authority, AuthorityIndex, Block, BlockDigest, BlockRef, ChainId, ClientTransaction,
    Epoch, KeyPair, NetworkKey, PublicKey, Round, SignatureScheme, Stake, TimestampMs,
    VerifiedBlock,
};
use prost::Message;
use std::sync::Arc;

/// The authorities of a chain with their keys.
pub struct Chain {
    pub scheme: SignatureScheme,
    pub keys: Vec<KeyPair>,
    pub stakes: Vec<u64>,
    pub max_commit_bytes: u32,
}

impl Chain {
    pub fn new(size: usize) -> Self {
        Self::with_scheme(size, SignatureScheme::KeyedHash)
    }

    pub fn with_scheme(size: usize, scheme: SignatureScheme) -> Self {
        let seeds = (1..).take(size);
        Self {
            scheme,
            keys: seeds
                .map(|n| KeyPair::from_seed(scheme, &[n; 32]))
                .collect(),
            stakes: vec![1; size],
            max_commit_bytes: u32::MAX,
        }
    }

    pub fn members(&self) -> Vec<Member> {
        let keys = self.keys.iter().map(KeyPair::public);
        let numbered = keys.zip(&self.stakes).zip(0..);
        numbered
            .map(|((PublicKey(protocol_key), stake), n)| Member {
                authority_key: vec![n],
                protocol_key,
                stake: *stake,
                address: vec![n; 20],
            })
            .collect()
    }

    pub fn committee(&self, epoch: Epoch) -> Committee {
        Committee::new(epoch, self.members())
    }

    pub fn committee_of_node(&self, epoch: Epoch) -> types::Committee {
        let members = self.members().into_iter();
        let authorities = members.map(|member| Authority {
            network_key: NetworkKey(member.protocol_key),
            authority_key: member.authority_key,
            protocol_key: PublicKey(member.protocol_key),
            stake: Stake(member.stake),
            address: member.address.try_into().unwrap(),
            p2p_address: ([0, 0, 0, 0], 0).into(),
            name: String::new(),
        });
        types::Committee::new(epoch, authorities.collect()).unwrap()
    }

    pub fn model(&self, gc_depth_rounds: u32, leaders_per_round: u32) -> Model {
        let mut members = self.members();
        members.reverse();
        let genesis = Genesis {
            scheme: self.scheme,
            gc_depth_rounds,
            leaders_per_round,
            max_commit_bytes: self.max_commit_bytes,
            epoch_start_granularity_ms: 1,
            start_ms: TimestampMs(500),
            initial_balance: 100,
            members: Box::new(move |_| members.clone()),
        };
        Model::of_chain(genesis, ChainId::default().0)
    }

    /// An unsigned block of epoch 0. If the author's own block is among the ancestors, it is moved to the front.
    pub fn block(&self, round: Round, author: u16, ancestors: &[BlockRef]) -> Block {
        let author = AuthorityIndex(author);
        let mut ancestors = ancestors.to_vec();
        ancestors.sort_by_key(|ancestor| ancestor.author != author);
        Block {
            epoch: Epoch(0),
            round,
            author,
            timestamp_ms: TimestampMs(u64::from(round.0) * 1000 + u64::from(author.0)),
            ancestors,
            transactions: vec![],
            commit_votes: vec![],
            end_of_epoch: false,
        }
    }

    /// The name of a block that does not exist.
    pub fn unknown(&self, round: u32, author: u16) -> BlockRef {
        BlockRef {
            round: Round(round),
            author: AuthorityIndex(author),
            digest: BlockDigest([0xee; 32]),
        }
    }

    pub fn seen(&self, block: &VerifiedBlock) -> Arc<SeenBlock> {
        Blocks::default().decode(block.bytes()).unwrap()
    }

    /// The first leader of a round in epoch 0.
    pub fn leader(&self, round: u32) -> u16 {
        self.committee(Epoch(0)).leaders(Round(round), 1)[0].0
    }
}

/// Transfers `amount` from one account to another.
pub fn transfer(from: u8, to: u8, amount: u64, nonce: u64) -> Bytes {
    let transaction = ClientTransaction {
        from_address: vec![from; 20].into(),
        to_address: vec![to; 20].into(),
        amount: amount.to_be_bytes().to_vec().into(),
        nonce: nonce.to_be_bytes().to_vec().into(),
        ..ClientTransaction::default()
    };
    transaction.encode_to_vec().into()
}

/// A DAG that grows round by round.
pub struct Rounds {
    pub chain: Chain,
    pub epoch: Epoch,
    /// Whether new blocks have the end-of-epoch mark.
    pub is_ending: bool,
    /// By round; genesis first.
    pub rounds: Vec<Vec<BlockRef>>,
    /// In causal order, without genesis.
    pub blocks: Vec<Arc<SeenBlock>>,
}

impl Rounds {
    pub fn of(size: usize) -> Self {
        Self::in_epoch(Chain::new(size), Epoch(0))
    }

    pub fn in_epoch(chain: Chain, epoch: Epoch) -> Self {
        let genesis = |n: usize| {
            let author = AuthorityIndex(u16::try_from(n).unwrap());
            Block::genesis(epoch, author).reference()
        };
        Self {
            epoch,
            is_ending: false,
            rounds: vec![(0..chain.keys.len()).map(genesis).collect()],
            blocks: vec![],
            chain,
        }
    }

    /// The last round.
    pub fn last(&self) -> u32 {
        u32::try_from(self.rounds.len() - 1).unwrap()
    }

    /// Adds a round: a block of each of these authors, with all blocks of the round before as ancestors, but only one
    /// of each author.
    pub fn round(&mut self, authors: &[u16]) {
        let mut parents = self.rounds[self.rounds.len() - 1].clone();
        parents.dedup_by_key(|parent| parent.author);
        self.round_with(authors, |_| parents.clone());
    }

    /// Adds a round: a block of each of these authors, with these ancestors.
    pub fn round_with(&mut self, authors: &[u16], ancestors: impl Fn(u16) -> Vec<BlockRef>) {
        self.rounds.push(vec![]);
        for author in authors {
            self.block(*author, &ancestors(*author), 0);
        }
    }

    /// Adds a block to the last round. `variant` makes blocks of one slot differ.
    pub fn block(&mut self, author: u16, ancestors: &[BlockRef], variant: u64) -> BlockRef {
        let round = self.last();
        let mut block = self.chain.block(Round(round), author, ancestors);
        block.epoch = self.epoch;
        block.timestamp_ms.0 += 100 * variant;
        block.end_of_epoch = self.is_ending;
        let transfer = transfer(author as u8, 9, 1, u64::from(round - 1));
        block.transactions = vec![types::Transaction(transfer)];
        let block = block.sign(&self.chain.keys[usize::from(author)], ChainId::default());
        self.rounds[round as usize].push(block.reference());
        self.blocks.push(self.chain.seen(&block));
        block.reference()
    }

    /// The first block of this slot.
    pub fn at(&self, round: u32, author: u16) -> BlockRef {
        let mut round = self.rounds[round as usize].iter();
        let of_author = |block: &&BlockRef| block.author == AuthorityIndex(author);
        *round.find(of_author).unwrap()
    }
}

/// What a model derives from these blocks in this order.
pub fn derive<'a>(
    model: &mut Model,
    blocks: impl IntoIterator<Item = &'a Arc<SeenBlock>>,
) -> Vec<Derived> {
    blocks.into_iter().flat_map(|b| model.add(b)).collect()
}

/// The commits among these results.
pub fn commits(derived: &[Derived]) -> Vec<(Arc<SeenCommit>, Arc<Frame>)> {
    let commits = derived.iter().filter_map(|derived| match derived {
        Derived::Commit { commit, frame, .. } => Some((commit.clone(), frame.clone())),
        _ => None,
    });
    commits.collect()
}
