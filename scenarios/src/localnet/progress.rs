//! How far processes are, by their event logs.

use metanode_core::env::trace_line::{TraceEvent, TraceLine};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// How far a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub starts: u64,
    pub epoch: u64,
    pub round: u32,
    /// The last one that a node stored, in its epoch.
    pub commit: u32,
    /// Of its last stored commit, or its last durable block.
    pub gei: u64,
    /// What a node knows to be durable.
    pub watermark: u64,
}

impl Progress {
    fn observe(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::NodeStarted => self.starts += 1,
            TraceEvent::ExecutorStarted { watermark, .. } => {
                self.starts += 1;
                self.gei = watermark.0;
            }
            TraceEvent::WatermarkLearned { watermark } => self.watermark = watermark.0,
            TraceEvent::EpochOpened { epoch, .. } | TraceEvent::EpochEntered { epoch, .. } => {
                self.epoch = epoch.0;
            }
            TraceEvent::BlockProposed { round, .. } => self.round = round.0,
            TraceEvent::CommitStored { gei, commit, .. } => {
                self.gei = gei.0;
                self.commit = commit.0;
            }
            TraceEvent::WatermarkDurable { watermark } => self.gei = watermark.0,
            _ => {}
        }
    }
}

/// Follows the event log of one process.
pub struct Follower {
    path: PathBuf,
    offset: u64,
    /// The begin of a line that is not complete.
    rest: Vec<u8>,
    pub progress: Progress,
}

impl Follower {
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            rest: vec![],
            progress: Progress {
                starts: 0,
                epoch: 0,
                round: 0,
                commit: 0,
                gei: 0,
                watermark: 0,
            },
        }
    }

    /// Reads what is new. Without a file there is nothing yet.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.rest)?;
        self.offset += read as u64;
        let end = self.rest.iter().rposition(|byte| *byte == b'\n');
        let lines: Vec<u8> = self.rest.drain(..end.map_or(0, |end| end + 1)).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            // A line that a kill has torn says nothing.
            if let Ok(line) = serde_json::from_slice::<TraceLine>(line) {
                self.progress.observe(&line.event);
            }
        }
        Ok(())
    }
}
