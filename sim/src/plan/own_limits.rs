//! Limits in which the nodes of one network differ: from each other, and from one start to the next.

use super::Plan;
use metanode_core::config::{LIMITS, Limit, NodeParameters};
use serde::{Deserialize, Serialize};

/// One limit of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnLimit {
    pub validator: u16,
    /// The number of the node's start from which it applies; 1 is the first.
    #[serde(default = "first_start")]
    pub from_start: u32,
    /// The limit as `group.key` of the node's configuration.
    pub limit: String,
    pub value: u64,
}

/// The parameters that decide commits: nodes that differ in them are of different chains (contract §13.4).
const OF_CHAIN: [&str; 3] = ["gc_depth_rounds", "leaders_per_round", "max_commit_bytes"];

const fn first_start() -> u32 {
    1
}

impl OwnLimit {
    /// The declared limit; `None` if there is none of this name.
    #[must_use]
    pub fn declared(&self) -> Option<&'static Limit<NodeParameters>> {
        let (group, key) = self.limit.split_once('.')?;
        LIMITS
            .iter()
            .find(|limit| limit.group == group && limit.key == key)
    }

    /// Whether the limit decides commits.
    #[must_use]
    pub fn is_of_chain(&self) -> bool {
        self.declared()
            .is_some_and(|limit| OF_CHAIN.contains(&limit.key))
    }
}

impl Plan {
    /// The limits of a node from a start on, 1 being the first.
    #[must_use]
    pub fn node_of(&self, validator: u16, start: u32) -> NodeParameters {
        let mut node = self.node.clone();
        let own = self.own_limits.iter();
        for own in own.filter(|own| own.validator == validator && own.from_start <= start) {
            if let Some(limit) = own.declared() {
                (limit.set)(&mut node, own.value);
            }
        }
        node
    }

    /// The lowest and the highest value that a limit has in any node at any time.
    #[must_use]
    pub fn extremes(&self, get: impl Fn(&NodeParameters) -> u64) -> (u64, u64) {
        let changes = self.own_limits.iter();
        let nodes = changes.map(|own| get(&self.node_of(own.validator, own.from_start)));
        let shared = get(&self.node);
        nodes.fold((shared, shared), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    }

    /// Whether the node of a validator has parameters that decide commits differently: no other node speaks with it.
    #[must_use]
    pub fn is_of_other_chain(&self, validator: u16) -> bool {
        let mut own = self.own_limits.iter();
        own.any(|own| {
            let differs = |limit: &Limit<NodeParameters>| (limit.get)(&self.node) != own.value;
            own.validator == validator && own.is_of_chain() && own.declared().is_some_and(differs)
        })
    }

    /// Whether this validator is expected to take part: it follows the protocol, is up once faults have ended, and is of
    /// this chain.
    pub(crate) fn takes_part(&self, validator: u16) -> bool {
        !self.is_byzantine(validator)
            && !self.stays_down.contains(&validator)
            && !self.is_of_other_chain(validator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(validator: u16, from_start: u32, limit: &str, value: u64) -> OwnLimit {
        OwnLimit {
            validator,
            from_start,
            limit: limit.to_owned(),
            value,
        }
    }

    #[test]
    fn a_limit_applies_to_one_node_from_a_start_on() {
        let mut plan = Plan::example();
        let window = |node: NodeParameters| node.delivery.window_blocks;
        plan.own_limits = vec![
            own(2, 1, "delivery.window_blocks", 3),
            own(2, 3, "delivery.window_blocks", 99),
            own(1, 2, "consensus.leader_timeout_ms", 700),
        ];
        let shared = plan.node.delivery.window_blocks;
        assert_eq!(window(plan.node_of(1, 5)), shared);
        assert_eq!(
            [1, 2, 3, 4].map(|start| window(plan.node_of(2, start))),
            [3, 3, 99, 99]
        );
        let windows = plan.extremes(|node| node.delivery.window_blocks.into());
        assert_eq!(windows, (3, 99));
        assert!(plan.takes_part(1) && plan.takes_part(2));
    }

    #[test]
    fn a_node_that_decides_commits_in_another_way_is_of_another_chain() {
        let mut plan = Plan::example();
        let same = plan.node.consensus.gc_depth_rounds.into();
        plan.own_limits = vec![
            own(1, 1, "consensus.gc_depth_rounds", same),
            own(2, 1, "consensus.gc_depth_rounds", same + 1),
        ];
        assert!(!plan.is_of_other_chain(1) && plan.takes_part(1));
        assert!(plan.is_of_other_chain(2) && !plan.takes_part(2));
    }
}
