//! Scenarios and suites by name: built into the binary, so that the current folder does not matter, or in a file.

use crate::{scenario::Scenario, source::InputError};

/// A file of `scenarios/files` or `scenarios/suites`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltIn {
    pub name: &'static str,
    /// Path in the repository, for errors.
    pub path: &'static str,
    pub text: &'static str,
}

macro_rules! built_in {
    ($folder:literal: $($name:literal)*) => {
        &[$(BuiltIn {
            name: $name,
            path: concat!("scenarios/", $folder, "/", $name, ".toml"),
            text: include_str!(concat!("../", $folder, "/", $name, ".toml")),
        }),*]
    };
}

/// In the order of `metasim list`.
pub(crate) const SCENARIOS: &[BuiltIn] = built_in!("files":
    "happy_path"
    "single_master"
    "resume_at_8_of_10"
    "executor_crash"
    "node_crash_loop"
    "clean_stops"
    "own_limits"
    "host_power_loss"
    "window_of_one"
    "slow_executor"
    "stalled_executor"
    "executor_late_at_start"
    "partition_and_heal"
    "clock_skew"
    "narrow_links"
    "conflicting_transactions"
    "blocks_too_large"
    "commits_at_their_limit"
    "damaged_blocks"
    "damaged_commits"
    "damaged_while_starting"
    "damaged_answers"
    "equivocator"
    "byzantine"
    "epoch_change"
    "epoch_change_slow_executor"
    "epoch_change_crash_sweep"
    "epoch_change_under_partition"
    "epoch_starts_in_seconds"
    "old_genesis"
    "committee_of_one"
    "dominant_stake"
    "down_longer_than_an_epoch"
    "epoch_change_byzantine"
    "validator_joins"
    "validator_leaves"
    "unusable_validators"
    "down_for_two_epochs"
    "clock_skew_epochs"
    "many_short_epochs"
    "executor_disk_fails"
    "backlog_at_boundary"
    "all_proposals_paused"
    "large_blocks_in_short_epochs"
    "backup_of_earlier_epoch"
    "executor_copied"
    "backup_of_a_node"
    "long_run"
    "unobtainable_ancestors"
    "restored_alone"
    "strangers"
    "catch_up_five_epochs"
    "catch_up_thirty_epochs"
    "behind_everybody"
    "guest_floods"
    "stolen_seat"
    "replayed_handshake"
    "altered_greetings"
    "peer_cut_off"
    "fallback_to_genesis"
    "fallback_to_genesis_naive"
    "blocks_counted_apart"
    "executors_with_manners"
    "watermark_from_memory"
    "ingest_happy"
    "ingest_client_crash"
    "ingest_node_power_loss"
    "ingest_disk_full"
    "ingest_over_epoch_change"
    "ingest_overload"
    "ingest_duplicates"
    "ingest_seat_lost"
    "sub_follows_master"
    "sub_restored_from_backup"
    "old_transport"
    "legacy_pool_race"
    "legacy_pool_loss"
    "peer_discovery"
    "lying_peer"
    "all_peers_silent"
    "old_chain_peer"
    "swarm"
    "swarm_epochs"
    "adversaries"
    "adversaries_epochs"
);

pub(crate) const SUITES: &[BuiltIn] = built_in!("suites":
    "ci"
    "epochs"
    "swarm"
    "swarm_epochs"
    "adversaries"
    "ingest"
    "peers"
    "sweeps"
);

/// A scenario with its name or path, as it was given.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub scenario: Scenario,
}

/// The built-in scenario of this name, or the one in the file at this path.
///
/// # Errors
/// If there is none, or if its file is not valid.
pub fn scenario(name: &str) -> Result<Named, InputError> {
    let scenario = open("scenario", SCENARIOS, name, Scenario::parse)?;
    Ok(Named {
        name: name.into(),
        scenario,
    })
}

/// The built-in entry of this name, or the file at this path.
pub(crate) fn open<T>(
    kind: &'static str,
    built_in: &[BuiltIn],
    name: &str,
    parse: impl Fn(&str, &str) -> Result<T, InputError>,
) -> Result<T, InputError> {
    if let Some(found) = built_in.iter().find(|entry| entry.name == name) {
        return parse(found.path, found.text);
    }
    if !name.ends_with(".toml") {
        return Err(InputError::Unknown {
            kind,
            name: name.into(),
            known: built_in.iter().map(|entry| entry.name).collect(),
        });
    }
    let text = std::fs::read_to_string(name).map_err(|e| InputError::Unreadable {
        path: name.into(),
        reason: format!("cannot be read: {e}"),
    })?;
    parse(name, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::OUTCOME_ONLY;
    use metanode_sim::{
        plan::Backend,
        run::{Verdict, run},
    };

    #[test]
    fn every_built_in_scenario_draws_the_same_plan_twice() {
        for entry in SCENARIOS {
            let named = scenario(entry.name).unwrap_or_else(|e| panic!("{e}"));
            for seed in 0..50 {
                let plan = named.scenario.draw(entry.name, seed, Backend::Memory);
                assert_eq!(plan, named.scenario.draw(entry.name, seed, Backend::Memory));
            }
        }
    }

    /// Their files repeat the ranges, so that each can be read alone.
    #[test]
    fn the_swarms_draw_from_the_same_ranges() {
        let ranges = |name| {
            let Scenario {
                duration_ms,
                clock_skew_ms,
                clock_drift_ppm,
                network,
                node,
                executor,
                workload,
                ..
            } = scenario(name).expect("built in").scenario;
            let times = (duration_ms, clock_skew_ms, clock_drift_ppm);
            serde_json::to_value((times, network, node, executor, workload)).expect("JSON")
        };
        for name in ["swarm_epochs", "adversaries", "adversaries_epochs"] {
            assert_eq!(ranges(name), ranges("swarm"), "{name}");
        }
    }

    /// Every run of a scenario passes and reaches these probes.
    fn reaches(name: &str, probes: &[&str]) {
        for seed in 0..4 {
            let named = scenario(name).expect("built in");
            let plan = named.scenario.draw(&named.name, seed, Backend::Memory);
            let outcome = run(plan, &OUTCOME_ONLY);
            assert_eq!(outcome.verdict, Verdict::Passed, "seed {seed}");
            for probe in probes {
                assert!(outcome.probes[*probe] > 0, "seed {seed}: {probe}");
            }
        }
    }

    #[test]
    fn a_node_that_no_peer_can_serve_says_so_in_time() {
        reaches(
            "behind_everybody",
            &["commits that no peer keeps were waited for"],
        );
    }

    #[test]
    fn a_peer_that_cannot_be_reached_is_told_and_so_is_its_return() {
        let told = [
            "a peer without blocks was told",
            "blocks of a peer that was silent were told",
        ];
        reaches("peer_cut_off", &told);
    }

    #[test]
    fn an_error_about_an_unknown_name_lists_the_known_ones() {
        let error = scenario("hapy_path").expect_err("a typo").to_string();
        assert!(
            error.contains("`hapy_path`") && error.contains("happy_path, "),
            "{error}"
        );
        let error = scenario("missing.toml").expect_err("no file").to_string();
        assert!(
            error.starts_with("missing.toml: cannot be read: "),
            "{error}"
        );
    }
}
