//! The event log: a file with one line of JSON per event that a judge needs, `docs/trace-format.md`.

use crate::env::{
    Event, WallClock,
    trace_line::{TraceEvent, TraceLine, VERSION},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Appends events to a file. A line is written before the call returns, so that it precedes in time whatever the process does
/// next.
pub struct EventLog {
    process: String,
    /// `None` after a failure: a log with a hole would accuse the process of something that did not happen.
    file: Mutex<Option<File>>,
    clock: Arc<dyn WallClock>,
}

impl EventLog {
    /// Continues the log of a process in `path`, or begins it. The process has the name of the file, without its extension.
    ///
    /// # Errors
    /// If the file cannot be opened, read or written; it names the file.
    pub fn open(path: &Path, clock: Arc<dyn WallClock>) -> io::Result<Self> {
        let file = continued(path).map_err(|e| {
            io::Error::new(e.kind(), format!("the event log {}: {e}", path.display()))
        })?;
        let process = path.file_stem().unwrap_or_default();
        Ok(Self {
            process: process.to_string_lossy().into_owned(),
            file: Mutex::new(Some(file)),
            clock,
        })
    }

    /// Appends an event, if the format has a line for it.
    pub fn write(&self, event: &Event) {
        if let Some(line) = TraceEvent::of(event)
            && let Err(e) = self.append(line)
        {
            tracing::error!(
                target: "[STARTUP]",
                "the event log ends here, because it cannot be written: {e}; make room and start the process again"
            );
        }
    }

    fn append(&self, event: TraceEvent) -> io::Result<()> {
        let line = TraceLine {
            v: VERSION,
            process: self.process.clone(),
            at_ms: Some(self.clock.now()),
            event,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = file.as_mut() else {
            return Ok(());
        };
        let written = open.write_all(&text);
        if written.is_err() {
            *file = None;
        }
        written
    }
}

fn continued(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).read(true).open(path)?;
    end_last_line(&mut file)?;
    Ok(file)
}

/// A kill can leave a part of a line at the end.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    match &last {
        b"\n" => Ok(()),
        _ => file.write_all(b"\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{NodeEvent, real::OsClock};
    use std::fs;

    #[test]
    fn a_log_is_continued_after_a_torn_line_and_has_the_name_of_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node-7.jsonl");
        fs::write(&path, "{\"v\":1,\"proc").expect("a file");
        let log = EventLog::open(&path, Arc::new(OsClock)).expect("a log");
        log.write(&NodeEvent::Starting.into());
        log.write(&NodeEvent::Ready.into());
        let text = fs::read_to_string(&path).expect("a file");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let line: TraceLine = serde_json::from_str(lines[1]).expect("a line");
        assert_eq!(line.process, "node-7");
        assert_eq!(line.event, TraceEvent::NodeStarted);
    }
}
