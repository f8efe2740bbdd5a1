//! Starting, signalling and observing processes.

use super::chaos::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

/// The binaries of the network.
pub struct Binaries {
    folder: PathBuf,
    /// Ends a child with this process, whatever ends it: `setpriv` of util-linux.
    ties_children: bool,
}

impl Binaries {
    const NAMES: [&str; 2] = ["metanode", "mock-go-executor"];

    /// The binaries in a folder.
    ///
    /// # Errors
    /// Which is missing.
    pub fn in_folder(folder: &Path) -> Result<Self, PathBuf> {
        let paths = Self::NAMES.map(|name| folder.join(name));
        if let Some(missing) = paths.into_iter().find(|path| !path.is_file()) {
            return Err(missing);
        }
        let mut setpriv = Command::new("setpriv");
        setpriv
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self {
            folder: folder.to_owned(),
            ties_children: setpriv.status().is_ok_and(|status| status.success()),
        })
    }

    fn command(&self, name: &str) -> Command {
        let binary = self.folder.join(name);
        if !self.ties_children {
            return Command::new(binary);
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(binary);
        command
    }

    /// Starts a process that logs to `log`, and its events to `events`.
    pub fn start(
        &self,
        target: Target,
        config: &Path,
        log: &Path,
        events: &Path,
        bugs: &[String],
    ) -> io::Result<Process> {
        let (name, command) = match target {
            Target::Node(_) => ("metanode", "run"),
            Target::Executor(_) => ("mock-go-executor", "run"),
            Target::Sub(_) => ("mock-go-executor", "sub"),
        };
        let mut process = self.command(name);
        process.arg(command).arg("--config").arg(config);
        process.arg("--event-log").arg(events);
        for bug in bugs {
            process.args(["--bug", bug]);
        }
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let child = process
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Process { child })
    }
}

/// A running process. Killed when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// How it has ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends SIGKILL and waits.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Asks it to end.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        let id = Pid::from_raw(id).ok_or_else(|| io::Error::other("process 0"))?;
        Ok(kill_process(id, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// Copies a folder.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => fs::copy(entry.path(), to).map(|_| ())?,
        }
    }
    Ok(())
}
