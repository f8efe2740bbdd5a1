//! The text of a LIVE violation: what was demanded, and which processes are pending.

use super::{Liveness, Phase, bounds::Measurement};
use crate::{
    oracles::{Invariant, Violation},
    trace::{Entry, ProcessId, SimTime, What},
};
use metanode_core::env::{Event, NodeEvent};

impl Liveness {
    pub(super) fn overdue(&self, began: &Entry, now: SimTime) -> Box<Violation> {
        let (clause, expected) = match &self.phase {
            Phase::CatchingUp { tip, .. } => (
                "tip-not-reached",
                format!("every executor at the tip, GEI {tip}"),
            ),
            Phase::Measuring { rates, seen, .. } => {
                let silent = self.silent(seen);
                if silent.is_empty() {
                    let demanded =
                        rates.demanded(now.since(rates.since).as_ms(), self.bounds.commit_ms);
                    let Measurement {
                        commits, executed, ..
                    } = rates;
                    let found = format!("found {commits} commits and {executed} transactions");
                    (
                        "too-slow",
                        format!(
                            "at least {demanded} commits, {found}, with all executors following"
                        ),
                    )
                } else {
                    let nodes: Vec<_> = silent.iter().map(|n| format!("node-{n}")).collect();
                    let nodes = nodes.join(", ");
                    (
                        "node-is-silent",
                        format!("blocks of every live node, named by others; missing: {nodes}"),
                    )
                }
            }
            Phase::Faults | Phase::Done => ("tip-not-reached", String::new()),
        };
        let (pending, mut evidence) = self.pending();
        evidence.push(began.clone());
        evidence.sort_by_key(|entry| entry.at);
        Box::new(Violation {
            invariant: Invariant::Live,
            clause,
            at: now,
            process: ProcessId::World,
            message: format!(
                "expected {expected}, within {} ms after faults ended; pending: {}",
                self.plan.settle_ms,
                pending.join("; ")
            ),
            evidence,
        })
    }

    /// The processes that are pending, with their last entries.
    fn pending(&self) -> (Vec<String>, Vec<Entry>) {
        let (mut pending, mut evidence) = (vec![], vec![]);
        for (n, executor) in &self.executors {
            let down = if executor.down { ", down" } else { "" };
            if executor.down || executor.durable < self.tip {
                pending.push(format!(
                    "executor-{n} durable at {}{down}",
                    executor.durable
                ));
                evidence.extend(executor.last.clone());
            }
        }
        for (n, node) in &self.nodes {
            let mut text = format!("node-{n}");
            if node.down {
                text.push_str(" is down");
            }
            if node.paused.is_some() {
                text.push_str(" has paused its proposals");
            }
            if let Some(What::Process(Event::Node(NodeEvent::Waiting { attempt, reason }))) =
                node.waiting.as_ref().map(|entry| &entry.what)
            {
                text.push_str(&format!(" waits (attempt {attempt}): {reason}"));
            }
            if text.contains(' ') {
                pending.push(text);
            }
            evidence.extend(node.paused.iter().chain(&node.waiting).cloned());
        }
        (pending, evidence)
    }
}
