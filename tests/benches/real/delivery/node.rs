//! metanode, alone in its committee.

use metanode_core::{config::NodeConfig, executor::wire::ValidatorInfo};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    error::Error,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Epoch 0 began so long ago that no clock is before it, and lasts longer than any bench.
pub const GENESIS_MS: u64 = 1_700_000_000_000;

/// How fast the node makes blocks, and how many may be under way.
#[derive(Clone, Copy)]
pub struct Pace {
    pub min_round_delay_ms: u64,
    pub window_blocks: u64,
}

impl Pace {
    /// The defaults of a node.
    pub const DEPLOYED: Self = Self {
        min_round_delay_ms: 50,
        window_blocks: 500,
    };
}

/// The folder of a node and its executor, and the address that the committee has of it.
pub struct Home {
    folder: TempDir,
    p2p: SocketAddr,
}

impl Home {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
            p2p: TcpListener::bind("127.0.0.1:0")?.local_addr()?,
        })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder, and says where the log of the node is.
    pub fn keep(self, error: &dyn Error) -> Box<dyn Error> {
        let folder = self.folder.keep();
        format!("{error}; see {}", folder.join("node.log").display()).into()
    }

    /// Writes the configuration of the node. Returns what its executor has to say about it.
    pub fn configure(&self, pace: Pace) -> Result<ValidatorInfo, Box<dyn Error>> {
        let text = self.config(pace);
        let path = self.path().join("node.toml");
        fs::write(&path, &text)?;
        let authority = NodeConfig::parse(&text, &path)?.authority();
        Ok(ValidatorInfo::from(&authority))
    }

    fn config(&self, pace: Pace) -> String {
        let at = |name| self.path().join(name);
        let Pace {
            min_round_delay_ms,
            window_blocks,
        } = pace;
        let p2p = self.p2p;
        format!(
            "node_index = 0\n\
         data_dir = {:?}\n\
         protocol_key_seed = \"{:064x}\"\n\
         network_key_seed = \"{:064x}\"\n\
         p2p_listen_address = \"{p2p}\"\n\
         executor_send_socket_path = {:?}\n\
         executor_receive_socket_path = {:?}\n\
         transaction_socket_path = {:?}\n\
         [consensus]\n\
         min_round_delay_ms = {min_round_delay_ms}\n\
         epoch_duration_ms = 3_153_600_000_000\n\
         [ingest]\n\
         max_journal_bytes = 1_000_000_000\n\
         [delivery]\n\
         window_blocks = {window_blocks}\n",
            at("data"),
            1,
            2,
            at("blocks.sock"),
            at("rpc.sock"),
            at("transactions.sock"),
        )
    }
}

/// A running node. Killed when dropped.
pub struct Node(Child);

impl Node {
    /// Starts the binary of `make real`.
    pub fn start(home: &Home) -> Result<Self, Box<dyn Error>> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.path().join("node.log"))?;
        let child = Command::new(binary()?)
            .args(["run", "--config"])
            .arg(home.path().join("node.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// Asks it to end, and waits.
    pub fn end(mut self) -> Result<(), Box<dyn Error>> {
        let id = Pid::from_raw(i32::try_from(self.0.id())?).ok_or("process 0")?;
        kill_process(id, Signal::TERM)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Beside the folder of this program.
fn binary() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("no folder")?;
    let path = folder.join("metanode");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("{} is missing: `make real` builds it", path.display()).into()),
    }
}
