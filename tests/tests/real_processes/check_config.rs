//! `metanode keys` and `metanode check-config` as an operator meets them: exit codes, and lines with file, line and key.

use crate::{process::binary, validator::validators};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

fn metanode(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(binary("metanode"));
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn check(folder: &Path) -> (Option<i32>, String) {
    let arguments = [
        "check-config",
        "--config",
        "node.toml",
        "--genesis",
        "executor.toml",
    ];
    let output = metanode(&arguments, folder);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A validator of one, whose node has keys from `metanode keys`.
fn prepared(root: &Path) -> (std::path::PathBuf, String) {
    let mut all = validators(root, 1);
    let validator = &mut all[0];
    let folder = root.join("0");
    let made = metanode(&["keys", "--out", "node.keys.toml"], &folder);
    assert!(made.status.success(), "{made:?}");
    let (config, executor) = (validator.node_config(), validator.executor_config());
    let text = fs::read_to_string(&config).unwrap();
    let without_seeds = text.lines().filter(|line| !line.contains("_key_seed"));
    let text: String = ["key_file = \"node.keys.toml\""]
        .into_iter()
        .chain(without_seeds)
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(config, &text).unwrap();
    let entry = metanode(&["validator", "--config", "node.toml"], &folder);
    let entry = String::from_utf8(entry.stdout).unwrap();
    let executor_text = fs::read_to_string(&executor).unwrap();
    let (before, _) = executor_text.split_once("[[genesis.validators]]").unwrap();
    fs::write(executor, format!("{before}{entry}")).unwrap();
    (folder, text)
}

#[test]
fn a_right_configuration_passes() {
    let root = TempDir::new().unwrap();
    let (folder, _) = prepared(root.path());
    let (code, report) = check(&folder);
    assert_eq!(code, Some(0), "{report}");
    assert!(
        report.starts_with("ok       node.toml:1: key_file: "),
        "{report}"
    );
    assert!(
        report.contains("has the protocol key of this node"),
        "{report}"
    );
    assert!(!report.contains("\nerror "), "{report}");
}

#[test]
fn each_wrong_value_is_named_by_line_and_key() {
    let root = TempDir::new().unwrap();
    let (folder, text) = prepared(root.path());
    let line_of = |key: &str| 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
    let value_of = |key: &str| {
        let line = text.lines().nth(line_of(key) - 1).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    fs::write(folder.join("file"), "").unwrap();
    for (key, value, reason) in [
        // An address of documents, which no machine has.
        (
            "p2p_listen_address",
            "203.0.113.1:9000",
            "this machine has no address",
        ),
        ("data_dir", "file/stores", "files cannot be made in"),
        (
            "transaction_socket_path",
            "/nowhere/transactions.sock",
            "make it, or correct the path",
        ),
        (
            "executor_receive_socket_path",
            "/nowhere/rpc.sock",
            "make it, or correct the path",
        ),
        (
            "executor_send_socket_path",
            "rpc.sock",
            "executor_send_socket_path: `rpc.sock` is not an address",
        ),
    ] {
        let wrong = text.replace(&value_of(key), value);
        fs::write(folder.join("node.toml"), wrong).unwrap();
        let (code, report) = check(&folder);
        assert_eq!(code, Some(2), "{key}: {report}");
        let place = format!("node.toml:{}: {key}: ", line_of(key));
        let line = report.lines().find(|line| line.contains(&place));
        assert!(
            line.is_some_and(|line| line.contains(reason)),
            "{place}{reason}: {report}"
        );
    }
}

#[test]
fn keys_that_others_can_read_or_that_are_no_validators_are_errors() {
    let root = TempDir::new().unwrap();
    let (folder, _) = prepared(root.path());
    let keys = folder.join("node.keys.toml");
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o640)).unwrap();
    let (code, report) = check(&folder);
    assert_eq!(code, Some(2), "{report}");
    assert!(
        report.contains("node.toml:1: key_file names node.keys.toml, which has mode 0640"),
        "{report}"
    );
    assert!(
        report.trim_end().ends_with("chmod 600 node.keys.toml"),
        "{report}"
    );

    // Other keys than those of the genesis.
    fs::remove_file(keys).unwrap();
    let arguments = ["keys", "--out", "node.keys.toml"];
    assert!(metanode(&arguments, &folder).status.success());
    assert_eq!(
        metanode(&arguments, &folder).status.code(),
        Some(2),
        "it is there already"
    );
    let (code, report) = check(&folder);
    assert_eq!(code, Some(2), "{report}");
    assert!(
        report.contains("error    executor.toml: none of the 1 validators"),
        "{report}"
    );
}
