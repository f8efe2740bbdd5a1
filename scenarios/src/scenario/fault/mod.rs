//! `[[fault]]` of a scenario file: trigger, kind and targets, and the planned faults that a seed draws from it.
//!
//! | module | content |
//! |---|---|
//! | `kinds` | `do`: the kinds of faults by subject; keys, targets, drawing, and the section of a given fault |
//! | `trigger` | `when` |
//! | `check` | checks of a section beyond the types of its keys |
//! | `drawn` | the values that a seed draws for the keys and targets of a section |
//! | `swarm` | the values that a swarm draws for a fault of any kind |

mod check;
mod drawn;
mod kinds;
mod swarm;
mod trigger;

pub use kinds::{FaultKind, LieKind};
pub(super) use kinds::{Triggers, any_lie};
pub(super) use swarm::SwarmDraws;
pub(super) use trigger::points_of;

use trigger::TriggerSection;

use super::target::{Kind, Roster, Selector, Target};
use crate::sampling::{Sampled, Sampler};
use drawn::Drawn;
use metanode_sim::{
    faults::{Act, Channel, PlannedFault},
    net::{Cut, Hijack, Side},
};
use serde::{Deserialize, Serialize};

/// One `[[fault]]`. Its [`FaultKind`] determines which of the keys below `targets` it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSection {
    #[serde(default, skip_serializing_if = "TriggerSection::is_empty")]
    pub when: TriggerSection,
    #[serde(rename = "do")]
    pub kind: FaultKind,
    pub targets: Vec<Target>,
    /// Time for which processes or hosts are down; until all faults end if it is left out.
    pub down_ms: Option<Sampled<u64>>,
    /// Duration of any other fault; until all faults end if it is left out.
    pub for_ms: Option<Sampled<u64>>,
    /// The direction that a partition cuts; both if it is left out.
    pub cut: Option<Cut>,
    /// The connections that the fault affects; any if it is left out.
    pub channel: Option<Channel>,
    /// What a stranger does, and nothing else; everything if it is left out.
    pub act: Option<Act>,
    /// What executors tell peers instead of the truth.
    pub lie: Option<LieKind>,
    /// What takes the place of a hijacked socket.
    pub how: Option<Hijack>,
    /// The end of a connection that stops sending.
    pub side: Option<Side>,
    /// Whether a power loss may leave part of a write; not if it is left out.
    pub torn: Option<bool>,
    pub extra_ms: Option<Sampled<u64>>,
    pub max_bytes: Option<Sampled<u64>>,
    pub after_bytes: Option<Sampled<u64>>,
    pub blocks: Option<Sampled<u32>>,
    pub commits: Option<Sampled<u32>>,
    pub by_ms: Option<Sampled<i64>>,
    pub taken_ms: Option<Sampled<u64>>,
    /// Repetitions of the fault, as in a crash loop.
    pub repeat: Option<Repeat>,
}

/// The fault occurs `times` times, `every_ms` apart. With a crash point in `when`, its occurrences count from the
/// repetition before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    pub times: Sampled<u32>,
    #[serde(default = "no_pause")]
    pub every_ms: Sampled<u64>,
}

const fn no_pause() -> Sampled<u64> {
    Sampled::fixed(0)
}

impl FaultSection {
    /// A section with these keys only; the fault begins with the run.
    fn new(kind: FaultKind, targets: Vec<Target>) -> Self {
        Self {
            when: TriggerSection::default(),
            kind,
            targets,
            down_ms: None,
            for_ms: None,
            cut: None,
            channel: None,
            act: None,
            lie: None,
            how: None,
            side: None,
            torn: None,
            extra_ms: None,
            max_bytes: None,
            after_bytes: None,
            blocks: None,
            commits: None,
            by_ms: None,
            taken_ms: None,
            repeat: None,
        }
    }

    /// The section with fixed values from which every seed draws this fault.
    pub(super) fn explicit(planned: &PlannedFault) -> Self {
        let PlannedFault { trigger, fault } = planned;
        Self {
            when: TriggerSection::explicit(trigger),
            ..kinds::section(fault)
        }
    }

    /// The faults that a seed draws from this section. `label` is the prefix of its streams.
    #[must_use]
    pub fn plan(&self, sampler: &Sampler, label: &str, roster: Roster) -> Vec<PlannedFault> {
        let any = self.any(sampler, label, roster);
        let repetitions = self.repeat.as_ref().map_or(1, |repeat| {
            sampler.draw(&format!("{label}.repeat.times"), repeat.times)
        });
        let (mut later_ms, mut times_before) = (0, 0);
        (0..repetitions)
            .map(|repetition| {
                let label = format!("{label}.{repetition}");
                if let (1.., Some(repeat)) = (repetition, &self.repeat) {
                    later_ms += sampler.draw(&format!("{label}.every_ms"), repeat.every_ms);
                }
                let mut trigger = self.when.plan(sampler, &label, any, roster);
                trigger.at_ms += later_ms;
                if let Some(reached) = &mut trigger.reached {
                    reached.times = reached.times.saturating_add(times_before);
                    times_before = reached.times;
                }
                let drawn = Drawn::new(self, sampler, label, roster, any);
                let fault = (self.kind.schema().of_section)(&drawn);
                PlannedFault { trigger, fault }
            })
            .collect()
    }

    /// The validator that `any-…` selects in this fault: one with an executor if `any-executor`
    /// is among its targets or conditions.
    fn any(&self, sampler: &Sampler, label: &str, roster: Roster) -> u16 {
        let mut named = self.targets.iter().copied().chain(self.when.targets());
        let executors = named.any(|t| t.kind == Kind::Executor && t.which == Selector::Any);
        let count = if executors {
            roster.executors
        } else {
            roster.validators
        };
        let range = Sampled {
            low: 0,
            high: count - 1,
        };
        sampler.draw(&format!("{label}.any"), range)
    }
}
