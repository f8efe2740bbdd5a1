//! A process and its log: started, asked what it has said, ended one way or the other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Only a test that fails waits as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let answered = answered.await;
    answered.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A binary of this build, which lies beside the test's own folder.
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

    /// What it has said so far, in whole lines.
    pub fn log(&self) -> String {
        whole_lines(&self.log)
    }

    /// The first line with all of `parts`, once it is there. The process must live until then.
    pub async fn line(&mut self, parts: &[&str]) -> String {
        let Self { child, log } = self;
        eventually(&format!("{parts:?} in {}", log.display()), async || {
            // First whether it has ended, then what it said: nothing comes after its end.
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

    fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM $0", &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("the end of a process", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Ends it in good order.
    pub async fn stop(mut self) {
        self.terminate();
        let status = self.ended().await;
        let log = self.log();
        assert!(status.success(), "{status}:\n{log}");
        assert!(log.contains("[STARTUP]: stops"), "{log}");
    }

    /// Ends it without a word.
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
