//! Defaults, valid ranges, and errors.

use super::{parameters::EPOCH_LIMITS, *};
use crate::types::MAX_BLOCK_TRANSACTION_BYTES;

const MINIMAL: &str = "node_index = 2\np2p_listen_address = \"127.0.0.1:9000\"\nprotocol_key_seed = \"0101010101010101010101010101010101010101010101010101010101010101\"\nnetwork_key_seed = \"0202020202020202020202020202020202020202020202020202020202020202\"\n";

fn parse(extra: &str) -> Result<NodeConfig, String> {
    NodeConfig::parse(&format!("{MINIMAL}{extra}"), Path::new("node.toml"))
        .map_err(|e| e.to_string())
}

#[test]
fn defaults_match_the_contract() {
    let config = parse("").unwrap();
    assert_eq!(
        config.block_stream_address().to_string(),
        "unix:///tmp/executor2.sock"
    );
    assert_eq!(
        config.rpc_address().to_string(),
        "unix:///tmp/rust-go.sock_1"
    );
    assert!(!config.delivers());
    let per_node = parse("topology = \"master-per-node\"").unwrap();
    assert_eq!(
        per_node.rpc_address().to_string(),
        "unix:///tmp/rust-go.sock_3"
    );
    assert!(per_node.delivers());
    assert_eq!(config.delivery.window_blocks, 500);
    assert_eq!(config.rpc.timeout_ms, 10_000);
}

const EXAMPLE: &str = include_str!("../../node.example.toml");

#[test]
fn the_example_lists_the_defaults_of_all_parameters() {
    let example = Path::new("node.example.toml");
    let config = NodeConfig::parse(EXAMPLE, example).unwrap();
    let listed: String = EXAMPLE.lines().map(uncommented).collect();
    assert_eq!(NodeConfig::parse(&listed, example).unwrap(), config);

    let listed: toml::Table = listed.parse().unwrap();
    let defaults = toml::Table::try_from(NodeParameters::default()).unwrap();
    for (group, defaults) in &defaults {
        assert_eq!(listed.get(group), Some(defaults), "[{group}]");
    }
}

#[test]
fn the_example_lists_every_valid_range() {
    for limit in all_limits() {
        let start = EXAMPLE.find(&format!("\n[{}]\n", limit.group)).unwrap();
        let key = format!("\n# {} = ", limit.key);
        let line = EXAMPLE[start..].split_once(&key).unwrap().1;
        let (_, range) = line.lines().next().unwrap().split_once("# ").unwrap();
        let declared = format!("{} to {}", limit.range.start(), limit.range.end());
        assert_eq!(range.replace('_', ""), declared, "{}", limit.key);
    }
}

fn all_limits() -> impl Iterator<Item = &'static Limit<NodeParameters>> {
    LIMITS.iter().chain(EPOCH_LIMITS)
}

/// The line with a commented-out setting uncommented.
fn uncommented(line: &str) -> String {
    let setting = line.strip_prefix("# ").filter(|rest| {
        let key = rest.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    format!("{}\n", setting.unwrap_or(line))
}

#[test]
fn errors_name_the_line() {
    for (extra, expected) in [
        ("windw = 3", "node.toml:5: unknown field `windw`"),
        (
            "# window_blocks\n[delivery]\nwindow_blocks = 0",
            "node.toml:7: delivery.window_blocks is 0: expected 1 to 1000000",
        ),
        (
            "[rpc]\ntimeout_ms = \"long\"",
            "node.toml:6: timeout_ms: invalid type: string \"long\", expected u64",
        ),
        (
            "executor_send_socket_path = \"tmp/x\"",
            "node.toml:5: executor_send_socket_path: `tmp/x` is not an address",
        ),
    ] {
        let error = parse(extra).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn an_epoch_is_not_shorter_than_two_granules() {
    let of = |duration_ms: u64, granularity_ms: u64| {
        parse(&format!(
            "[consensus]\nepoch_start_granularity_ms = {granularity_ms}\nepoch_duration_ms = {duration_ms}"
        ))
    };
    assert!(of(2_000, 1_000).is_ok());
    let expected = "node.toml:7: consensus.epoch_duration_ms is 1999: expected at least twice \
                    epoch_start_granularity_ms, which is 1000";
    assert_eq!(of(1_999, 1_000).unwrap_err(), expected);
    assert!(parse("[consensus]\nepoch_duration_ms = 1_999").is_err());
}

#[test]
fn numbers_outside_of_their_valid_range_are_rejected() {
    for limit in all_limits() {
        let Limit { group, key, .. } = limit;
        let (low, high) = (*limit.range.start(), *limit.range.end());
        // Whose shortest value is two granules.
        let more = match *key {
            "epoch_duration_ms" => "epoch_start_granularity_ms = 1",
            _ => "",
        };
        let set = |value: i128| parse(&format!("\n\n[{group}]\n{key} = {value}\n{more}"));
        for value in [low, high] {
            let config = set(value.into()).unwrap();
            let NodeConfig {
                consensus,
                peers,
                delivery,
                ingest,
                rpc,
                ..
            } = config;
            let parameters = NodeParameters {
                consensus,
                peers,
                delivery,
                ingest,
                rpc,
            };
            assert_eq!((limit.get)(&parameters), value, "{group}.{key}");
        }
        for value in [i128::from(low) - 1, i128::from(high) + 1] {
            let expected =
                format!("node.toml:8: {group}.{key} is {value}: expected {low} to {high}");
            assert_eq!(set(value).unwrap_err(), expected);
        }
        let default = (limit.get)(&NodeParameters::default());
        assert!(limit.range.contains(&default), "{group}.{key}");
    }
}

#[test]
fn setting_a_limit_changes_no_other() {
    for limit in all_limits() {
        let defaults = NodeParameters::default();
        let mut changed = defaults.clone();
        let other = (limit.get)(&defaults) + 1;
        (limit.set)(&mut changed, other);
        assert_eq!((limit.get)(&changed), other, "{}", limit.key);
        let others = all_limits().filter(|of| (of.get)(&changed) != (of.get)(&defaults));
        assert_eq!(others.count(), 1, "{}", limit.key);
    }
}

#[test]
fn the_largest_configurable_block_is_valid() {
    let limit = LIMITS.iter().find(|limit| limit.key == "max_block_bytes");
    let most = usize::try_from(*limit.unwrap().range.end()).unwrap();
    assert_eq!(most, MAX_BLOCK_TRANSACTION_BYTES);
}

#[test]
fn a_node_that_may_not_ask_an_executor_does_not_start_and_is_told_what_to_set() {
    for (extra, expected) in [
        (
            "executor_read_enabled = false\nexecutor_commit_enabled = true",
            "node.toml:5: executor_read_enabled is false and executor_commit_enabled true: ",
        ),
        (
            "executor_commit_enabled = false\nexecutor_read_enabled = false",
            "node.toml:6: executor_read_enabled is false: epoch, committee and watermark are known to executors only",
        ),
        (
            "executor_read_enabled = 1",
            "node.toml:5: executor_read_enabled is neither true nor false",
        ),
    ] {
        let error = parse(extra).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_key_that_requests_the_only_behaviour_changes_nothing() {
    assert_eq!(parse("executor_read_enabled = true"), parse(""));
}

#[test]
fn an_archive_retains_all_epochs() {
    let config = parse("[consensus]\nretained_epochs = \"all\"").unwrap();
    assert_eq!(config.consensus.retained_epochs, 1_000_000);
    let error = parse("[consensus]\nretained_epochs = \"some\"").unwrap_err();
    assert!(error.starts_with("node.toml:6: "), "{error}");
}

#[test]
fn peers_have_addresses_of_every_form_and_any_other_is_named() {
    let extra = r#"peer_go_master_sockets = ["tcp://10.0.0.2:9100", "unix:///run/a.sock", "/run/b.sock", "10.0.0.3:9100"]
peer_rpc_port = 9100"#;
    let config = parse(extra).unwrap();
    let printed: Vec<_> = (config.peer_go_master_sockets.iter())
        .map(ToString::to_string)
        .collect();
    let expected = [
        "tcp://10.0.0.2:9100",
        "unix:///run/a.sock",
        "unix:///run/b.sock",
        "tcp://10.0.0.3:9100",
    ];
    assert_eq!(printed, expected);
    assert_eq!(config.peer_rpc_port.map(NonZeroU16::get), Some(9_100));
    for (extra, expected) in [
        (
            "\npeer_go_master_sockets = [\"10.0.0.2:9100\", \"peer-2:9100\"]",
            "node.toml:6: peer_go_master_sockets: `peer-2:9100` is not an address: expected tcp://IP:PORT, unix:///path, /path or IP:PORT",
        ),
        (
            "peer_rpc_port = 0",
            "node.toml:5: peer_rpc_port: invalid value: integer `0`",
        ),
        (
            "peer_rpc_port = 65536",
            "node.toml:5: peer_rpc_port: invalid value: integer `65536`",
        ),
    ] {
        let error = parse(extra).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

const SECTIONS: &str = r#"protocol_key_seed = "0101010101010101010101010101010101010101010101010101010101010101"
network_key_seed = "0202020202020202020202020202020202020202020202020202020202020202"
p2p_listen_address = "127.0.0.1:9000"
executor_commit_enabled = false

[delivery]
window_blocks = 7
watermark_poll_ms = 8

[node_0]
executor_commit_enabled = true
executor_send_socket_path = "/tmp/a.sock"

[node_0.delivery]
window_blocks = 9

[node_2]
p2p_listen_address = "127.0.0.1:9002"
"#;

fn parse_node(text: &str, node: Option<u16>) -> Result<NodeConfig, String> {
    let parsed = NodeConfig::parse_node(text, Path::new("node.toml"), node);
    parsed.map_err(|e| e.to_string())
}

#[test]
fn a_section_of_a_node_counts_more_than_shared_keys() {
    let zero = parse_node(SECTIONS, Some(0)).unwrap();
    assert_eq!((zero.node_index, zero.delivers()), (0, true));
    assert_eq!(
        zero.block_stream_address().to_string(),
        "unix:///tmp/a.sock"
    );
    let delivery = &zero.delivery;
    assert_eq!((delivery.window_blocks, delivery.watermark_poll_ms), (9, 8));
    let two = parse_node(SECTIONS, Some(2)).unwrap();
    assert_eq!((two.node_index, two.delivers()), (2, false));
    assert_eq!(two.p2p_listen_address.port(), 9002);
    assert_eq!(two.delivery.window_blocks, 7);
    let by_key = format!("node_index = 2\n{SECTIONS}");
    assert_eq!(parse_node(&by_key, None), Ok(two));
    assert_eq!(parse_node(&by_key, Some(0)), Ok(zero));
    assert_eq!(parse_node(MINIMAL, Some(2)), parse(""));
}

#[test]
fn a_file_with_sections_needs_the_choice_of_one() {
    let wrong_index = SECTIONS.replace("[node_2]", "[node_2]\nnode_index = 3");
    let unknown = SECTIONS.replace("/tmp/a.sock\"", "/tmp/a.sock\"\nwindw = 3");
    for (text, node, expected) in [
        (
            SECTIONS,
            None,
            "node.toml:10: the file has the sections [node_0], [node_2]: choose one with --node N, or with node_index = N",
        ),
        (
            SECTIONS,
            Some(1),
            "node.toml:10: node 1 is asked for: expected one of the sections [node_0], [node_2]",
        ),
        (
            MINIMAL,
            Some(1),
            "node.toml:1: node 1 is asked for: expected a section [node_1], or node_index = 1",
        ),
        (
            &wrong_index,
            Some(2),
            "node.toml:18: node_index is 3: expected 2, as the section says",
        ),
        (&unknown, Some(0), "node.toml:13: unknown field `windw`"),
        (
            "node_0 = 3",
            Some(0),
            "node.toml:1: node_0 is not a section: expected [node_0]",
        ),
    ] {
        let error = parse_node(text, node).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

const SEEDS: &str = "protocol_key_seed = \"0101010101010101010101010101010101010101010101010101010101010101\"\n\
                     network_key_seed = \"0202020202020202020202020202020202020202020202020202020202020202\"\n";

/// What a configuration in a folder of its own says, beside a file of keys with this text and mode.
fn parse_beside_keys(extra: &str, keys: &str, mode: u32) -> Result<NodeConfig, String> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.keys.toml");
    std::fs::write(&file, keys).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    let text = format!(
        "p2p_listen_address = \"127.0.0.1:9000\"\n{extra}\n[node_2]\nkey_file = \"node.keys.toml\"\n"
    );
    let parsed = NodeConfig::parse_node(&text, &folder.path().join("node.toml"), Some(2));
    parsed.map_err(|error| {
        let folder = format!("{}/", folder.path().display());
        error.to_string().replace(&folder, "")
    })
}

#[test]
fn keys_come_from_a_file_that_only_its_owner_can_read() {
    let config = parse_beside_keys("", SEEDS, 0o600).unwrap();
    let network_key_seed = KeySeed([2; 32]);
    assert_eq!(
        config,
        NodeConfig {
            network_key_seed,
            ..parse("").unwrap()
        }
    );
    assert_eq!(parse_beside_keys("", SEEDS, 0o400), Ok(config));
    for (mode, named) in [(0o640, "0640"), (0o604, "0604"), (0o660, "0660")] {
        let error = parse_beside_keys("", SEEDS, mode).unwrap_err();
        let expected = format!(
            "node.toml:4: key_file names node.keys.toml, which has mode {named}: expected 0600, "
        );
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.ends_with("chmod 600 node.keys.toml"), "{error}");
    }
}

#[test]
fn errors_in_a_file_of_keys_name_its_line_or_that_which_names_it() {
    let twice = SEEDS.lines().next().unwrap();
    for (extra, keys, expected) in [
        (
            twice,
            SEEDS,
            "node.toml:2: protocol_key_seed is here and in node.keys.toml: keep one",
        ),
        (
            "",
            "\nprotocol_key_seed = \"01\"",
            "node.keys.toml:2: protocol_key_seed: expected a key seed of 64 hexadecimal digits",
        ),
        (
            "",
            "\n\nkey_seed = \"01\"",
            "node.keys.toml:3: unknown field `key_seed`",
        ),
        ("", "network_key_seed = ", "node.keys.toml:1: "),
        (
            "",
            "",
            "node.keys.toml:1: missing field `protocol_key_seed`",
        ),
    ] {
        let error = parse_beside_keys(extra, keys, 0o600).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let missing = NodeConfig::parse("\nkey_file = \"absent.toml\"", Path::new("node.toml"));
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.starts_with("node.toml:2: key_file names absent.toml, which cannot be read: "),
        "{missing}"
    );
    assert!(missing.contains("`metanode keys` makes one"), "{missing}");
    let no_name = NodeConfig::parse("key_file = 3", Path::new("node.toml")).unwrap_err();
    assert_eq!(
        no_name.to_string(),
        "node.toml:1: key_file is not the name of a file"
    );
}

#[test]
fn new_keys_are_in_a_new_file_of_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let seeds = ["a.toml", "b.toml"].map(|name| {
        key_file::create(&at(name)).unwrap();
        let mode = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text =
            format!("node_index = 0\np2p_listen_address = \"127.0.0.1:9000\"\nkey_file = {name:?}");
        let config = NodeConfig::parse(&text, &at("node.toml")).unwrap();
        [config.protocol_key_seed, config.network_key_seed].map(|seed| seed.0)
    });
    let different: std::collections::BTreeSet<_> = seeds.iter().flatten().collect();
    assert_eq!(different.len(), 4);

    let before = std::fs::read(at("a.toml")).unwrap();
    let error = key_file::create(&at("a.toml")).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(std::fs::read(at("a.toml")).unwrap(), before);
}
