//! Suspension of blocks that arrive before their ancestors.

use super::{Dag, bug_switches};
use crate::types::{AuthorityIndex, BlockRef, VerifiedBlock};
use std::collections::{BTreeMap, BTreeSet};

/// Suspends blocks until all their ancestors are in the [`Dag`], so that the DAG is causally complete.
///
/// Memory is bounded: from each peer one block and otherwise at most `max_suspended_bytes` are suspended. Beyond that, those
/// of the highest rounds are dropped, because they become acceptable last. If another block has them as ancestors they
/// are [missing](BlockManager::missing_first) again and fetched later. The encoding contains the ancestors, so it also
/// limits what is remembered of them.
///
/// The peers that sent a block pay for it, not its author. An honest peer has all ancestors of what it sends, so the
/// lowest blocks from it become acceptable, whatever others send.
pub(crate) struct BlockManager {
    /// From one peer, encoded.
    max_suspended_bytes: usize,
    suspended: BTreeMap<BlockRef, Suspended>,
    by_source: BTreeMap<Source, FromSource>,
    /// Unavailable block → the suspended blocks that have it as ancestor. The sets are not empty.
    waiting: BTreeMap<BlockRef, BTreeSet<BlockRef>>,
    changes: u64,
}

/// Where a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// This node: its store, or a new own block. Not limited.
    Own,
    Peer(AuthorityIndex),
}

/// The suspended blocks from one source.
#[derive(Debug, Default)]
struct FromSource {
    /// Lowest round first.
    blocks: BTreeSet<BlockRef>,
    bytes: usize,
}

struct Suspended {
    block: VerifiedBlock,
    /// At least one.
    sources: BTreeSet<Source>,
    /// Number of unavailable ancestors, at least 1.
    unavailable: usize,
}

/// The result of accepting a batch of blocks.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// Blocks inserted into the DAG, ancestors before descendants.
    pub accepted: Vec<VerifiedBlock>,
    /// Ancestors that are missing since this batch: neither in the DAG nor suspended.
    pub missing: BTreeSet<BlockRef>,
}

impl BlockManager {
    #[must_use]
    pub const fn new(max_suspended_bytes: usize) -> Self {
        Self {
            max_suspended_bytes,
            suspended: BTreeMap::new(),
            by_source: BTreeMap::new(),
            waiting: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Inserts the blocks whose ancestors are available into the DAG, with the suspended blocks that waited for them,
    /// and suspends the others. Blocks of the DAG and those at or below the gc round are ignored.
    pub fn accept(
        &mut self,
        dag: &mut Dag,
        mut blocks: Vec<VerifiedBlock>,
        source: Source,
    ) -> Accepted {
        // Ancestors first, so that nothing of a complete batch is suspended.
        blocks.sort_by_key(VerifiedBlock::reference);
        let mut result = Accepted::default();
        for block in blocks {
            let reference = block.reference();
            if dag.is_available(&reference) {
                continue;
            }
            if self.suspended.contains_key(&reference) {
                self.charge(reference, source);
                continue;
            }
            let block = bug_switches::received(block, dag);
            let unavailable: Vec<_> = block
                .ancestors
                .iter()
                .filter(|ancestor| !dag.is_available(ancestor))
                .copied()
                .collect();
            if unavailable.is_empty() {
                self.insert(dag, block, &mut result.accepted);
            } else {
                self.suspend(block, source, &unavailable, &mut result.missing);
            }
        }
        // Ancestors that a later block of the batch delivered, or of a dropped block only, are not missing.
        result
            .missing
            .retain(|r| self.waiting.contains_key(r) && !self.suspended.contains_key(r));
        result
    }

    /// Inserts the suspended blocks whose ancestors became available without [`BlockManager::accept`], and returns them
    /// in causal order. Must be called after the gc round advanced and after a commit was adopted.
    pub fn release(&mut self, dag: &mut Dag) -> Vec<VerifiedBlock> {
        let available: Vec<_> = self
            .waiting
            .keys()
            .filter(|reference| dag.is_available(reference))
            .copied()
            .collect();
        let mut accepted = vec![];
        for reference in available {
            for ready in self.arrived(&reference) {
                self.insert(dag, ready, &mut accepted);
            }
        }
        accepted
    }

    /// Size of the suspended blocks, once for each source.
    #[must_use]
    pub fn suspended_bytes(&self) -> usize {
        self.by_source.values().map(|from| from.bytes).sum()
    }

    /// The missing blocks, neither in the DAG nor suspended, among the ancestors of the lowest `per_source` suspended
    /// blocks from each source. Each with the authors of the blocks that depend on it, directly or not: if honest, they
    /// have it. Higher blocks cannot become acceptable before these, and the limit per source bounds what a faulty peer
    /// can make the node fetch.
    #[must_use]
    pub fn missing_first(&self, per_source: usize) -> BTreeMap<BlockRef, BTreeSet<AuthorityIndex>> {
        let sources = self.by_source.values();
        let lowest = sources.flat_map(|from| from.blocks.iter().take(per_source));
        let lowest: BTreeSet<BlockRef> = (lowest.filter_map(|name| self.suspended.get(name)))
            .flat_map(|suspended| self.unavailable(suspended))
            .filter(|ancestor| !self.suspended.contains_key(ancestor))
            .collect();
        let mut builders = BTreeMap::<_, BTreeSet<_>>::new();
        if lowest.is_empty() {
            return builders;
        }
        // Highest first, so that all authors of dependants of a block are collected before the block is visited.
        for (reference, suspended) in self.suspended.iter().rev() {
            let mut of_block = builders.remove(reference).unwrap_or_default();
            of_block.insert(reference.author);
            for ancestor in self.unavailable(suspended) {
                let of_ancestor = builders.entry(ancestor).or_default();
                of_ancestor.extend(of_block.iter().copied());
            }
        }
        builders.retain(|reference, _| lowest.contains(reference));
        builders
    }

    /// A counter that increases whenever the suspended or missing blocks may have changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The unavailable ancestors of a suspended block, including suspended ones.
    fn unavailable<'a>(&'a self, suspended: &'a Suspended) -> impl Iterator<Item = BlockRef> + 'a {
        let ancestors = suspended.block.ancestors.iter().copied();
        ancestors.filter(|ancestor| self.waiting.contains_key(ancestor))
    }

    /// Whether a suspended block has this one as unavailable ancestor.
    #[must_use]
    pub fn is_wanted(&self, reference: &BlockRef) -> bool {
        self.waiting.contains_key(reference)
    }

    /// Number of suspended blocks.
    #[cfg(test)]
    pub(super) fn suspended(&self) -> usize {
        self.suspended.len()
    }

    /// Number and encoded size of the suspended blocks from one source.
    #[cfg(test)]
    pub(super) fn suspended_from(&self, source: Source) -> (usize, usize) {
        let from = self.by_source.get(&source);
        from.map_or((0, 0), |from| (from.blocks.len(), from.bytes))
    }

    /// Inserts a block whose ancestors are available, and then the suspended blocks that become acceptable.
    fn insert(&mut self, dag: &mut Dag, block: VerifiedBlock, accepted: &mut Vec<VerifiedBlock>) {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let reference = block.reference();
            // A suspended block may have been garbage collected or adopted in the meantime.
            if !dag.is_available(&reference) {
                dag.insert(block.clone());
                accepted.push(block);
            }
            ready.extend(self.arrived(&reference));
        }
    }

    /// Notes that a block is available. Returns the blocks that have no unavailable ancestor any more, which are no
    /// longer suspended.
    fn arrived(&mut self, reference: &BlockRef) -> Vec<VerifiedBlock> {
        let mut ready = vec![];
        for child in self.waiting.remove(reference).unwrap_or_default() {
            self.changes += 1;
            let Some(suspended) = self.suspended.get_mut(&child) else {
                continue;
            };
            suspended.unavailable -= 1;
            if suspended.unavailable == 0 {
                ready.extend(self.forget(&child));
            }
        }
        ready
    }

    fn suspend(
        &mut self,
        block: VerifiedBlock,
        source: Source,
        unavailable: &[BlockRef],
        missing: &mut BTreeSet<BlockRef>,
    ) {
        let reference = block.reference();
        for ancestor in unavailable {
            let children = self.waiting.entry(*ancestor).or_default();
            if children.is_empty() {
                missing.insert(*ancestor);
            }
            children.insert(reference);
        }
        let suspended = Suspended {
            block,
            sources: BTreeSet::new(),
            unavailable: unavailable.len(),
        };
        self.suspended.insert(reference, suspended);
        self.charge(reference, source);
    }

    /// A suspended block came from this source.
    fn charge(&mut self, reference: BlockRef, source: Source) {
        let Some(suspended) = self.suspended.get_mut(&reference) else {
            return;
        };
        if !suspended.sources.insert(source) {
            return;
        }
        self.changes += 1;
        let from = self.by_source.entry(source).or_default();
        from.blocks.insert(reference);
        from.bytes += suspended.block.bytes().len();
        while let Some(highest) = self.one_too_many(source) {
            self.discharge(highest, source);
        }
    }

    /// The highest suspended block from a peer from which too much is suspended.
    fn one_too_many(&self, source: Source) -> Option<BlockRef> {
        let FromSource { blocks, bytes } = self.by_source.get(&source)?;
        let too_much = source != Source::Own && *bytes > self.max_suspended_bytes;
        let highest = blocks.last().copied();
        highest.filter(|_| too_much && blocks.len() > 1)
    }

    /// This source no longer pays for the block, which is dropped if no other one does.
    fn discharge(&mut self, reference: BlockRef, source: Source) {
        let Some(suspended) = self.suspended.get_mut(&reference) else {
            return;
        };
        suspended.sources.remove(&source);
        let bytes = suspended.block.bytes().len();
        let is_paid = !suspended.sources.is_empty();
        self.remove_from(source, &reference, bytes);
        if !is_paid {
            self.drop(reference);
        }
    }

    fn remove_from(&mut self, source: Source, reference: &BlockRef, bytes: usize) {
        if let Some(from) = self.by_source.get_mut(&source)
            && from.blocks.remove(reference)
        {
            from.bytes -= bytes;
        }
    }

    fn drop(&mut self, reference: BlockRef) {
        let Some(block) = self.forget(&reference) else {
            return;
        };
        for ancestor in &block.ancestors {
            if let Some(children) = self.waiting.get_mut(ancestor) {
                children.remove(&reference);
                if children.is_empty() {
                    self.waiting.remove(ancestor);
                }
            }
        }
    }

    fn forget(&mut self, reference: &BlockRef) -> Option<VerifiedBlock> {
        let Suspended { block, sources, .. } = self.suspended.remove(reference)?;
        for source in sources {
            self.remove_from(source, reference, block.bytes().len());
        }
        Some(block)
    }
}
