//! EXPECT: *the expectations of the scenario hold.* Not an invariant of the contract.
//!
//! [`Expectation`]: in every incarnation of the node after its first, the first frames that it writes have exactly these
//! GEIs, in this order, and none of them is written again in that incarnation.
//!
//! Violations: another frame before all of them were written; one of them again; a run that ends before the node was
//! restarted and has written all of them.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Expectation,
    trace::{Entry, SimTime, What, WorldEvent},
    witness::Fact,
};
use metanode_core::types::GlobalExecIndex;

pub(super) struct ExpectationMet {
    expectation: Expectation,
    /// The node's current incarnation, if it is not its first.
    incarnation: Option<Incarnation>,
}

struct Incarnation {
    began: Entry,
    /// The number of expected frames that were written.
    written: usize,
}

impl ExpectationMet {
    pub(super) const fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            incarnation: None,
        }
    }

    fn frame(&mut self, gei: GlobalExecIndex, entry: &Entry) -> Result<(), Box<Violation>> {
        let Expectation {
            node,
            frames_after_restart: frames,
        } = &self.expectation;
        let Some(incarnation) = &mut self.incarnation else {
            return Ok(());
        };
        let next = frames.get(incarnation.written);
        match next {
            Some(next) if *next == gei => incarnation.written += 1,
            None if !frames.contains(&gei) => {}
            _ => {
                let expected = next.map_or("none of them again".to_owned(), ToString::to_string);
                let message = format!(
                    "the scenario expects {node} to write {} first and once after a restart: \
                     expected {expected}, {gei} was written",
                    list(frames)
                );
                let earlier = [incarnation.began.clone()];
                return Err(Violation::by(
                    entry,
                    Invariant::Expect,
                    "frames-after-restart",
                    message,
                    earlier,
                ));
            }
        }
        Ok(())
    }
}

fn list(frames: &[GlobalExecIndex]) -> String {
    let frames: Vec<_> = frames.iter().map(GlobalExecIndex::to_string).collect();
    frames.join(", ")
}

impl Oracle for ExpectationMet {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if entry.process != self.expectation.node {
            return Ok(());
        }
        match &entry.what {
            What::World(WorldEvent::Started { start: 2.. }) => {
                self.incarnation = Some(Incarnation {
                    began: entry.clone(),
                    written: 0,
                });
                Ok(())
            }
            What::Seen(Fact::FrameSent { frame, .. }) => self.frame(frame.gei, entry),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        let Expectation {
            node,
            frames_after_restart: frames,
        } = &self.expectation;
        let message = match &self.incarnation {
            Some(incarnation) if incarnation.written == frames.len() => return Ok(()),
            Some(incarnation) => format!(
                "the scenario expects {node} to write {} after a restart: \
                 only {} of them had been written at the end",
                list(frames),
                incarnation.written
            ),
            None => format!("the scenario expects {node} to be restarted: it never was"),
        };
        Err(Box::new(Violation {
            invariant: Invariant::Expect,
            clause: "never-restarted",
            at: end,
            process: *node,
            message,
            evidence: self
                .incarnation
                .iter()
                .map(|incarnation| incarnation.began.clone())
                .collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::{
            ProcessId,
            testing::{gei, node, world_event, written},
        },
    };

    const NODE: u16 = 1;

    fn incarnations(incarnations: &[&[u64]]) -> Vec<Entry> {
        (1..)
            .zip(incarnations)
            .flat_map(|(start, frames)| {
                let process = ProcessId::Node(NODE);
                let started = world_event(0, process, WorldEvent::Started { start });
                let frames = frames.iter().map(|of| node(0, NODE, written(1, *of)));
                std::iter::once(started).chain(frames)
            })
            .collect()
    }

    fn verdict(trace: &[Entry]) -> Option<String> {
        let oracle = ExpectationMet::new(Expectation {
            node: ProcessId::Node(NODE),
            frames_after_restart: [8, 9, 10].map(gei).to_vec(),
        });
        judge(oracle, trace).map(|violation| violation.message)
    }

    fn fires(trace: &[Entry], about: &str) {
        let message = verdict(trace).expect(about);
        assert!(message.contains(about), "{message}");
    }

    #[test]
    fn the_expected_frames_once_and_in_order_after_every_restart_pass() {
        assert_eq!(verdict(&incarnations(&[&[1, 2, 3], &[8, 9, 10, 11]])), None);
        assert_eq!(
            verdict(&incarnations(&[&[], &[8, 9, 10], &[8, 9, 10]])),
            None
        );
    }

    #[test]
    fn another_frame_first_fires() {
        fires(&incarnations(&[&[], &[7, 8, 9, 10]]), "expected 8, 7 was");
        fires(&incarnations(&[&[], &[8, 10]]), "expected 9, 10 was");
        fires(
            &incarnations(&[&[], &[8, 9, 10], &[11]]),
            "expected 8, 11 was",
        );
    }

    #[test]
    fn a_frame_written_twice_fires() {
        fires(&incarnations(&[&[], &[8, 8]]), "expected 9, 8 was");
        fires(
            &incarnations(&[&[], &[8, 9, 10, 11, 10]]),
            "none of them again, 10 was",
        );
    }

    #[test]
    fn a_missing_restart_or_frame_fires() {
        fires(&incarnations(&[&[8, 9, 10]]), "it never was");
        fires(&incarnations(&[&[], &[8, 9]]), "only 2 of them");
    }

    #[test]
    fn other_nodes_are_not_judged() {
        let mut trace = incarnations(&[&[], &[8, 9, 10]]);
        trace.push(node(0, 0, written(1, 3)));
        assert_eq!(verdict(&trace), None);
    }
}
