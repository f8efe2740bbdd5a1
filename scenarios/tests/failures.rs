//! What the binary does with runs that fail: exit codes, failure files, replaying, shrinking, comparing.
#![cfg(madsim)]

use metanode_sim::oracles::Invariant;
use metasim::{failure::Failure, scenario::Scenario};
use std::{
    fs,
    process::{Command, Output},
};
use tempfile::TempDir;

/// Too little time to settle: LIVE breaks whatever happens.
const HASTY: &str = "story = \"x\"\nduration_ms = 3_000\nsettle_ms = 1\n";

/// Nodes die while their executors hold blocks that are not durable, and one of these executes what it is sent again.
const NAIVE: &str = r#"
story = "x"
duration_ms = 6_000
max_faulty = "all"
clock_skew_ms = [-50, 50]

[topology]
delivery = "master-per-node"
validators = 5

[executor]
flush_every_blocks = 25
odd = { which = "any-executor", guard = "naive" }

[[fault]]
when = { at_ms = [500, 900] }
do = "kill"
targets = ["all-nodes"]
down_ms = 1
repeat = { times = 5, every_ms = [300, 600] }

[[fault]]
when = { at_ms = [500, 900] }
do = "stall"
targets = ["any-executor"]
for_ms = 20
"#;

fn metasim(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_metasim"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn folder_with(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(name), text).expect("written");
    folder
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn failure(folder: &TempDir, name: &str) -> Failure {
    Failure::parse(name, &read(folder, name)).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn assert_ends(output: &Output, code: i32) -> String {
    let text = stdout(output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    text
}

#[test]
fn a_run_without_progress_ends_with_4_and_leaves_a_file_that_replays() {
    let folder = folder_with("hasty.toml", HASTY);
    let text = assert_ends(&metasim(&folder, &["run", "hasty.toml", "--seed", "3"]), 4);
    assert!(
        text.contains("metasim replay failures/hasty-3.toml\n"),
        "{text}"
    );
    assert!(
        text.contains("metasim shrink failures/hasty-3.toml\n"),
        "{text}"
    );
    let kept = failure(&folder, "failures/hasty-3.toml");
    let broken = kept.violation.expect("LIVE");
    assert_eq!(broken.invariant, Invariant::Live);

    let text = assert_ends(&metasim(&folder, &["replay", "failures/hasty-3.toml"]), 4);
    assert!(text.contains("replay identical"), "{text}");
}

#[test]
fn a_run_that_passes_leaves_nothing_behind() {
    let folder = folder_with("calm.toml", "story = \"x\"\nduration_ms = 1_000\n");
    assert_ends(&metasim(&folder, &["run", "calm.toml"]), 0);
    assert!(!folder.path().join("failures").exists());
    let output = metasim(&folder, &["shrink", "calm.toml:0"]);
    assert_ends(&output, 2);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("calm.toml:0 passes in this build"),
        "{errors}"
    );
}

#[test]
fn a_replay_that_differs_ends_with_6_unless_the_build_differs() {
    let folder = folder_with("hasty.toml", HASTY);
    let kept_in = ["run", "hasty.toml", "--seeds", "2", "--failures", "kept"];
    assert_ends(&metasim(&folder, &kept_in), 4);
    let mut kept = failure(&folder, "kept/hasty-1.toml");
    kept.trace_hash = "0".repeat(32);
    fs::write(folder.path().join("other.toml"), kept.text()).expect("written");
    let text = assert_ends(&metasim(&folder, &["replay", "other.toml"]), 6);
    assert!(text.contains("not deterministic"), "{text}");

    kept.build = "another".into();
    fs::write(folder.path().join("other.toml"), kept.text()).expect("written");
    let output = metasim(&folder, &["replay", "other.toml"]);
    let text = assert_ends(&output, 4);
    assert!(
        text.contains("ends alike, but another build ran it"),
        "{text}"
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("this is not the build that failed"),
        "{errors}"
    );
}

#[test]
fn a_broken_invariant_ends_with_3_and_shrinks_to_a_scenario_that_breaks_it() {
    let folder = folder_with("naive.toml", NAIVE);
    assert_ends(&metasim(&folder, &["run", "naive.toml", "--seed", "1"]), 3);
    let before = failure(&folder, "failures/naive-1.toml");
    assert_eq!(
        before.violation.map(|v| v.invariant),
        Some(Invariant::Exec1)
    );

    let file = "failures/naive-1.toml";
    let text = assert_ends(&metasim(&folder, &["shrink", file]), 0);
    assert!(
        text.contains("nothing simpler fails in the same way"),
        "{text}"
    );
    let result = "failures/naive-1.shrunk.toml";
    let shrunk = read(&folder, result);
    let scenario = Scenario::parse(result, &shrunk).unwrap_or_else(|e| panic!("{e}"));
    let plan = scenario.draw(result, 1, scenario.store.unwrap_or_default());
    assert_eq!((plan.faults.len(), plan.validators), (1, 4), "{shrunk}");
    assert_eq!(plan.clock_skew_ms, [0; 4]);
    assert!(plan.duration_ms < before.plan.duration_ms, "{shrunk}");

    assert_ends(
        &metasim(
            &folder,
            &["run", result, "--seed", "1", "--failures", "again"],
        ),
        3,
    );
    let after = failure(&folder, "again/naive-1.shrunk-1.toml");
    assert_eq!(after.plan, plan);
    assert_eq!(after.violation.map(|v| v.invariant), Some(Invariant::Exec1));

    // One at a time, the same; stopped early and begun again from there, as small.
    assert_ends(
        &metasim(
            &folder,
            &["shrink", file, "--jobs", "1", "--out", "one.toml"],
        ),
        0,
    );
    assert_eq!(read(&folder, "one.toml"), shrunk);
    let stopped = metasim(
        &folder,
        &[
            "shrink",
            file,
            "--budget-runs",
            "9",
            "--out",
            "two.shrunk.toml",
        ],
    );
    let text = assert_ends(&stopped, 0);
    assert!(
        text.contains("`metasim shrink two.shrunk.toml` goes on"),
        "{text}"
    );
    assert_ends(&metasim(&folder, &["shrink", "two.shrunk.toml"]), 0);
    let two =
        Scenario::parse("two", &read(&folder, "two.shrunk.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((two.faults.len(), two.topology.validators.high), (1, 4));
}

#[test]
fn diff_shows_where_two_runs_part() {
    let folder = folder_with("hasty.toml", HASTY);
    let same = metasim(&folder, &["diff", "hasty.toml:5", "hasty.toml:5"]);
    assert!(
        assert_ends(&same, 0).starts_with("the same: "),
        "{}",
        stdout(&same)
    );
    let text = assert_ends(
        &metasim(&folder, &["diff", "hasty.toml:5", "hasty.toml:7"]),
        0,
    );
    assert!(
        text.contains(" in common\n") && text.contains(" │ "),
        "{text}"
    );
    let output = metasim(&folder, &["diff", "hasty.toml:5", "absent.toml"]);
    assert_ends(&output, 2);
}
