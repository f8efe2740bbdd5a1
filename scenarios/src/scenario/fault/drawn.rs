//! The values that a seed draws for the keys and targets of a section. Every key has a random stream of its own.

use super::FaultSection;
use crate::{
    sampling::{Number, Sampled, Sampler},
    scenario::target::{Kind, Roster},
};
use metanode_sim::{faults::Channel, trace::ProcessId};
use std::collections::BTreeSet;

/// The values of one repetition of a section.
pub(super) struct Drawn<'a> {
    pub section: &'a FaultSection,
    sampler: &'a Sampler,
    label: String,
    validators: BTreeSet<u16>,
    processes: BTreeSet<ProcessId>,
}

impl<'a> Drawn<'a> {
    /// `any` is the validator that `any-…` selects.
    pub fn new(
        section: &'a FaultSection,
        sampler: &'a Sampler,
        label: String,
        roster: Roster,
        any: u16,
    ) -> Self {
        let mut validators = BTreeSet::new();
        let mut processes = BTreeSet::new();
        for (position, target) in section.targets.iter().enumerate() {
            let label = format!("{label}.targets.{position}");
            for number in roster.numbers(*target, any, sampler, &label) {
                validators.insert(number);
                let is_of = |kind| target.kind == kind || target.kind == Kind::Host;
                if is_of(Kind::Node) {
                    processes.insert(ProcessId::Node(number));
                }
                if is_of(Kind::Executor) && number < roster.executors {
                    processes.insert(ProcessId::Executor(number));
                }
                if is_of(Kind::Sub) {
                    processes.insert(ProcessId::Sub(number));
                }
            }
        }
        Self {
            section,
            sampler,
            label,
            validators,
            processes,
        }
    }

    pub fn processes(&self) -> Vec<ProcessId> {
        self.processes.iter().copied().collect()
    }

    /// The validators to which the targets belong.
    pub fn validators(&self) -> Vec<u16> {
        self.validators.iter().copied().collect()
    }

    pub fn down_ms(&self) -> Option<u64> {
        self.optional("down_ms", self.section.down_ms)
    }

    pub fn for_ms(&self) -> Option<u64> {
        self.optional("for_ms", self.section.for_ms)
    }

    pub fn channel(&self) -> Channel {
        self.section.channel.unwrap_or_default()
    }

    /// A number in the range of this key; 0 if it is left out.
    pub fn number<T: Number + Default>(&self, key: &str, range: Option<Sampled<T>>) -> T {
        self.optional(key, range).unwrap_or_default()
    }

    fn optional<T: Number>(&self, key: &str, range: Option<Sampled<T>>) -> Option<T> {
        range.map(|range| self.sampler.draw(&format!("{}.{key}", self.label), range))
    }
}
