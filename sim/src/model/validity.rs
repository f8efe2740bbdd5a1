//! Which blocks an honest node may accept: the rules that need no other block, and the signature.

use super::committee::Committee;
use crate::witness::SeenBlock;
use ed25519_dalek::{Signature, VerifyingKey};
use metanode_core::types::{AuthorityIndex, BlockDigest, Round, SignatureScheme};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Blocks whose judgement is remembered. One that is forgotten is judged again.
const REMEMBERED: usize = 1 << 15;

const MOST_COMMIT_VOTES: usize = 100;
const MOST_TRANSACTIONS: usize = 1 << 16;
const MOST_TRANSACTION_BYTES: usize = 4 << 20;

/// Judges each block once.
#[derive(Default)]
pub(super) struct Judge {
    is_valid: BTreeMap<BlockDigest, bool>,
    /// Oldest first.
    order: VecDeque<BlockDigest>,
}

pub(super) enum Judgement {
    Valid,
    /// With the reason if the block was not judged before.
    Invalid(Option<String>),
}

impl Judge {
    pub fn judge(
        &mut self,
        block: &SeenBlock,
        check: impl FnOnce(&SeenBlock) -> Result<(), String>,
    ) -> Judgement {
        let digest = block.reference.digest;
        match self.is_valid.get(&digest) {
            Some(true) => return Judgement::Valid,
            Some(false) => return Judgement::Invalid(None),
            None => {}
        }
        let result = check(block);
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.is_valid.remove(&oldest);
        }
        self.order.push_back(digest);
        self.is_valid.insert(digest, result.is_ok());
        match result {
            Ok(()) => Judgement::Valid,
            Err(reason) => Judgement::Invalid(Some(reason)),
        }
    }
}

/// Checks a block of the committee's epoch.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn check(
    block: &SeenBlock,
    committee: &Committee,
    scheme: SignatureScheme,
    chain: &[u8; 32],
) -> Result<(), String> {
    let own = block.reference;
    let Some(author) = committee.member(own.author) else {
        return Err(format!("authority {} does not exist", own.author));
    };
    if own.round == Round(0) {
        return Err("genesis blocks are computed, never made".to_owned());
    }
    let ancestors = &block.ancestors;
    if ancestors.first().map(|first| first.author) != Some(own.author) {
        return Err("its first ancestor is not of its author".to_owned());
    }
    let authors: BTreeSet<AuthorityIndex> = ancestors.iter().map(|a| a.author).collect();
    if authors.len() < ancestors.len() {
        return Err("it has two ancestors of one authority".to_owned());
    }
    if let Some(stranger) = authors.iter().find(|a| committee.member(**a).is_none()) {
        return Err(format!(
            "it has an ancestor of authority {stranger}, which does not exist"
        ));
    }
    if let Some(late) = ancestors.iter().find(|a| a.round >= own.round) {
        return Err(format!("its ancestor {late} is not of a lower round"));
    }
    let parents = ancestors.iter().filter(|a| a.round == own.round.prev());
    if !committee.is_quorum(parents.map(|parent| parent.author)) {
        return Err("its parents are less than a quorum".to_owned());
    }
    let votes = block.commit_votes.len();
    if votes > MOST_COMMIT_VOTES {
        return Err(format!(
            "it has {votes} commit votes, at most {MOST_COMMIT_VOTES} are allowed"
        ));
    }
    let transactions = block.transactions.len();
    if transactions > MOST_TRANSACTIONS {
        return Err(format!(
            "it has {transactions} transactions, at most {MOST_TRANSACTIONS} are allowed"
        ));
    }
    let bytes: usize = block.transactions.iter().map(bytes::Bytes::len).sum();
    if bytes > MOST_TRANSACTION_BYTES {
        return Err(format!(
            "it has {bytes} bytes of transactions, at most {MOST_TRANSACTION_BYTES} are allowed"
        ));
    }
    if !is_signed(block, &author.protocol_key, scheme, chain) {
        return Err("its author did not sign it".to_owned());
    }
    Ok(())
}

/// Whether this key signed the content for this chain (contract §13.4).
fn is_signed(block: &SeenBlock, key: &[u8; 32], scheme: SignatureScheme, chain: &[u8; 32]) -> bool {
    let signed = [&b"block"[..], &block.content_digest].concat();
    let message = *blake3::keyed_hash(chain, &signed).as_bytes();
    match scheme {
        SignatureScheme::KeyedHash => {
            blake3::keyed_hash(key, &message).as_bytes()[..] == block.signature[..]
        }
        SignatureScheme::Ed25519 => match (
            VerifyingKey::from_bytes(key),
            Signature::from_slice(&block.signature),
        ) {
            (Ok(key), Ok(signature)) => key.verify_strict(&message, &signature).is_ok(),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::Chain;
    use metanode_core::types::{
        Block, BlockRef, ChainId, CommitDigest, CommitIndex, CommitRef, Epoch, Transaction,
        VerifiedBlock,
    };

    const CHAIN: [u8; 32] = [0; 32];

    /// What model and node say of a block.
    fn verdicts(chain: &Chain, block: Block) -> (Result<(), String>, bool) {
        let signed = block.sign(&chain.keys[0], ChainId::default());
        let bytes = signed.bytes().clone();
        let seen = chain.seen(&signed);
        let ours = check(&seen, &chain.committee(Epoch(0)), chain.scheme, &CHAIN);
        let committee = chain.committee_of_node(Epoch(0));
        let theirs = VerifiedBlock::verify(bytes, &committee, chain.scheme, ChainId(CHAIN));
        (ours, theirs.is_ok())
    }

    #[test]
    fn each_broken_rule_makes_a_block_invalid_here_and_in_the_node() {
        type Break = fn(&mut Block);
        let rules: [(&str, Break); 12] = [
            ("does not exist", |b| b.author = AuthorityIndex(4)),
            ("did not sign", |b| {
                b.author = AuthorityIndex(1);
                b.ancestors.swap(0, 1);
            }),
            ("genesis", |b| b.round = Round(0)),
            ("first ancestor", |b| b.ancestors.swap(0, 1)),
            ("first ancestor", |b| b.ancestors.clear()),
            ("two ancestors", |b| b.ancestors.push(b.ancestors[2])),
            ("which does not exist", |b| {
                b.ancestors[3].author = AuthorityIndex(9);
            }),
            ("lower round", |b| b.ancestors[3].round = b.round),
            ("less than a quorum", |b| b.ancestors.truncate(2)),
            ("commit votes", |b| {
                let vote = CommitRef {
                    index: CommitIndex(4),
                    digest: CommitDigest([1; 32]),
                };
                b.commit_votes = vec![vote; 101];
            }),
            ("transactions, at most", |b| {
                b.transactions = vec![Transaction(vec![].into()); (1 << 16) + 1];
            }),
            ("bytes of transactions", |b| {
                b.transactions = vec![
                    Transaction(vec![0; 4 << 20].into()),
                    b.transactions[0].clone(),
                ];
            }),
        ];
        for scheme in [SignatureScheme::KeyedHash, SignatureScheme::Ed25519] {
            let chain = Chain::with_scheme(4, scheme);
            let mut good = chain.block(Round(3), 0, &[0, 1, 2, 3].map(|a| chain.unknown(2, a)));
            good.transactions = vec![Transaction(vec![1].into())];
            assert_eq!(verdicts(&chain, good.clone()), (Ok(()), true));
            for (expected, break_rule) in &rules {
                let mut block = good.clone();
                break_rule(&mut block);
                let (ours, is_valid_for_node) = verdicts(&chain, block);
                let reason = ours.expect_err(expected);
                assert!(reason.contains(expected), "{reason}, expected {expected}");
                assert!(!is_valid_for_node, "{expected}");
            }
            let limits: [Break; 4] = [
                |b| b.ancestors.truncate(3),
                |b| b.ancestors[0].round = Round(0),
                |b| b.transactions = vec![Transaction(vec![0; 4 << 20].into())],
                |b| b.transactions = vec![Transaction(vec![].into()); 1 << 16],
            ];
            for reach_limit in limits {
                let mut block = good.clone();
                reach_limit(&mut block);
                assert_eq!(verdicts(&chain, block), (Ok(()), true));
            }
        }
    }

    #[test]
    fn a_signature_that_is_cut_or_of_another_key_is_none() {
        for scheme in [SignatureScheme::KeyedHash, SignatureScheme::Ed25519] {
            let chain = Chain::with_scheme(4, scheme);
            let parents: Vec<BlockRef> = (0..4).map(|a| chain.unknown(0, a)).collect();
            let block = chain.block(Round(1), 0, &parents);
            let seen = SeenBlock::clone(
                &chain.seen(&block.clone().sign(&chain.keys[0], ChainId::default())),
            );
            let (committee, scheme) = (chain.committee(Epoch(0)), chain.scheme);
            assert_eq!(check(&seen, &committee, scheme, &CHAIN), Ok(()));
            let elsewhere = check(&seen, &committee, scheme, &[1; 32]);
            assert!(elsewhere.unwrap_err().contains("did not sign"));
            let mut cut = seen.clone();
            cut.signature.truncate(31);
            assert!(check(&cut, &committee, scheme, &CHAIN).is_err());
            let other = chain.seen(&block.sign(&chain.keys[1], ChainId::default()));
            assert!(check(&other, &committee, scheme, &CHAIN).is_err());
        }
    }
}
