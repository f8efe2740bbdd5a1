//! Keys, accounts and authority indexes of the validators of a plan.

use super::{Member, Plan};
use crate::process_id::ProcessId;
use metanode_core::types::{AuthorityIndex, Epoch, KeyPair, NetworkKeyPair, PublicKey};
use std::collections::BTreeMap;

/// The seed of key `key` of a validator, from 0.
#[must_use]
pub(crate) fn key_seed(validator: u16, key: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("metasim validator key");
    hasher.update(&validator.to_le_bytes());
    if key > 0 {
        hasher.update(&key.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The seed of the network key that belongs to key `key` of a validator.
#[must_use]
pub(crate) fn network_key_seed(validator: u16, key: u32) -> [u8; 32] {
    blake3::derive_key("metasim network key", &key_seed(validator, key))
}

/// The key with which a member proves who it is.
#[must_use]
pub(crate) fn network_keys(plan: &Plan, member: &Member) -> NetworkKeyPair {
    let seed = network_key_seed(member.validator, member.key);
    NetworkKeyPair::from_seed(plan.encryption, &seed)
}

/// The key with which a member signs its blocks.
#[must_use]
pub(crate) fn public_key(plan: &Plan, member: &Member) -> PublicKey {
    KeyPair::from_seed(plan.signatures, &key_seed(member.validator, member.key)).public()
}

/// The key that orders the committee. Hashed, so that the order is not that of the hosts.
#[must_use]
pub(crate) fn authority_key(key: &PublicKey) -> [u8; 32] {
    *blake3::hash(&key.0).as_bytes()
}

/// The account of a validator.
#[must_use]
pub(crate) fn account(key: &PublicKey) -> [u8; 20] {
    std::array::from_fn(|i| key.0[i])
}

/// The validators of an epoch in the order of their authority indexes (contract §7.4).
fn by_authority(plan: &Plan, epoch: Epoch) -> Vec<u16> {
    let mut members = plan.epochs.members(epoch, plan.validators);
    members.sort_by_cached_key(|member| authority_key(&public_key(plan, member)));
    members.iter().map(|member| member.validator).collect()
}

/// The validators of each epoch in the order of their authority indexes.
pub(crate) struct Authorities {
    source: Source,
    epochs: BTreeMap<Epoch, Vec<u16>>,
}

enum Source {
    Plan(Box<Plan>),
    /// Always these, all of them honest.
    Fixed(Vec<u16>),
}

impl Authorities {
    pub fn new(plan: &Plan) -> Self {
        Self {
            source: Source::Plan(Box::new(plan.clone())),
            epochs: BTreeMap::new(),
        }
    }

    /// Those of a chain whose committee never changes, in the order of their authority indexes.
    pub const fn fixed(validators: Vec<u16>) -> Self {
        Self {
            source: Source::Fixed(validators),
            epochs: BTreeMap::new(),
        }
    }

    /// The validator with this index; `None` if the committee is smaller.
    pub fn validator(&mut self, epoch: Epoch, authority: AuthorityIndex) -> Option<u16> {
        let validators = match &self.source {
            Source::Plan(plan) => {
                let of_epoch = self.epochs.entry(epoch);
                of_epoch.or_insert_with(|| by_authority(plan, epoch))
            }
            Source::Fixed(validators) => validators,
        };
        validators.get(authority.as_usize()).copied()
    }

    /// Whether this process stands at a validator whose node is of another chain.
    pub fn is_of_other_chain(&self, process: ProcessId) -> bool {
        match &self.source {
            Source::Plan(plan) => {
                let is_of_other = |validator| plan.is_of_other_chain(validator);
                process.validator().is_some_and(is_of_other)
            }
            Source::Fixed(_) => false,
        }
    }

    /// Whether this validator is honest.
    pub fn is_honest(&self, validator: u16) -> bool {
        match &self.source {
            Source::Plan(plan) => !plan.is_byzantine(validator),
            Source::Fixed(_) => true,
        }
    }
}
