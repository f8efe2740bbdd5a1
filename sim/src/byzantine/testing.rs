//! A Byzantine validator without network: the first of four authorities.

use super::{Asked, Context, Sent, Strategy, memory::Memory};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{
        Authority, AuthorityIndex, Block, ChainId, Committee, Epoch, InvalidBlock, KeyPair,
        NetworkKey, Round, SignatureScheme, Stake, TimestampMs, VerifiedBlock,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::sync::Arc;

const SCHEME: SignatureScheme = SignatureScheme::KeyedHash;

pub struct Bench {
    pub memory: Memory,
    committee: Arc<Committee>,
    keys: Vec<KeyPair>,
    random: ChaCha8Rng,
}

impl Bench {
    pub fn new() -> Self {
        let keys: Vec<_> = (1..=4)
            .map(|i| KeyPair::from_seed(SCHEME, &[i; 32]))
            .collect();
        let authorities = keys.iter().zip(0..).map(|(keys, i)| Authority {
            network_key: NetworkKey(keys.public().0),
            authority_key: vec![i],
            protocol_key: keys.public(),
            stake: Stake(1),
            address: [i; 20],
            p2p_address: ([0, 0, 0, 0], 0).into(),
            name: format!("validator-{i}"),
        });
        let committee = Committee::new(Epoch(0), authorities.collect()).expect("a committee");
        let committee = Arc::new(committee);
        Self {
            memory: Memory::new(AuthorityIndex(0), committee.clone()),
            committee,
            keys,
            random: ChaCha8Rng::from_seed([7; 32]),
        }
    }

    /// The block of the next round, if one is due.
    pub fn make(&mut self) -> Option<VerifiedBlock> {
        let block = self
            .memory
            .draft(TimestampMs(5))?
            .sign(&self.keys[0], ChainId::default());
        self.memory.made(&block);
        Some(block)
    }

    /// Keeps blocks of the first `others` peers, without ancestors.
    pub fn receive_round(&mut self, round: Round, others: usize) {
        for author in self.committee.indexes().skip(1).take(others) {
            let block = Block {
                epoch: Epoch(0),
                round,
                author,
                timestamp_ms: TimestampMs(1),
                ancestors: vec![],
                transactions: vec![],
                commit_votes: vec![],
                end_of_epoch: false,
            };
            self.memory
                .keep(block.sign(&self.keys[author.as_usize()], ChainId::default()));
        }
    }

    pub fn verifies(&self, bytes: &Bytes) -> Result<VerifiedBlock, InvalidBlock> {
        VerifiedBlock::verify(bytes.clone(), &self.committee, SCHEME, ChainId::default())
    }

    /// What authority 1 gets.
    pub fn stream(&mut self, strategy: &mut dyn Strategy, honest: &VerifiedBlock) -> Vec<Bytes> {
        self.stream_to(AuthorityIndex(1), strategy, honest)
    }

    pub fn stream_to(
        &mut self,
        to: AuthorityIndex,
        strategy: &mut dyn Strategy,
        honest: &VerifiedBlock,
    ) -> Vec<Bytes> {
        strategy.stream(Sent { to, honest }, &mut self.context())
    }

    /// What authority 1 gets if it is sent the same honest block this many times, after verification.
    pub fn streams(
        &mut self,
        strategy: &mut dyn Strategy,
        honest: &VerifiedBlock,
        times: u32,
    ) -> Vec<Result<VerifiedBlock, InvalidBlock>> {
        let bodies = (0..times).flat_map(|_| self.stream(strategy, honest));
        let bodies: Vec<_> = bodies.collect();
        bodies.iter().map(|body| self.verifies(body)).collect()
    }

    pub fn answer(
        &mut self,
        strategy: &mut dyn Strategy,
        request: &PeerRequest,
        honest: PeerResponse,
    ) -> Option<PeerResponse> {
        strategy.answer(Asked { request, honest }, &mut self.context())
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            chain: ChainId::default(),
            keys: &self.keys[0],
            committee: &self.committee,
            memory: &mut self.memory,
            random: &mut self.random,
        }
    }
}
