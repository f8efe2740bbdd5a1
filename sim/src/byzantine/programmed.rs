//! Carries out a program ([`Move`]): makes the blocks of each round once, and shows each peer those of its chain.

use super::{
    Asked, Context, Sent, Strategy,
    context::{signature_of, with_signature},
    forging,
    program::{Also, Ancestors, Answers, Audience, BlockRound, Move, Payload, Signature, Votes},
};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{
        AuthorityIndex, Block, BlockRef, CommitDigest, CommitRef, MAX_BLOCK_TRANSACTION_BYTES,
        MAX_BLOCK_TRANSACTIONS, MAX_COMMIT_VOTES, Round, SignatureBytes, Stake, TimestampMs,
        Transaction, VerifiedBlock,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Rounds whose blocks are kept for peers that subscribe late.
const RECENT: usize = 64;

/// Rounds between the current one and a stale or outdated one, at most.
const BEHIND: u32 = 12;

/// Rounds ahead: within what nodes accept, and far beyond.
const AHEAD: u32 = 20;
const FAR_AHEAD: u32 = 1_000_000;

/// A large payload uses at most one part in this many of a link.
const SHARE_OF_LINK: u64 = 4;

/// A block that takes longer than this on a link would keep the validator from everything else.
const LONGEST_SENDING_MS: u64 = 10_000;

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
            block.commit_votes = votes(with.votes, context);
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

    /// The round and the ancestors of a block that is honest so far.
    fn choose_ancestors(&mut self, block: &mut Block, chain: usize, context: &mut Context<'_>) {
        self.continue_chain(block, chain, context);
        // The copies of one identity have not received the same.
        if chain > 0 && surplus(block, context) > Stake(0) {
            let position = 1 + chain % (block.ancestors.len() - 1);
            if context.committee.stake(block.ancestors[position].author) <= surplus(block, context)
            {
                block.ancestors.remove(position);
            }
        }
        match self.current.round {
            BlockRound::Current => {}
            BlockRound::Stale => {
                let back = 1 + context.below(BEHIND);
                block.round = Round(block.round.0.saturating_sub(back).max(1));
                block.ancestors = context.memory.newest_below(block.round);
            }
            BlockRound::Ahead => ahead(block, 1 + context.below(AHEAD), context),
            BlockRound::FarAhead => ahead(block, FAR_AHEAD + context.below(AHEAD), context),
        }
        let count = u32::try_from(block.ancestors.len()).unwrap_or(1);
        // Not its own.
        let position =
            (1 + context.below(count.saturating_sub(1)) as usize).min(count as usize - 1);
        match self.current.ancestors {
            Ancestors::Newest => {}
            Ancestors::Quorum => keep_quorum(block, context),
            Ancestors::TooFew => {
                keep_quorum(block, context);
                block.ancestors.pop();
            }
            Ancestors::Older => name_older(block, context),
            Ancestors::Invented => {
                block.ancestors[position] = context.unknown(block.ancestors[position]);
            }
            Ancestors::Twice => block.ancestors.push(block.ancestors[position]),
            Ancestors::Forged => {
                let named = block.ancestors[position];
                let model = context.memory.find(&[named]).first().copied().cloned();
                if let Some(model) = model {
                    let forged = forging::forged_block(named.author, named.round, &model, context);
                    block.ancestors[position] = forged.reference();
                    (self.forged).insert(forged.reference(), forged.bytes().clone());
                }
            }
        }
    }

    /// Names the last block of the chain as its own ancestor, unless too few parents were left.
    fn continue_chain(&self, block: &mut Block, chain: usize, context: &Context<'_>) {
        let Some(last) = self.chains[chain] else {
            return;
        };
        let own = block.ancestors[0];
        let needs_own = surplus(block, context) < context.committee.stake(block.author);
        if last.round == own.round || (last.round < block.round && !needs_own) {
            block.ancestors[0] = last;
        }
    }

    fn transactions(
        &mut self,
        now: TimestampMs,
        payload: Payload,
        context: &mut Context<'_>,
    ) -> Vec<Transaction> {
        let empty = |count| vec![Transaction(Bytes::new()); count];
        let one = |bytes: usize| vec![Transaction(vec![0; bytes].into())];
        let per_second = self.surroundings.link_bytes_per_second.max(1);
        let transactions = match payload {
            Payload::Nothing => return vec![],
            Payload::Few => {
                let noise = Transaction(Bytes::copy_from_slice(&context.noise::<40>()));
                return vec![noise.clone(), noise, Transaction(Bytes::new())];
            }
            Payload::ManyEmpty => empty(MAX_BLOCK_TRANSACTIONS),
            Payload::TooManyEmpty => empty(MAX_BLOCK_TRANSACTIONS + 1),
            Payload::Large => {
                let carried = usize::try_from(per_second).unwrap_or(usize::MAX);
                one(carried.min(MAX_BLOCK_TRANSACTION_BYTES))
            }
            Payload::TooLarge => one(MAX_BLOCK_TRANSACTION_BYTES + 1),
        };
        // An empty transaction has a length.
        let sizes = transactions
            .iter()
            .map(|transaction| 1 + transaction.0.len());
        let sending_ms = sizes.sum::<usize>() as u64 * 1_000 / per_second;
        if now < self.next_large || sending_ms > LONGEST_SENDING_MS {
            return vec![];
        }
        self.next_large = TimestampMs(now.0 + SHARE_OF_LINK * sending_ms);
        transactions
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
    fn also(&self, to: AuthorityIndex, round: Round, context: &mut Context<'_>) -> Option<Bytes> {
        match self.made.get(&round)?.with.also {
            Also::Nothing => None,
            // What is invalid makes the peer reconnect; if that happened in each round, it would receive nothing.
            _ if !context.one_in(4) => None,
            Also::Again => {
                let (_, made) = self.made.range(..round).next_back()?;
                Some(made.blocks[to.as_usize() % made.blocks.len()].clone())
            }
            Also::EarlierEpoch => {
                let count = u32::try_from(self.surroundings.earlier_epoch.len()).unwrap_or(1);
                let position = context.below(count) as usize;
                self.surroundings.earlier_epoch.get(position).cloned()
            }
            Also::OfAnother => {
                let another = context.another();
                let newest = context.memory.blocks_of(another).next_back();
                newest.map(|block| block.bytes().clone())
            }
            Also::Noise => Some(Bytes::copy_from_slice(&context.noise::<100>())),
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
        let also = self.also(to, honest.round, context);
        shown.into_iter().chain(also).collect()
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        let request = asked.request;
        let response = match self.current.answers {
            Answers::Truthful | Answers::Slow => asked.honest,
            Answers::Outdated => outdated(asked, context),
            Answers::Empty => nothing(request),
            Answers::Never => return None,
            Answers::Huge => match asked.honest {
                PeerResponse::Blocks(mut blocks) => {
                    let others = context.committee.indexes();
                    for author in others {
                        let all = context.memory.blocks_of(author);
                        blocks.extend(all.map(|block| block.bytes().clone()));
                    }
                    PeerResponse::Blocks(blocks)
                }
                other => other,
            },
            Answers::Malformed => malformed(request, context),
            Answers::Forged => forging::Forging.answer(asked, context)?,
        };
        Some(self.with_forged(request, response))
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

/// The stake of the named blocks of the previous round, above a quorum.
fn surplus(block: &Block, context: &Context<'_>) -> Stake {
    let parents = block.ancestors.iter();
    let parents = parents.filter(|ancestor| ancestor.round.next() == block.round);
    let stake: Stake = parents
        .map(|parent| context.committee.stake(parent.author))
        .sum();
    Stake(stake.0.saturating_sub(context.committee.quorum().0))
}

/// Moves the block ahead. Nobody has what it names.
fn ahead(block: &mut Block, by: u32, context: &mut Context<'_>) {
    block.round = Round(block.round.0.saturating_add(by));
    for ancestor in &mut block.ancestors {
        *ancestor = context.unknown(BlockRef {
            round: block.round.prev(),
            ..*ancestor
        });
    }
}

/// Keeps its own last block and parents with the stake of a quorum.
fn keep_quorum(block: &mut Block, context: &Context<'_>) {
    let round = block.round;
    let mut stake = Stake(0);
    let mut first = true;
    block.ancestors.retain(|ancestor| {
        let is_own = std::mem::replace(&mut first, false);
        let is_parent = ancestor.round.next() == round;
        let is_needed = is_parent && stake < context.committee.quorum();
        if is_needed {
            stake += context.committee.stake(ancestor.author);
        }
        is_own || is_needed
    });
}

/// Names older blocks of some authors, as far as a quorum of parents is left.
fn name_older(block: &mut Block, context: &mut Context<'_>) {
    for position in 1..block.ancestors.len() {
        let named = block.ancestors[position];
        let is_parent = named.round.next() == block.round;
        if is_parent && context.committee.stake(named.author) > surplus(block, context) {
            continue;
        }
        let back = context.below(BEHIND) as usize;
        let older = context.memory.blocks_of(named.author).rev();
        let older = older.filter(|older| older.round < named.round).nth(back);
        if let Some(older) = older {
            block.ancestors[position] = older.reference();
        }
    }
}

/// Votes for commits, after those in a block of another validator.
fn votes(choice: Votes, context: &mut Context<'_>) -> Vec<CommitRef> {
    let another = context.another();
    let voting = context.memory.blocks_of(another).rev();
    let copied = voting.map(|block| block.commit_votes.clone());
    let copied = copied.take(BEHIND as usize).find(|votes| !votes.is_empty());
    let copied = copied.unwrap_or_default();
    let mut wrong = || -> Vec<CommitRef> {
        let wrong = |vote: &CommitRef| CommitRef {
            digest: CommitDigest(context.noise()),
            ..*vote
        };
        copied.iter().map(wrong).collect()
    };
    let mut votes = match choice {
        Votes::Nothing => vec![],
        Votes::Wrong => wrong(),
        Votes::Both => [wrong(), copied].concat(),
        Votes::Copied => copied,
    };
    votes.truncate(MAX_COMMIT_VOTES);
    votes
}

/// The answer of a validator that knows less.
fn outdated(asked: Asked<'_>, context: &mut Context<'_>) -> PeerResponse {
    let back = 1 + context.below(BEHIND);
    match asked.request {
        PeerRequest::NewestBlockOf(author) => {
            let older = context.memory.blocks_of(*author).rev().nth(back as usize);
            PeerResponse::NewestBlock(older.map(|block| block.bytes().clone()))
        }
        PeerRequest::Blocks(wanted) => {
            let newest = wanted.iter().map(|name| name.round.0).max().unwrap_or(0);
            let found = context.memory.find(wanted).into_iter();
            let found = found.filter(|block| block.round.0 + back <= newest);
            PeerResponse::Blocks(found.map(|block| block.bytes().clone()).collect())
        }
        PeerRequest::Commits { .. } => asked.honest,
    }
}

fn nothing(request: &PeerRequest) -> PeerResponse {
    match request {
        PeerRequest::Blocks(_) => PeerResponse::Blocks(vec![]),
        PeerRequest::Commits { .. } => PeerResponse::Commits {
            commits: vec![],
            voters: vec![],
        },
        PeerRequest::NewestBlockOf(_) => PeerResponse::NewestBlock(None),
    }
}

fn malformed(request: &PeerRequest, context: &mut Context<'_>) -> PeerResponse {
    let noise = Bytes::copy_from_slice(&context.noise::<64>());
    match request {
        PeerRequest::Blocks(_) => PeerResponse::Blocks(vec![noise.clone(), noise]),
        PeerRequest::Commits { .. } => PeerResponse::Commits {
            commits: vec![noise.clone()],
            voters: vec![noise],
        },
        PeerRequest::NewestBlockOf(_) => PeerResponse::NewestBlock(Some(noise)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;
    use metanode_core::types::InvalidBlock;

    fn programmed(program: &[Move]) -> Programmed {
        let surroundings = Surroundings {
            colluders: [AuthorityIndex(3)].into(),
            earlier_epoch: vec![Bytes::from_static(b"earlier")],
            link_bytes_per_second: 1_000_000,
            peer_timeout: Duration::from_millis(100),
        };
        Programmed::new(program.to_vec(), surroundings)
    }

    /// A bench after five rounds with all peers, and the honest block of the next.
    fn after_five_rounds(strategy: &mut Programmed) -> (Bench, VerifiedBlock) {
        let mut bench = Bench::new();
        for round in 1..=5 {
            let honest = bench.make().expect("a block");
            bench.stream(strategy, &honest);
            bench.receive_round(Round(round), 3);
        }
        let honest = bench.make().expect("a block");
        (bench, honest)
    }

    /// Honest for five rounds, then a move.
    fn at_last(step: Move) -> Programmed {
        let honest = Move {
            rounds: 5,
            ..Move::default()
        };
        programmed(&[honest, step])
    }

    fn verdict(step: Move) -> Result<VerifiedBlock, InvalidBlock> {
        let mut strategy = at_last(step);
        let (mut bench, honest) = after_five_rounds(&mut strategy);
        let shown = bench.stream(&mut strategy, &honest);
        bench.verifies(shown.first().expect("shown"))
    }

    #[test]
    fn without_moves_it_is_honest() {
        let mut strategy = programmed(&[]);
        let (mut bench, honest) = after_five_rounds(&mut strategy);
        assert_eq!(bench.stream(&mut strategy, &honest), [honest.bytes()]);
        let request = PeerRequest::NewestBlockOf(AuthorityIndex(1));
        let answer = PeerResponse::NewestBlock(None);
        let answered = bench.answer(&mut strategy, &request, answer.clone());
        assert_eq!(answered, Some(answer));
    }

    #[test]
    fn moves_follow_each_other_for_their_rounds_and_begin_again() {
        let mut strategy = programmed(&[
            Move {
                rounds: 2,
                ..Move::default()
            },
            Move {
                end_of_epoch: true,
                ..Move::default()
            },
        ]);
        let mut bench = Bench::new();
        let mut marks = vec![];
        for round in 1..=6 {
            let honest = bench.make().expect("a block");
            let shown = bench.stream(&mut strategy, &honest);
            marks.push(bench.verifies(&shown[0]).expect("valid").end_of_epoch);
            bench.receive_round(Round(round), 3);
        }
        assert_eq!(marks, [false, false, true, false, false, true]);
    }

    #[test]
    fn rounds_ancestors_and_payloads_are_as_the_move_says() {
        let step = Move::default();
        let stale = verdict(Move {
            round: BlockRound::Stale,
            ..step
        });
        assert!(stale.expect("valid").round < Round(6));
        let ahead = verdict(Move {
            round: BlockRound::FarAhead,
            ..step
        });
        assert!(ahead.expect("valid").round > Round(FAR_AHEAD));
        let on = |ancestors| verdict(Move { ancestors, ..step });
        assert_eq!(on(Ancestors::Newest).expect("valid").ancestors.len(), 4);
        assert_eq!(on(Ancestors::Quorum).expect("valid").ancestors.len(), 3);
        let too_few = on(Ancestors::TooFew).expect_err("too few");
        assert!(matches!(too_few, InvalidBlock::TooFewParents { .. }));
        let older = on(Ancestors::Older).expect("valid").ancestors.clone();
        assert!(older.iter().any(|ancestor| ancestor.round < Round(5)));
        assert!(on(Ancestors::Twice).is_err());
        for signature in Signature::ALL {
            let signed = verdict(Move {
                signature: *signature,
                end_of_epoch: true,
                ..step
            });
            assert_eq!(
                signed.is_ok(),
                *signature == Signature::Valid,
                "{signature:?}"
            );
        }
        let with = |payload| verdict(Move { payload, ..step });
        assert_eq!(with(Payload::Few).expect("valid").transactions.len(), 3);
        let most = with(Payload::ManyEmpty).expect("valid");
        assert_eq!(most.transactions.len(), MAX_BLOCK_TRANSACTIONS);
        assert!(with(Payload::TooManyEmpty).is_err());
        assert!(with(Payload::TooLarge).is_err());
        assert_eq!(with(Payload::Large).expect("valid").transactions.len(), 1);
    }

    #[test]
    fn a_forged_ancestor_is_served_and_does_not_verify() {
        let mut strategy = at_last(Move {
            ancestors: Ancestors::Forged,
            ..Move::default()
        });
        let (mut bench, honest) = after_five_rounds(&mut strategy);
        let shown = bench.stream(&mut strategy, &honest);
        let block = bench
            .verifies(&shown[0])
            .expect("valid but for what it names");
        let request = PeerRequest::Blocks(block.ancestors.clone());
        let nothing = PeerResponse::Blocks(vec![]);
        let answer = bench.answer(&mut strategy, &request, nothing);
        let Some(PeerResponse::Blocks(forged)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(forged.len(), 1);
        assert!(bench.verifies(&forged[0]).is_err());
    }

    #[test]
    fn twins_continue_chains_of_their_own() {
        let mut strategy = programmed(&[Move {
            twins: 2,
            ..Move::default()
        }]);
        let mut bench = Bench::new();
        let mut last: Option<[BlockRef; 2]> = None;
        for round in 1..=5 {
            let honest = bench.make().expect("a block");
            let blocks = [1, 2].map(|peer| {
                let shown = bench.stream_to(AuthorityIndex(peer), &mut strategy, &honest);
                bench.verifies(&shown[0]).expect("valid")
            });
            assert_eq!(blocks[0].slot(), blocks[1].slot());
            if let Some(last) = last {
                assert_eq!(blocks.clone().map(|block| block.ancestors[0]), last);
            }
            let references = blocks.map(|block| block.reference());
            assert_ne!(references[0], references[1]);
            last = Some(references);
            bench.receive_round(Round(round), 3);
        }
    }

    #[test]
    fn the_audience_is_as_the_move_says() {
        for (shown_to, peers) in [
            (Audience::Everybody, vec![1, 2, 3]),
            (Audience::Half, vec![1, 2]),
            (Audience::Few, vec![1]),
            (Audience::Colluders, vec![3]),
            (Audience::Nobody, vec![]),
        ] {
            let mut strategy = programmed(&[Move {
                shown_to,
                ..Move::default()
            }]);
            let (mut bench, honest) = after_five_rounds(&mut strategy);
            let mut seen = vec![];
            for peer in 1..4 {
                let shown = bench.stream_to(AuthorityIndex(peer), &mut strategy, &honest);
                seen.extend(shown.first().map(|_| peer));
            }
            assert_eq!(seen, peers, "{shown_to:?}");
        }
        let late = verdict(Move {
            shown_to: Audience::Late,
            ..Move::default()
        });
        assert_eq!(late.expect("valid").round, Round(5));
    }

    #[test]
    fn answers_are_as_the_move_says() {
        let request = PeerRequest::NewestBlockOf(AuthorityIndex(1));
        for answers in Answers::ALL {
            let mut strategy = programmed(&[Move {
                answers: *answers,
                ..Move::default()
            }]);
            let (mut bench, honest) = after_five_rounds(&mut strategy);
            bench.stream(&mut strategy, &honest);
            let true_answer = PeerResponse::NewestBlock(Some(honest.bytes().clone()));
            let answer = bench.answer(&mut strategy, &request, true_answer.clone());
            let is_true = answer.as_ref() == Some(&true_answer);
            let may_be_true = [Answers::Truthful, Answers::Slow, Answers::Huge];
            assert_eq!(is_true, may_be_true.contains(answers), "{answers:?}");
            assert_eq!(answer.is_none(), *answers == Answers::Never);
        }
    }
}
