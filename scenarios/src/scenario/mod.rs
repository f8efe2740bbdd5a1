//! Scenario files, and the plan that a seed draws from one.
//!
//! Everything has a default, so that a file says only what its story is about. The defaults are tiny on purpose:
//! windows, batches and buffers so small that a run of seconds reaches their edges many times.

mod check;
mod fault;
mod sections;
mod swarm;
mod target;
#[cfg(test)]
mod tests;

pub use fault::{Deed, DurableMoment, Fault, Moment, ReachedMoment, Repeat, StoredMoment};
pub use sections::{Delivery, Executor, Network, Node, OddExecutor, Topology, Workload};
pub use swarm::Swarm;
pub use target::{Cast, Kind, Target, Which};

use crate::{
    dice::{Dice, Draw},
    source::{InputError, Source},
};
use metanode_core::types::SignatureScheme;
use metanode_sim::plan::{self, Backend, Expectation, Plan};
use serde::Deserialize;

/// A scenario as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What happens and what must hold, for people.
    pub story: String,
    /// Faults happen in this time.
    pub duration_ms: Draw<u64>,
    /// Once faults are over, every live executor reaches the tip within this time.
    pub settle_ms: Draw<u64>,
    pub signatures: SignatureScheme,
    /// Offset of each host's wall clock.
    pub clock_skew_ms: Draw<i64>,
    /// How much faster than time each host's wall clock runs.
    pub clock_drift_ppm: Draw<i32>,
    /// How many validators faults may have down at once.
    pub max_faulty: MaxFaulty,
    pub topology: Topology,
    pub network: Network,
    pub node: Node,
    pub executor: Executor,
    pub workload: Workload,
    /// Faults that each seed draws, besides those of `[[fault]]`.
    pub swarm: Option<Swarm>,
    #[serde(rename = "fault")]
    pub faults: Vec<Fault>,
    /// What happens besides the invariants, or the run fails.
    pub expect: Vec<Expectation>,
}

/// How many validators may be down at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaxFaulty {
    /// As many as the committee tolerates: f of 3f+1.
    F,
    All,
}

impl MaxFaulty {
    const fn of(self, validators: u16) -> Option<u16> {
        match self {
            Self::F => Some(validators.saturating_sub(1) / 3),
            Self::All => None,
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            story: String::new(),
            duration_ms: (10_000, 20_000).into(),
            settle_ms: Draw::fixed(20_000),
            signatures: SignatureScheme::KeyedHash,
            clock_skew_ms: (-500, 500).into(),
            clock_drift_ppm: Draw::fixed(0),
            max_faulty: MaxFaulty::F,
            topology: Topology::default(),
            network: Network::default(),
            node: Node::default(),
            executor: Executor::default(),
            workload: Workload::default(),
            swarm: None,
            faults: vec![],
            expect: vec![],
        }
    }
}

impl Scenario {
    /// Reads and checks a scenario. `file` is its name in errors.
    ///
    /// # Errors
    /// File, line and key of the first thing that is wrong, with what was expected there.
    pub fn parse(file: &str, text: &str) -> Result<Self, InputError> {
        let source = Source::new(file, text)?;
        let scenario: Self = source.read()?;
        check::scenario(&scenario, &source)?;
        Ok(scenario)
    }

    /// The run that a seed makes of this scenario.
    #[must_use]
    pub fn draw(&self, name: &str, seed: u64, store: Backend) -> Plan {
        let dice = Dice::of(seed);
        let limits = match self.swarm {
            Some(_) => dice.leaning_low(),
            None => dice.clone(),
        };
        let validators = dice.draw("topology.validators", self.topology.validators);
        let topology = self.topology.delivery.of_seed(seed);
        let cast = Cast {
            validators,
            executors: match topology {
                plan::Topology::SingleMaster => 1,
                plan::Topology::MasterPerNode => validators,
            },
        };
        let duration_ms = dice.draw("duration_ms", self.duration_ms);
        let max_faulty = self.max_faulty.of(validators);
        let planned = self.faults.iter().enumerate();
        let mut faults: Vec<_> = planned
            .flat_map(|(position, fault)| fault.plan(&dice, &format!("fault.{position}"), cast))
            .collect();
        if let Some(swarm) = &self.swarm {
            faults.extend(swarm.draw(&dice, cast, duration_ms, max_faulty));
        }
        Plan {
            scenario: name.into(),
            seed,
            topology,
            validators,
            store,
            signatures: self.signatures,
            duration_ms,
            settle_ms: dice.draw("settle_ms", self.settle_ms),
            network: self.network.draw(&limits),
            node: self.node.draw(&limits),
            executors: self.executor.draw(&limits, cast),
            clock_skew_ms: (0..validators)
                .map(|host| dice.draw(&format!("clock_skew_ms.{host}"), self.clock_skew_ms))
                .collect(),
            clock_drift_ppm: (0..validators)
                .map(|host| dice.draw(&format!("clock_drift_ppm.{host}"), self.clock_drift_ppm))
                .collect(),
            max_faulty,
            workload: self.workload.draw(&dice),
            faults,
            expect: self.expect.clone(),
        }
    }
}
