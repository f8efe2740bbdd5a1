//! The binary `metasim`: exit codes, messages and report files.
#![cfg(madsim)]

use std::{
    fs,
    process::{Command, Output},
};

fn metasim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_metasim"))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn list_names_every_scenario_and_suite() {
    let output = metasim(&["list"]);
    assert_eq!(output.status.code(), Some(0));
    for name in ["happy_path", "resume_at_8_of_10", "ci"] {
        assert!(stdout(&output).contains(name), "{}", stdout(&output));
    }
}

#[test]
fn the_report_on_a_run_has_the_plan_and_the_command_that_reproduces_it() {
    let output = metasim(&["run", "happy_path", "--seed", "7"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.starts_with("happy_path · seed 7\n"), "{text}");
    assert!(text.contains("  topology   single-master, "), "{text}");
    assert!(
        text.contains("rerun  metasim run happy_path --seed 7\n"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours in a pipe: {text}");
}

#[test]
fn many_runs_print_a_table_and_write_json_lines_in_seed_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("runs.jsonl");
    let output = metasim(&[
        "run",
        "happy_path",
        "--seeds",
        "3..7",
        "--jobs",
        "2",
        "--json",
        file.to_str().expect("UTF-8"),
    ]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains("all 4 runs passed"), "{text}");
    let lines = fs::read_to_string(&file).expect("the file");
    let seeds: Vec<_> = lines
        .lines()
        .map(|line| {
            let run: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(run["verdict"], "passed");
            run["seed"].as_u64()
        })
        .collect();
    assert_eq!(seeds, [Some(3), Some(4), Some(5), Some(6)]);
}

#[test]
fn a_run_has_the_same_trace_in_a_new_process() {
    let output = metasim(&["determinism", "happy_path", "--seeds", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn a_known_bug_that_is_not_found_exits_with_7_and_a_guard_is_not_an_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let failures = folder.path().to_str().expect("UTF-8");
    let junit = folder.path().join("junit.xml").display().to_string();
    // One seed of a scenario without epochs: the bug has no effect.
    let limits = ["--seeds", "1", "--failures", failures, "--junit", &junit];
    let output = metasim(&[&["museum", "boundary_one_short"], &limits[..]].concat());
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(7), "{text}{}", stderr(&output));
    assert!(text.contains("0 of 1 found"), "{text}");
    let junit = fs::read_to_string(junit).expect("JUnit");
    for part in [
        "<testcase name=\"boundary_one_short\" classname=\"museum\"",
        "failures=\"1\"",
        "metasim museum boundary_one_short --suite ci --seeds 0..1",
    ] {
        assert!(junit.contains(part), "expected {part} in {junit}");
    }

    let output = metasim(&["museum", "start_is_trusted"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("there is no bug `start_is_trusted`"),
        "{text}"
    );
}

#[test]
fn invalid_input_exits_with_2_and_an_error_with_what_was_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    fs::write(
        &file,
        "story = \"x\"\n[node.delivery]\nwindow_blocks = [9, 8]\n",
    )
    .expect("written");
    let file = file.to_str().expect("UTF-8");
    let in_file =
        format!("error: {file}:3: `node.delivery.window_blocks`: the range [9, 8] is empty");
    for (arguments, expected) in [
        (&["run", file][..], in_file.as_str()),
        (
            &["run", "hapy_path"],
            "error: there is no scenario `hapy_path`",
        ),
        (
            &["run", "absent.toml"],
            "error: absent.toml: cannot be read",
        ),
        (&["suite", "sea"], "error: there is no suite `sea`"),
        (
            &["run", "happy_path", "--seed", "x"],
            "`x` is not a seed: expected a number",
        ),
        (
            &["run", "happy_path", "--seeds", "5..5"],
            "is not a range of seeds",
        ),
        (&["run", "happy_path", "--store", "tape"], "memory, rocksdb"),
        (
            &["run", "happy_path", "--log", "loud=x=y"],
            "error: --log loud=x=y: ",
        ),
        (
            &["run", "happy_path", "--json", "/nowhere/x"],
            "error: /nowhere/x: cannot be written",
        ),
        (
            &["determinism", "hapy_path"],
            "error: there is no scenario `hapy_path`",
        ),
        (&["fly"], "unrecognized subcommand 'fly'"),
    ] {
        let output = metasim(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

/// The assertion of this known bug fails when a node starts in a later epoch.
#[test]
fn a_panic_exits_with_5_and_is_in_every_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (json, junit, failures) = (path("runs.jsonl"), path("junit.xml"), path("failures"));
    let output = metasim(&[
        "run",
        "swarm_epochs",
        "--seeds",
        "40",
        "--bug",
        "gei_asserted_as_commit_index",
        "--json",
        &json,
        "--junit",
        &junit,
        "--failures",
        &failures,
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", stdout(&output));
    assert_eq!(
        stderr(&output),
        "",
        "a panic is in the report, not on stderr"
    );
    let [text, json, junit] = [
        stdout(&output),
        fs::read_to_string(json).expect("JSON Lines"),
        fs::read_to_string(junit).expect("JUnit"),
    ];
    for report in [&text, &json, &junit] {
        assert!(report.contains("core/src/node/bug_switches/"), "{report}");
    }
    assert!(text.contains(" panicked: "), "{text}");
    assert_eq!(json.lines().count(), 40);
    let panicked = json.lines().find(|line| line.contains("bug_switches"));
    let object: serde_json::Value =
        serde_json::from_str(panicked.expect("a run that panicked")).expect("JSON");
    let process = object["panic"]["process"].as_str().expect("a process");
    assert!(process.starts_with("node-"), "{process}");
}

/// The lines that operators follow at a start are those of production, with simulated time and the process; a log changes
/// nothing.
#[test]
fn a_log_has_the_lines_of_production_with_simulated_time_and_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |file: &str, log: &[&str]| {
        let json = folder.path().join(file);
        let mut arguments = vec!["run", "resume_at_8_of_10", "--seed", "1", "--json"];
        arguments.push(json.to_str().expect("UTF-8"));
        let output = metasim(&[&arguments, log].concat());
        (stderr(&output), fs::read_to_string(json).expect("written"))
    };
    let (silent, without) = run("without.jsonl", &[]);
    let (log, with) = run("with.jsonl", &["--log", "info"]);
    assert_eq!(silent, "");
    let restart = log
        .rfind(" node-0       INFO [STARTUP]: starts")
        .expect("a second start");
    let lines: Vec<_> = log[restart..]
        .lines()
        .filter(|line| line.contains(" node-0 "))
        .collect();
    let mut rest = lines.iter();
    for expected in [
        "s node-0       INFO [STARTUP]: asks its executor for W and its epoch",
        "s node-0       INFO [STARTUP]: learns from its executor: epoch 0, durable at 7",
        "s node-0       INFO [STARTUP]: plans: epoch 0: replay commits 8..=10 epoch=0 replay_after_commit_index=7 skipped=7 replayed=3",
        "s node-0       INFO [STARTUP]: creates the consumer of epoch 0, from GEI 8 on",
    ] {
        assert!(
            rest.any(|line| line.contains(expected)),
            "{expected}: {lines:#?}"
        );
    }
    let hash = |json: &str| {
        json.split("\"trace_hash\"")
            .nth(1)
            .map(|rest| rest[..40].to_owned())
    };
    assert_eq!(hash(&with), hash(&without));
}
