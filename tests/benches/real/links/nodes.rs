//! All nodes of a network in one process, so that nothing else uses its CPU time.

use crate::machine::Usage;
use metanode_core::{
    config::NodeConfig, env::real, executor::wire::ValidatorInfo, node, types::Encryption,
};
use std::{
    error::Error,
    fs,
    future::pending,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// The folder of a network, and the ports of its nodes.
pub struct Members {
    folder: TempDir,
    pub count: u16,
}

impl Members {
    pub fn new(count: u16, encryption: Encryption) -> Result<Self, Box<dyn Error>> {
        let members = Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
            count,
        };
        let ports = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        for (member, port) in (0..).zip(&ports) {
            let text = members.config(member, port.local_addr()?.port(), encryption);
            fs::write(members.config_path(member), text)?;
        }
        Ok(members)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn blocks(&self, member: u16) -> PathBuf {
        self.folder().join(format!("blocks-{member}.sock"))
    }

    pub fn rpc(&self, member: u16) -> PathBuf {
        self.folder().join(format!("rpc-{member}.sock"))
    }

    pub fn transactions(&self, member: u16) -> PathBuf {
        self.folder().join(format!("transactions-{member}.sock"))
    }

    fn config_path(&self, member: u16) -> PathBuf {
        self.folder().join(format!("node-{member}.toml"))
    }

    fn config(&self, member: u16, port: u16, encryption: Encryption) -> String {
        let encryption = match encryption {
            Encryption::Noise => "noise",
            Encryption::Readable => "readable",
        };
        format!(
            "node_index = {member}\n\
             data_dir = {:?}\n\
             protocol_key_seed = \"{:064x}\"\n\
             network_key_seed = \"{:064x}\"\n\
             p2p_listen_address = \"127.0.0.1:{port}\"\n\
             executor_send_socket_path = {:?}\n\
             executor_receive_socket_path = {:?}\n\
             transaction_socket_path = {:?}\n\
             [consensus]\n\
             encryption = \"{encryption}\"\n\
             epoch_duration_ms = 3_153_600_000_000\n",
            self.folder().join(format!("data-{member}")),
            1 + member,
            101 + member,
            self.blocks(member),
            self.rpc(member),
            self.transactions(member),
        )
    }

    /// What executors have to say about them.
    pub fn validators(&self) -> Result<Vec<ValidatorInfo>, Box<dyn Error>> {
        let of = |member| {
            let config = read(&self.config_path(member))?;
            Ok(ValidatorInfo::from(&config.authority()))
        };
        (0..self.count).map(of).collect()
    }
}

fn read(path: &Path) -> Result<NodeConfig, Box<dyn Error>> {
    Ok(NodeConfig::parse(&fs::read_to_string(path)?, path)?)
}

/// The process of the nodes. Killed when dropped.
pub struct Nodes {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Nodes {
    pub fn start(members: &Members) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("links-nodes")
            .arg(members.folder())
            .arg(members.count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asked = child.stdin.take().ok_or("no stdin")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self {
            child,
            asked,
            answers,
        })
    }

    /// What it has used.
    pub fn cpu_ms(&mut self) -> Result<u64, Box<dyn Error>> {
        self.asked.write_all(b"\n")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the nodes of a folder, and prints what they have used for each line that it reads.
#[tokio::main]
pub async fn nodes(folder: &Path, count: u16) -> Result<(), Box<dyn Error>> {
    for member in 0..count {
        let config = read(&folder.join(format!("node-{member}.toml")))?;
        let data = folder.join(format!("data-{member}"));
        fs::create_dir_all(&data)?;
        let env = real::env(&data)?;
        tokio::spawn(async move {
            if let Err(error) = node::run(env, config, pending()).await {
                eprintln!("node {member}: {error}");
            }
        });
    }
    let answering = tokio::task::spawn_blocking(|| -> std::io::Result<()> {
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{}", Usage::own()?.cpu_ms);
        }
        Ok(())
    });
    Ok(answering.await??)
}
