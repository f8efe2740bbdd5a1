//! The round and the ancestors of the blocks of a program.

use super::Programmed;
use crate::byzantine::{
    context::Context,
    forging,
    program::{Ancestors, BlockRound},
};
use metanode_core::types::{Block, BlockRef, Round, Stake};

/// Rounds between the current one and a stale block, and blocks between the newest of an author and an older one.
const BEHIND: u32 = 12;

/// Rounds ahead: within what nodes accept, and far beyond.
const AHEAD: u32 = 20;
pub(super) const FAR_AHEAD: u32 = 1_000_000;

impl Programmed {
    /// The round and the ancestors of a block that is honest so far.
    pub(super) fn choose_ancestors(
        &mut self,
        block: &mut Block,
        chain: usize,
        context: &mut Context<'_>,
    ) {
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
