//! Simpler plans, one subject at a time. Every step offers strictly simpler plans: each makes a part of the plan
//! smaller and none larger, so that repeating the steps terminates.
//!
//! The simplest value of everything that cannot be removed is that of [`Plan::example`].

use super::{
    fault,
    limits::{self, Number},
};
use crate::{
    nearer::toward,
    plan::{
        Backend, ByzantinePlan, ByzantineStrategy, ExecutorPlan, Guard, Member, Move, OwnLimit,
        Plan, Span, Topology,
    },
    trace::ProcessId,
};
use metanode_core::{
    config::StartPolicy,
    types::{Encryption, SignatureScheme},
};

/// Fewer tolerate no faulty validator.
const FEWEST_VALIDATORS: u16 = 4;

/// A way to simplify a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Name in reports.
    pub name: &'static str,
    /// The number of the host, executor, fault or limit.
    number: usize,
    candidates: fn(&Plan, usize) -> Vec<Plan>,
}

impl Step {
    /// Strictly simpler plans, the simplest first.
    pub fn candidates(&self, plan: &Plan) -> Vec<Plan> {
        (self.candidates)(plan, self.number)
    }
}

/// All steps for this plan; those that make runs faster come first. If the violated invariant has a deadline, the time
/// after the faults is kept: with too little of it every plan fails.
pub(super) fn steps(plan: &Plan, has_deadline: bool) -> Vec<Step> {
    let step = |name, candidates| Step {
        name,
        number: 0,
        candidates,
    };
    let numbered = |name, count, candidates| {
        (0..count).map(move |number| Step {
            name,
            number,
            candidates,
        })
    };
    let mut steps = vec![step("duration", duration)];
    if !has_deadline {
        steps.push(step("settling", settling));
    }
    steps.extend([
        step("validators", validators),
        step("topology", single_master),
        step(
            "stores, signatures, start policy, manners and peers",
            choices,
        ),
        step("bugs", bugs),
        step("Byzantine validators", byzantine),
        step("epochs", epochs),
        step("genesis", genesis),
        step("committees", committees),
        step("unusable registrations", unusable),
        step("validators that stay down", stays_down),
        step("limits of single nodes", own_limits),
        step("clocks", clocks),
    ]);
    steps.extend(numbered("clocks", plan.clock_skew_ms.len(), clock));
    steps.push(step("limits", limits::all));
    steps.extend(numbered("limits", Number::all().count(), limits::one));
    steps.push(step("latency", latency));
    steps.push(step("executors", executors));
    steps.extend(numbered("executors", plan.executors.len(), executor));
    steps.push(step("times of faults", sooner));
    steps.extend(numbered("faults", plan.faults.len(), one_fault));
    steps
}

/// The plan after a change.
fn with(plan: &Plan, change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = plan.clone();
    change(&mut plan);
    plan
}

fn duration(plan: &Plan, _: usize) -> Vec<Plan> {
    let shorter = toward(plan.duration_ms, 1);
    let shorter = shorter
        .into_iter()
        .map(|ms| with(plan, |plan| plan.duration_ms = ms));
    shorter.collect()
}

fn settling(plan: &Plan, _: usize) -> Vec<Plan> {
    let shorter = toward(plan.settle_ms, 1);
    let shorter = shorter
        .into_iter()
        .map(|ms| with(plan, |plan| plan.settle_ms = ms));
    shorter.collect()
}

/// Without one validator. In `single-master`, number 0 is the one that delivers.
fn validators(plan: &Plan, _: usize) -> Vec<Plan> {
    if plan.validators <= FEWEST_VALIDATORS {
        return vec![];
    }
    let first = u16::from(plan.topology == Topology::SingleMaster);
    (first..plan.validators)
        .rev()
        .map(|left_out| {
            let kept: Vec<u16> = (0..plan.validators).filter(|n| *n != left_out).collect();
            renumbered(plan, &kept)
        })
        // With more than f that are Byzantine no invariant has to hold, with more that are absent no progress.
        .filter(|plan| {
            let absent = (0..plan.validators).filter(|n| !plan.takes_part(*n));
            absent.count() <= usize::from(plan.epochs.tolerated(plan.validators))
        })
        .collect()
}

/// One executor for all: any of the present ones.
fn single_master(plan: &Plan, _: usize) -> Vec<Plan> {
    if plan.topology == Topology::SingleMaster {
        return vec![];
    }
    (0..plan.validators)
        .filter(|master| !plan.is_byzantine(*master))
        .map(|master| {
            let mut order: Vec<u16> = (0..plan.validators).collect();
            order.swap(0, usize::from(master));
            let mut plan = renumbered(plan, &order);
            plan.topology = Topology::SingleMaster;
            plan.executors.truncate(1);
            keep_in_faults(&mut plan, |id| match id {
                ProcessId::Executor(1..) => None,
                _ => Some(id),
            });
            plan
        })
        .collect()
}

/// Validator `kept[n]` becomes number n, with all its settings; the others are removed.
fn renumbered(plan: &Plan, kept: &[u16]) -> Plan {
    let position = |old: u16| {
        let position = kept.iter().position(|kept| *kept == old)?;
        u16::try_from(position).ok()
    };
    let mut new = plan.clone();
    new.validators = u16::try_from(kept.len()).unwrap_or(u16::MAX);
    new.clock_skew_ms = kept
        .iter()
        .filter_map(|old| plan.clock_skew_ms.get(usize::from(*old)).copied())
        .collect();
    new.clock_drift_ppm = kept
        .iter()
        .filter_map(|old| plan.clock_drift_ppm.get(usize::from(*old)).copied())
        .collect();
    new.executors = kept
        .iter()
        .filter_map(|old| plan.executors.get(usize::from(*old)).cloned())
        .collect();
    new.byzantine = (plan.byzantine.iter())
        .filter_map(|byzantine| {
            Some(ByzantinePlan {
                validator: position(byzantine.validator)?,
                ..byzantine.clone()
            })
        })
        .collect();
    new.byzantine.sort_unstable_by_key(|b| b.validator);
    new.stays_down = (plan.stays_down.iter().copied())
        .filter_map(position)
        .collect();
    new.own_limits = (plan.own_limits.iter())
        .filter_map(|own| {
            Some(OwnLimit {
                validator: position(own.validator)?,
                ..own.clone()
            })
        })
        .collect();
    for committee in &mut new.epochs.committees {
        let kept = committee.members.iter().filter_map(|member| {
            Some(Member {
                validator: position(member.validator)?,
                ..*member
            })
        });
        committee.members = kept.collect();
    }
    // Byzantine validators count among those that the committee tolerates, as in the check of scenarios.
    let byzantine = u16::try_from(new.byzantine.len()).unwrap_or(u16::MAX);
    let tolerated = new.epochs.tolerated(new.validators);
    let others = tolerated.saturating_sub(byzantine);
    new.max_faulty = new.max_faulty.map(|most| most.min(others));
    keep_in_faults(&mut new, |id| match id {
        ProcessId::Node(n) => position(n).map(ProcessId::Node),
        ProcessId::Executor(n) => position(n).map(ProcessId::Executor),
        ProcessId::Sub(n) => position(n).map(ProcessId::Sub),
        ProcessId::World => Some(id),
    });
    new
}

fn keep_in_faults(plan: &mut Plan, to: impl Fn(ProcessId) -> Option<ProcessId>) {
    let faults = plan
        .faults
        .iter()
        .filter_map(|fault| fault::renumbered(fault, &to));
    plan.faults = faults.collect();
}

fn choices(plan: &Plan, _: usize) -> Vec<Plan> {
    let changes: [fn(&mut Plan); 5] = [
        |plan| plan.store = Backend::Memory,
        |plan| plan.signatures = SignatureScheme::KeyedHash,
        |plan| plan.encryption = Encryption::Readable,
        |plan| plan.start_policy = StartPolicy::Wait,
        |plan| plan.asks_peers = false,
    ];
    let changed = changes.into_iter().map(|change| with(plan, change));
    let mut found: Vec<_> = changed.filter(|changed| changed != plan).collect();
    found.extend(plan.with_plain_executors());
    found
}

/// Without one of the enabled bugs.
fn bugs(plan: &Plan, _: usize) -> Vec<Plan> {
    let positions = 0..plan.bugs.len();
    positions
        .map(|position| {
            with(plan, |plan| {
                plan.bugs.remove(position);
            })
        })
        .collect()
}

/// One of them becomes honest, or silent, the simplest strategy, or its program simpler.
fn byzantine(plan: &Plan, _: usize) -> Vec<Plan> {
    let positions = || 0..plan.byzantine.len();
    let honest = positions().map(|position| {
        with(plan, |plan| {
            plan.byzantine.remove(position);
        })
    });
    let loud = positions().filter(|n| plan.byzantine[*n].strategy != ByzantineStrategy::Silent);
    let silent = loud.map(|position| {
        with(plan, |plan| {
            plan.byzantine[position].strategy = ByzantineStrategy::Silent;
            plan.byzantine[position].program.clear();
        })
    });
    let simpler = positions().flat_map(|position| {
        let programs = simpler_programs(&plan.byzantine[position].program);
        programs
            .into_iter()
            .map(move |program| with(plan, |plan| plan.byzantine[position].program = program))
    });
    honest.chain(silent).chain(simpler).collect()
}

/// Without one of several moves, or with a move that deviates in one respect less.
fn simpler_programs(program: &[Move]) -> Vec<Vec<Move>> {
    let positions = 0..program.len();
    let removable = positions.clone().filter(|_| program.len() > 1);
    let shorter = removable.map(|position| {
        let mut shorter = program.to_vec();
        shorter.remove(position);
        shorter
    });
    let simpler = positions.flat_map(|position| {
        let simpler = program[position].simpler().into_iter();
        simpler.map(move |simpler| {
            let mut program = program.to_vec();
            program[position] = simpler;
            program
        })
    });
    shorter.chain(simpler).collect()
}

/// One epoch for the whole run, or fewer of them.
fn epochs(plan: &Plan, _: usize) -> Vec<Plan> {
    let Some(duration_ms) = plan.epochs.duration_ms else {
        return vec![];
    };
    let longer = duration_ms.saturating_mul(2);
    let longer = (longer < plan.duration_ms).then_some(longer);
    [None, longer]
        .into_iter()
        .filter(|duration_ms| *duration_ms != plan.epochs.duration_ms)
        .map(|duration_ms| with(plan, |plan| plan.epochs.duration_ms = duration_ms))
        .collect()
}

/// Genesis at the start of the run.
fn genesis(plan: &Plan, _: usize) -> Vec<Plan> {
    if plan.epochs.genesis_age_ms == 0 {
        return vec![];
    }
    vec![with(plan, |plan| plan.epochs.genesis_age_ms = 0)]
}

/// All validators with equal stake, or one committee change less.
fn committees(plan: &Plan, _: usize) -> Vec<Plan> {
    if plan.epochs.committees.is_empty() {
        return vec![];
    }
    let plain = with(plan, |plan| plan.epochs.committees.clear());
    let fewer = (0..plan.epochs.committees.len()).map(|position| {
        with(plan, |plan| {
            plan.epochs.committees.remove(position);
        })
    });
    [plain].into_iter().chain(fewer).collect()
}

/// No unusable registration, or one less.
fn unusable(plan: &Plan, _: usize) -> Vec<Plan> {
    fewer(plan, |plan| &mut plan.epochs.unusable)
}

fn stays_down(plan: &Plan, _: usize) -> Vec<Plan> {
    fewer(plan, |plan| &mut plan.stays_down)
}

fn own_limits(plan: &Plan, _: usize) -> Vec<Plan> {
    fewer(plan, |plan| &mut plan.own_limits)
}

/// With an empty list, then with each shorter by one entry.
fn fewer<T>(plan: &Plan, list: fn(&mut Plan) -> &mut Vec<T>) -> Vec<Plan> {
    let count = list(&mut plan.clone()).len();
    if count == 0 {
        return vec![];
    }
    let none = with(plan, |plan| list(plan).clear());
    let fewer = (0..count).map(|position| {
        with(plan, |plan| {
            list(plan).remove(position);
        })
    });
    [none].into_iter().chain(fewer).collect()
}

fn clocks(plan: &Plan, _: usize) -> Vec<Plan> {
    let mut found = vec![];
    if plan.clock_skew_ms.iter().any(|skew| *skew != 0) {
        found.push(with(plan, |plan| plan.clock_skew_ms.fill(0)));
    }
    if !plan.clock_drift_ppm.is_empty() {
        found.push(with(plan, |plan| plan.clock_drift_ppm.clear()));
    }
    found
}

fn clock(plan: &Plan, host: usize) -> Vec<Plan> {
    let Some(skew) = plan.clock_skew_ms.get(host).copied() else {
        return vec![];
    };
    let smaller = toward(skew.unsigned_abs(), 0).into_iter();
    smaller
        .map(|ms| {
            with(plan, |plan| {
                plan.clock_skew_ms[host] = ms.cast_signed() * skew.signum()
            })
        })
        .collect()
}

fn latency(plan: &Plan, _: usize) -> Vec<Plan> {
    let simpler = simpler_span(plan.network.latency_ms, 1);
    let simpler = simpler.into_iter();
    simpler
        .map(|span| with(plan, |plan| plan.network.latency_ms = span))
        .collect()
}

/// A range becomes a single number, which then becomes simpler.
fn simpler_span(span: Span, simplest: u64) -> Vec<Span> {
    let fixed = |value| Span {
        low: value,
        high: value,
    };
    if span.low != span.high {
        return [simplest, span.low, span.high]
            .into_iter()
            .filter(|value| (span.low..=span.high).contains(value))
            .map(fixed)
            .collect();
    }
    toward(span.low, simplest).into_iter().map(fixed).collect()
}

const SIMPLEST_EXECUTOR: ExecutorPlan = ExecutorPlan {
    guard: Guard::Strict,
    execute_us: Span {
        low: 100,
        high: 100,
    },
    flush_every_blocks: Span { low: 1, high: 1 },
};

fn executors(plan: &Plan, _: usize) -> Vec<Plan> {
    if plan
        .executors
        .iter()
        .all(|executor| *executor == SIMPLEST_EXECUTOR)
    {
        return vec![];
    }
    vec![with(plan, |plan| plan.executors.fill(SIMPLEST_EXECUTOR))]
}

fn executor(plan: &Plan, number: usize) -> Vec<Plan> {
    let Some(executor) = plan.executors.get(number) else {
        return vec![];
    };
    let mut simpler = vec![];
    if *executor != SIMPLEST_EXECUTOR {
        simpler.push(SIMPLEST_EXECUTOR);
    }
    if executor.guard != Guard::Strict {
        simpler.push(ExecutorPlan {
            guard: Guard::Strict,
            ..executor.clone()
        });
    }
    let times = simpler_span(executor.execute_us, SIMPLEST_EXECUTOR.execute_us.low);
    simpler.extend(times.into_iter().map(|execute_us| ExecutorPlan {
        execute_us,
        ..executor.clone()
    }));
    let flushes = simpler_span(
        executor.flush_every_blocks,
        SIMPLEST_EXECUTOR.flush_every_blocks.low,
    );
    simpler.extend(flushes.into_iter().map(|flush_every_blocks| ExecutorPlan {
        flush_every_blocks,
        ..executor.clone()
    }));
    let simpler = simpler.into_iter();
    simpler
        .map(|executor| with(plan, |plan| plan.executors[number] = executor))
        .collect()
}

/// All faults with a time happen earlier, with the same intervals.
fn sooner(plan: &Plan, _: usize) -> Vec<Plan> {
    let times = || {
        plan.faults
            .iter()
            .map(|fault| fault.trigger.at_ms)
            .filter(|at_ms| *at_ms > 0)
    };
    let Some(first) = times().min() else {
        return vec![];
    };
    if times().count() < 2 {
        return vec![];
    }
    toward(first, 1)
        .into_iter()
        .map(|new_first| {
            with(plan, |plan| {
                for fault in plan
                    .faults
                    .iter_mut()
                    .filter(|fault| fault.trigger.at_ms > 0)
                {
                    fault.trigger.at_ms -= first - new_first;
                }
            })
        })
        .collect()
}

fn one_fault(plan: &Plan, number: usize) -> Vec<Plan> {
    let Some(planned) = plan.faults.get(number) else {
        return vec![];
    };
    let simpler = fault::simpler(planned).into_iter();
    simpler
        .map(|fault| with(plan, |plan| plan.faults[number] = fault))
        .collect()
}
