//! Files to lines, merged by GEI.
//!
//! Clocks of different machines do not order events. The lines of a file keep their order; of several files, the next line is
//! taken from the one whose processes have got least far on the chain.

use super::judge::{Judge, Place, Report};
use metanode_core::env::trace_line::{TraceLine, VERSION};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};
use thiserror::Error;

/// A longer line is not of the format.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// So many unreadable lines are reported.
const MAX_UNREADABLE: usize = 100;

/// Why files cannot be judged.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{}: {message}", place.file.display(), place.line)]
    Line { place: Place, message: String },
    #[error(
        "no file has a line of the format; expected JSON Lines as docs/trace-format.md describes them, the first line was not: {0}"
    )]
    NoLine(String),
}

struct LogFile {
    reader: BufReader<File>,
    /// Lines that were read.
    lines: u64,
    /// The highest GEI so far.
    gei: u64,
    is_over: bool,
}

/// Judges event logs.
///
/// # Errors
/// If a file cannot be read, one name stands for two processes, a line is of a later version, or no line is of the format.
pub fn judge_files(files: &[PathBuf]) -> Result<Report, LogError> {
    let mut logs = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut judge = Judge::default();
    let mut unreadable = vec![];
    let mut read = 0_u64;
    while let Some((index, log)) = (logs.iter_mut().enumerate())
        .filter(|(_, log)| !log.is_over)
        .min_by_key(|(_, log)| log.gei)
    {
        let path = &files[index];
        let next = log.next().map_err(|source| LogError::Read {
            path: path.clone(),
            source,
        })?;
        let Some(text) = next else {
            continue;
        };
        let place = Place {
            file: path.clone(),
            line: log.lines,
        };
        match serde_json::from_slice::<TraceLine>(&text) {
            Ok(line) if line.v != VERSION => {
                let found = line.v;
                let message = format!("expected version {VERSION} of the format, found {found}");
                return Err(LogError::Line { place, message });
            }
            Ok(line) => {
                let judged = judge.line(&line, index, log.lines);
                let gei = judged.map_err(|message| LogError::Line { place, message })?;
                log.gei = log.gei.max(gei);
                read += 1;
            }
            Err(e) if unreadable.len() < MAX_UNREADABLE => unreadable.push((place, e.to_string())),
            Err(_) => {}
        }
    }
    match unreadable.first() {
        Some((place, message)) if read == 0 => Err(LogError::NoLine(format!(
            "{}:{}: {message}",
            place.file.display(),
            place.line
        ))),
        None if read == 0 => Err(LogError::NoLine("all files are empty".to_owned())),
        _ => Ok(judge.report(files, unreadable)),
    }
}

fn open(path: &PathBuf) -> Result<LogFile, LogError> {
    let file = File::open(path).map_err(|source| LogError::Read {
        path: path.clone(),
        source,
    })?;
    Ok(LogFile {
        reader: BufReader::new(file),
        lines: 0,
        gei: 0,
        is_over: false,
    })
}

impl LogFile {
    /// The next line that is not empty; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut text = vec![];
            let mut bounded = (&mut self.reader).take(MAX_LINE_BYTES);
            if bounded.read_until(b'\n', &mut text)? == 0 {
                self.is_over = true;
                return Ok(None);
            }
            self.lines += 1;
            if !text.trim_ascii().is_empty() {
                return Ok(Some(text));
            }
        }
    }
}
