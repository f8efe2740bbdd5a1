//! Known bugs are found in ordinary runs, shrink to few faults, and replay in another process.
#![cfg(madsim)]

use std::{fs, process::Command};

/// Ten bugs of the node and the executor that are found within few seeds.
const KNOWN_BUGS: [&str; 10] = [
    "replay_after_zero",
    "starts_at_store_tip",
    "sent_is_remembered",
    "base_taken_from_tip",
    "recovery_awaits_its_consumer",
    "unbounded_send_buffer",
    "pressure_stops_at_the_window",
    "stale_socket_refuses_bind",
    "reports_what_is_in_memory",
    "amnesia",
];

const FEW_FAULTS: u64 = 3;

fn metasim(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_metasim"))
        .args(arguments)
        .output()
        .expect("the binary starts");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn ten_bugs_are_found_shrink_to_few_faults_and_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (failures, json) = (path("failures"), path("museum.jsonl"));
    let options = ["--seeds", "100", "--failures", &failures, "--json", &json];
    let table = metasim(&[&["museum"], &KNOWN_BUGS[..], &options].concat());
    assert!(table.contains("10 of 10 found"), "{table}");

    for line in fs::read_to_string(&json).expect("the file").lines() {
        let search: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let faults = search["smallest"]["faults"].as_u64();
        assert!(faults.is_some_and(|faults| faults <= FEW_FAULTS), "{line}");

        let name = search["bug"].as_str().expect("a name");
        let replayed = metasim(&["replay", &format!("{failures}/{name}.toml")]);
        assert!(replayed.contains("replay identical"), "{replayed}");
    }
}
