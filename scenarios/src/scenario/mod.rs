//! Scenario files, and the plan that a seed draws from one.
//!
//! Every key but `story` has a default, so that a file contains only what its story is about. Default windows, batches
//! and buffers are so small that a run of a few seconds fills them many times.

mod at_epoch_change;
mod byzantine;
mod check;
mod clock_range;
mod epochs;
mod explicit_plan;
mod fault;
mod lies;
mod limits;
mod own_limits;
mod rarely;
mod sections;
mod sustainable;
mod swarm;
mod target;
#[cfg(test)]
mod tests;

use byzantine::Byzantine;
use epochs::Epochs;
pub use fault::FaultKind;
use fault::FaultSection;
use limits::{FollowerPlan as Followers, NetworkPlan as Network, Node, WorkloadPlan as Workload};
use rarely::Rarely;
use sections::{Delivery, Executor, OddExecutor, OneExecutor, Topology};
use swarm::Swarm;
use target::{Kind, Roster, Target};

use crate::{
    sampling::{Sampled, Sampler},
    seed::Seed,
    source::{InputError, Source},
};
use metanode_core::{
    bugs::KnownBug,
    config::{StartPolicy, WatermarkSource},
    types::{Encryption, SignatureScheme},
};
use metanode_sim::{
    faults::PlannedFault,
    oracles::Invariant,
    plan::{self, Backend, BlockNumber, Expectation, Manners, OwnLimit, Plan},
};
use serde::{Deserialize, Serialize};

/// The content of a scenario file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Description: what happens and what must hold.
    pub story: String,
    /// The seed of `metasim run` without `--seed`; 0 if it is left out.
    pub seed: Option<Seed>,
    /// Store backend, unless the command line sets one. If it is left out, the suite decides, or it is memory.
    pub store: Option<Backend>,
    /// Duration of the phase with faults.
    pub duration_ms: Sampled<u64>,
    /// Time within which every live executor must reach the tip once faults have ended.
    pub settle_ms: Sampled<u64>,
    pub signatures: SignatureScheme,
    /// Of connections between nodes. If it is left out, one seed of eight encrypts them.
    pub encryption: Option<Encryption>,
    /// What nodes do at a start if their executor does not answer.
    pub start_policy: StartPolicy,
    /// Which number of their executors nodes and Subs take for W. If it is left out, the one that is W.
    pub watermark_source: Option<WatermarkSource>,
    /// Offset of each host's wall clock.
    pub clock_skew_ms: Sampled<i64>,
    /// Drift of each host's wall clock; positive means fast.
    pub clock_drift_ppm: Sampled<i32>,
    /// One value per host, instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clock_drift_ppm_by_host: Vec<i32>,
    /// Number of validators that faults may take down at the same time.
    pub max_faulty: MaxFaulty,
    /// One value per host, instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clock_skew_ms_by_host: Vec<i64>,
    pub topology: Topology,
    pub network: Network,
    pub node: Node,
    /// Limits in which single nodes differ from `[node]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_limits: Vec<OwnLimit>,
    pub executor: Executor,
    pub workload: Workload,
    pub followers: Followers,
    /// Whether nodes ask the executors of all other validators for epoch and block, in `master-per-node`. A swarm may decide
    /// it for each seed.
    pub asks_peers: bool,
    pub epochs: Epochs,
    /// Byzantine validators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<Byzantine>,
    /// Validators that stay down from the end of faults on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays_down: Vec<u16>,
    /// Faults that each seed draws, in addition to those of `[[fault]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
    #[serde(rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSection>,
    /// Expectations that a run must meet besides the invariants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
    /// Invariants of which a run must violate one: the scenario shows a known bug, and fails if it is not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finds: Vec<Invariant>,
    /// Known bugs that are switched on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bugs: Vec<KnownBug>,
    /// The validators whose node and executor have the bugs; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buggy_validators: Vec<u16>,
}

/// Number of validators that may be down at the same time: `"f"`, `"all"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "\"f\", \"all\" or a number of validators")]
pub enum MaxFaulty {
    Number(u16),
    Share(Share),
}

/// A share of the committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// As many as the committee tolerates: f of 3f+1.
    F,
    All,
}

impl MaxFaulty {
    /// Byzantine validators count as faulty: the more there are, the fewer others may be down.
    fn of(self, f: u16, byzantine: usize) -> Option<u16> {
        let others = f.saturating_sub(u16::try_from(byzantine).unwrap_or(u16::MAX));
        match self {
            Self::Number(most) if byzantine > 0 => Some(most.min(others)),
            Self::Number(most) => Some(most),
            Self::Share(Share::F) => Some(others),
            Self::Share(Share::All) => None,
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            story: String::new(),
            seed: None,
            store: None,
            duration_ms: (10_000, 20_000).into(),
            settle_ms: Sampled::fixed(20_000),
            signatures: SignatureScheme::KeyedHash,
            encryption: None,
            start_policy: StartPolicy::Wait,
            watermark_source: None,
            clock_skew_ms: (-500, 500).into(),
            clock_drift_ppm: Sampled::fixed(0),
            clock_drift_ppm_by_host: vec![],
            max_faulty: MaxFaulty::Share(Share::F),
            clock_skew_ms_by_host: vec![],
            topology: Topology::default(),
            network: Network::default(),
            node: Node::default(),
            own_limits: vec![],
            executor: Executor::default(),
            workload: Workload::default(),
            followers: Followers::default(),
            asks_peers: false,
            epochs: Epochs::default(),
            byzantine: None,
            stays_down: vec![],
            swarm: None,
            faults: vec![],
            expect: vec![],
            finds: vec![],
            bugs: vec![],
            buggy_validators: vec![],
        }
    }
}

impl Scenario {
    /// Reads and checks a scenario. `file` is its name in errors.
    ///
    /// # Errors
    /// The first error in the file, with line, key and what was expected there.
    pub fn parse(file: &str, text: &str) -> Result<Self, InputError> {
        let source = Source::new(file, text)?;
        let scenario: Self = source.read()?;
        check::scenario(&scenario, &source)?;
        Ok(scenario)
    }

    /// The seed of a run without `--seed`.
    #[must_use]
    pub fn default_seed(&self) -> u64 {
        self.seed.map_or(0, |Seed(seed)| seed)
    }

    /// The plan that a seed draws from this scenario.
    #[must_use]
    pub fn draw(&self, name: &str, seed: u64, store: Backend) -> Plan {
        let sampler = Sampler::of_seed(seed);
        let limits = match self.swarm {
            Some(_) => sampler.biased_low(),
            None => sampler.clone(),
        };
        let swarm = self.swarm.as_ref();
        let rarely = Rarely::of_seed(swarm.map_or(&[], |swarm| &swarm.rarely), &sampler);
        let validators = rarely.validators.unwrap_or(self.topology.validators);
        let validators = sampler.draw("topology.validators", validators);
        let topology = self.topology.delivery.of_seed(seed);
        let roster = self.roster(topology, validators);
        let duration_ms = rarely.duration_ms.unwrap_or(self.duration_ms);
        let duration_ms = sampler.draw("duration_ms", duration_ms);
        let epochs = self.epochs.draw(&sampler, validators);
        let tolerated = epochs.tolerated(validators);
        let byzantine = self.byzantine.as_ref();
        let byzantine = byzantine.map(|byzantine| byzantine.draw(&sampler, roster, tolerated));
        let byzantine = byzantine.unwrap_or_default();
        let outage =
            swarm.and_then(|s| s.outage(&sampler, roster, duration_ms, epochs.duration_ms));
        let any_number = outage.is_some() || swarm.is_some_and(|s| s.any_number_down(&sampler));
        let max_faulty = self
            .max_faulty
            .of(tolerated, byzantine.len())
            .filter(|_| !any_number);
        let faulty = u16::try_from(byzantine.len()).unwrap_or(u16::MAX);
        let absent = tolerated.saturating_sub(faulty);
        let stays_down = self.stays_down(&sampler, roster, &byzantine, absent);
        let node = rarely.apply(self.node.draw(&limits), &sampler);
        let (manners, watermark_source) = self.manners(&sampler);
        let mut plan = Plan {
            scenario: name.into(),
            seed,
            topology,
            validators,
            store,
            signatures: rarely.signatures.unwrap_or(self.signatures),
            encryption: self.encryption(&sampler),
            start_policy: self.start_policy,
            watermark_source,
            manners,
            duration_ms,
            settle_ms: sampler.draw("settle_ms", rarely.settle_ms.unwrap_or(self.settle_ms)),
            network: self.network.draw(&limits),
            node,
            own_limits: self.own_limits.clone(),
            executors: self.executor.draw(&limits, roster),
            clock_skew_ms: self.skews_ms(&sampler, validators),
            clock_drift_ppm: self.drifts_ppm(&sampler, validators),
            max_faulty,
            workload: self.workload.draw(&sampler),
            followers: self.followers.draw(&limits),
            asks_peers: self.asks_peers || swarm.is_some_and(|swarm| swarm.asks_peers(&sampler)),
            epochs,
            byzantine,
            stays_down,
            faults: self.planned_faults(&sampler, roster),
            expect: self.expect.clone(),
            finds: self.finds.clone(),
            bugs: self.bugs.clone(),
            buggy_validators: self.buggy_validators.clone(),
        };
        if let Some(swarm) = swarm {
            self.add_swarm(swarm, &sampler, roster, absent, &mut plan);
            plan.faults.extend(outage);
        }
        plan
    }

    fn planned_faults(&self, sampler: &Sampler, roster: Roster) -> Vec<PlannedFault> {
        let faults = self.faults.iter().enumerate();
        let planned =
            faults.flat_map(|(n, fault)| fault.plan(sampler, &format!("fault.{n}"), roster));
        planned.collect()
    }

    /// How connections between nodes are encrypted.
    fn encryption(&self, sampler: &Sampler) -> Encryption {
        let drawn = match sampler.stream("encryption").one_in(8) {
            true => Encryption::Noise,
            false => Encryption::Readable,
        };
        self.encryption.unwrap_or(drawn)
    }

    /// The manners of executors, and which of their numbers is taken for W.
    fn manners(&self, sampler: &Sampler) -> (Manners, WatermarkSource) {
        let manners = self.executor.draw_manners(sampler);
        let is_w = match manners.block_number {
            BlockNumber::Gei => WatermarkSource::LastBlockNumber,
            BlockNumber::NonEmptyBlocks => WatermarkSource::LastGlobalExecIndex,
        };
        (manners, self.watermark_source.unwrap_or(is_w))
    }

    /// Adds what swarms draw besides, and adapts the plan to it. `absent`: how many validators may be absent for good.
    fn add_swarm(
        &self,
        swarm: &Swarm,
        sampler: &Sampler,
        roster: Roster,
        absent: u16,
        plan: &mut Plan,
    ) {
        let byzantine = plan.byzantine.iter().map(|byzantine| byzantine.validator);
        let byzantine = byzantine.collect();
        let (duration_ms, max_faulty) = (plan.duration_ms, plan.max_faulty);
        plan.faults.extend(swarm.draw(
            sampler,
            roster,
            duration_ms,
            max_faulty,
            &byzantine,
            absent,
        ));
        plan.node.consensus.min_round_delay_ms = sustainable::min_round_delay_ms(plan);
        let answered_in_ms = sustainable::start_answered_in_ms(&plan.network, plan.validators);
        let timeout_ms = &mut plan.node.rpc.timeout_ms;
        *timeout_ms = answered_in_ms.max(*timeout_ms);
        if swarm.has_own_limits(sampler) {
            plan.own_limits = own_limits::draw(&self.node, sampler, plan, answered_in_ms);
        }
        if let Some(validator) = swarm.other_chain(sampler, roster, &plan.byzantine, absent) {
            let own = own_limits::of_other_chain(validator, &plan.node);
            plan.own_limits.push(own);
            plan.stays_down.clear();
        }
        plan.workload = sustainable::workload(plan);
        plan.followers = sustainable::followers(plan);
        let lies = lies::faults(sampler, plan);
        if !lies.is_empty() {
            // A Sub that follows over the listener for peers would hear them, too.
            plan.followers.range_blocks = 0;
        }
        plan.faults.extend(lies);
    }

    fn roster(&self, topology: plan::Topology, validators: u16) -> Roster {
        Roster {
            validators,
            executors: match topology {
                plan::Topology::SingleMaster => 1,
                plan::Topology::MasterPerNode => validators,
            },
            changes: self.epochs.duration_ms.is_some(),
        }
    }

    /// The skew of each clock.
    fn skews_ms(&self, sampler: &Sampler, validators: u16) -> Vec<i64> {
        let range = match self.swarm {
            Some(_) => clock_range::narrowed(sampler, self.clock_skew_ms),
            None => self.clock_skew_ms,
        };
        (0..validators)
            .map(|host| self.skew_ms(sampler, host, range))
            .collect()
    }

    /// The validators that stay down from the end of faults on.
    fn stays_down(
        &self,
        sampler: &Sampler,
        roster: Roster,
        byzantine: &[plan::ByzantinePlan],
        most: u16,
    ) -> Vec<u16> {
        match &self.swarm {
            Some(swarm) => swarm.stays_down(sampler, roster, byzantine, most),
            None => self.stays_down.clone(),
        }
    }

    /// The drift of each clock; empty if no clock drifts.
    fn drifts_ppm(&self, sampler: &Sampler, validators: u16) -> Vec<i32> {
        let drift = |host: u16| match self.clock_drift_ppm_by_host.get(usize::from(host)) {
            Some(ppm) => *ppm,
            None => sampler.draw(&format!("clock_drift_ppm.{host}"), self.clock_drift_ppm),
        };
        let mut drifts: Vec<i32> = (0..validators).map(drift).collect();
        if drifts.iter().all(|ppm| *ppm == 0) {
            drifts.clear();
        }
        drifts
    }

    fn skew_ms(&self, sampler: &Sampler, host: u16, range: Sampled<i64>) -> i64 {
        match self.clock_skew_ms_by_host.get(usize::from(host)) {
            Some(skew_ms) => *skew_ms,
            None => sampler.draw(&format!("clock_skew_ms.{host}"), range),
        }
    }
}
