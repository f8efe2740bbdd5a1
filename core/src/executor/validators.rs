//! Conversion between validators as sent by the executor and the authorities of a committee.
//!
//! The executor's strings are parsed only here; a committee contains keys and numbers.

use super::{bug_switches, wire::ValidatorInfo};
use crate::types::{Authority, Committee, CommitteeError, Epoch, PublicKey, Stake};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

/// An invalid validator or set of validators.
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
    #[error(transparent)]
    Committee(#[from] CommitteeError),
}

/// The committee of `epoch`, in the order that defines authority indexes (contract §7.4).
///
/// # Errors
/// If a field does not parse, or the set does not form a committee.
pub fn committee(epoch: Epoch, validators: &[ValidatorInfo]) -> Result<Committee, ValidatorError> {
    let authorities: Vec<Authority> = validators
        .iter()
        .map(Authority::try_from)
        .collect::<Result<_, _>>()?;
    let authorities = authorities.into_iter().map(bug_switches::authority);
    Ok(Committee::new(epoch, authorities.collect())?)
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
            let bytes = BASE64.decode(value).ok().filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| error(field, value, expected))
        };
        const PROTOCOL_KEY: &str = "the base64 of a key of 32 bytes";
        Ok(Self {
            authority_key: key("authority_key", &info.authority_key, "the base64 of a key")?,
            protocol_key: key("protocol_key", &info.protocol_key, PROTOCOL_KEY)?
                .try_into()
                .map(PublicKey)
                .map_err(|_| error("protocol_key", &info.protocol_key, PROTOCOL_KEY))?,
            stake: info
                .stake
                .parse()
                .map(Stake)
                .map_err(|_| error("stake", &info.stake, "a decimal number below 2^64"))?,
            address: parse_account(&info.address)
                .ok_or_else(|| error("address", &info.address, "20 bytes in hex"))?,
            p2p_address: info.p2p_address.clone(),
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
            name: authority.name.clone(),
            p2p_address: authority.p2p_address.clone(),
            ..Self::default()
        }
    }
}

/// Parses an account: 40 hex digits with or without `0x`.
#[must_use]
pub fn parse_account(text: &str) -> Option<[u8; 20]> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 40 {
        return None;
    }
    let mut account = [0; 20];
    for (byte, pair) in account.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok()?;
    }
    Some(account)
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
    use proptest::prelude::*;

    fn authority(key: u8) -> Authority {
        Authority {
            authority_key: vec![key; 96],
            protocol_key: PublicKey([key; 32]),
            stake: Stake(u64::from(key)),
            address: [key; 20],
            p2p_address: "127.0.0.1:9000".into(),
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
    fn an_error_names_the_field_and_its_value() {
        let good = ValidatorInfo::from(&authority(7));
        type Break = fn(&mut ValidatorInfo, String);
        let fields: [(&str, Break, &str); 7] = [
            ("stake", |v, s| v.stake = s, "1.5"),
            ("stake", |v, s| v.stake = s, ""),
            ("address", |v, s| v.address = s, "0x12"),
            ("address", |v, s| v.address = s, &"+1".repeat(20)),
            ("authority_key", |v, s| v.authority_key = s, ""),
            ("protocol_key", |v, s| v.protocol_key = s, "not base64!"),
            ("protocol_key", |v, s| v.protocol_key = s, "c2hvcnQ="),
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

    #[test]
    fn the_committee_is_ordered_by_key_and_invalid_sets_are_errors() {
        let infos = [9, 2].map(|key| ValidatorInfo::from(&authority(key)));
        let order: Vec<_> = committee(Epoch(0), &infos)
            .unwrap()
            .authorities()
            .map(|(_, a)| a.name.clone())
            .collect();
        assert_eq!(order, ["validator-2", "validator-9"]);
        assert!(matches!(
            committee(Epoch(0), &[]),
            Err(ValidatorError::Committee(CommitteeError::Empty(_)))
        ));
    }
}
