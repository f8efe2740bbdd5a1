//! The parts of any fault that renumbering and shrinking change.

use crate::process_id::ProcessId;

/// The parts of a fault that have simpler values.
pub(crate) struct Parts<'a> {
    pub targets: Targets<'a>,
    /// Its duration: `Some(None)` lasts until all faults end, `None` if the kind has no duration.
    pub lasting_ms: Option<&'a mut Option<u64>>,
    /// A delay, or another amount whose simplest value is 0.
    pub amount: Option<&'a mut u64>,
}

/// The targets of a fault.
pub(crate) enum Targets<'a> {
    Processes(&'a mut Vec<ProcessId>),
    /// Validators, with all their processes.
    Hosts(&'a mut Vec<u16>),
    Executors(&'a mut Vec<u16>),
}

impl<'a> Parts<'a> {
    pub const fn of_processes(ids: &'a mut Vec<ProcessId>) -> Self {
        Self::of(Targets::Processes(ids))
    }

    pub const fn of_hosts(numbers: &'a mut Vec<u16>) -> Self {
        Self::of(Targets::Hosts(numbers))
    }

    pub const fn of_executors(numbers: &'a mut Vec<u16>) -> Self {
        Self::of(Targets::Executors(numbers))
    }

    const fn of(targets: Targets<'a>) -> Self {
        Self {
            targets,
            lasting_ms: None,
            amount: None,
        }
    }

    pub const fn lasting(mut self, ms: &'a mut Option<u64>) -> Self {
        self.lasting_ms = Some(ms);
        self
    }

    pub const fn amount(mut self, amount: &'a mut u64) -> Self {
        self.amount = Some(amount);
        self
    }
}

impl Targets<'_> {
    /// The number of targets.
    pub const fn count(&self) -> usize {
        match self {
            Self::Processes(ids) => ids.len(),
            Self::Hosts(numbers) | Self::Executors(numbers) => numbers.len(),
        }
    }

    /// Removes the target at this position.
    pub fn remove(&mut self, position: usize) {
        match self {
            Self::Processes(ids) => {
                ids.remove(position);
            }
            Self::Hosts(numbers) | Self::Executors(numbers) => {
                numbers.remove(position);
            }
        }
    }

    /// Replaces every target by what `to` returns for it, and removes those without a replacement.
    pub fn renumber(&mut self, to: &impl Fn(ProcessId) -> Option<ProcessId>) {
        match self {
            Self::Processes(ids) => {
                **ids = ids.iter().filter_map(|id| to(*id)).collect();
                ids.sort_unstable();
            }
            Self::Hosts(numbers) => renumber(numbers, ProcessId::Node, to),
            Self::Executors(numbers) => renumber(numbers, ProcessId::Executor, to),
        }
    }
}

fn renumber(
    numbers: &mut Vec<u16>,
    process: fn(u16) -> ProcessId,
    to: &impl Fn(ProcessId) -> Option<ProcessId>,
) {
    let kept = numbers.iter().filter_map(|n| to(process(*n))?.validator());
    *numbers = kept.collect();
    numbers.sort_unstable();
}
