//! ROOT: *equal state root at equal GEI on every executor.*
//!
//! Input: the state on the disks of executors and of Subs that follow them, the roots that executors send to Subs, and the
//! sequential ledger that executes what the reference model derives.
//!
//! Violations: the state on a disk has another root than the ledger at the same GEI, when a watermark moves or when a
//! start finds it: a state that was computed otherwise, or a watermark that was stored without its state; a block is sent
//! to a Sub with another root; a Sub says that its state is another one than its Master's.
//!
//! No violation: executors at different GEIs.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    trace::{Entry, What},
    witness::{Fact, Reply, StateRoot},
};
use metanode_core::{
    env::{Event, SubEvent},
    types::GlobalExecIndex,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Root {
    /// Of the ledger.
    roots: BTreeMap<GlobalExecIndex, (StateRoot, Entry)>,
}

impl Oracle for Root {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Derived(Derived::Commit {
                frame, state_root, ..
            }) => {
                self.roots.insert(frame.gei, (*state_root, entry.clone()));
                Ok(())
            }
            What::Seen(Fact::Durable {
                watermark,
                state_root,
                ..
            }) => self.check(
                *watermark,
                *state_root,
                "the disk has",
                "after executing",
                entry,
            ),
            What::Seen(Fact::ExecutorFound {
                watermark,
                state_root,
            }) => self.check(
                *watermark,
                *state_root,
                "the disk has",
                "recovered for",
                entry,
            ),
            What::Seen(Fact::ReplySent { reply, .. }) => match &**reply {
                Reply::Blocks(blocks) => blocks.iter().try_for_each(|block| {
                    self.check(
                        block.number,
                        block.state_root,
                        "the reply has",
                        "for",
                        entry,
                    )
                }),
                _ => Ok(()),
            },
            What::Process(Event::Sub(SubEvent::Diverged { reason })) => Err(Violation::by(
                entry,
                Invariant::Root,
                "sub-diverged",
                format!("expected the Sub's state to be that of its Master, {reason}"),
                None,
            )),
            _ => Ok(()),
        }
    }
}

impl Root {
    /// The root at this GEI is that of the ledger, as far as it has got.
    fn check(
        &self,
        gei: GlobalExecIndex,
        root: StateRoot,
        place: &str,
        how: &str,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        match self.roots.get(&gei) {
            Some((expected, earlier)) if *expected != root => Err(Violation::by(
                entry,
                Invariant::Root,
                "roots-differ",
                format!("expected root {expected} by the ledger, {place} {root} {how} GEI {gei}"),
                [earlier.clone()],
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{durable, executed, executor, found, gei, node, stored},
    };
    use metanode_core::env::ExecutorEvent;

    fn with_root(mut event: ExecutorEvent, root: [u8; 32]) -> ExecutorEvent {
        match &mut event {
            ExecutorEvent::Executed { state_root, .. }
            | ExecutorEvent::Started { state_root, .. } => *state_root = root,
            _ => unreachable!(),
        }
        event
    }

    /// The ledger has executed 1 and 2.
    fn verdict(n: u16, events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        let mut trace = vec![node(0, 0, stored(1)), node(0, 0, stored(2))];
        trace.extend(events.into_iter().map(|event| executor(1, n, event)));
        judge(Root::default(), &trace)
    }

    #[test]
    fn a_single_executor_with_another_root_than_the_ledger_is_wrong() {
        let violation = verdict(0, vec![with_root(executed(1), [9; 32]), durable(1)]).unwrap();
        assert_eq!(violation.evidence.len(), 2);
        assert_eq!(
            violation.message,
            "expected root 00000000 by the ledger, the disk has 09090909 after executing GEI 1"
        );
    }

    #[test]
    fn a_watermark_without_its_state_is_found_at_the_start() {
        let state_behind = ExecutorEvent::Started {
            watermark: gei(2),
            state_root: [9; 32],
        };
        assert!(verdict(0, vec![executed(1), executed(2), state_behind]).is_some());
    }

    #[test]
    fn roots_of_the_ledger_pass() {
        let events = vec![
            found(0),
            executed(1),
            durable(1),
            executed(2),
            found(1),
            executed(2),
            durable(2),
        ];
        assert_eq!(verdict(3, events), None);
    }
}
