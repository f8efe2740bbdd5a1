//! What an executor tells peers instead of the truth, in a swarm.

use super::fault::any_lie;
use crate::sampling::Sampler;
use metanode_sim::{
    faults::{ExecutorFault, PlannedFault, Trigger},
    plan::Plan,
};

/// The lies of a seed: in every second one in which nodes ask the executors of others. One executor tells all of them: more of
/// them could be more faulty ones than are tolerated.
pub(super) fn faults(sampler: &Sampler, plan: &Plan) -> Vec<PlannedFault> {
    let mut stream = sampler.stream("swarm.lies");
    if plan.peers_of(0).is_empty() || !stream.one_in(2) {
        return vec![];
    }
    #[allow(clippy::cast_possible_truncation)] // below a u16
    let executor = stream.below(plan.validators.into()) as u16;
    let mut lie = || {
        let fault = ExecutorFault::LieToPeers {
            executors: vec![executor],
            lie: any_lie(&mut stream),
            for_ms: Some(10 + stream.below(6_000)),
        };
        PlannedFault {
            trigger: Trigger::at_ms(stream.below(plan.duration_ms.max(1))),
            fault: fault.into(),
        }
    };
    [lie(), lie()].into()
}
