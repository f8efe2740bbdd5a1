//! The binary `metasim` and failing runs: exit codes, failure files, `replay`, `shrink` and `diff`.
#![cfg(madsim)]

use metanode_sim::oracles::Invariant;
use metasim::{failure::Failure, scenario::Scenario};
use std::{
    fs,
    process::{Command, Output},
};
use tempfile::TempDir;

/// Too little time to settle: every run breaks LIVE.
const HASTY: &str = "story = \"x\"\nduration_ms = 3_000\nsettle_ms = 1\n";

/// Nodes are killed while their executors hold blocks that are not durable, and one executor has the guard `naive`.
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
fn assert_exits(output: &Output, code: i32) -> String {
    let text = stdout(output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    text
}

#[test]
fn a_run_without_progress_exits_with_4_and_its_failure_file_replays() {
    let folder = folder_with("hasty.toml", HASTY);
    let text = assert_exits(&metasim(&folder, &["run", "hasty.toml", "--seed", "3"]), 4);
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

    let text = assert_exits(&metasim(&folder, &["replay", "failures/hasty-3.toml"]), 4);
    assert!(text.contains("replay identical"), "{text}");
}

#[test]
fn a_run_that_passes_writes_no_failure_file() {
    let folder = folder_with("calm.toml", "story = \"x\"\nduration_ms = 1_000\n");
    assert_exits(&metasim(&folder, &["run", "calm.toml"]), 0);
    assert!(!folder.path().join("failures").exists());
    let output = metasim(&folder, &["shrink", "calm.toml:0"]);
    assert_exits(&output, 2);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("calm.toml:0 passes in this build"),
        "{errors}"
    );
}

#[test]
fn a_replay_with_another_trace_exits_with_6_unless_the_build_differs() {
    let folder = folder_with("hasty.toml", HASTY);
    let kept_in = ["run", "hasty.toml", "--seeds", "2", "--failures", "kept"];
    assert_exits(&metasim(&folder, &kept_in), 4);
    let mut kept = failure(&folder, "kept/hasty-1.toml");
    kept.trace_hash = "0".repeat(32);
    fs::write(folder.path().join("other.toml"), kept.text()).expect("written");
    let text = assert_exits(&metasim(&folder, &["replay", "other.toml"]), 6);
    assert!(text.contains("not deterministic"), "{text}");

    kept.build = "another".into();
    fs::write(folder.path().join("other.toml"), kept.text()).expect("written");
    let output = metasim(&folder, &["replay", "other.toml"]);
    let text = assert_exits(&output, 4);
    assert!(text.contains("same verdict from another build"), "{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("another build recorded this failure"),
        "{errors}"
    );
}

#[test]
fn a_broken_invariant_exits_with_3_and_shrinks_to_a_scenario_that_breaks_it() {
    let folder = folder_with("naive.toml", NAIVE);
    assert_exits(&metasim(&folder, &["run", "naive.toml", "--seed", "1"]), 3);
    let before = failure(&folder, "failures/naive-1.toml");
    assert_eq!(before.violation.map(|v| v.invariant), Some(Invariant::Root));

    let file = "failures/naive-1.toml";
    let text = assert_exits(&metasim(&folder, &["shrink", file]), 0);
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

    assert_exits(
        &metasim(
            &folder,
            &["run", result, "--seed", "1", "--failures", "again"],
        ),
        3,
    );
    let after = failure(&folder, "again/naive-1.shrunk-1.toml");
    assert_eq!(after.plan, plan);
    assert_eq!(after.violation.map(|v| v.invariant), Some(Invariant::Root));

    // The same result with one thread; an interrupted search continues to a result of the same size.
    assert_exits(
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
    let text = assert_exits(&stopped, 0);
    assert!(
        text.contains("`metasim shrink two.shrunk.toml` continues"),
        "{text}"
    );
    assert_exits(&metasim(&folder, &["shrink", "two.shrunk.toml"]), 0);
    let two =
        Scenario::parse("two", &read(&folder, "two.shrunk.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((two.faults.len(), two.topology.validators.high), (1, 4));
}

#[test]
fn diff_prints_the_first_difference_of_two_runs() {
    let folder = folder_with("hasty.toml", HASTY);
    let same = metasim(&folder, &["diff", "hasty.toml:5", "hasty.toml:5"]);
    assert!(
        assert_exits(&same, 0).starts_with("identical: "),
        "{}",
        stdout(&same)
    );
    let text = assert_exits(
        &metasim(&folder, &["diff", "hasty.toml:5", "hasty.toml:7"]),
        0,
    );
    assert!(
        text.contains(" in common\n") && text.contains(" │ "),
        "{text}"
    );
    let output = metasim(&folder, &["diff", "hasty.toml:5", "absent.toml"]);
    assert_exits(&output, 2);
}
