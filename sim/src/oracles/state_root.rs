//! ROOT: *equal state root at equal GEI on every executor.*
//!
//! Violation: two roots at one GEI, computed by two executors, computed by one in two incarnations, or recovered from
//! disk: a watermark that was stored without its state is found at a start.
//!
//! No violation: executors at different GEIs.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::trace::{Entry, What};
use metanode_core::{
    env::{Event, ExecutorEvent},
    types::GlobalExecIndex,
};
use std::fmt;

#[derive(Default)]
pub(super) struct StateRoot {
    roots: FirstSaid<GlobalExecIndex, [u8; 32]>,
}

/// The first bytes of a root, for messages.
struct Short<'a>(&'a [u8; 32]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Oracle for StateRoot {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (gei, root, how) = match &entry.what {
            What::Process(Event::Executor(ExecutorEvent::Executed {
                gei, state_root, ..
            })) => (*gei, *state_root, "after executing"),
            What::Process(Event::Executor(ExecutorEvent::Started {
                watermark,
                state_root,
            })) => (*watermark, *state_root, "recovered for"),
            _ => return Ok(()),
        };
        match self.roots.contradicted(gei, root, entry) {
            None => Ok(()),
            Some((first, earlier)) => Err(Violation::by(
                entry,
                Invariant::Root,
                "roots-differ",
                format!(
                    "expected root {} as {} had it, has {} {how} GEI {gei}",
                    Short(first),
                    earlier.process,
                    Short(&root),
                ),
                [earlier.clone()],
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{executed, executor, found, gei},
    };

    fn with_root(mut event: ExecutorEvent, root: [u8; 32]) -> ExecutorEvent {
        match &mut event {
            ExecutorEvent::Executed { state_root, .. }
            | ExecutorEvent::Started { state_root, .. } => *state_root = root,
            _ => unreachable!(),
        }
        event
    }

    #[test]
    fn two_executors_with_two_roots_have_forked() {
        let trace = [
            executor(0, 0, executed(1)),
            executor(1, 1, with_root(executed(1), [9; 32])),
        ];
        let violation = judge(StateRoot::default(), &trace).unwrap();
        assert_eq!(violation.evidence, trace);
        assert_eq!(
            violation.message,
            "expected root 00000000 as executor-0 had it, has 09090909 after executing GEI 1"
        );
    }

    #[test]
    fn a_watermark_without_its_state_is_found_at_the_start() {
        let state_behind = ExecutorEvent::Started {
            watermark: gei(2),
            state_root: [9; 32],
        };
        let trace = [
            executor(0, 0, executed(1)),
            executor(1, 0, executed(2)),
            executor(2, 0, state_behind),
        ];
        assert!(judge(StateRoot::default(), &trace).is_some());
    }

    #[test]
    fn equal_roots_at_different_times_pass() {
        let trace = [
            executor(0, 0, found(0)),
            executor(1, 0, executed(1)),
            executor(2, 0, executed(2)),
            executor(3, 1, found(0)),
            executor(4, 1, executed(1)),
            executor(5, 0, found(1)),
            executor(6, 0, executed(2)),
        ];
        assert_eq!(judge(StateRoot::default(), &trace), None);
    }
}
