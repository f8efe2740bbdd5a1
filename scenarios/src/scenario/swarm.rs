//! `[swarm]`: random faults. Each seed draws the kinds that are enabled, their weights, and every fault in full, so
//! that its plan can be replayed and shrunk like any other.
//!
//! Limits are mostly drawn from the low ends of their ranges, where they are reached sooner ([`Sampler::biased_low`]).
//! Clients send at most what the drawn links and blocks can carry ([`sustainable`](super::sustainable)): permanent overload
//! is not a fault.

use super::{
    at_epoch_change,
    fault::{FaultKind, SwarmDraws, Triggers, points_of},
    rarely::Rarely,
    target::{Kind, Roster},
};
use crate::sampling::{Sampled, Sampler, Stream};
use metanode_core::types::{CommitIndex, GlobalExecIndex};
use metanode_sim::{
    faults::{DiskFault, DurableAt, Fault, PlannedFault, ProcessFault, Reached, StoredAt, Trigger},
    plan::ByzantinePlan,
    trace::ProcessId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `[swarm]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// Number of faults in a run.
    pub faults: Sampled<u32>,
    /// The kinds of which each seed enables some.
    pub kinds: Vec<FaultKind>,
    /// In one seed of this many all hosts lose power at once for longer than an epoch, and any number of validators may
    /// be down at the same time. Never if it is 0.
    pub outage_one_in: u64,
    /// In one seed of this many, faults may take down any number of validators at the same time. Never if it is 0.
    pub any_number_down_one_in: u64,
    /// In one seed of this many, as many validators as may be faulty beside the Byzantine ones stay down from the end of
    /// faults on. Never if it is 0.
    pub stays_down_one_in: u64,
    /// In one seed of this many, nodes have limits of their own, some from their second start on. Never if it is 0.
    pub own_limits_one_in: u64,
    /// In one seed of this many, one node is of another chain, because it would decide commits by another parameter, and
    /// no other one stays down. Never if it is 0.
    pub other_chain_one_in: u64,
    /// In one seed of this many, nodes ask the executors of all other validators for epoch and block. Never if it is 0.
    pub asks_peers_one_in: u64,
    /// Rare seeds, which draw from other ranges. The first that applies to a seed counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rarely: Vec<Rarely>,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            faults: (1, 16).into(),
            kinds: FaultKind::of_swarms(),
            outage_one_in: 0,
            any_number_down_one_in: 0,
            stays_down_one_in: 0,
            own_limits_one_in: 0,
            other_chain_one_in: 0,
            asks_peers_one_in: 0,
            rarely: vec![],
        }
    }
}

/// Attempts to draw a fault that leaves enough validators up.
const ATTEMPTS: u32 = 4;

/// Maximum number of repetitions in a crash loop.
const LOOP: u64 = 5;

/// `most` validators, without Byzantine ones and the only one that delivers.
fn absent(stream: &mut Stream, roster: Roster, byzantine: &[ByzantinePlan], most: u16) -> Vec<u16> {
    let is_byzantine = |n: &u16| byzantine.iter().any(|b| b.validator == *n);
    let delivers_alone = |n: &u16| *n == 0 && roster.executors == 1;
    let mut candidates: Vec<u16> = (0..roster.validators)
        .filter(|n| !is_byzantine(n) && !delivers_alone(n))
        .collect();
    let mut absent = vec![];
    while absent.len() < usize::from(most) && !candidates.is_empty() {
        let position = stream.below(candidates.len() as u64) as usize;
        absent.push(candidates.swap_remove(position));
    }
    absent.sort_unstable();
    absent
}

impl Swarm {
    /// Whether faults may take down any number of validators in this seed.
    pub(super) fn any_number_down(&self, sampler: &Sampler) -> bool {
        sampler
            .stream("swarm.any_number_down")
            .one_in(self.any_number_down_one_in)
    }

    /// Whether nodes have limits of their own in this seed.
    pub(super) fn has_own_limits(&self, sampler: &Sampler) -> bool {
        sampler
            .stream("swarm.own_limits")
            .one_in(self.own_limits_one_in)
    }

    /// Whether nodes ask the executors of others in this seed.
    pub(super) fn asks_peers(&self, sampler: &Sampler) -> bool {
        sampler
            .stream("swarm.asks_peers")
            .one_in(self.asks_peers_one_in)
    }

    /// The validator whose node is of another chain, if this seed has one. `most`: how many may be absent.
    pub(super) fn other_chain(
        &self,
        sampler: &Sampler,
        roster: Roster,
        byzantine: &[ByzantinePlan],
        most: u16,
    ) -> Option<u16> {
        let mut stream = sampler.stream("swarm.other_chain");
        if !stream.one_in(self.other_chain_one_in) {
            return None;
        }
        absent(&mut stream, roster, byzantine, most.min(1)).pop()
    }

    /// The power loss of all hosts, if this seed has one.
    #[must_use]
    pub fn outage(
        &self,
        sampler: &Sampler,
        roster: Roster,
        duration_ms: u64,
        epoch_ms: Option<u64>,
    ) -> Option<PlannedFault> {
        let mut stream = sampler.stream("swarm.outage");
        if !stream.one_in(self.outage_one_in) {
            return None;
        }
        let at_ms = stream.below(duration_ms.max(1));
        let fault = ProcessFault::PowerLoss {
            hosts: (0..roster.validators).collect(),
            torn: stream.one_in(2),
            down_ms: Some(epoch_ms.unwrap_or(0) + 1 + stream.low(3_000)),
        };
        Some(PlannedFault {
            trigger: Trigger::at_ms(at_ms),
            fault: fault.into(),
        })
    }

    /// The validators that stay down from the end of faults on: at most `most`, neither Byzantine ones nor the only one
    /// that delivers.
    #[must_use]
    pub fn stays_down(
        &self,
        sampler: &Sampler,
        roster: Roster,
        byzantine: &[ByzantinePlan],
        most: u16,
    ) -> Vec<u16> {
        let mut stream = sampler.stream("swarm.stays_down");
        if !stream.one_in(self.stays_down_one_in) {
            return vec![];
        }
        absent(&mut stream, roster, byzantine, most)
    }

    /// The faults of a seed, in the order of drawing.
    #[must_use]
    pub fn draw(
        &self,
        sampler: &Sampler,
        roster: Roster,
        duration_ms: u64,
        max_faulty: Option<u16>,
        byzantine: &BTreeSet<u16>,
        tolerated: u16,
    ) -> Vec<PlannedFault> {
        // Where epochs change one that delivers, because it can go back together with its executor.
        let of = match roster.executors {
            2.. if roster.changes => roster.executors,
            _ => roster.validators,
        };
        let restored = sampler.stream("swarm.restored").below(of.into());
        let mut drawing = Drawing {
            stream: sampler.stream("swarm"),
            restored: (tolerated > 0).then_some(restored as u16),
            roster,
            duration_ms,
            max_faulty,
            byzantine,
            down: vec![],
            faults: vec![],
        };
        drawing
            .faults
            .extend(at_epoch_change::fault(sampler, roster, &self.kinds));
        let bag = drawing.bag(&self.kinds);
        let faults = drawing.stream.within(self.faults);
        for _ in 0..faults {
            let kind = bag[drawing.stream.below(bag.len() as u64) as usize];
            drawing.add(kind, &self.kinds);
        }
        drawing.faults
    }
}

/// The state of drawing the faults of a seed.
struct Drawing<'a> {
    stream: Stream,
    roster: Roster,
    duration_ms: u64,
    max_faulty: Option<u16>,
    /// The node whose disk may be restored.
    restored: Option<u16>,
    /// They do not count as down.
    byzantine: &'a BTreeSet<u16>,
    /// Begin and end in ms of each time in which these validators are down.
    down: Vec<(u64, u64, BTreeSet<u16>)>,
    faults: Vec<PlannedFault>,
}

impl Drawing<'_> {
    /// The enabled kinds, each as often as its weight.
    fn bag(&mut self, kinds: &[FaultKind]) -> Vec<FaultKind> {
        let mut bag = vec![];
        for kind in kinds {
            if !kind.schema().in_swarm.beside_byzantine && !self.byzantine.is_empty() {
                continue;
            }
            if *kind == FaultKind::CopyExecutor && self.roster.executors < 2 {
                continue;
            }
            let mut weight = match self.stream.below(2) {
                0 => 0,
                _ => 1 + self.stream.below(4),
            };
            // What matters is whether the backup is of an earlier epoch, and of few it is.
            if self.roster.changes && *kind == FaultKind::RestoreNodes {
                weight *= 2;
            }
            bag.extend((0..weight).map(|_| *kind));
        }
        if bag.is_empty() {
            bag.push(kinds.first().copied().unwrap_or(FaultKind::Kill));
        }
        bag
    }

    fn add(&mut self, kind: FaultKind, kinds: &[FaultKind]) {
        let schema = &kind.schema().in_swarm;
        for _ in 0..ATTEMPTS {
            let at_ms = self.stream.below(self.duration_ms.max(1));
            let (roster, max_faulty) = (self.roster, self.max_faulty);
            let mut draws = SwarmDraws::new(&mut self.stream, roster, max_faulty, at_ms);
            draws.restored = self.restored.unwrap_or_default();
            let fault = (schema.draw)(&mut draws);
            let trigger = match (&schema.triggers, self.stream.below(8)) {
                (Triggers::Start, _) => Trigger::default(),
                (Triggers::Any, 0..3) => self.condition(&fault),
                (Triggers::Any | Triggers::Times, _) => Trigger::at_ms(at_ms),
            };
            let repeats = schema.loops && self.stream.one_in(4);
            if !self.fits(&trigger, &fault) || !self.keeps_a_copy(&fault) {
                continue;
            }
            self.faults.push(PlannedFault {
                trigger: trigger.clone(),
                fault: fault.clone(),
            });
            if repeats {
                self.repeat(&trigger, &fault);
            }
            if self.roster.changes && kinds.contains(&FaultKind::Restore) {
                self.restore_executor(trigger, &fault);
            }
            return;
        }
    }

    /// Three nodes in four are restored together with their executors, as whole machines are.
    fn restore_executor(&mut self, trigger: Trigger, fault: &Fault) {
        let Fault::Disk(DiskFault::RestoreNodes {
            nodes,
            taken_ms,
            down_ms,
        }) = fault
        else {
            return;
        };
        let processes: Vec<_> = (nodes.iter().copied())
            .filter(|node| *node < self.roster.executors)
            .map(ProcessId::Executor)
            .collect();
        if processes.is_empty() || self.stream.one_in(4) {
            return;
        }
        let fault = DiskFault::Restore {
            processes,
            taken_ms: *taken_ms,
            down_ms: *down_ms,
        };
        self.faults.push(PlannedFault {
            trigger,
            fault: fault.into(),
        });
    }

    /// Whether of every block an intact copy stays. Bits flip only where another node has one, and that other one must not
    /// be restored to an older disk.
    fn keeps_a_copy(&self, fault: &Fault) -> bool {
        let is_restored =
            |fault: &Fault| matches!(fault, Fault::Disk(DiskFault::RestoreNodes { .. }));
        let is_flipped = |fault: &Fault| matches!(fault, Fault::Disk(DiskFault::FlipBits { .. }));
        let mut planned = self.faults.iter().map(|planned| &planned.fault);
        if is_restored(fault) {
            return self.restored.is_some() && !planned.any(is_flipped);
        }
        !is_flipped(fault) || !planned.any(is_restored)
    }

    /// Whether enough validators are up during the fault, as far as its times are known. The world checks it again.
    fn fits(&mut self, trigger: &Trigger, fault: &Fault) -> bool {
        let more = fault.takes_down();
        let more: BTreeSet<u16> = more.difference(self.byzantine).copied().collect();
        let (Some(most), false) = (self.max_faulty, more.is_empty()) else {
            return true;
        };
        if !trigger.is_a_time() {
            return more.len() <= usize::from(most);
        }
        let from = trigger.at_ms;
        let to = fault.lasts_ms().map_or(u64::MAX, |lasts| from + lasts);
        let overlapping = self
            .down
            .iter()
            .filter(|(begin, end, _)| *begin <= to && from <= *end);
        let down: BTreeSet<u16> = overlapping.flat_map(|(.., who)| who).copied().collect();
        let fits = down.union(&more).count() <= usize::from(most);
        if fits {
            self.down.push((from, to, more));
        }
        fits
    }

    /// A crash loop: repeats the fault soon after its processes are up again.
    fn repeat(&mut self, trigger: &Trigger, fault: &Fault) {
        let mut trigger = trigger.clone();
        for _ in 0..1 + self.stream.below(LOOP) {
            match &mut trigger.reached {
                Some(reached) => reached.times += 1 + self.stream.low(20) as u32,
                None => trigger.at_ms += fault.lasts_ms().unwrap_or(0) + self.stream.low(1_500),
            }
            if trigger.stored.is_some() || trigger.durable.is_some() || !self.fits(&trigger, fault)
            {
                return;
            }
            self.faults.push(PlannedFault {
                trigger: trigger.clone(),
                fault: fault.clone(),
            });
        }
    }

    /// A condition on one of the validators that the fault takes down, or on any validator.
    fn condition(&mut self, fault: &Fault) -> Trigger {
        let number = fault.takes_down().first().copied();
        let number =
            number.unwrap_or_else(|| self.stream.below(self.roster.validators.into()) as u16);
        let executor = number.min(self.roster.executors - 1);
        let mut trigger = Trigger::default();
        match self.stream.below(4) {
            0 => {
                trigger.stored = Some(StoredAt {
                    node: number,
                    commit: CommitIndex(1 + self.stream.low(200) as u32),
                });
            }
            1 => {
                trigger.durable = Some(DurableAt {
                    executor,
                    gei: GlobalExecIndex(1 + self.stream.low(200)),
                });
            }
            _ => {
                let (process, kind) = match self.stream.below(2) {
                    0 => (ProcessId::Node(number), Kind::Node),
                    _ => (ProcessId::Executor(executor), Kind::Executor),
                };
                let points = points_of(kind, self.roster.changes);
                trigger.reached = Some(Reached {
                    process,
                    point: points[self.stream.below(points.len() as u64) as usize],
                    times: 1 + self.stream.low(60) as u32,
                });
            }
        }
        trigger
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fault::FaultSection, *};

    const ROSTER: Roster = Roster {
        validators: 7,
        executors: 7,
        changes: false,
    };

    fn plans() -> Vec<Vec<PlannedFault>> {
        let draw = |seed| {
            let honest = BTreeSet::new();
            Swarm::default().draw(&Sampler::of_seed(seed), ROSTER, 10_000, Some(2), &honest, 1)
        };
        (0..300).map(draw).collect()
    }

    #[test]
    fn a_seed_draws_the_same_faults_twice_and_seeds_differ() {
        let plans = plans();
        assert_eq!(plans, self::plans());
        assert!(plans.windows(2).all(|pair| pair[0] != pair[1]));
        let kinds = |faults: &[PlannedFault]| {
            let mut kinds = vec![];
            for kind in faults.iter().map(|f| FaultSection::explicit(f).kind) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            kinds.len()
        };
        assert!(plans.iter().any(|faults| kinds(faults) > 5));
        assert!(plans.iter().any(|faults| kinds(faults) == 1));
    }

    #[test]
    fn byzantine_validators_count_as_faulty_and_exclude_damaged_disks() {
        let byzantine = BTreeSet::from([3]);
        let mut down_count = 0;
        for seed in 0..300 {
            let sampler = Sampler::of_seed(seed);
            for fault in Swarm::default().draw(&sampler, ROSTER, 10_000, Some(0), &byzantine, 1) {
                assert!(!matches!(
                    fault.fault,
                    Fault::Disk(DiskFault::FlipBits { .. })
                ));
                let down = fault.fault.takes_down();
                assert!(down.is_subset(&byzantine), "{fault:?}");
                down_count += down.len();
            }
        }
        assert!(down_count > 0, "Byzantine validators may be down");
    }

    #[test]
    fn at_most_max_faulty_validators_are_down_at_any_time() {
        for faults in plans() {
            let down: Vec<_> = faults
                .iter()
                .filter(|f| f.trigger.is_a_time())
                .map(|f| {
                    (
                        f.trigger.at_ms,
                        f.trigger.at_ms + f.fault.lasts_ms().unwrap_or(0),
                        f.fault.takes_down(),
                    )
                })
                .collect();
            for (moment, ..) in &down {
                let at_once: BTreeSet<_> = down
                    .iter()
                    .filter(|(from, to, _)| from <= moment && moment <= to)
                    .flat_map(|(.., who)| who)
                    .collect();
                assert!(at_once.len() <= 2, "{faults:?}");
            }
        }
    }
}
