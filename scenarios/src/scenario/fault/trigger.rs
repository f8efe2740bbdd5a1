//! `when` of a `[[fault]]`: its keys, the trigger that a seed draws from it, and the section of a given trigger.

use crate::{
    sampling::{Sampled, Sampler},
    scenario::target::{Kind, Roster, Selector, Target},
};
use metanode_core::{
    env::CrashPoint,
    types::{CommitIndex, GlobalExecIndex},
};
use metanode_sim::{
    faults::{DurableAt, Reached, StoredAt, Trigger},
    trace::ProcessId,
};
use serde::{Deserialize, Serialize};

/// `when`, see [`Trigger`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerSection {
    pub at_ms: Option<Sampled<u64>>,
    pub stored: Option<StoredTrigger>,
    pub durable: Option<DurableTrigger>,
    pub reached: Option<ReachedTrigger>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredTrigger {
    pub node: Target,
    pub commit: Sampled<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurableTrigger {
    pub executor: Target,
    pub gei: Sampled<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedTrigger {
    pub process: Target,
    /// The name of a crash point, or `any`: a crash point of the process, drawn.
    pub point: String,
    /// The occurrence, counted from 1.
    pub times: Sampled<u32>,
}

/// The crash points of a kind of process. Those of an epoch change are left out where there is only one epoch.
pub(in crate::scenario) fn points_of(kind: Kind, changes: bool) -> Vec<CrashPoint> {
    let prefix = format!("{kind}.");
    let points = CrashPoint::ALL.iter().copied();
    let points = points.filter(|p| changes || !p.is_of_a_change());
    points.filter(|p| p.name().starts_with(&prefix)).collect()
}

impl ReachedTrigger {
    /// The crash points with this name; for `any`, all that the process reaches.
    pub(super) fn points(&self, changes: bool) -> Vec<CrashPoint> {
        if self.point == "any" {
            return points_of(self.process.kind, changes);
        }
        let mut points = points_of(self.process.kind, true);
        points.retain(|point| point.name() == self.point);
        points
    }
}

impl TriggerSection {
    pub(super) const fn is_empty(&self) -> bool {
        self.at_ms.is_none()
            && self.stored.is_none()
            && self.durable.is_none()
            && self.reached.is_none()
    }

    /// The targets in the conditions.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        let stored = self.stored.iter().map(|stored| stored.node);
        let durable = self.durable.iter().map(|durable| durable.executor);
        let reached = self.reached.iter().map(|reached| reached.process);
        stored.chain(durable).chain(reached)
    }

    /// The trigger that a seed draws. `any` is the validator that `any-…` selects in this fault.
    pub(super) fn plan(&self, sampler: &Sampler, label: &str, any: u16, roster: Roster) -> Trigger {
        let label = |key: &str| format!("{label}.when.{key}");
        let number = |target: Target| match target.which {
            Selector::Number(number) => number,
            Selector::Any | Selector::All | Selector::Minority | Selector::Half => any,
        };
        Trigger {
            at_ms: self
                .at_ms
                .map_or(0, |range| sampler.draw(&label("at_ms"), range)),
            stored: self.stored.as_ref().map(|stored| StoredAt {
                node: number(stored.node),
                commit: CommitIndex(sampler.draw(&label("stored.commit"), stored.commit)),
            }),
            durable: self.durable.as_ref().map(|durable| DurableAt {
                executor: number(durable.executor),
                gei: GlobalExecIndex(sampler.draw(&label("durable.gei"), durable.gei)),
            }),
            reached: self.reached.as_ref().and_then(|reached| {
                let number = number(reached.process);
                let process = match reached.process.kind {
                    Kind::Executor => ProcessId::Executor(number),
                    Kind::Sub => ProcessId::Sub(number),
                    Kind::Node | Kind::Host => ProcessId::Node(number),
                };
                let points = reached.points(roster.changes);
                let last = u32::try_from(points.len()).ok()?.checked_sub(1)?;
                let chosen = sampler.draw(&label("reached.point"), Sampled { low: 0, high: last });
                Some(Reached {
                    process,
                    point: points[chosen as usize],
                    times: sampler.draw(&label("reached.times"), reached.times),
                })
            }),
        }
    }

    /// The section with fixed values from which every seed draws this trigger.
    pub(super) fn explicit(trigger: &Trigger) -> Self {
        let Trigger {
            at_ms,
            stored,
            durable,
            reached,
        } = trigger;
        Self {
            at_ms: (*at_ms > 0).then_some(Sampled::fixed(*at_ms)),
            stored: stored.as_ref().map(|at| StoredTrigger {
                node: Target::numbered(Kind::Node, at.node),
                commit: Sampled::fixed(at.commit.0),
            }),
            durable: durable.as_ref().map(|at| DurableTrigger {
                executor: Target::numbered(Kind::Executor, at.executor),
                gei: Sampled::fixed(at.gei.0),
            }),
            reached: reached.as_ref().map(|at| ReachedTrigger {
                process: Target::process(at.process),
                point: at.point.name().to_owned(),
                times: Sampled::fixed(at.times),
            }),
        }
    }
}
