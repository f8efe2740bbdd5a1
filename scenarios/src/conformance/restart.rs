//! How the executor is killed and started again.

use std::{
    io::{self, BufRead, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Kills the executor, as by SIGKILL, and starts it again.
pub trait Restart {
    /// Returns when the executor is killed and its start has begun.
    ///
    /// # Errors
    /// If it could not be done, with the reason.
    fn restart(&mut self) -> Result<(), String>;
}

/// A shell command that kills and starts.
#[derive(Debug)]
pub struct RestartCommand {
    pub command: String,
    /// The command must end within this time.
    pub timeout: Duration,
}

/// A person at the terminal.
#[derive(Debug)]
pub struct RestartByHand;

impl Restart for RestartCommand {
    fn restart(&mut self) -> Result<(), String> {
        let command = self.command.clone();
        let (sender, ended) = mpsc::channel();
        let run = move || {
            // What it starts may keep its output open.
            let status = Command::new("sh")
                .args(["-c", &command])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            // Nobody waits any more if this fails.
            let _ = sender.send(status);
        };
        let not_started = |error: io::Error| format!("--restart-command cannot run: {error}");
        thread::Builder::new().spawn(run).map_err(not_started)?;
        match ended.recv_timeout(self.timeout) {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("--restart-command failed: {status}")),
            Ok(Err(error)) => Err(not_started(error)),
            Err(_) => Err(format!(
                "--restart-command did not end within {:?}: let it start the executor in the background",
                self.timeout
            )),
        }
    }
}

impl Restart for RestartByHand {
    fn restart(&mut self) -> Result<(), String> {
        eprint!("kill the executor with SIGKILL, start it again, then press Enter: ");
        // Without a prompt one can press Enter, too.
        let _ = io::stderr().flush();
        let read = io::stdin().lock().read_line(&mut String::new());
        match read {
            Ok(0) => Err("nobody is at standard input".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("standard input cannot be read: {error}")),
        }
    }
}
