//! Go on the other side: a Go Master executes what nodes deliver, and a Go Sub sends transactions, both written against the
//! specification alone (`tests/interop`).

use crate::{
    process::{Process, binary, eventually, gei},
    validator::{Validator, validators},
};
use metanode_core::types::Address;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const TRANSACTIONS: usize = 300;

/// The folder with the Go programs of this test; `None`, with a word, where there is no Go.
pub fn build(root: &Path) -> Option<PathBuf> {
    let is_required = std::env::var_os("REQUIRE_GO").is_some();
    let tools = ["go", "protoc", "protoc-gen-go"];
    // Where Debian's packages are, which `build.sh` uses.
    let packages = Path::new("/usr/share/gocode/src/google.golang.org/protobuf");
    let missing = tools.iter().find(|tool| {
        let found = Command::new("sh")
            .args(["-c", "command -v $0 >/dev/null", tool])
            .status();
        !found.unwrap().success()
    });
    let missing = match missing {
        None if !packages.exists() => Some(&"golang-google-protobuf-dev"),
        missing => missing,
    };
    if let Some(missing) = missing {
        assert!(
            !is_required,
            "{missing} is missing: `.ci/install go` installs it"
        );
        eprintln!("skipped: {missing} is missing; `.ci/install go` installs it");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/build.sh");
    let folder = root.join("go");
    // The compiler's cache outlives the test.
    let cache = binary("metanode").with_file_name("go-cache");
    let built = Command::new(script)
        .arg(&folder)
        .env("GOCACHE", cache)
        .status();
    assert!(built.unwrap().success());
    Some(folder)
}

pub fn start_master(programs: &Path, validator: &mut Validator) -> Process {
    let config = validator.go_config();
    let mut command = Command::new(programs.join("master"));
    command.arg(config);
    Process::start(&mut command, validator.next_log("executor"))
}

#[test]
fn go_writes_the_golden_frames() {
    let root = TempDir::new().unwrap();
    let Some(programs) = build(root.path()) else {
        return;
    };
    let printed = Command::new(programs.join("golden")).output().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/golden.txt");
    let golden = fs::read_to_string(golden).unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), golden);
}

/// Through the kill of a node, that of a Master, and changes of epochs.
#[tokio::test]
async fn a_go_master_executes_each_block_once_and_a_go_sub_is_believed() {
    let root = TempDir::new().unwrap();
    let Some(programs) = build(root.path()) else {
        return;
    };
    let mut all = validators(root.path(), 4);
    for validator in &mut all {
        validator.node.consensus.epoch_duration_ms = 2_000;
    }
    let mut masters: Vec<_> = (all.iter_mut())
        .map(|validator| start_master(&programs, validator))
        .collect();
    let mut nodes: Vec<_> = all.iter_mut().map(|v| v.start_node(&[])).collect();
    let sent = Command::new(programs.join("sub"))
        .arg(all[0].transaction_path())
        .args(["7", &TRANSACTIONS.to_string()])
        .spawn();
    let mut sub = sent.unwrap();
    all[3].reaches(10).await;
    nodes.remove(3).kill().await;
    all[2].reaches(20).await;
    masters.remove(2).kill().await;
    nodes[0]
        .line(&["[EPOCH TRANSITION]", "opens epoch 1 "])
        .await;
    masters.insert(2, start_master(&programs, &mut all[2]));
    nodes.push(all[3].start_node(&[]));
    for node in &mut nodes {
        node.line(&["[EPOCH TRANSITION]", "opens epoch 3 "]).await;
    }
    let ended = eventually("the end of the Go Sub", async || sub.try_wait().unwrap());
    assert!(ended.await.success());

    let tip = all[0].reaches(1).await;
    let mut chains = vec![];
    for validator in &all {
        validator.reaches(tip).await;
        chains.push(validator.blocks(tip).await);
    }
    assert!(chains.iter().all(|chain| *chain == chains[0]), "one chain");
    let numbers = chains[0].iter().map(|block| block.global_exec_index);
    assert!(numbers.eq(1..=tip));
    assert!(chains[0].last().unwrap().epoch >= 2);
    let mut times = BTreeMap::<_, u32>::new();
    for transaction in (chains[0].iter())
        .flat_map(|block| &block.blocks)
        .flat_map(|block| &block.transactions)
    {
        *times.entry(transaction.digest.clone()).or_default() += 1;
    }
    assert_eq!(
        times.len(),
        TRANSACTIONS,
        "all that were taken are executed"
    );
    for validator in &all {
        // A killed process leaves what it has written: nothing is executed again.
        let executed: Vec<_> = validator
            .executions()
            .iter()
            .map(|line| gei(line))
            .collect();
        assert!(executed.len() as u64 >= tip);
        assert!(executed.iter().copied().eq(1..=executed.len() as u64));
    }
    for process in nodes.into_iter().chain(masters) {
        process.stop().await;
    }
}

impl Validator {
    /// The configuration of its Go Master, with the names that Go gives to the sockets.
    fn go_config(&self) -> PathBuf {
        let path = |address: &Address| match address {
            Address::Unix(path) => path.clone(),
            Address::Tcp(_) => panic!("{address} is no Unix socket"),
        };
        let genesis = &self.executor.genesis;
        let config = serde_json::json!({
            "rust_go_receive_socket_path": path(&self.executor.block_stream_address),
            "rust_go_send_socket_path": path(&self.executor.rpc_address),
            "data_dir": self.executor.data_dir,
            "genesis_timestamp_ms": genesis.epoch_timestamp_ms,
            "flush_every_blocks": 7,
            "validators": genesis.validators,
        });
        let file = self.executor.data_dir.with_extension("json");
        fs::write(&file, config.to_string()).unwrap();
        file
    }
}
