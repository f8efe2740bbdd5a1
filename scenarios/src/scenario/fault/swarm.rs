//! The values that a swarm draws for one fault, in a row from one stream: duration, targets and amounts.

use crate::{sampling::Stream, scenario::target::Roster};
use metanode_sim::{faults::Channel, trace::ProcessId};
use std::collections::BTreeSet;

/// The draws of one fault.
pub(in crate::scenario) struct SwarmDraws<'a> {
    pub stream: &'a mut Stream,
    pub roster: Roster,
    /// Number of validators that may be down at the same time; any if it is none.
    max_faulty: Option<u16>,
    /// The drawn time of the fault.
    pub at_ms: u64,
    /// The duration, for kinds that have one.
    pub lasts_ms: u64,
    /// The only node of a seed whose disk is restored: more of them could be more faulty ones than are tolerated.
    pub restored: u16,
}

impl<'a> SwarmDraws<'a> {
    /// Draws the duration.
    pub fn new(
        stream: &'a mut Stream,
        roster: Roster,
        max_faulty: Option<u16>,
        at_ms: u64,
    ) -> Self {
        let lasts_ms = match stream.below(2) {
            0 => 10 + stream.low(6_000),
            _ => 10 + stream.below(6_000),
        };
        Self {
            stream,
            roster,
            max_faulty,
            at_ms,
            lasts_ms,
            restored: 0,
        }
    }

    /// Mostly one validator, sometimes several, at most `most`.
    fn some(&mut self, count: u16, most: u16) -> Vec<u16> {
        let size = match self.stream.below(4) {
            0 => 1 + self.stream.below(u64::from(most.clamp(1, count))) as u16,
            _ => 1,
        };
        let mut chosen = BTreeSet::new();
        while chosen.len() < usize::from(size) {
            chosen.insert(self.stream.below(count.into()) as u16);
        }
        chosen.into_iter().collect()
    }

    /// Validators that may be down at the same time.
    pub fn few(&mut self) -> Vec<u16> {
        let count = self.roster.validators;
        self.some(count, self.max_faulty.unwrap_or(count))
    }

    /// One host or more, but not all.
    pub fn hosts(&mut self) -> Vec<u16> {
        let count = self.roster.validators;
        self.some(count, count - 1)
    }

    pub fn executors(&mut self) -> Vec<u16> {
        let count = self.roster.executors;
        self.some(count, count)
    }

    pub fn one_executor(&mut self) -> u16 {
        self.stream.below(self.roster.executors.into()) as u16
    }

    /// An executor, or in one of four cases the Sub of any validator.
    pub fn executor_or_sub(&mut self) -> ProcessId {
        match self.stream.below(4) {
            0 => ProcessId::Sub(self.stream.below(self.roster.validators.into()) as u16),
            _ => ProcessId::Executor(self.one_executor()),
        }
    }

    /// The node, the executor or both of validators that may be down at the same time, sometimes with their Subs, or these
    /// alone.
    pub fn processes(&mut self) -> Vec<ProcessId> {
        let (numbers, parts) = (self.few(), 1 + self.stream.below(3));
        let subs = numbers.clone().into_iter().map(ProcessId::Sub);
        match self.stream.below(8) {
            0 => return subs.collect(),
            1 => {}
            _ => return self.of_validators(numbers, parts),
        }
        let subs: Vec<_> = subs.collect();
        let mut processes = self.of_validators(numbers, parts);
        processes.extend(subs);
        processes
    }

    fn of_validators(&self, numbers: Vec<u16>, parts: u64) -> Vec<ProcessId> {
        let executors = self.roster.executors;
        let mut processes = vec![];
        for n in numbers {
            let has_executor = n < executors;
            if parts != 2 || !has_executor {
                processes.push(ProcessId::Node(n));
            }
            if parts != 1 && has_executor {
                processes.push(ProcessId::Executor(n));
            }
        }
        processes.sort_unstable();
        processes
    }

    pub fn channel(&mut self) -> Channel {
        match self.stream.below(5) {
            0 => Channel::Any,
            4 => Channel::Transactions,
            1 => Channel::BlockStream,
            2 => Channel::Rpc,
            _ => Channel::Peers,
        }
    }
}
