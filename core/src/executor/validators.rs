//! Conversion between validators as sent by the executor and the authorities of a committee.
//!
//! The executor's strings are parsed only here; a committee contains keys and numbers. Whoever registers with the executor
//! may send anything: a validator that cannot be a member is left out, so that one registration does not stop the chain.
//! Who is left out depends on the set alone, not on its order, so all nodes agree on it.

use super::{bug_switches, wire::ValidatorInfo};
use crate::{
    config::NodeConfig,
    types::{
        Authority, Committee, CommitteeError, Epoch, NetworkKey, PublicKey, Stake,
        parse_p2p_address,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{cmp::Reverse, collections::BTreeMap, net::SocketAddr};
use thiserror::Error;

/// Why a validator cannot be a member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValidatorError {
    #[error("validator `{validator}`: expected {expected} in {field}, found `{value}`")]
    Field {
        /// Name of the validator, or its address if the name is empty.
        validator: String,
        field: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error(
        "validator `{validator}`: expected keys of its own, `{kept}` has the same {field} and at least as much stake"
    )]
    TakenKey {
        validator: String,
        field: &'static str,
        kept: String,
    },
    #[error(
        "validator `{validator}`: expected at most {max} members with more stake, found more",
        max = Committee::MAX_MEMBERS - 1
    )]
    TooManyMembers { validator: String },
    #[error(
        "validator `{validator}`: expected a total stake of at most {max}, found more with its {stake}",
        max = Committee::MAX_TOTAL_STAKE
    )]
    TooMuchStake { validator: String, stake: Stake },
}

/// The committee of `epoch`, in the order that defines authority indexes (contract §7.4), and why others are not members.
///
/// # Errors
/// If the others do not form a committee.
pub fn committee(
    epoch: Epoch,
    validators: &[ValidatorInfo],
) -> Result<(Committee, Vec<ValidatorError>), CommitteeError> {
    let mut left_out = vec![];
    let mut readable = vec![];
    for validator in validators {
        match Authority::try_from(validator) {
            Ok(authority) => readable.push(authority),
            Err(error) => left_out.push(error),
        }
    }
    // Taken by falling stake: to displace a member costs more than it has. One that does not fit is left out alone.
    readable.sort_by_cached_key(|authority| (Reverse(authority.stake), rank(authority)));
    let mut members = Members::default();
    for authority in readable {
        left_out.extend(members.add(authority).err());
    }
    let members = members.members;
    left_out.sort_by_cached_key(ToString::to_string);
    bug_switches::may_leave_out(&left_out)?;
    let members = members.into_iter().map(bug_switches::authority).collect();
    Ok((Committee::new(epoch, members)?, left_out))
}

type Keys = (Vec<u8>, PublicKey, NetworkKey);
type Rank = (Keys, [u8; 20], SocketAddr, String);

/// Orders authorities with the same stake.
fn rank(authority: &Authority) -> Rank {
    let Authority {
        authority_key,
        protocol_key,
        network_key,
        address,
        p2p_address,
        name,
        ..
    } = authority.clone();
    let keys = (authority_key, protocol_key, network_key);
    (keys, address, p2p_address, name)
}

/// The members so far, with the names that have their keys.
#[derive(Default)]
struct Members {
    members: Vec<Authority>,
    total: Stake,
    authority_keys: BTreeMap<Vec<u8>, String>,
    protocol_keys: BTreeMap<PublicKey, String>,
    /// Without their signs: each proves one secret.
    network_keys: BTreeMap<NetworkKey, String>,
}

impl Members {
    fn add(&mut self, authority: Authority) -> Result<(), ValidatorError> {
        let validator = || authority.name.clone();
        let taken = |field, kept: &String| ValidatorError::TakenKey {
            validator: validator(),
            field,
            kept: kept.clone(),
        };
        if let Some(kept) = self.authority_keys.get(&authority.authority_key) {
            return Err(taken("authority_key", kept));
        }
        if let Some(kept) = self.protocol_keys.get(&authority.protocol_key) {
            return Err(taken("protocol_key", kept));
        }
        let network_key = authority.network_key.without_sign();
        if let Some(kept) = self.network_keys.get(&network_key) {
            return Err(taken("network_key", kept));
        }
        if self.members.len() == Committee::MAX_MEMBERS {
            return Err(ValidatorError::TooManyMembers {
                validator: validator(),
            });
        }
        let stake = authority.stake;
        let total = self.total.0.checked_add(stake.0).map(Stake);
        let total = total.filter(|total| *total <= Committee::MAX_TOTAL_STAKE);
        self.total = total.ok_or_else(|| ValidatorError::TooMuchStake {
            validator: validator(),
            stake,
        })?;
        (self.authority_keys).insert(authority.authority_key.clone(), validator());
        (self.protocol_keys).insert(authority.protocol_key, validator());
        (self.network_keys).insert(network_key, validator());
        self.members.push(authority);
        Ok(())
    }
}

impl TryFrom<&ValidatorInfo> for Authority {
    type Error = ValidatorError;

    fn try_from(info: &ValidatorInfo) -> Result<Self, ValidatorError> {
        let error = |field, value: &str, expected| ValidatorError::Field {
            validator: [&info.name, &info.address]
                .into_iter()
                .find(|name| !name.is_empty())
                .cloned()
                .unwrap_or_default(),
            field,
            value: value.to_owned(),
            expected,
        };
        let key = |field, value: &String, expected| {
            let bytes = parse_key(value).filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| error(field, value, expected))
        };
        const KEY: &str = "a key of 32 bytes in base64, or in hex after 0x";
        Ok(Self {
            authority_key: key(
                "authority_key",
                &info.authority_key,
                "a key in base64, or in hex after 0x",
            )?,
            protocol_key: key("protocol_key", &info.protocol_key, KEY)?
                .try_into()
                .map(PublicKey)
                .map_err(|_| error("protocol_key", &info.protocol_key, KEY))?,
            network_key: key("network_key", &info.network_key, KEY)?
                .try_into()
                .map(NetworkKey)
                .map_err(|_| error("network_key", &info.network_key, KEY))?,
            stake: info
                .stake
                .parse()
                .ok()
                .filter(|stake| *stake > 0)
                .map(Stake)
                .ok_or_else(|| {
                    error("stake", &info.stake, "a decimal number from 1 to 2^64 - 1")
                })?,
            address: parse_account(&info.address)
                .ok_or_else(|| error("address", &info.address, "20 bytes in hex"))?,
            p2p_address: parse_p2p_address(&info.p2p_address).ok_or_else(|| {
                let expected = "IP:PORT or /ip4/A.B.C.D/tcp/PORT";
                error("p2p_address", &info.p2p_address, expected)
            })?,
            name: info.name.clone(),
        })
    }
}

impl From<&Authority> for ValidatorInfo {
    /// Sets the fields that a committee contains; the others are empty.
    fn from(authority: &Authority) -> Self {
        Self {
            address: format_account(&authority.address),
            stake: authority.stake.to_string(),
            authority_key: BASE64.encode(&authority.authority_key),
            protocol_key: BASE64.encode(authority.protocol_key.0),
            network_key: BASE64.encode(authority.network_key.0),
            name: authority.name.clone(),
            p2p_address: authority.p2p_address.to_string(),
            ..Self::default()
        }
    }
}

/// This node as a validator of a genesis.
#[must_use]
pub fn of_node(config: &NodeConfig) -> ValidatorInfo {
    ValidatorInfo::from(&config.authority())
}

/// Parses a key: base64, or hex digits after `0x`, as some executors write it. An odd number of digits is neither.
fn parse_key(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("0x").and_then(parse_hex) {
        Some(key) => Some(key),
        None => BASE64.decode(text).ok(),
    }
}

fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok();
    pairs.iter().map(byte).collect()
}

/// Parses an account: 40 hex digits with or without `0x`.
#[must_use]
pub fn parse_account(text: &str) -> Option<[u8; 20]> {
    parse_hex(text.strip_prefix("0x").unwrap_or(text))?
        .try_into()
        .ok()
}

/// Formats an account as `0x` and 40 hex digits.
#[must_use]
pub fn format_account(account: &[u8; 20]) -> String {
    account.iter().fold(String::from("0x"), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::AuthorityIndex;
    use proptest::prelude::*;

    fn authority(key: u8) -> Authority {
        Authority {
            authority_key: vec![key; 96],
            protocol_key: PublicKey([key; 32]),
            network_key: NetworkKey([key; 32]),
            stake: Stake(u64::from(key)),
            address: [key; 20],
            p2p_address: ([127, 0, 0, 1], 9000).into(),
            name: format!("validator-{key}"),
        }
    }

    proptest! {
        #[test]
        fn converting_an_authority_to_the_wire_and_back_gives_the_same(key in 1u8.., address: [u8; 20]) {
            let authority = Authority { address, ..authority(key) };
            let info = ValidatorInfo::from(&authority);
            prop_assert_eq!(Authority::try_from(&info), Ok(authority));
        }
    }

    #[test]
    fn every_way_in_which_executors_write_a_validator_gives_the_same() {
        let expected = authority(7);
        let hex = |byte: &str, count| format!("0x{}", byte.repeat(count));
        let info = ValidatorInfo {
            authority_key: hex("07", 96),
            protocol_key: hex("07", 32),
            network_key: hex("07", 32),
            p2p_address: "/ip4/127.0.0.1/tcp/9000".into(),
            ..ValidatorInfo::from(&expected)
        };
        assert_eq!(Authority::try_from(&info), Ok(expected));
    }

    #[test]
    fn an_error_names_the_field_and_its_value() {
        let good = ValidatorInfo::from(&authority(7));
        type Break = fn(&mut ValidatorInfo, String);
        let fields: [(&str, Break, &str); 14] = [
            ("p2p_address", |v, s| v.p2p_address = s, "nowhere:1"),
            ("p2p_address", |v, s| v.p2p_address = s, "/tmp/node.sock"),
            ("stake", |v, s| v.stake = s, "0"),
            ("stake", |v, s| v.stake = s, "1.5"),
            ("stake", |v, s| v.stake = s, ""),
            ("address", |v, s| v.address = s, "0x12"),
            ("address", |v, s| v.address = s, &"+1".repeat(20)),
            ("authority_key", |v, s| v.authority_key = s, ""),
            ("protocol_key", |v, s| v.protocol_key = s, "not base64!"),
            ("protocol_key", |v, s| v.protocol_key = s, "c2hvcnQ="),
            ("protocol_key", |v, s| v.protocol_key = s, "0x0707"),
            ("authority_key", |v, s| v.authority_key = s, "0x"),
            ("network_key", |v, s| v.network_key = s, ""),
            ("network_key", |v, s| v.network_key = s, "0x0707"),
        ];
        for (name, set, bad) in fields {
            let mut info = good.clone();
            set(&mut info, bad.to_owned());
            let Err(ValidatorError::Field {
                validator,
                field,
                value,
                ..
            }) = Authority::try_from(&info)
            else {
                panic!("{name} = `{bad}` was accepted");
            };
            assert_eq!(
                (validator.as_str(), field, value.as_str()),
                ("validator-7", name, bad)
            );
        }
    }

    fn names(committee: &Committee) -> Vec<&str> {
        let authorities = committee.authorities();
        authorities.map(|(_, a)| a.name.as_str()).collect()
    }

    #[test]
    fn who_does_not_fit_after_those_with_more_stake_is_left_out() {
        let half = Committee::MAX_TOTAL_STAKE.0 / 2;
        let stakes = [1, half, half + 2, u64::MAX];
        let infos = (1..).zip(stakes).map(|(key, stake)| ValidatorInfo {
            stake: stake.to_string(),
            ..ValidatorInfo::from(&authority(key))
        });
        let (members, left_out) = committee(Epoch(0), &infos.collect::<Vec<_>>()).unwrap();
        assert_eq!(members.total_stake(), Stake(half + 3));
        let too_much = |left: &ValidatorError| matches!(left, ValidatorError::TooMuchStake { .. });
        assert!(left_out.len() == 2 && left_out.iter().all(too_much));

        let most = Committee::MAX_MEMBERS as u64;
        let infos = (1..=most + 2).map(|stake| {
            let mut authority = authority(1);
            authority.authority_key = stake.to_be_bytes().to_vec();
            authority.protocol_key.0[..8].copy_from_slice(&stake.to_be_bytes());
            authority.network_key.0[..8].copy_from_slice(&stake.to_be_bytes());
            ValidatorInfo {
                stake: stake.to_string(),
                ..ValidatorInfo::from(&authority)
            }
        });
        let (members, left_out) = committee(Epoch(0), &infos.collect::<Vec<_>>()).unwrap();
        assert_eq!((members.size() as u64, left_out.len()), (most, 2));
        assert_eq!(members.stake(AuthorityIndex(0)), Stake(3));
    }

    #[test]
    fn the_committee_is_ordered_by_key_and_without_members_there_is_none() {
        let infos = [9, 2].map(|key| ValidatorInfo::from(&authority(key)));
        let (members, left_out) = committee(Epoch(0), &infos).unwrap();
        assert_eq!(names(&members), ["validator-2", "validator-9"]);
        assert_eq!(left_out, []);
        let empty = Err(CommitteeError::Empty(Epoch(0)));
        assert_eq!(committee(Epoch(0), &[]), empty);
        let unusable = ValidatorInfo {
            stake: "much".into(),
            ..infos[0].clone()
        };
        assert_eq!(committee(Epoch(0), &[unusable]), empty);
    }

    proptest! {
        /// One registration of each kind that cannot be a member, between two that can, in any order.
        #[test]
        fn who_cannot_be_a_member_is_left_out_whatever_the_order(order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle()) {
            let [seven, nine, unknown] = [7, 9, 3].map(|key| ValidatorInfo::from(&authority(key)));
            // The negative of the point proves the same secret.
            let negative = |_: &ValidatorInfo| {
                let mut key = authority(9).network_key.0;
                key[31] ^= 0x80;
                BASE64.encode(key)
            };
            let name = |info: &ValidatorInfo, name: &str| ValidatorInfo { name: name.into(), ..info.clone() };
            let infos = [
                ValidatorInfo { stake: "0".into(), ..name(&unknown, "idle") },
                ValidatorInfo { protocol_key: "?".into(), ..name(&unknown, "keyless") },
                // With less stake, and keys of others.
                ValidatorInfo { authority_key: seven.authority_key.clone(), ..name(&unknown, "thief") },
                ValidatorInfo { protocol_key: nine.protocol_key.clone(), ..name(&unknown, "twin") },
                ValidatorInfo { network_key: negative(&nine), ..name(&unknown, "twist") },
                seven,
                nine,
            ];
            let infos: Vec<_> = order.iter().map(|position| infos[*position].clone()).collect();
            let (members, left_out) = committee(Epoch(0), &infos).unwrap();
            prop_assert_eq!(names(&members), ["validator-7", "validator-9"]);
            let left_out = left_out.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            prop_assert_eq!(
                left_out,
                "validator `idle`: expected a decimal number from 1 to 2^64 - 1 in stake, found `0`\n\
                 validator `keyless`: expected a key of 32 bytes in base64, or in hex after 0x in protocol_key, found `?`\n\
                 validator `thief`: expected keys of its own, `validator-7` has the same authority_key and at least as \
                 much stake\n\
                 validator `twin`: expected keys of its own, `validator-9` has the same protocol_key and at least as \
                 much stake\n\
                 validator `twist`: expected keys of its own, `validator-9` has the same network_key and at least as \
                 much stake"
            );
        }
    }
}
