//! One case: both processes are started, and what they print is read.

use super::case::{Case, Replies};
use crate::machine::Usage;
use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// What a case measured. Times in nanoseconds, each as half and 99 % quantile.
pub struct Measured {
    pub case: Case,
    pub sent: u64,
    pub read: u64,
    pub begin_ns: u64,
    pub last_read_ns: u64,
    pub last_reply_ns: u64,
    pub handed_over_ns: [u64; 2],
    pub until_read_ns: [u64; 2],
    pub replied_ns: [u64; 2],
    pub client: Usage,
    pub node: Usage,
}

impl Measured {
    /// Until the last one was read, or answered where replies are awaited.
    pub fn transactions_per_second(&self) -> f64 {
        let end_ns = match self.case.replies {
            Replies::Forgotten => self.last_read_ns,
            Replies::Awaited => self.last_reply_ns,
        };
        let seconds = end_ns.saturating_sub(self.begin_ns).max(1) as f64 / 1e9;
        (self.read * u64::from(self.case.batch)) as f64 / seconds
    }
}

/// One side of a case.
struct Side {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Side {
    fn start(role: &str, folder: &Path, case: &Case) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .arg(folder)
            .arg(case.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let output = BufReader::new(output);
        Ok(Self { process, output })
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("a process of the bench ended early".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u64; N], Box<dyn Error>> {
        let line = self.line()?;
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        (numbers?.try_into()).map_err(|_| format!("expected {N} numbers: {line}").into())
    }

    fn tell(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let input = self.process.stdin.as_mut().ok_or("no input")?;
        Ok(writeln!(input, "{line}")?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait(); // both ends with their input
    }
}

/// Runs both sides of a case.
pub fn measure(mut case: Case) -> Result<Measured, Box<dyn Error>> {
    // At an address that outgoing connections do not use, so that nobody takes the port before the node does.
    case.tcp = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 77), 0))?.local_addr()?;
    // On the disk of the target folder: that of temporary files may be memory.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut node = Side::start("ingest-server", folder.path(), &case)?;
    node.line()?;
    let mut sub = Side::start("ingest-client", folder.path(), &case)?;
    let [
        sent,
        begin_ns,
        last_reply_ns,
        over,
        over_99,
        reply,
        reply_99,
        cpu_ms,
        peak_kib,
    ] = sub.numbers()?;
    let client = Usage { cpu_ms, peak_kib };
    node.tell(&sent.to_string())?;
    let [read, last_read_ns, until, until_99, cpu_ms, peak_kib] = node.numbers()?;
    Ok(Measured {
        case,
        sent,
        read,
        begin_ns,
        last_read_ns,
        last_reply_ns,
        handed_over_ns: [over, over_99],
        until_read_ns: [until, until_99],
        replied_ns: [reply, reply_99],
        client,
        node: Usage { cpu_ms, peak_kib },
    })
}
