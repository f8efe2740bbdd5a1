//! The three machines of `docs/deployment.md`, with the files that are checked in and the commands that the guide prints.

use crate::{
    guide::{self, FILES, Guide},
    machines::{COUNT, Machines},
    process::{Process, eventually},
};
use metanode_core::{
    config::RpcParameters,
    env::real,
    executor::{
        ExecutorClient,
        wire::{BlockData, CommittedEpochData, GetBlocksRange},
    },
    types::Address,
};
use prost::Message;
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

/// Each machine sends so many transactions.
const SENT: usize = 3;

/// Environment of all processes of a machine.
type Environment = Vec<(String, String)>;

/// The example, running.
struct Network {
    machines: Machines,
    guide: Guide,
    environments: [Environment; COUNT],
    executors: Vec<Process>,
    nodes: Vec<Process>,
}

impl Network {
    /// The example as it is checked in.
    fn prepare(machines: Machines, environments: [Environment; COUNT]) -> Self {
        for (name, text) in FILES {
            // Some are for all machines.
            let of = (0..COUNT).find(|n| name.contains(&format!("-{n}.")));
            for machine in (0..COUNT).filter(|n| of.is_none_or(|of| of == *n)) {
                machines.install(machine, name, text);
            }
        }
        let network = Self {
            machines,
            guide: Guide::english(),
            environments,
            executors: vec![],
            nodes: vec![],
        };
        for machine in 0..COUNT {
            network.succeeds(machine, "chmod 600");
        }
        network
    }

    /// Replaces the public keys of the example, in files and in genesis.
    fn make_keys(&self) {
        let entries = (0..COUNT).map(|machine| {
            let public = self.machines.path(machine, "/opt/metanode");
            fs::remove_file(public.join(format!("node-{machine}.keys.toml"))).unwrap();
            self.succeeds(machine, "metanode keys");
            let entry = self.succeeds(machine, "metanode validator");
            serde_json::from_str(&entry).unwrap()
        });
        let entries: Vec<serde_json::Value> = entries.collect();
        for machine in 0..COUNT {
            let name = format!("executor-{machine}.json");
            let (_, text) = FILES.into_iter().find(|(file, _)| *file == name).unwrap();
            let mut executor: serde_json::Value = serde_json::from_str(text).unwrap();
            executor["genesis"]["validators"] = entries.clone().into();
            let text = serde_json::to_string_pretty(&executor).unwrap();
            self.machines.install(machine, &name, &text);
        }
    }

    /// Starts everything in the order of the guide.
    async fn start(&mut self) {
        for machine in 0..COUNT {
            let checked = self.check(machine);
            assert!(
                checked.contains("\nwarning  node-"),
                "nothing runs yet:\n{checked}"
            );
        }
        for machine in 0..COUNT {
            let executor = self.process(machine, "executor", "mock-go-executor run");
            self.executors.push(executor);
        }
        for executor in &mut self.executors {
            executor.line(&["[STARTUP]", "finds block"]).await;
        }
        for machine in 0..COUNT {
            let node = self.process(machine, "node", "metanode run");
            self.nodes.push(node);
        }
        for node in &mut self.nodes {
            node.line(&["[STARTUP]", "is ready"]).await;
        }
    }

    /// A printed command, on this machine.
    fn command(&self, machine: usize, printed: &str) -> Command {
        let line = self.guide.command(printed);
        let line = line.replace("-0.", &format!("-{machine}."));
        let line = line.replace("--sender 1", &format!("--sender {}", machine + 1));
        let mut command = self.machines.command(machine, &line);
        command.envs(self.environments[machine].iter().cloned());
        command
    }

    fn run(&self, machine: usize, printed: &str) -> Output {
        self.command(machine, printed).output().unwrap()
    }

    /// What a printed command prints.
    fn succeeds(&self, machine: usize, printed: &str) -> String {
        let output = self.run(machine, printed);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn process(&self, machine: usize, name: &str, printed: &str) -> Process {
        let log = self.machines.log(machine, name);
        Process::start(&mut self.command(machine, printed), log)
    }

    /// Sets the firewall of the guide, where machines have a network of their own and there is nftables.
    fn shut_out_strangers(&self) {
        let connect = "timeout 1 bash -c ': </dev/tcp/192.168.1.100/9000'";
        let connects = || {
            let output = self.machines.stranger(connect)?.output().unwrap();
            Some(output.status.success())
        };
        let version = self.machines.command(0, "nft --version").output();
        let has_nft = version.unwrap().status.success();
        let Some(connected) = connects().filter(|_| has_nft) else {
            let is_required = std::env::var_os("REQUIRE_MACHINES").is_some() && !has_nft;
            assert!(
                !is_required,
                "nft is missing: `.ci/install machines` installs it"
            );
            eprintln!("the firewall is not tried: that needs namespaces and nftables");
            return;
        };
        assert!(connected, "without a firewall anybody connects");
        for machine in 0..COUNT {
            self.succeeds(machine, "nft -f");
        }
        assert_eq!(connects(), Some(false));
    }

    /// What `check-config` prints, without an error.
    fn check(&self, machine: usize) -> String {
        let text = self.succeeds(machine, "metanode check-config");
        assert!(!text.contains("\nerror "), "{text}");
        text
    }

    /// Blocks 1 to `last` of an executor, once it has them.
    async fn blocks(&self, machine: usize, last: u64) -> Vec<BlockData> {
        let socket = format!("/run/metanode/rust-go.sock_{}", machine + 1);
        let socket = self.machines.path(machine, &socket);
        let env = real::env(&socket).unwrap();
        let client = ExecutorClient::new(env, Address::Unix(socket), RpcParameters::default());
        eventually("blocks", async || {
            let watermark = client.watermark().await.ok()?;
            (watermark.0 >= last).then_some(())
        })
        .await;
        let mut blocks = vec![];
        while (blocks.len() as u64) < last {
            let range = GetBlocksRange {
                from: blocks.len() as u64 + 1,
                to: last,
                skip_bytes: 0,
            };
            let range = client.blocks_range(range).await.unwrap();
            assert!(!range.blocks.is_empty(), "{}", range.error);
            blocks.extend(range.blocks);
        }
        blocks
    }

    /// Sends on each machine, and returns the blocks of the executors once they have executed all of it.
    async fn execute(&self) -> [Vec<BlockData>; COUNT] {
        for machine in 0..COUNT {
            let reply = self.succeeds(machine, "mock-go-executor send");
            assert!(reply.contains(&format!("\"count\":{SENT}}}")), "{reply}");
        }
        let last = eventually("transactions in blocks", async || {
            let last = self.tip().await;
            let found = transactions(&self.blocks(0, last).await);
            (found.len() == COUNT * SENT).then_some(last)
        })
        .await;
        self.all_blocks(last).await
    }

    async fn all_blocks(&self, last: u64) -> [Vec<BlockData>; COUNT] {
        [
            self.blocks(0, last).await,
            self.blocks(1, last).await,
            self.blocks(2, last).await,
        ]
    }

    async fn tip(&self) -> u64 {
        let socket = self.machines.path(0, "/run/metanode/rust-go.sock_1");
        let env = real::env(&socket).unwrap();
        let client = ExecutorClient::new(env, Address::Unix(socket), RpcParameters::default());
        client.watermark().await.unwrap().0
    }

    /// Ends everything in the order of the guide.
    async fn stop(self) {
        for process in self.nodes.into_iter().chain(self.executors) {
            process.stop().await;
        }
    }
}

/// The different transactions of blocks.
fn transactions(blocks: &[BlockData]) -> BTreeSet<Vec<u8>> {
    let decoded = blocks
        .iter()
        .map(|block| CommittedEpochData::decode(block.raw_block_bytes.clone()).unwrap());
    let commits = decoded.flat_map(|block| block.blocks);
    let transactions = commits.flat_map(|commit| commit.transactions);
    transactions
        .map(|transaction| transaction.digest.to_vec())
        .collect()
}

fn assert_same(blocks: &[Vec<BlockData>; COUNT]) {
    let [first, others @ ..] = blocks;
    assert!(!first.last().unwrap().state_root.is_empty());
    for other in others {
        assert!(
            first == other,
            "chain and roots are the same on all machines"
        );
    }
}

#[tokio::test]
async fn three_machines_work_as_the_guide_prints() {
    let mut network = Network::prepare(Machines::new(), Default::default());
    network.start().await;
    network.shut_out_strangers();
    let blocks = network.execute().await;
    assert_same(&blocks);

    // What the guide prints of a network that runs.
    for machine in 0..COUNT {
        let checked = network.check(machine);
        let others = (0..COUNT).filter(|other| *other != machine);
        for other in others {
            let reached = format!(":{} is reached", 9_000 + other);
            assert!(checked.contains(&reached), "{checked}");
        }
        assert!(checked.contains("the executor is in "), "{checked}");
        let in_use = checked.lines().filter(|line| line.starts_with("warning "));
        assert!(
            in_use.clone().all(|line| line.contains("is in use")),
            "{checked}"
        );
        assert_eq!(in_use.count(), 3, "{checked}");
        // The executors' RPC for peers.
        for other in 0..COUNT {
            let port = format!(
                "bash -c ': </dev/tcp/192.168.1.{}/{}'",
                100 + other,
                19_200 + other
            );
            let connected = network.machines.command(machine, &port).status();
            assert!(
                connected.unwrap().success(),
                "{port} from machine {machine}"
            );
        }
    }
    for (process, pattern) in guide::lines_at_every_start() {
        let processes = match process.as_str() {
            "metanode" => &network.nodes,
            "executor" => &network.executors,
            other => panic!("the guide says that `{other}` logs `{pattern}`"),
        };
        for process in processes {
            let log = process.log();
            let found = log.lines().any(|line| guide::matches(&pattern, line));
            assert!(found, "`{pattern}` is not in:\n{log}");
        }
    }

    // A machine is down, and the network goes on when it is back.
    network.nodes.pop().unwrap().kill().await;
    let last = network.tip().await + 20;
    let back = network.process(2, "node-again", "metanode run");
    network.nodes.push(back);
    assert_same(&network.all_blocks(last).await);
    network.stop().await;
}

/// Where no namespaces may be made the tests above do it like this.
#[tokio::test]
async fn three_addresses_of_one_machine_work_with_keys_of_their_own() {
    let mut network = Network::prepare(Machines::on_loopback(), Default::default());
    network.make_keys();
    network.start().await;
    let blocks = network.execute().await;
    assert_same(&blocks);
    network.stop().await;
}

/// What makes processes see a clock that is wrong by this; `None`, with a word, where there is no libfaketime.
fn wrong_clock(by: &str) -> Option<Environment> {
    let asked = Command::new("faketime")
        .args(["-m", "-f", by, "printenv", "LD_PRELOAD"])
        .output();
    let library = asked.ok().filter(|output| output.status.success());
    let Some(library) = library else {
        let is_required = std::env::var_os("REQUIRE_MACHINES").is_some();
        assert!(
            !is_required,
            "faketime is missing: `.ci/install machines` installs it"
        );
        eprintln!("skipped: faketime is missing; `.ci/install machines` installs it");
        return None;
    };
    let library = String::from_utf8(library.stdout).unwrap();
    let environment = [
        ("LD_PRELOAD", library.trim()),
        ("FAKETIME", by),
        // Only the wall clock is wrong: timers and deadlines go on as before.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let owned = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(owned.to_vec())
}

/// Seconds since 1970, as a process in this environment sees them.
fn clock(environment: &Environment) -> u64 {
    let mut date = Command::new("date");
    let output = date.arg("+%s").envs(environment.iter().cloned()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}

/// The last machine has a clock that is wrong by this many minutes.
async fn with_wrong_clock(minutes: i64) {
    let Some(wrong) = wrong_clock(&format!("{minutes:+}m")) else {
        return;
    };
    let before = clock(&vec![]);
    let off = clock(&wrong).cast_signed() - before.cast_signed() - 60 * minutes;
    assert!((0..60).contains(&off), "{off} s");

    let mut network = Network::prepare(Machines::new(), [vec![], vec![], wrong]);
    network.start().await;
    let blocks = network.execute().await;
    assert_same(&blocks);
    // Timestamps are medians over the validators: one clock does not move them.
    let last = blocks[0].last().unwrap().timestamp_ms / 1_000;
    assert!(
        (before..before + 300).contains(&last),
        "{last} in a chain of {before}"
    );
    for node in &mut network.nodes {
        let log = node.log();
        let is_quiet = !log.contains(" ERROR ") && !log.contains("rejects what authority");
        assert!(is_quiet, "{log}");
    }
    network.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_ahead_changes_nothing() {
    with_wrong_clock(10).await;
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_behind_changes_nothing() {
    with_wrong_clock(-10).await;
}
