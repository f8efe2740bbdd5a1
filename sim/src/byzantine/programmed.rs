//! Carries out a program ([`Move`]): makes the blocks of each round once, and shows each peer those of its chain.

mod ancestors;
mod answers;
mod contents;
#[cfg(test)]
mod tests;

use super::{
    Asked, Context, Sent, Strategy, Welcomed,
    context::{signature_of, with_signature},
    forging,
    program::{
        Ancestors, Answers, Audience, BlockRound, Extra, Move, Payload, Signature, Welcomes,
    },
};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{
        AuthorityIndex, Block, BlockRef, Epoch, Round, SignatureBytes, TimestampMs, VerifiedBlock,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Rounds whose blocks are kept for peers that subscribe late.
const RECENT: usize = 64;

/// What a program needs to know of the validator's surroundings.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The other Byzantine validators.
    pub colluders: BTreeSet<AuthorityIndex>,
    /// Blocks of the previous epoch.
    pub earlier_epoch: Vec<Bytes>,
    /// What a connection carries in the worst case.
    pub link_bytes_per_second: u64,
    /// How long a peer waits for an answer.
    pub peer_timeout: Duration,
}

pub(super) struct Programmed {
    /// Not empty.
    program: Vec<Move>,
    surroundings: Surroundings,
    /// Rounds that have been carried out.
    rounds: u32,
    current: Move,
    /// The blocks of the last rounds by the round of the honest block, one per chain.
    made: BTreeMap<Round, Made>,
    /// The last block of each chain that peers can accept.
    chains: Vec<Option<BlockRef>>,
    forged: BTreeMap<BlockRef, Bytes>,
    /// No large payload before this.
    next_large: TimestampMs,
}

struct Made {
    with: Move,
    blocks: Vec<Bytes>,
}

impl Programmed {
    pub fn new(program: Vec<Move>, surroundings: Surroundings) -> Self {
        Self {
            program,
            surroundings,
            rounds: 0,
            current: Move::default(),
            made: BTreeMap::new(),
            chains: vec![],
            forged: BTreeMap::new(),
            next_large: TimestampMs(0),
        }
    }

    /// The move of the next round.
    fn next_move(&mut self) -> Move {
        let all: u32 = (self.program.iter())
            .map(|step| u32::from(step.rounds.max(1)))
            .sum();
        let mut position = self.rounds % all.max(1);
        self.rounds += 1;
        for step in &self.program {
            match position.checked_sub(u32::from(step.rounds.max(1))) {
                Some(rest) => position = rest,
                None => return *step,
            }
        }
        Move::default()
    }

    /// Makes the blocks of a round.
    fn make(&mut self, honest: &VerifiedBlock, context: &mut Context<'_>) {
        self.current = self.next_move();
        let with = self.current;
        let transactions = self.transactions(honest.timestamp_ms, with.payload, context);
        let chains = usize::from(with.twins.max(1));
        if self.chains.len() < chains {
            self.chains.resize(chains, None);
        }
        let blocks = (0..chains).map(|chain| {
            let mut block = Block::clone(honest);
            block.timestamp_ms.0 += chain as u64;
            block.transactions.clone_from(&transactions);
            block.commit_votes = contents::votes(with.votes, context);
            block.end_of_epoch = with.end_of_epoch;
            self.choose_ancestors(&mut block, chain, context);
            let block = context.sign_and_keep(block);
            if can_be_accepted(&with) {
                self.chains[chain] = Some(block.reference());
            }
            let signature = match with.signature {
                Signature::Valid => return block.bytes().clone(),
                Signature::Empty => SignatureBytes::new(),
                Signature::Noise => SignatureBytes::copy_from_slice(&context.noise::<32>()),
                Signature::OfAnother => signature_of(honest),
            };
            with_signature(Block::clone(&block), signature)
        });
        let blocks = blocks.collect();
        self.made.insert(honest.round, Made { with, blocks });
        if self.made.len() > RECENT {
            self.made.pop_first();
        }
    }

    /// The blocks of this round that the peer is shown.
    fn shown(&self, to: AuthorityIndex, round: Round, context: &Context<'_>) -> Option<Bytes> {
        let made = self.made.get(&round)?;
        let size = context.committee.size();
        let distance = (size + to.as_usize() - context.memory.own().as_usize()) % size;
        let made = match made.with.shown_to {
            Audience::Everybody => Some(made),
            Audience::Half => (distance <= size / 2).then_some(made),
            Audience::Few => (distance <= size / 3).then_some(made),
            Audience::Colluders => self.surroundings.colluders.contains(&to).then_some(made),
            Audience::Nobody => None,
            Audience::Late => self.made.range(..round).next_back().map(|(_, made)| made),
        }?;
        Some(made.blocks[to.as_usize() % made.blocks.len()].clone())
    }

    /// What the peer is sent besides.
    fn extra(&self, to: AuthorityIndex, round: Round, context: &mut Context<'_>) -> Option<Bytes> {
        match self.made.get(&round)?.with.extra {
            Extra::Nothing => None,
            // What is invalid makes the peer reconnect; if that happened in each round, it would receive nothing.
            _ if !context.one_in(4) => None,
            Extra::Again => {
                let (_, made) = self.made.range(..round).next_back()?;
                Some(made.blocks[to.as_usize() % made.blocks.len()].clone())
            }
            Extra::EarlierEpoch => {
                let count = u32::try_from(self.surroundings.earlier_epoch.len()).unwrap_or(1);
                let position = context.below(count) as usize;
                self.surroundings.earlier_epoch.get(position).cloned()
            }
            Extra::OfAnother => {
                let another = context.another();
                let newest = context.memory.blocks_of(another).next_back();
                newest.map(|block| block.bytes().clone())
            }
            Extra::Noise => Some(Bytes::copy_from_slice(&context.noise::<100>())),
        }
    }

    /// Adds the forged blocks that were asked for.
    fn with_forged(&self, request: &PeerRequest, mut response: PeerResponse) -> PeerResponse {
        if let (PeerRequest::Blocks(wanted), PeerResponse::Blocks(blocks)) =
            (request, &mut response)
        {
            blocks.extend(
                wanted
                    .iter()
                    .filter_map(|name| self.forged.get(name))
                    .cloned(),
            );
        }
        response
    }
}

impl Strategy for Programmed {
    fn stream(&mut self, Sent { to, honest }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        let newest = self.made.last_key_value().map(|(round, _)| *round);
        if newest.is_none_or(|newest| honest.round > newest) {
            self.make(honest, context);
        }
        let shown = self.shown(to, honest.round, context);
        let extra = self.extra(to, honest.round, context);
        shown.into_iter().chain(extra).collect()
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        let request = asked.request;
        let response = match self.current.answers {
            Answers::Truthful | Answers::Slow => asked.honest,
            Answers::Outdated => answers::outdated(asked, context),
            Answers::Empty => answers::nothing(request),
            Answers::Never => return None,
            Answers::Huge => answers::huge(asked.honest, context),
            Answers::Malformed => answers::malformed(request, context),
            Answers::Forged => forging::Forging.answer(asked, context)?,
        };
        Some(self.with_forged(request, response))
    }

    fn welcome(&mut self, honest: Welcomed) -> Option<Welcomed> {
        let mut welcome = honest;
        match self.current.welcomes {
            Welcomes::Truthful => {}
            Welcomes::LastEpoch => welcome.newest_epoch = Epoch(u64::MAX),
            Welcomes::FirstEpoch => welcome.newest_epoch = Epoch(0),
            Welcomes::OtherChain => welcome.chain.gc_depth_rounds += 1,
            Welcomes::Never => return None,
        }
        Some(welcome)
    }

    fn delay(&self, context: &mut Context<'_>) -> Duration {
        let timeout_ms = u32::try_from(self.surroundings.peer_timeout.as_millis());
        let timeout_ms = timeout_ms.unwrap_or(u32::MAX);
        match self.current.answers {
            Answers::Slow => {
                let early_ms = timeout_ms / 2;
                Duration::from_millis(u64::from(early_ms) + u64::from(context.below(timeout_ms)))
            }
            _ => Duration::ZERO,
        }
    }
}

/// Whether peers can accept a block of this kind, so that the next one may build on it.
const fn can_be_accepted(with: &Move) -> bool {
    matches!(with.round, BlockRound::Current)
        && matches!(
            with.ancestors,
            Ancestors::Newest | Ancestors::Quorum | Ancestors::Older
        )
        && matches!(with.signature, Signature::Valid)
        && !matches!(with.payload, Payload::TooManyEmpty | Payload::TooLarge)
}
