//! DAGs for tests: written by hand, one line per round, or drawn at random from a seed.
//!
//! A line lists the authorities that make a block in the round, each with its ancestors in the previous round:
//!
//! | item | block |
//! |---|---|
//! | `A` | of authority A, with one block of each authority as ancestor |
//! | `A:BCD'` | with these ancestors; `D'` is the second block of an equivocating D |
//! | `A:-BC` | with one block of each authority except these |
//! | `A A:-B` | two blocks: A equivocates, the second is `A'` |
//!
//! The author's own newest block is always the first ancestor. Panics if a block is invalid.

use super::Dag;
use crate::{
    commit::LeaderSchedule,
    types::{
        Authority, AuthorityIndex, Block, BlockRef, ChainId, Committee, Encryption, Epoch, KeyPair,
        NetworkKey, NetworkKeyPair, Round, SignatureScheme, Slot, Stake, TimestampMs, Transaction,
        VerifiedBlock,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::{collections::BTreeMap, sync::Arc};

const SCHEME: SignatureScheme = SignatureScheme::KeyedHash;

fn network_key(seed: u8) -> NetworkKey {
    NetworkKeyPair::from_seed(Encryption::Readable, &[seed; 32]).public()
}

/// A DAG with the keys of its authorities, to which blocks can be added.
pub(crate) struct TestDag {
    pub(crate) committee: Arc<Committee>,
    keys: Vec<KeyPair>,
    /// In the order of creation, which is causal. Without genesis.
    pub(crate) blocks: Vec<VerifiedBlock>,
    by_slot: BTreeMap<Slot, Vec<BlockRef>>,
    /// The authorities whose new blocks have the end-of-epoch mark.
    ending: Vec<AuthorityIndex>,
}

impl TestDag {
    /// A committee with these stakes, in the order of their indexes.
    pub(crate) fn with_stakes(epoch: Epoch, stakes: &[u64]) -> Self {
        let keys: Vec<_> = (1..=stakes.len())
            .map(|i| KeyPair::from_seed(SCHEME, &[u8::try_from(i).unwrap(); 32]))
            .collect();
        let authorities = stakes
            .iter()
            .zip(&keys)
            .zip(b'A'..)
            .map(|((stake, keys), letter)| Authority {
                network_key: network_key(letter - b'A' + 1),
                authority_key: vec![letter],
                protocol_key: keys.public(),
                stake: Stake(*stake),
                address: [letter; 20],
                p2p_address: ([0, 0, 0, 0], 0).into(),
                name: char::from(letter).to_string(),
            })
            .collect();
        let committee = Committee::new(epoch, authorities).unwrap();
        let genesis = |author| Block::genesis(epoch, author).reference();
        Self {
            by_slot: committee
                .indexes()
                .map(genesis)
                .map(|genesis| (genesis.slot(), vec![genesis]))
                .collect(),
            committee: Arc::new(committee),
            keys,
            blocks: vec![],
            ending: vec![],
        }
    }

    /// `size` authorities of equal stake.
    pub(crate) fn of(size: usize) -> Self {
        Self::with_stakes(Epoch(0), &vec![1; size])
    }

    /// `size` authorities of equal stake, in the first epoch with these leaders: `"A BC"` means that A leads round 1,
    /// and B and C (at offset 1) lead round 2.
    pub(crate) fn led_by(size: usize, leaders: &str) -> Self {
        let agrees = |test_dag: &Self| {
            let schedule = LeaderSchedule::new(test_dag.committee.clone());
            (1..)
                .map(Round)
                .zip(leaders.split(' '))
                .all(|(round, line)| {
                    (0..)
                        .zip(line.chars())
                        .all(|(offset, name)| schedule.leader(round, offset) == author(name))
                })
        };
        (0..)
            .map(|epoch| Self::with_stakes(Epoch(epoch), &vec![1; size]))
            .find(agrees)
            .unwrap()
    }

    /// Adds the next round.
    pub(crate) fn round(&mut self, line: &str) -> &mut Self {
        let before = self.blocks.last().map_or(Round(0), |block| block.round);
        let drawn: Vec<_> = line
            .split(' ')
            .map(|item| {
                let (name, parents) = item.split_once(':').unwrap_or((item, "-"));
                let author = author(name.chars().next().unwrap());
                let ancestors = match parents.strip_prefix('-') {
                    None => names(parents)
                        .map(|(author, twin)| self.at(before, author)[twin])
                        .collect(),
                    Some(excluded) => self
                        .committee
                        .indexes()
                        .filter(|index| names(excluded).all(|(name, _)| name != *index))
                        .filter_map(|index| self.at(before, index).first().copied())
                        .collect(),
                };
                (before.next(), author, ancestors)
            })
            .collect();
        for (round, author, ancestors) in drawn {
            let timestamp_ms = TimestampMs(u64::from(round.0) * 1000 + u64::from(author.0));
            self.block(round, author, ancestors, timestamp_ms);
        }
        self
    }

    /// Adds `count` rounds in which every block has blocks of all authorities as ancestors.
    pub(crate) fn full_rounds(&mut self, count: usize) -> &mut Self {
        let all_authors: String = (b'A'..)
            .take(self.committee.size())
            .map(|letter| format!("{} ", char::from(letter)))
            .collect();
        for _ in 0..count {
            self.round(all_authors.trim_end());
        }
        self
    }

    /// From now on these authorities set the end-of-epoch mark.
    pub(crate) fn epoch_ends_for(&mut self, authors: &[u16]) -> &mut Self {
        self.ending = authors.iter().copied().map(AuthorityIndex).collect();
        self
    }

    /// Adds one block. The author's own newest block is added to the ancestors if they contain none of its blocks.
    pub(crate) fn block(
        &mut self,
        round: Round,
        author: AuthorityIndex,
        mut ancestors: Vec<BlockRef>,
        timestamp_ms: TimestampMs,
    ) {
        if let Some(own) = ancestors.iter().position(|a| a.author == author) {
            ancestors.swap(0, own);
        } else {
            ancestors.insert(0, self.newest_before(round, author));
        }
        let twins = self.at(round, author).len();
        let block = Block {
            epoch: self.committee.epoch(),
            round,
            author,
            timestamp_ms,
            ancestors,
            // Makes the blocks of an equivocating author differ.
            transactions: vec![Transaction(vec![u8::try_from(twins).unwrap()].into())],
            commit_votes: vec![],
            end_of_epoch: self.ending.contains(&author),
        }
        .sign(&self.keys[author.as_usize()], ChainId::default());
        VerifiedBlock::verify(
            block.bytes().clone(),
            &self.committee,
            SCHEME,
            ChainId::default(),
        )
        .unwrap();
        let slot = self.by_slot.entry(block.slot()).or_default();
        slot.push(block.reference());
        self.blocks.push(block);
    }

    /// The block with this name, such as `A1`, or `A1'` for the second block of A in round 1.
    pub(crate) fn get(&self, name: &str) -> VerifiedBlock {
        let digits = name[1..].trim_end_matches('\'');
        let slot = Slot {
            round: Round(digits.parse().unwrap()),
            author: author(name.chars().next().unwrap()),
        };
        let twin = usize::from(name.ends_with('\''));
        let mut of_slot = self.blocks.iter().filter(|block| block.slot() == slot);
        of_slot.nth(twin).unwrap().clone()
    }

    /// A [`Dag`] with all blocks.
    pub(crate) fn dag(&self) -> Dag {
        let mut dag = Dag::new(self.committee.clone(), 100);
        for block in &self.blocks {
            dag.insert(block.clone());
        }
        dag
    }

    /// The author's blocks of this round, including genesis.
    fn at(&self, round: Round, author: AuthorityIndex) -> &[BlockRef] {
        self.by_slot
            .get(&Slot { round, author })
            .map_or(&[], Vec::as_slice)
    }

    fn newest_before(&self, round: Round, author: AuthorityIndex) -> BlockRef {
        (0..round.0)
            .rev()
            .find_map(|round| self.at(Round(round), author).first().copied())
            .unwrap()
    }
}

/// Parameters of a random DAG.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) size: usize,
    pub(crate) rounds: u32,
}

impl TestDag {
    /// A valid DAG in which authorities of at most f stake crash or equivocate. Blocks often have just enough parents,
    /// so that votes and certificates are close to the thresholds, and have older ancestors of authors whose last block
    /// they missed.
    pub(crate) fn random(shape: &Shape) -> Self {
        let mut dice = Dice::new(shape.seed);
        let heaviest = 1 + dice.below(2) * 2;
        let stakes: Vec<_> = (0..shape.size).map(|_| 1 + dice.below(heaviest)).collect();
        let mut test_dag = Self::with_stakes(Epoch(dice.below(1000)), &stakes);
        let committee = test_dag.committee.clone();

        let mut tolerated = committee.total_stake().0 - committee.quorum().0;
        let mut last_round = vec![shape.rounds; shape.size];
        let mut equivocates = vec![false; shape.size];
        for author in dice.shuffled(committee.indexes()) {
            let Some(rest) = tolerated.checked_sub(committee.stake(author).0) else {
                continue;
            };
            tolerated = rest;
            match dice.below(8) {
                0 => last_round[author.as_usize()] = dice.below(shape.rounds.into()) as u32,
                1 => {}
                _ => equivocates[author.as_usize()] = true,
            }
        }

        for round in (1..=shape.rounds).map(Round) {
            // The blocks of the previous round that each author received.
            let received: Vec<_> = committee
                .indexes()
                .map(|_| [0, 30, 60, 95][dice.index(4)])
                .collect();
            let alive = committee
                .indexes()
                .filter(|author| last_round[author.as_usize()] >= round.0);
            let mut proposing = dice.shuffled(alive);
            let mut silent: Vec<_> = proposing.extract_if(.., |_| dice.chance(10)).collect();
            while stake_of(&committee, &proposing) < committee.quorum() {
                proposing.extend(silent.pop());
            }
            for author in proposing {
                let blocks = 1 + usize::from(equivocates[author.as_usize()] && dice.chance(80));
                for _ in 0..blocks {
                    let ancestors = test_dag.random_ancestors(&mut dice, round, author, &received);
                    let timestamp_ms = TimestampMs(u64::from(round.0) * 50 + dice.below(200));
                    test_dag.block(round, author, ancestors, timestamp_ms);
                }
            }
        }
        test_dag
    }

    fn random_ancestors(
        &self,
        dice: &mut Dice,
        round: Round,
        own: AuthorityIndex,
        received: &[u64],
    ) -> Vec<BlockRef> {
        let mut ancestors = vec![];
        let mut unheard = vec![];
        let mut parents = vec![];
        for author in dice.shuffled(self.committee.indexes()) {
            let blocks = self.at(round.prev(), author);
            if blocks.is_empty() || (author != own && !dice.chance(received[author.as_usize()])) {
                unheard.push((author, blocks));
            } else {
                ancestors.push(blocks[dice.index(blocks.len())]);
                parents.push(author);
            }
        }
        for (author, blocks) in unheard {
            if !blocks.is_empty() && stake_of(&self.committee, &parents) < self.committee.quorum() {
                ancestors.push(blocks[dice.index(blocks.len())]);
                parents.push(author);
            } else if author != own && round > Round(1) && dice.chance(50) {
                ancestors.push(self.newest_before(round.prev(), author));
            }
        }
        ancestors
    }
}

fn stake_of(committee: &Committee, authors: &[AuthorityIndex]) -> Stake {
    authors.iter().map(|author| committee.stake(*author)).sum()
}

fn author(name: char) -> AuthorityIndex {
    AuthorityIndex(u16::try_from(u32::from(name) - u32::from('A')).unwrap())
}

/// The authors of a list like `AB'C`, each with the position of the block among those of its slot.
fn names(list: &str) -> impl Iterator<Item = (AuthorityIndex, usize)> {
    let twin = |i| usize::from(list[i + 1..].starts_with('\''));
    list.char_indices()
        .filter(|(_, c)| *c != '\'')
        .map(move |(i, c)| (author(c), twin(i)))
}

/// Random choices from a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffled<T>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items: Vec<_> = items.into_iter().collect();
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
        items
    }

    /// The blocks one by one, each at most a few rounds too early or too late.
    pub(crate) fn arrivals(&mut self, blocks: &[VerifiedBlock]) -> Vec<Vec<VerifiedBlock>> {
        let disorder = 1 + self.below(40);
        let mut timed: Vec<_> = blocks
            .iter()
            .map(|block| {
                (
                    u64::from(block.round.0) * 10 + self.below(disorder),
                    block.clone(),
                )
            })
            .collect();
        timed.sort_by_key(|(time, _)| *time);
        timed.into_iter().map(|(_, block)| vec![block]).collect()
    }

    /// The items in random order, in batches of 1 to 7, some of them twice.
    pub(crate) fn deliveries<T: Clone>(&mut self, items: &[T]) -> Vec<Vec<T>> {
        let repeated: Vec<_> = items.iter().filter(|_| self.chance(20)).collect();
        let mut rest = self.shuffled(items.iter().chain(repeated).cloned());
        let mut batches = vec![];
        while !rest.is_empty() {
            let size = (1 + self.index(7)).min(rest.len());
            batches.push(rest.split_off(rest.len() - size));
        }
        batches
    }
}
