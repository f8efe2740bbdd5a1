//! A process of the tests with its log: start, observe, stop, kill.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Only failing tests wait this long.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Polls `ask` until it returns a value.
pub async fn eventually<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = tokio::time::timeout(TIMEOUT, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let answered = answered.await;
    answered.unwrap_or_else(|_| panic!("{what}: not within {TIMEOUT:?}"))
}

/// The path of a binary of this build.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: `make real` builds it",
        path.display()
    );
    path
}

/// A process with its log. Killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let stderr = fs::File::create(&log).unwrap();
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// The log so far, in whole lines.
    pub fn log(&self) -> String {
        whole_lines(&self.log)
    }

    /// Waits for the first line with all of `parts`. The process must not end before.
    pub async fn line(&mut self, parts: &[&str]) -> String {
        let Self { child, log } = self;
        eventually(&format!("{parts:?} in {}", log.display()), async || {
            // Whether it has ended comes first: after its end the log is complete.
            let ended = child.try_wait().unwrap();
            let text = whole_lines(log);
            let found = text
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)));
            assert!(
                found.is_some() || ended.is_none(),
                "{ended:?} before {parts:?}:\n{text}"
            );
            found.map(str::to_owned)
        })
        .await
    }

    /// Its resident memory.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }

    /// The number of files and sockets that it has open.
    pub fn open_files(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.count()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -$0 $1", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Stops the process where it is. It keeps its sockets.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("the end of a process", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Ends the process with SIGTERM and asserts a clean shutdown.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended().await;
        let log = self.log();
        assert!(status.success(), "{status}:\n{log}");
        assert!(log.contains("[STARTUP]: stops"), "{log}");
    }

    /// Ends the process with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// The number behind `gei=` at the end of a log line.
pub fn gei(line: &str) -> u64 {
    let (_, number) = line.rsplit_once("gei=").unwrap();
    number.parse().unwrap()
}

fn whole_lines(log: &Path) -> String {
    let mut text = fs::read_to_string(log).unwrap();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}
