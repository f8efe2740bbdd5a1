//! What mutation testing runs beside unit tests (`gamma.toml`): a fixed number of seeds of the swarms. A mutant that passes
//! them all is one that the harness would not notice.
#![cfg(madsim)]

use metanode_sim::{
    plan::Backend,
    run::{RunOptions, Verdict},
};
use metasim::{batch::Job, catalog};
use std::sync::Arc;

fn seeds_pass(scenario: &str, seeds: u64) {
    let scenario = catalog::scenario(scenario).unwrap_or_else(|e| panic!("{e}"));
    let scenario = Arc::new(scenario);
    for seed in 0..seeds {
        let job = Job {
            scenario: scenario.clone(),
            seed,
            store: Backend::Memory,
        };
        let verdict = job.run(&RunOptions { keep_entries: 1 }).outcome.verdict;
        assert_eq!(verdict, Verdict::Passed, "{} {seed}", job.scenario.name);
    }
}

#[test]
#[ignore = "takes minutes; for mutation testing"]
fn seeds_of_swarm_pass() {
    seeds_pass("swarm", 150);
}

#[test]
#[ignore = "takes minutes; for mutation testing"]
fn seeds_of_swarm_epochs_pass() {
    seeds_pass("swarm_epochs", 150);
}
