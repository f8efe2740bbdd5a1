//! `[topology]` and `[executor]`: keys, defaults, and what a seed draws from them.

use super::target::{Roster, Selector, Target};
use crate::sampling::{Range, Sampled, Sampler};
use metanode_sim::plan::{self, ExecutorPlan, Guard, Manners};
use serde::{Deserialize, Serialize};

/// `[topology]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    pub delivery: Delivery,
    pub validators: Sampled<u16>,
}

/// Which nodes deliver. `either` alternates from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    SingleMaster,
    MasterPerNode,
    Either,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            delivery: Delivery::Either,
            validators: Sampled::fixed(4),
        }
    }
}

impl Delivery {
    pub(super) const fn of_seed(self, seed: u64) -> plan::Topology {
        match (self, seed % 2) {
            (Self::SingleMaster, _) | (Self::Either, 1) => plan::Topology::SingleMaster,
            (Self::MasterPerNode | Self::Either, _) => plan::Topology::MasterPerNode,
        }
    }
}

impl Topology {
    /// The section from which every seed draws these.
    pub(super) const fn fixed(delivers: plan::Topology, validators: u16) -> Self {
        Self {
            delivery: match delivers {
                plan::Topology::SingleMaster => Delivery::SingleMaster,
                plan::Topology::MasterPerNode => Delivery::MasterPerNode,
            },
            validators: Sampled::fixed(validators),
        }
    }

    /// The validators and executors that exist in every run.
    pub(super) const fn smallest_roster(&self, changes: bool) -> Roster {
        let validators = self.validators.low;
        Roster {
            validators,
            executors: match self.delivery {
                Delivery::MasterPerNode => validators,
                Delivery::SingleMaster | Delivery::Either => 1,
            },
            changes,
        }
    }

    /// The number of executors of the largest run.
    pub(super) const fn most_executors(&self) -> u16 {
        match self.delivery {
            Delivery::SingleMaster => 1,
            Delivery::MasterPerNode | Delivery::Either => self.validators.high,
        }
    }

    /// Fewer than four validators tolerate no fault.
    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 1] {
        [("topology.validators", self.validators.low.into(), 4)]
    }
}

/// `[executor]`: all executors; each draws its own values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Executor {
    pub guard: Guards,
    /// Execution time of a block, drawn for each block.
    pub execute_us: Range,
    /// Number of blocks between two flushes, drawn at each flush.
    pub flush_every_blocks: Range,
    /// `[[executor.manners]]`: how all executors differ from the contract; each seed draws one entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manners: Vec<Manners>,
    /// `[executor.odd]`: one executor that differs.
    pub odd: Option<OddExecutor>,
    /// `[[executor.each]]`: one entry per executor, instead of all the above but the manners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<OneExecutor>,
}

/// The guard of every executor, or a list of which each draws one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "\"strict\", \"skip-low\", \"naive\", or a list of them"
)]
pub enum Guards {
    Same(Guard),
    OneOf(Vec<Guard>),
}

impl Guards {
    fn draw(&self, sampler: &Sampler, number: u16) -> Guard {
        match self {
            Self::Same(guard) => *guard,
            Self::OneOf(guards) => {
                let mut stream = sampler.stream(&format!("executor.{number}.guard"));
                let which = stream.below(guards.len() as u64);
                guards.get(which as usize).copied().unwrap_or(Guard::Strict)
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::OneOf(guards) if guards.is_empty())
    }
}

/// One entry of `[[executor.each]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneExecutor {
    pub guard: Guard,
    pub execute_us: Range,
    pub flush_every_blocks: Range,
}

/// The values of one executor that differ from `[executor]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddExecutor {
    pub which: Target,
    pub guard: Option<Guard>,
    pub execute_us: Option<Range>,
    pub flush_every_blocks: Option<Range>,
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            guard: Guards::Same(Guard::Strict),
            execute_us: (100, 5_000).into(),
            flush_every_blocks: (1, 6).into(),
            manners: vec![],
            odd: None,
            each: vec![],
        }
    }
}

impl Executor {
    pub(super) fn draw(&self, sampler: &Sampler, roster: Roster) -> Vec<ExecutorPlan> {
        let odd = self.odd.as_ref().map(|odd| match odd.which.which {
            Selector::Number(number) => (number, odd),
            _ => {
                let all = Sampled {
                    low: 0,
                    high: roster.executors - 1,
                };
                (sampler.draw("executor.odd.which", all), odd)
            }
        });
        let plan = |number| {
            let odd = odd
                .filter(|(which, _)| *which == number)
                .map(|(_, odd)| odd);
            if let Some(one) = self.each.get(usize::from(number)) {
                return one.draw(sampler, number);
            }
            let execute_us = odd.and_then(|o| o.execute_us).unwrap_or(self.execute_us);
            let flush = odd
                .and_then(|o| o.flush_every_blocks)
                .unwrap_or(self.flush_every_blocks);
            let one = OneExecutor {
                guard: (odd.and_then(|o| o.guard))
                    .unwrap_or_else(|| self.guard.draw(sampler, number)),
                execute_us,
                flush_every_blocks: flush,
            };
            one.draw(sampler, number)
        };
        (0..roster.executors).map(plan).collect()
    }

    pub(super) fn draw_manners(&self, sampler: &Sampler) -> Manners {
        let which = sampler
            .stream("executor.manners")
            .below(self.manners.len().max(1) as u64);
        let drawn = self.manners.get(which as usize);
        drawn.cloned().unwrap_or_default()
    }

    pub(super) fn least_values(&self) -> Vec<(&'static str, u64, u64)> {
        let mut values = vec![(
            "executor.flush_every_blocks",
            self.flush_every_blocks.low(),
            1,
        )];
        if let Some(flush) = self.odd.as_ref().and_then(|odd| odd.flush_every_blocks) {
            values.push(("executor.odd.flush_every_blocks", flush.low(), 1));
        }
        let each = self.each.iter().map(|one| one.flush_every_blocks.low());
        values.extend(each.map(|low| ("executor.each", low, 1)));
        values
    }
}

impl OneExecutor {
    fn draw(&self, sampler: &Sampler, number: u16) -> ExecutorPlan {
        let span = |key, range| sampler.span(&format!("executor.{number}.{key}"), range);
        ExecutorPlan {
            guard: self.guard,
            execute_us: span("execute_us", self.execute_us),
            flush_every_blocks: span("flush_every_blocks", self.flush_every_blocks),
        }
    }
}
