//! What happened, one line per event that matters, one column per process.
//!
//! A column shows how far its process has come, with a mark for the state it is in ([`LEGEND`]). Progress is not an
//! event: it is read off the columns of whatever line comes next, and a quiet stretch gets a line every two seconds.

use super::paint::Paint;
use metanode_core::{
    delivery::ReplayPlan,
    env::{Event, ExecutorEvent, NodeEvent},
};
use metanode_sim::trace::{Entry, ProcessId, SimTime, What, WorldEvent};
use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

/// How to read the columns.
pub const LEGEND: &str = "\
columns: nK = commits stored by node K, eK = blocks durable in executor K
marks:   x down   > starting   = paused   ~ stalled   / cut off   ! window full, proposes nothing";

/// A quiet stretch gets a line after this time; an event that repeats within it is not told again.
const QUIET: SimTime = SimTime::from_ms(2_000);

/// Longer timelines lose their middle.
const MOST_LINES: usize = 160;

/// The timeline of a run. Ends with a line break.
#[must_use]
pub fn text(entries: &[Entry], paint: Paint) -> String {
    let mut timeline = Timeline::over(entries);
    for entry in entries {
        timeline.take_in(entry);
    }
    let mut out = format!("{}\n", paint.dim(LEGEND));
    let _ = writeln!(out, "{}", paint.bold(timeline.head()));
    let lines = timeline.lines.len();
    let left_out = lines.saturating_sub(MOST_LINES);
    let middle = (MOST_LINES / 2)..(MOST_LINES / 2 + left_out);
    for (position, line) in timeline.lines.iter().enumerate() {
        if position == middle.start && left_out > 0 {
            let _ = writeln!(out, "{}", paint.dim(format_args!("… {left_out} lines …")));
        }
        if !middle.contains(&position) {
            let text = if line.grave {
                paint.bad(&line.text)
            } else {
                line.text.clone()
            };
            let _ = writeln!(out, "{}{}  {text}", line.at, line.columns);
        }
    }
    out
}

struct Line {
    at: SimTime,
    columns: String,
    text: String,
    grave: bool,
}

/// What a column shows.
#[derive(Default)]
struct Column {
    progress: Option<u64>,
    down: bool,
    starting: bool,
    paused: bool,
    stalled: bool,
    cut_off: bool,
    full: bool,
}

impl Column {
    const fn mark(&self) -> &'static str {
        match self {
            Self { down: true, .. } => "x",
            Self { paused: true, .. } => "=",
            Self { stalled: true, .. } => "~",
            Self { cut_off: true, .. } => "/",
            Self { starting: true, .. } => ">",
            Self { full: true, .. } => "!",
            _ => "",
        }
    }
}

struct Timeline {
    columns: BTreeMap<ProcessId, Column>,
    lines: Vec<Line>,
    /// When a repeating event was told last, by process and kind.
    told: BTreeMap<(ProcessId, &'static str), SimTime>,
}

impl Timeline {
    fn over(entries: &[Entry]) -> Self {
        let processes = entries.iter().map(|entry| entry.process);
        let processes = processes.filter(|process| *process != ProcessId::World);
        Self {
            columns: processes.map(|p| (p, Column::default())).collect(),
            lines: vec![],
            told: BTreeMap::new(),
        }
    }

    fn head(&self) -> String {
        let mut head = format!("{:>10}", "time");
        for process in self.columns.keys() {
            let name = match process {
                ProcessId::Node(number) => format!("n{number}"),
                ProcessId::Executor(number) => format!("e{number}"),
                ProcessId::World => String::new(),
            };
            let _ = write!(head, " {name:>5}");
        }
        head
    }

    fn take_in(&mut self, entry: &Entry) {
        let last = self.lines.last().map(|line| line.at).unwrap_or_default();
        if entry.at.since(last) >= QUIET {
            self.push(entry.at, String::new(), false);
        }
        match &entry.what {
            What::Befell(event) => self.befell(entry, event),
            What::Did(Event::Node(event)) => self.node_did(entry, event),
            What::Did(Event::Executor(event)) => self.executor_did(entry, event),
            What::Did(Event::Crashed(point)) => {
                self.tell(entry, format_args!("crashes at {point}"))
            }
        }
    }

    fn befell(&mut self, entry: &Entry, event: &WorldEvent) {
        let column = self.columns.entry(entry.process).or_default();
        match event {
            WorldEvent::Started { start } => {
                let stalled = column.stalled;
                *column = Column {
                    progress: column.progress,
                    cut_off: column.cut_off,
                    starting: matches!(entry.process, ProcessId::Node(_)),
                    stalled,
                    ..Column::default()
                };
                if entry.at > SimTime::default() || *start > 1 {
                    self.tell(entry, format_args!("starts (start {start})"));
                }
            }
            WorldEvent::Killed => {
                column.down = true;
                self.tell(entry, "is killed");
            }
            WorldEvent::PowerLost { lost_writes } => {
                column.down = true;
                self.tell(
                    entry,
                    format_args!("loses power and {lost_writes} writes that were not synced"),
                );
            }
            WorldEvent::Panicked { message } => {
                column.down = true;
                self.tell_grave(entry, format_args!("panics: {message}"));
            }
            WorldEvent::Paused => {
                column.paused = true;
                self.tell(entry, "is paused");
            }
            WorldEvent::Resumed => {
                column.paused = false;
                self.tell(entry, "goes on");
            }
            WorldEvent::Stalled => {
                column.stalled = true;
                self.tell(entry, "stalls: reads and answers, executes nothing");
            }
            WorldEvent::Unstalled => {
                column.stalled = false;
                self.tell(entry, "executes again");
            }
            WorldEvent::Partitioned { hosts } => {
                self.cut_off(hosts, true);
                self.tell(entry, format_args!("cuts off hosts {hosts:?}"));
            }
            WorldEvent::PartitionHealed { hosts } => {
                self.cut_off(hosts, false);
                self.tell(entry, format_args!("connects hosts {hosts:?} again"));
            }
            WorldEvent::FaultsEnded => self.tell(entry, "faults end: progress is demanded"),
            WorldEvent::CaughtUp { tip } => {
                self.tell(entry, format_args!("every live executor has reached {tip}"));
            }
            WorldEvent::Submitted { .. } => {}
        }
    }

    fn node_did(&mut self, entry: &Entry, event: &NodeEvent) {
        let column = self.columns.entry(entry.process).or_default();
        match event {
            NodeEvent::CommitStored { commit, .. } => {
                column.progress = Some(commit.index.0.into());
            }
            NodeEvent::Recovered { last_commit, .. } => {
                column.progress = Some(last_commit.0.into());
            }
            NodeEvent::Ready => column.starting = false,
            NodeEvent::ReplayPlanned(ReplayPlan::Replay { to, .. }) if to.0 == 0 => {}
            NodeEvent::ReplayPlanned(plan) => self.tell(entry, format_args!("plan: {plan}")),
            NodeEvent::StreamConnected { start, .. } if start.0 > 1 => {
                self.tell(entry, format_args!("delivers from GEI {start}"));
            }
            NodeEvent::Rewound { from, to } => {
                self.tell(entry, format_args!("rewinds from GEI {from} to {to}"));
            }
            NodeEvent::Waiting { reason, .. } => {
                self.tell_once(entry, "waiting", format_args!("waits: {reason}"));
            }
            NodeEvent::StreamLost { reason, .. } => {
                self.tell_once(
                    entry,
                    "lost",
                    format_args!("loses the block stream: {reason}"),
                );
            }
            NodeEvent::ProposalsPaused { blocks } => {
                column.full = true;
                let text = format!("stops proposing: {blocks} blocks are not durable");
                self.tell_once(entry, "paused", text);
            }
            NodeEvent::ProposalsResumed { blocks } => {
                column.full = false;
                let text = format!("proposes again: {blocks} blocks are not durable");
                self.tell_once(entry, "resumed", text);
            }
            NodeEvent::Equivocation { slot } => {
                self.tell_grave(entry, format_args!("sees two blocks for {slot}"));
            }
            NodeEvent::Stopped => self.tell(entry, "stops"),
            NodeEvent::Failed { reason } => self.tell_grave(entry, format_args!("fails: {reason}")),
            _ => {}
        }
    }

    fn executor_did(&mut self, entry: &Entry, event: &ExecutorEvent) {
        let column = self.columns.entry(entry.process).or_default();
        match event {
            ExecutorEvent::Started { watermark, .. } => {
                column.progress = Some(watermark.0);
                if watermark.0 > 0 {
                    self.tell(entry, format_args!("finds {watermark} blocks on its disk"));
                }
            }
            ExecutorEvent::Durable { watermark } => column.progress = Some(watermark.0),
            ExecutorEvent::Refused { gei, expected } => {
                let text = format!("refuses GEI {gei}: expected {expected}");
                self.tell_once(entry, "refused", text);
            }
            ExecutorEvent::Stopped => self.tell(entry, "stops"),
            ExecutorEvent::Failed { reason } => {
                self.tell_grave(entry, format_args!("fails: {reason}"));
            }
            _ => {}
        }
    }

    fn cut_off(&mut self, hosts: &[u16], cut_off: bool) {
        for (process, column) in &mut self.columns {
            if let ProcessId::Node(host) = process
                && hosts.contains(host)
            {
                column.cut_off = cut_off;
            }
        }
    }

    fn tell(&mut self, entry: &Entry, text: impl Display) {
        self.push(entry.at, format!("{} {text}", entry.process), false);
    }

    fn tell_grave(&mut self, entry: &Entry, text: impl Display) {
        self.push(entry.at, format!("{} {text}", entry.process), true);
    }

    /// For events that come in swarms.
    fn tell_once(&mut self, entry: &Entry, kind: &'static str, text: impl Display) {
        let last = self.told.get(&(entry.process, kind));
        if last.is_none_or(|last| entry.at.since(*last) >= QUIET) {
            self.told.insert((entry.process, kind), entry.at);
            self.tell(entry, text);
        }
    }

    fn push(&mut self, at: SimTime, text: String, grave: bool) {
        let columns = self.columns.iter().filter(|(p, _)| **p != ProcessId::World);
        let columns = columns.fold(String::new(), |mut out, (_, column)| {
            let progress = column.progress.map(|n| n.to_string()).unwrap_or_default();
            let _ = write!(out, " {:>5}", format!("{}{progress}", column.mark()));
            out
        });
        self.lines.push(Line {
            at,
            columns,
            text,
            grave,
        });
    }
}
