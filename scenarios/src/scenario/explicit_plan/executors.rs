//! `[executor]` of an explicit scenario.

use super::super::{Executor, Kind, OddExecutor, OneExecutor, Target, sections::Guards};
use metanode_sim::plan::{ExecutorPlan, Manners};

/// One section for all, with `[executor.odd]` if one differs, or `[[executor.each]]` if several do.
pub(super) fn fixed(executors: &[ExecutorPlan], manners: &Manners) -> Executor {
    let alike = |plan: &ExecutorPlan| executors.iter().filter(|other| *other == plan).count();
    let Some(common) = executors.iter().max_by_key(|plan| alike(plan)) else {
        return Executor::default();
    };
    let OneExecutor {
        guard,
        execute_us,
        flush_every_blocks,
    } = explicit_executor(common);
    let others: Vec<(usize, &ExecutorPlan)> = executors
        .iter()
        .enumerate()
        .filter(|(_, plan)| *plan != common)
        .collect();
    let (odd, each) = match others[..] {
        [] => (None, vec![]),
        [(number, plan)] => (Some(explicit_odd(number, plan, common)), vec![]),
        _ => (None, executors.iter().map(explicit_executor).collect()),
    };
    Executor {
        guard: Guards::Same(guard),
        execute_us,
        flush_every_blocks,
        manners: match *manners == Manners::default() {
            true => vec![],
            false => vec![manners.clone()],
        },
        odd,
        each,
    }
}

fn explicit_executor(plan: &ExecutorPlan) -> OneExecutor {
    let ExecutorPlan {
        guard,
        execute_us,
        flush_every_blocks,
    } = plan;
    OneExecutor {
        guard: *guard,
        execute_us: (*execute_us).into(),
        flush_every_blocks: (*flush_every_blocks).into(),
    }
}

fn explicit_odd(number: usize, plan: &ExecutorPlan, common: &ExecutorPlan) -> OddExecutor {
    let (plan, common) = (explicit_executor(plan), explicit_executor(common));
    OddExecutor {
        which: Target::numbered(Kind::Executor, u16::try_from(number).unwrap_or(u16::MAX)),
        guard: (plan.guard != common.guard).then_some(plan.guard),
        execute_us: (plan.execute_us != common.execute_us).then_some(plan.execute_us),
        flush_every_blocks: (plan.flush_every_blocks != common.flush_every_blocks)
            .then_some(plan.flush_every_blocks),
    }
}
