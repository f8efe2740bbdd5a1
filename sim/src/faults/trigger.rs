//! When a fault happens: a time, and conditions on what nodes and executors have done.

use crate::{amounts::ms, nearer::toward, process_id::ProcessId};
use metanode_core::{
    env::CrashPoint,
    types::{CommitIndex, GlobalExecIndex},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A moment. All given conditions must hold; without any it is the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    /// Not before this time.
    pub at_ms: u64,
    /// The node has stored this commit of the running epoch.
    pub stored: Option<StoredAt>,
    /// The executor's watermark is durable at this GEI.
    pub durable: Option<DurableAt>,
    /// The process reaches this crash point for the n-th time (from 1, counted over all its incarnations).
    pub reached: Option<Reached>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredAt {
    pub node: u16,
    pub commit: CommitIndex,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DurableAt {
    pub executor: u16,
    pub gei: GlobalExecIndex,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    pub process: ProcessId,
    pub point: CrashPoint,
    pub times: u32,
}

impl Trigger {
    /// A time without further conditions.
    #[must_use]
    pub fn at_ms(at_ms: u64) -> Self {
        Self {
            at_ms,
            ..Self::default()
        }
    }

    /// Whether it has no conditions besides the time.
    #[must_use]
    pub const fn is_a_time(&self) -> bool {
        self.stored.is_none() && self.durable.is_none() && self.reached.is_none()
    }

    /// The same moment with the processes replaced by `to`. `None` if it waits for one without a replacement.
    pub(crate) fn renumbered(&self, to: &impl Fn(ProcessId) -> Option<ProcessId>) -> Option<Self> {
        let mut renumbered = self.clone();
        let Self {
            at_ms: _,
            stored,
            durable,
            reached,
        } = &mut renumbered;
        if let Some(stored) = stored {
            stored.node = to(ProcessId::Node(stored.node))?.validator()?;
        }
        if let Some(durable) = durable {
            durable.executor = to(ProcessId::Executor(durable.executor))?.validator()?;
        }
        if let Some(reached) = reached {
            reached.process = to(reached.process)?;
        }
        Some(renumbered)
    }

    /// The same without one of its conditions.
    pub(crate) fn with_fewer_conditions(&self) -> Vec<Self> {
        let Self {
            at_ms: _,
            stored,
            durable,
            reached,
        } = self;
        let mut simpler = vec![];
        if stored.is_some() {
            simpler.push(Self {
                stored: None,
                ..self.clone()
            });
        }
        if durable.is_some() {
            simpler.push(Self {
                durable: None,
                ..self.clone()
            });
        }
        if reached.is_some() {
            simpler.push(Self {
                reached: None,
                ..self.clone()
            });
        }
        simpler
    }

    /// The same with one smaller and rounder number, the smallest first: times down to 0, all others down to 1.
    pub(crate) fn with_smaller_numbers(&self) -> Vec<Self> {
        let Self {
            at_ms,
            stored,
            durable,
            reached,
        } = self;
        let mut simpler = vec![];
        let mut offer = |change: &dyn Fn(&mut Self)| {
            let mut trigger = self.clone();
            change(&mut trigger);
            simpler.push(trigger);
        };
        for at_ms in toward(*at_ms, 0) {
            offer(&|trigger| trigger.at_ms = at_ms);
        }
        if let Some(StoredAt { node, commit }) = stored {
            for index in toward(commit.0.into(), 1) {
                let (node, commit) = (*node, CommitIndex(narrow(index)));
                offer(&|trigger| trigger.stored = Some(StoredAt { node, commit }));
            }
        }
        if let Some(DurableAt { executor, gei }) = durable {
            for gei in toward(gei.0, 1) {
                let (executor, gei) = (*executor, GlobalExecIndex(gei));
                offer(&|trigger| trigger.durable = Some(DurableAt { executor, gei }));
            }
        }
        if let Some(Reached {
            process,
            point,
            times,
        }) = reached
        {
            for times in toward((*times).into(), 1) {
                let reached = Reached {
                    process: *process,
                    point: *point,
                    times: narrow(times),
                };
                offer(&|trigger| trigger.reached = Some(reached.clone()));
            }
        }
        simpler
    }
}

/// Back to the original type. The number lies between two of that type.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `at 340 ms`, `once node-0 stored commit 10, not before 2.5 s`.
impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at_ms,
            stored,
            durable,
            reached,
        } = self;
        let mut conditions = vec![];
        if let Some(StoredAt { node, commit }) = stored {
            conditions.push(format!("node-{node} stored commit {commit}"));
        }
        if let Some(DurableAt { executor, gei }) = durable {
            conditions.push(format!("executor-{executor} is durable at {gei}"));
        }
        if let Some(Reached {
            process,
            point,
            times,
        }) = reached
        {
            conditions.push(format!("{process} reached {point} ({times}×)"));
        }
        match (conditions.is_empty(), *at_ms) {
            (true, 0) => f.write_str("at the start"),
            (true, at_ms) => write!(f, "at {}", ms(at_ms)),
            (false, 0) => write!(f, "once {}", conditions.join(" and ")),
            (false, at_ms) => {
                let conditions = conditions.join(" and ");
                write!(f, "once {conditions}, not before {}", ms(at_ms))
            }
        }
    }
}
