//! `metasim localnet` and `metasim judge`: networks of real processes under faults, and logs of planted bugs.

use crate::process::binary;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// The program that simulates, which is built apart from the binaries.
fn metasim() -> PathBuf {
    let real = binary("metanode");
    let target = real.ancestors().nth(3).unwrap();
    let path = target.join("release/metasim");
    assert!(
        path.exists(),
        "{} is missing: `cargo build --release -p metasim` builds it",
        path.display()
    );
    path
}

/// The binaries with known bugs.
fn buggy() -> PathBuf {
    let real = binary("metanode");
    let path = real.ancestors().nth(2).unwrap().join("museum");
    assert!(
        path.exists(),
        "{} is missing: `make test` builds it",
        path.display()
    );
    path
}

/// Runs a network in a new folder.
fn localnet(bin_dir: &Path, options: &[&str]) -> (TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(metasim());
    command.arg("localnet").args(options);
    command.arg("--bin-dir").arg(bin_dir);
    command.arg("--dir").arg(folder.path());
    (folder, command.output().unwrap())
}

/// The report.
fn passes(options: &[&str]) -> String {
    let (folder, output) = localnet(binary("metanode").parent().unwrap(), options);
    if !output.status.success() {
        let kept = folder.keep();
        panic!("{output:#?}\nthe network is in {}", kept.display());
    }
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("\npassed: "), "{report}");
    report
}

/// The invariants that a network with this bug breaks.
struct Broken {
    /// By its logs, judged again.
    by_logs: Vec<String>,
    /// By its logs, chains and data directories, judged at its end.
    at_end: Vec<String>,
}

fn broken(options: &[&str]) -> Broken {
    let (folder, output) = localnet(&buggy(), options);
    assert_eq!(output.status.code(), Some(3), "{output:#?}");
    let at_end = invariants(&output);
    let events = folder.path().join("events");
    let logs = events.read_dir().unwrap().map(|it| it.unwrap().path());
    let judged = Command::new(metasim()).arg("judge").args(logs).output();
    let judged = judged.unwrap();
    assert_eq!(judged.status.code(), Some(3), "{judged:#?}");
    Broken {
        by_logs: invariants(&judged),
        at_end,
    }
}

/// Those that the report calls broken.
fn invariants(output: &Output) -> Vec<String> {
    let report = str::from_utf8(&output.stdout).unwrap();
    let broken = report.lines().filter(|line| line.contains(" broken "));
    let invariant = |line: &str| line.split(' ').next().unwrap().to_owned();
    broken.map(invariant).collect()
}

#[test]
fn a_network_survives_a_minute_of_chaos() {
    passes(&["--for", "1m", "--chaos", "1"]);
}

#[test]
fn kills_in_a_row_lose_and_repeat_nothing() {
    passes(&[
        "--kills",
        "5",
        "--chaos",
        "2",
        "--topology",
        "single-master",
    ]);
}

/// Whether programs may have mounts of their own here.
fn has_own_mounts() -> bool {
    let mounts = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    let may = |options: &[&str]| {
        let mut tried = Command::new("unshare");
        tried.args(options).args(mounts);
        tried.output().is_ok_and(|output| output.status.success())
    };
    let has = may(&["--mount"]) || may(&["--mount", "--user", "--map-root-user"]);
    if !has {
        eprintln!("skipped: no file system can be mounted here");
    }
    has
}

#[test]
fn a_network_survives_full_disks() {
    if has_own_mounts() {
        let report = passes(&["--for", "40s", "--chaos", "5", "--small-disks", "128"]);
        assert!(
            report.contains("ends of processes on full disks"),
            "{report}"
        );
    }
}

#[test]
#[ignore = "ten minutes"]
fn a_network_survives_full_disks_for_ten_minutes() {
    if has_own_mounts() {
        passes(&["--for", "10m", "--chaos", "6", "--small-disks", "512"]);
    }
}

#[test]
#[ignore = "almost an hour"]
fn a_network_survives_ten_minutes_of_chaos_five_times() {
    for seed in ["1", "2", "3", "4", "5"] {
        passes(&["--for", "10m", "--chaos", seed]);
    }
}

#[test]
#[ignore = "a minute"]
fn fifty_kills_in_a_row_lose_and_repeat_nothing() {
    passes(&["--kills", "50", "--chaos", "7"]);
}

/// Many restarts of one node and one executor that executes whatever comes.
const ALONE: [&str; 10] = [
    "--nodes", "1", "--subs", "0", "--chaos", "1", "--for", "20s", "--guard", "naive",
];

#[test]
fn a_planted_fork_is_found_in_logs_and_stores() {
    let bug = [
        "--bug",
        "leaders_in_another_order",
        "--buggy-validator",
        "1",
    ];
    let Broken { by_logs, at_end } = broken(&[&["--for", "5s"], &bug[..]].concat());
    assert!(by_logs.contains(&"AGREE".to_owned()), "{by_logs:?}");
    assert!(at_end.contains(&"QUORUM".to_owned()), "{at_end:?}");
}

#[test]
fn a_planted_second_execution_is_found_in_the_logs() {
    let bugs = ["--bug", "replay_after_zero", "--bug", "start_is_trusted"];
    let broken = broken(&[&ALONE[..], &bugs].concat()).by_logs;
    assert!(broken.contains(&"EXEC1".to_owned()), "{broken:?}");
}

#[test]
fn a_planted_gap_is_found_in_the_logs() {
    let bugs = ["--bug", "starts_at_store_tip", "--bug", "start_is_trusted"];
    let broken = broken(&[&ALONE[..], &bugs].concat()).by_logs;
    assert!(broken.contains(&"GAP0".to_owned()), "{broken:?}");
}
