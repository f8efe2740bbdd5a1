//! Targets of faults: their names in scenario files, and the validators that a seed selects.

use crate::sampling::{Sampled, Sampler};
use metanode_sim::trace::ProcessId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The validators and executors of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roster {
    pub validators: u16,
    /// 1 in `single-master`, otherwise one per validator.
    pub executors: u16,
    /// Whether epochs change.
    pub changes: bool,
}

/// One entry of a fault's `targets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Target {
    pub kind: Kind,
    pub which: Selector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Node,
    Executor,
    Sub,
    /// A validator's machine: its node, its Sub and, if it has one, its executor.
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    Number(u16),
    /// One, drawn once per fault: all `any-…` of a fault are the same validator.
    Any,
    All,
    /// One up to the tolerated number, f of 3f+1.
    Minority,
    /// Half of them, rounded down: neither side has a quorum.
    Half,
}

const EXPECTED: &str = "expected node-N, executor-N, sub-N or host-N, or any-node, all-nodes, minority-of-nodes, \
     half-of-nodes and the like for executors, subs and hosts";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = |name: &str| match name {
            "node" => Some(Kind::Node),
            "executor" => Some(Kind::Executor),
            "sub" => Some(Kind::Sub),
            "host" => Some(Kind::Host),
            _ => None,
        };
        let kinds = |name: &str| name.strip_suffix('s').and_then(kind);
        let (kind, which) = if let Some(name) = text.strip_prefix("any-") {
            (kind(name), Selector::Any)
        } else if let Some(name) = text.strip_prefix("all-") {
            (kinds(name), Selector::All)
        } else if let Some(name) = text.strip_prefix("minority-of-") {
            (kinds(name), Selector::Minority)
        } else if let Some(name) = text.strip_prefix("half-of-") {
            (kinds(name), Selector::Half)
        } else {
            let numbered = text
                .split_once('-')
                .and_then(|(name, number)| Some((kind(name)?, number.parse().ok()?)));
            match numbered {
                Some((kind, number)) => (Some(kind), Selector::Number(number)),
                None => (None, Selector::Any),
            }
        };
        kind.map(|kind| Self { kind, which })
            .ok_or_else(|| format!("`{text}` is not a target: {EXPECTED}"))
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match self.which {
            Selector::Number(number) => write!(f, "{kind}-{number}"),
            Selector::Any => write!(f, "any-{kind}"),
            Selector::All => write!(f, "all-{kind}s"),
            Selector::Minority => write!(f, "minority-of-{kind}s"),
            Selector::Half => write!(f, "half-of-{kind}s"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Executor => "executor",
            Self::Sub => "sub",
            Self::Host => "host",
        })
    }
}

impl Target {
    pub(super) const fn numbered(kind: Kind, number: u16) -> Self {
        Self {
            kind,
            which: Selector::Number(number),
        }
    }

    /// The target for this process. The world is never a target.
    pub(super) const fn process(id: ProcessId) -> Self {
        match id {
            ProcessId::Node(number) => Self::numbered(Kind::Node, number),
            ProcessId::Executor(number) => Self::numbered(Kind::Executor, number),
            ProcessId::Sub(number) => Self::numbered(Kind::Sub, number),
            ProcessId::World => Self::numbered(Kind::Host, 0),
        }
    }

    pub(super) fn processes(ids: &[ProcessId]) -> Vec<Self> {
        ids.iter().map(|id| Self::process(*id)).collect()
    }

    pub(super) fn nodes(numbers: &[u16]) -> Vec<Self> {
        Self::all_numbered(Kind::Node, numbers)
    }

    pub(super) fn executors(numbers: &[u16]) -> Vec<Self> {
        Self::all_numbered(Kind::Executor, numbers)
    }

    pub(super) fn hosts(numbers: &[u16]) -> Vec<Self> {
        Self::all_numbered(Kind::Host, numbers)
    }

    fn all_numbered(kind: Kind, numbers: &[u16]) -> Vec<Self> {
        let numbers = numbers.iter();
        numbers.map(|n| Self::numbered(kind, *n)).collect()
    }

    /// Checks that this target exists in every run with at least this roster.
    ///
    /// # Errors
    /// A message with the targets that exist.
    pub fn check(&self, roster: Roster) -> Result<(), String> {
        match self.which {
            Selector::Number(number) if number >= roster.count(self.kind) => Err(format!(
                "`{self}` does not exist in every run of this scenario: expected {}",
                match (self.kind, roster.count(self.kind)) {
                    (kind, 1) => format!("{kind}-0, the only one (in single-master)"),
                    (kind, count) => format!("{kind}-0 to {kind}-{}", count - 1),
                }
            )),
            _ => Ok(()),
        }
    }

    /// Checks that this target is of one of these kinds and is exactly one in every run with at least this roster.
    ///
    /// # Errors
    /// A message with what was expected.
    pub fn check_single(&self, kinds: &[Kind], roster: Roster) -> Result<(), String> {
        if kinds.contains(&self.kind) && self.is_single() {
            return self.check(roster);
        }
        let expected: Vec<_> = kinds.iter().map(|k| format!("{k}-N or any-{k}")).collect();
        let expected = expected.join(" or ");
        Err(format!("`{self}` does not fit here: expected {expected}"))
    }

    /// Whether the target is always exactly one.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        matches!(self.which, Selector::Number(_) | Selector::Any)
    }
}

impl Roster {
    /// The first validator that may be Byzantine: in `single-master`, node 0 is the only one that delivers.
    #[must_use]
    pub const fn first_replaceable(self) -> u16 {
        (self.executors < self.validators) as u16
    }

    /// The number of targets of a kind.
    #[must_use]
    pub const fn count(self, kind: Kind) -> u16 {
        match kind {
            Kind::Node | Kind::Sub | Kind::Host => self.validators,
            Kind::Executor => self.executors,
        }
    }

    /// The validators that a target selects, ascending. `any` is the one that `any-…` selects in this fault.
    #[must_use]
    pub fn numbers(self, target: Target, any: u16, sampler: &Sampler, label: &str) -> Vec<u16> {
        let count = self.count(target.kind);
        match target.which {
            Selector::Number(number) => vec![number],
            Selector::Any => vec![any],
            Selector::All => (0..count).collect(),
            Selector::Minority => {
                let faulty = (count.saturating_sub(1) / 3).max(1);
                let size = Sampled {
                    low: 1,
                    high: faulty,
                };
                sampler.subset(label, size, count)
            }
            Selector::Half => sampler.subset(label, Sampled::fixed((count / 2).max(1)), count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed_and_printed_alike() {
        for text in [
            "node-0",
            "executor-12",
            "host-3",
            "any-node",
            "all-executors",
            "minority-of-hosts",
            "half-of-nodes",
            "any-sub",
        ] {
            let target: Target = text.parse().expect("a target");
            assert_eq!(target.to_string(), text);
        }
        for text in [
            "",
            "node",
            "node-",
            "node-x",
            "any-nodes",
            "all-node",
            "world",
        ] {
            let error = text.parse::<Target>().expect_err("not a target");
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_minority_is_at_most_f_and_a_half_is_rounded_down() {
        let roster = Roster {
            validators: 7,
            executors: 1,
            changes: false,
        };
        let numbers = |text: &str, seed| {
            let target = text.parse().expect("a target");
            roster.numbers(target, 0, &Sampler::of_seed(seed), "t")
        };
        for seed in 0..50 {
            assert!((1..=2).contains(&numbers("minority-of-nodes", seed).len()));
            assert_eq!(numbers("half-of-hosts", seed).len(), 3);
            assert_eq!(numbers("minority-of-executors", seed), [0]);
        }
    }
}
