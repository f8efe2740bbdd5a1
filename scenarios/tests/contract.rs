//! `metasim conformance` and `metasim stand-in`: processes of the binary, one at each end of the sockets.
#![cfg(madsim)]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

const GENESIS: &str = include_str!("../../mock-go-executor/executor.example.toml");

fn metasim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metasim"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    metasim(arguments).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Addresses and a genesis in a folder.
struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("genesis.toml"), GENESIS).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A stand-in that listens.
    fn stand_in(&self, duration: &str) -> Child {
        let [blocks, rpc, genesis] = ["blocks", "rpc", "genesis.toml"].map(|name| self.path(name));
        let mut command = metasim(&["stand-in", "--block-stream", &blocks, "--rpc", &rpc]);
        command.args(["--genesis", &genesis, "--for", duration]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.as_mut().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).expect("a line");
        assert_eq!(line, "listens\n");
        child
    }
}

#[test]
fn a_stand_in_keeps_the_contract_of_an_executor_and_no_tester_that_of_a_node() {
    let folder = Folder::new();
    let master = folder.stand_in("20s");
    let [blocks, rpc, json] = ["blocks", "rpc", "clauses.jsonl"].map(|name| folder.path(name));
    let checked = output(&[
        "conformance",
        "--block-stream",
        &blocks,
        "--rpc",
        &rpc,
        "--settle-ms",
        "50",
        "--json",
        &json,
    ]);
    let report = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{report}");
    assert!(
        report.ends_with("\n29 held, 0 broken, 4 not testable\n"),
        "{report}"
    );
    let lines = fs::read_to_string(json).expect("the file");
    let verdicts = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["clause"].is_string() && line["section"].is_string());
        line["verdict"].as_str().map(str::to_owned)
    });
    let held = verdicts.filter(|verdict| verdict.as_deref() == Some("held"));
    assert_eq!(held.count(), 29);

    let judged = master.wait_with_output().expect("it ends");
    let report = text(&judged.stdout);
    assert_eq!(judged.status.code(), Some(3), "{report}");
    for clause in [
        "stream-known",
        "stream-start",
        "advance-boundary",
        "rpc-frames",
    ] {
        let broken = format!("broken        {clause} ");
        assert!(report.contains(&broken), "{clause}: {report}");
    }
}

#[test]
fn without_an_executor_or_a_node_there_is_no_progress() {
    let folder = Folder::new();
    let absent = folder.path("absent");
    let checked = output(&["conformance", "--block-stream", &absent, "--rpc", &absent]);
    let report = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(4), "{report}");
    assert!(report.contains("no such file"), "{report}");
    let judged = folder.stand_in("1s").wait_with_output().expect("it ends");
    assert_eq!(judged.status.code(), Some(4), "{}", text(&judged.stdout));
}

#[test]
fn invalid_input_exits_with_2_and_says_what_was_expected() {
    let folder = Folder::new();
    let wrong = folder.path("wrong.toml");
    fs::write(&wrong, "[genesis]\nvalidators = 1\n").expect("written");
    let path = folder.path("socket");
    let at = ["--block-stream", &path, "--rpc", &path];
    for (arguments, expected) in [
        (
            vec!["conformance", "--block-stream", "host:80", "--rpc", &path],
            "`host:80` is not an address",
        ),
        (
            [&["conformance"], &at[..], &["--timeout-ms", "0"]].concat(),
            "--timeout-ms",
        ),
        (
            [&["stand-in"], &at[..], &["--genesis", &wrong]].concat(),
            "wrong.toml:2: `genesis.validators`",
        ),
        (
            [&["stand-in"], &at[..], &["--genesis", "/nowhere/x.toml"]].concat(),
            "/nowhere/x.toml: cannot be read",
        ),
    ] {
        let output = output(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
