//! The parts of any fault that renumbering and shrinking change, whatever its kind.

use crate::process_id::ProcessId;

/// What a fault is made of, but for what has no simpler value.
pub(crate) struct Parts<'a> {
    pub targets: Targets<'a>,
    /// How long it lasts; until all faults end if there is none.
    pub lasting_ms: Option<&'a mut Option<u64>>,
    /// A delay, or another amount whose simplest is 0.
    pub amount: Option<&'a mut u64>,
}

/// What a fault is about.
pub(crate) enum Targets<'a> {
    Processes(&'a mut Vec<ProcessId>),
    /// Validators, for all that they run.
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
    /// How many there are.
    pub const fn count(&self) -> usize {
        match self {
            Self::Processes(ids) => ids.len(),
            Self::Hosts(numbers) | Self::Executors(numbers) => numbers.len(),
        }
    }

    /// Removes the one at this position.
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

    /// Keeps the targets that `to` keeps, under the numbers that it gives them.
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
