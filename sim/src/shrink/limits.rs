//! Simpler limits of the world and its nodes: every declared number approaches that of the simplest plan.

use crate::{
    nearer::toward,
    plan::{Plan, WORLD_LIMITS, WorkloadPlan},
};
use metanode_core::config::{LIMITS, Limit, NodeParameters};

/// The plan with the simplest limits: the example without clients.
pub(super) fn simplest() -> Plan {
    Plan {
        workload: WorkloadPlan::default(),
        ..Plan::example()
    }
}

/// A number of a plan.
pub(super) enum Number {
    World(&'static Limit<Plan>),
    Node(&'static Limit<NodeParameters>),
}

impl Number {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let world = WORLD_LIMITS.iter().map(Self::World);
        world.chain(LIMITS.iter().map(Self::Node))
    }

    pub(super) fn get(&self, plan: &Plan) -> u64 {
        match self {
            Self::World(limit) => (limit.get)(plan),
            Self::Node(limit) => (limit.get)(&plan.node),
        }
    }

    pub(super) fn set(&self, plan: &mut Plan, number: u64) {
        match self {
            Self::World(limit) => (limit.set)(plan, number),
            Self::Node(limit) => (limit.set)(&mut plan.node, number),
        }
    }
}

/// All of them at once.
pub(super) fn all(plan: &Plan, _: usize) -> Vec<Plan> {
    let simplest = simplest();
    let mut simpler = plan.clone();
    for number in Number::all() {
        number.set(&mut simpler, number.get(&simplest));
    }
    if simpler == *plan {
        vec![]
    } else {
        vec![simpler]
    }
}

/// One of them, by its position.
pub(super) fn one(plan: &Plan, position: usize) -> Vec<Plan> {
    let Some(number) = Number::all().nth(position) else {
        return vec![];
    };
    let nearer = toward(number.get(plan), number.get(&simplest()));
    let simpler = nearer.into_iter().map(|value| {
        let mut plan = plan.clone();
        number.set(&mut plan, value);
        plan
    });
    simpler.collect()
}
