//! What a list of validators says of this node.

use super::{
    executor_file::origin_of,
    finding::{Finding, Judgement},
};
use crate::{
    config::NodeConfig,
    executor::{
        validators::{committee, of_node},
        wire::ValidatorInfo,
    },
    types::{Address, Authority, Committee, Epoch, NetworkKey, PublicKey},
};
use std::{cmp::Reverse, net::SocketAddr};

/// The validators of an epoch, as the genesis or an executor lists them.
pub(super) struct Genesis {
    /// The file, or the executor.
    origin: String,
    /// The text of the file, to find the line of a validator.
    text: String,
    epoch: Epoch,
    validators: Vec<ValidatorInfo>,
}

/// Another member.
pub(super) struct Peer {
    pub origin: String,
    pub address: Address,
}

impl Genesis {
    /// As a file with this text lists them.
    pub const fn of_file(origin: String, text: String, validators: Vec<ValidatorInfo>) -> Self {
        Self {
            origin,
            text,
            epoch: Epoch(0),
            validators,
        }
    }

    /// As an executor answered.
    pub fn of_executor(address: &Address, epoch: Epoch, validators: Vec<ValidatorInfo>) -> Self {
        Self {
            origin: format!("the executor at {address}"),
            text: String::new(),
            epoch,
            validators,
        }
    }

    /// Whether this node is a member, with the right keys and address.
    pub fn judge(&self, config: &NodeConfig) -> Vec<Finding> {
        let (members, left_out) = match committee(self.epoch, &self.validators) {
            Ok(committee) => committee,
            Err(error) => {
                let text = format!("the validators form no committee: {error}");
                return vec![Judgement::error(text).at(self.origin.clone())];
            }
        };
        let left_out = left_out.iter().map(|validator| {
            let text = format!("a validator is left out: {validator}");
            Judgement::warning(text).at(self.origin.clone())
        });
        let mut findings: Vec<_> = left_out.collect();
        let keys: Vec<_> = config.keys().iter().map(|key| key.public()).collect();
        let Some((own, info)) = self.member(&members, &keys) else {
            let (size, of_node) = (members.size(), of_node(config));
            findings.push(
                Judgement::error(format!(
                    "none of the {size} validators has the protocol_key {} of this node: expected the entry that `metanode \
                     validator` prints",
                    of_node.protocol_key
                ))
                .at(self.origin.clone()),
            );
            return findings;
        };
        let size = members.size();
        let spare = match spare(&members) {
            0 => "none of them may be down".to_owned(),
            spare => format!("any {spare} of them may be down"),
        };
        let name = &own.name;
        let member = Judgement::ok(format!(
            "{name} has the protocol key of this node. {size} validators: {spare}"
        ));
        findings.push(member.at(self.origin_of("protocol_key", &info.protocol_key)));
        let judged = network_key(own.network_key, config);
        findings.push(judged.at(self.origin_of("network_key", &info.network_key)));
        let judged = address(own.p2p_address, config.p2p_listen_address);
        findings.push(judged.at(self.origin_of("p2p_address", &info.p2p_address)));
        findings
    }

    /// The members that are not this node.
    pub fn others(&self, config: &NodeConfig) -> Vec<Peer> {
        let Ok((members, _)) = committee(self.epoch, &self.validators) else {
            return vec![];
        };
        let keys: Vec<_> = config.keys().iter().map(|key| key.public()).collect();
        let others = members.authorities().map(|(_, member)| member);
        let others = others.filter(|member| !keys.contains(&member.protocol_key));
        others
            .map(|member| Peer {
                origin: self.origin_of("p2p_address", &member.p2p_address.to_string()),
                address: Address::Tcp(member.p2p_address),
            })
            .collect()
    }

    /// The member with one of these keys, and how the list has it.
    fn member<'a>(
        &'a self,
        members: &'a Committee,
        keys: &[PublicKey],
    ) -> Option<(&'a Authority, &'a ValidatorInfo)> {
        let index = keys.iter().find_map(|key| members.index_of(*key))?;
        let own = members.authority(index);
        let is_own = |info: &&ValidatorInfo| Authority::try_from(*info).as_ref() == Ok(own);
        Some((own, self.validators.iter().find(is_own)?))
    }

    /// The place of a key with this value, with its line if the list came from a file.
    fn origin_of(&self, key: &str, value: &str) -> String {
        origin_of(&self.origin, &self.text, key, value)
    }
}

/// How many members, whichever they are, the others can do without.
fn spare(members: &Committee) -> usize {
    let mut stakes: Vec<_> = members
        .authorities()
        .map(|(_, member)| member.stake)
        .collect();
    stakes.sort_by_key(|stake| Reverse(*stake));
    let mut left = members.total_stake().0 - members.quorum().0;
    let goes = stakes
        .iter()
        .take_while(|stake| match left.checked_sub(stake.0) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
    goes.count()
}

/// What peers connect to, and where this node listens.
fn address(registered: SocketAddr, listens: SocketAddr) -> Judgement {
    let is_any = listens.ip().is_unspecified() && listens.port() == registered.port();
    if registered == listens || is_any {
        return Judgement::ok(format!(
            "peers connect to {registered}, where this node listens"
        ));
    }
    Judgement::warning(format!(
        "peers connect to {registered}, this node listens on {listens}: right only if packets are forwarded from the one to \
         the other; otherwise correct p2p_address in the genesis or p2p_listen_address"
    ))
}

fn network_key(registered: NetworkKey, config: &NodeConfig) -> Judgement {
    let mut keys = config.network_keys().into_iter();
    if keys.any(|keys| keys.public() == registered) {
        return Judgement::ok("has the network key of this node");
    }
    let own = of_node(config).network_key;
    Judgement::error(format!(
        "expected the network_key of this node, {own}, found another one: peers would take this node for a guest"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check_config::Level, config::KeySeed};
    use std::path::Path;

    fn node(seed: u8) -> NodeConfig {
        let text = format!(
            "node_index = {seed}\np2p_listen_address = \"192.168.1.10{seed}:900{seed}\"\nprotocol_key_seed = \"{}\"\n\
             network_key_seed = \"{}\"",
            String::from(KeySeed([seed; 32])),
            String::from(KeySeed([seed + 100; 32])),
        );
        NodeConfig::parse(&text, Path::new("node.toml")).unwrap()
    }

    fn genesis(of: &[u8]) -> Genesis {
        Genesis {
            origin: "executor-0.json".into(),
            text: String::new(),
            epoch: Epoch(0),
            validators: of.iter().map(|seed| of_node(&node(*seed))).collect(),
        }
    }

    fn lines(genesis: &Genesis, config: &NodeConfig) -> Vec<String> {
        let findings = genesis.judge(config);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_member_with_its_keys_and_its_address_is_right() {
        let three = genesis(&[0, 1, 2]);
        let found = lines(&three, &node(1));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found.iter().all(|line| line.starts_with("ok ")),
            "{found:?}"
        );
        assert!(
            found[0].ends_with("3 validators: none of them may be down"),
            "{found:?}"
        );
        let others = three.others(&node(1));
        assert_eq!(others.len(), 2);
        let four = lines(&genesis(&[0, 1, 2, 3]), &node(1));
        assert!(four[0].ends_with("any 1 of them may be down"), "{four:?}");
    }

    #[test]
    fn a_node_without_a_seat_is_an_error() {
        let found = genesis(&[0, 2]).judge(&node(1));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Error);
        let key = of_node(&node(1)).protocol_key;
        assert!(found[0].text.contains(&key), "{}", found[0].text);
    }

    #[test]
    fn another_address_or_another_network_key_is_told() {
        let mut config = node(1);
        config.network_key_seed = KeySeed([9; 32]);
        config.p2p_listen_address = "0.0.0.0:9001".parse().unwrap();
        let levels = |config: &NodeConfig| -> Vec<_> {
            let findings = genesis(&[0, 1, 2]).judge(config);
            findings.iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels(&config), [Level::Ok, Level::Error, Level::Ok]);
        config.p2p_listen_address = "192.168.1.101:9000".parse().unwrap();
        assert_eq!(levels(&config), [Level::Ok, Level::Error, Level::Warning]);
    }
}
