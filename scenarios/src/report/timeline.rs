//! The course of a run: one line per relevant event, one column per process.
//!
//! A column holds the progress of its process and a mark for its state ([`LEGEND`]). Progress alone gets no line: the
//! next line shows it, at the latest after two seconds.

use super::{colour::Colour, events};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent, SubEvent},
    types::{Epoch, GlobalExecIndex, ReplayPlan},
};
use metanode_sim::{
    oracles::Violation,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use std::{collections::BTreeMap, fmt::Write};

/// The meaning of columns and marks.
pub const LEGEND: &str = "\
columns: nK = commits stored by node K (1.7: commit 7 of epoch 1), eK = blocks durable in executor K
marks:   x down   > starting   = paused   ~ stalled   / cut off   ! window full, proposes nothing   ? Byzantine";

/// After this time without a line, progress gets one. A repetition of a frequent event within this time gets none.
const QUIET: SimTime = SimTime::from_ms(2_000);

/// The middle of a longer timeline is left out.
const MOST_LINES: usize = 160;

/// The timeline of a run. Ends with a line break.
#[must_use]
pub fn text(entries: &[Entry], violations: &[Violation], colour: Colour) -> String {
    let mut timeline = Timeline::over(entries);
    for entry in entries {
        timeline.add(entry);
    }
    for violation in violations {
        let text = format!("{} breaks {}", violation.process, violation.invariant);
        timeline.push(violation.at, text, true);
    }
    let mut out = format!("{}\n", colour.dim(LEGEND));
    let _ = writeln!(out, "{}", colour.bold(timeline.head()));
    let lines = timeline.lines.len();
    let left_out = lines.saturating_sub(MOST_LINES);
    let middle = (MOST_LINES / 2)..(MOST_LINES / 2 + left_out);
    for (position, line) in timeline.lines.iter().enumerate() {
        if position == middle.start && left_out > 0 {
            let _ = writeln!(out, "{}", colour.dim(format_args!("… {left_out} lines …")));
        }
        if !middle.contains(&position) {
            let text = if line.severe {
                colour.bad(&line.text)
            } else {
                line.text.clone()
            };
            let line = format!("{}{}  {text}", line.at, line.columns);
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out
}

/// Whether an event gets a line.
enum Relevance {
    Hidden,
    Shown,
    /// An event of a frequent kind: shown once per [`QUIET`] time.
    Throttled(&'static str),
    Severe,
}

struct Line {
    at: SimTime,
    columns: String,
    text: String,
    severe: bool,
}

/// The state of a process.
#[derive(Default)]
struct Column {
    progress: Option<u64>,
    /// Of a node: the epoch that it runs.
    epoch: Epoch,
    /// The base of that epoch.
    base: GlobalExecIndex,
    down: bool,
    starting: bool,
    paused: bool,
    stalled: bool,
    cut_off: bool,
    full: bool,
    byzantine: bool,
}

impl Column {
    const fn mark(&self) -> &'static str {
        match self {
            Self { down: true, .. } => "x",
            Self { paused: true, .. } => "=",
            Self { stalled: true, .. } => "~",
            Self { cut_off: true, .. } => "/",
            Self {
                byzantine: true, ..
            } => "?",
            Self { starting: true, .. } => ">",
            Self { full: true, .. } => "!",
            _ => "",
        }
    }
}

const fn sub_did(event: &SubEvent) -> Relevance {
    match event {
        SubEvent::Started | SubEvent::Connected | SubEvent::Disconnected { .. } => {
            Relevance::Hidden
        }
        SubEvent::Refused { .. } => Relevance::Throttled("refused"),
        SubEvent::FollowFailed { .. } => Relevance::Throttled("cannot follow"),
        SubEvent::Stopped => Relevance::Shown,
        SubEvent::Failed { .. } | SubEvent::Diverged { .. } => Relevance::Severe,
    }
}

struct Timeline {
    columns: BTreeMap<ProcessId, Column>,
    lines: Vec<Line>,
    /// When a throttled event was shown last, by process and kind.
    shown: BTreeMap<(ProcessId, &'static str), SimTime>,
}

impl Timeline {
    fn over(entries: &[Entry]) -> Self {
        let processes = entries.iter().map(|entry| entry.process);
        let processes = processes
            .filter(|process| matches!(process, ProcessId::Node(_) | ProcessId::Executor(_)));
        Self {
            columns: processes.map(|p| (p, Column::default())).collect(),
            lines: vec![],
            shown: BTreeMap::new(),
        }
    }

    fn head(&self) -> String {
        let mut head = format!("{:>10}", "time");
        for process in self.columns.keys() {
            let name = match process {
                ProcessId::Node(number) => format!("n{number}"),
                ProcessId::Executor(number) => format!("e{number}"),
                ProcessId::Sub(_) | ProcessId::World => continue,
            };
            let _ = write!(head, " {name:>5}");
        }
        head
    }

    fn add(&mut self, entry: &Entry) {
        let relevance = match &entry.what {
            What::World(event) => self.world(entry, event),
            What::Process(Event::Node(event)) => self.node_did(entry.process, event),
            What::Process(Event::Executor(event)) => self.executor_did(entry.process, event),
            What::Process(Event::Sub(event)) => sub_did(event),
            What::Process(Event::Crashed(_)) => Relevance::Shown,
            What::Seen(_) | What::Derived(_) => Relevance::Hidden,
        };
        let is_shown = match relevance {
            Relevance::Hidden => false,
            Relevance::Shown | Relevance::Severe => true,
            Relevance::Throttled(kind) => {
                let last = self.shown.get(&(entry.process, kind));
                let is_due = last.is_none_or(|last| entry.at.since(*last) >= QUIET);
                if is_due {
                    self.shown.insert((entry.process, kind), entry.at);
                }
                is_due
            }
        };
        if is_shown {
            let text = format!("{} {}", entry.process, events::text(&entry.what));
            self.push(entry.at, text, matches!(relevance, Relevance::Severe));
            return;
        }
        let last = self.lines.last().map(|line| line.at).unwrap_or_default();
        if entry.at.since(last) >= QUIET {
            self.push(entry.at, String::new(), false);
        }
    }

    fn world(&mut self, entry: &Entry, event: &WorldEvent) -> Relevance {
        // The world itself has no column.
        let mut none = Column::default();
        let column = self.columns.get_mut(&entry.process).unwrap_or(&mut none);
        match event {
            WorldEvent::TurnedByzantine { .. } => column.byzantine = true,
            WorldEvent::Started { start } => {
                *column = Column {
                    progress: column.progress,
                    cut_off: column.cut_off,
                    byzantine: column.byzantine,
                    starting: matches!(entry.process, ProcessId::Node(_)),
                    ..Column::default()
                };
                if *start == 1 && entry.at == SimTime::default() {
                    return Relevance::Hidden;
                }
            }
            WorldEvent::Killed | WorldEvent::Exited | WorldEvent::PowerLost { .. } => {
                column.down = true
            }
            WorldEvent::Panicked { .. } => {
                column.down = true;
                return Relevance::Severe;
            }
            WorldEvent::Paused => column.paused = true,
            WorldEvent::Resumed => column.paused = false,
            WorldEvent::Stalled => column.stalled = true,
            WorldEvent::Unstalled => column.stalled = false,
            WorldEvent::Partitioned { hosts } => self.cut_off(hosts, true),
            WorldEvent::PartitionHealed { hosts } => self.cut_off(hosts, false),
            WorldEvent::FaultBegan { .. }
            | WorldEvent::FaultEnded { .. }
            | WorldEvent::FaultSkipped { .. }
            | WorldEvent::DiskRestored { .. }
            | WorldEvent::CommitsDamaged { .. }
            | WorldEvent::InUse { .. }
            | WorldEvent::FaultsEnded => {}
        }
        Relevance::Shown
    }

    fn node_did(&mut self, process: ProcessId, event: &NodeEvent) -> Relevance {
        let Some(column) = self.columns.get_mut(&process) else {
            return Relevance::Hidden;
        };
        match event {
            NodeEvent::CommitStored { commit, .. } => {
                column.progress = Some(commit.index.0.into());
                Relevance::Hidden
            }
            NodeEvent::Recovered { last_commit, .. } => {
                column.progress = Some(last_commit.0.into());
                Relevance::Hidden
            }
            NodeEvent::Ready => {
                column.starting = false;
                Relevance::Hidden
            }
            NodeEvent::ReplayPlanned(ReplayPlan::Replay { to, .. }) if to.0 == 0 => {
                Relevance::Hidden
            }
            NodeEvent::StreamConnected { start, .. } if *start <= column.base.next() => {
                Relevance::Hidden
            }
            NodeEvent::EpochOpened { base, .. } => {
                if column.epoch != base.epoch {
                    column.progress = Some(0);
                }
                (column.epoch, column.base) = (base.epoch, base.base);
                if base.epoch == Epoch(0) {
                    Relevance::Hidden
                } else {
                    Relevance::Shown
                }
            }
            NodeEvent::ReplayPlanned(_)
            | NodeEvent::StreamConnected { .. }
            | NodeEvent::Rewound { .. }
            | NodeEvent::WatermarkStands { .. }
            | NodeEvent::Stopped => Relevance::Shown,
            NodeEvent::Waiting { .. } => Relevance::Throttled("waiting"),
            NodeEvent::StreamLost { .. } => Relevance::Throttled("stream lost"),
            NodeEvent::ProposalsPaused { .. } => {
                column.full = true;
                Relevance::Throttled("proposals paused")
            }
            NodeEvent::ProposalsResumed { .. } => {
                column.full = false;
                Relevance::Throttled("proposals resumed")
            }
            // Expected of a Byzantine validator; of any other it breaks NOEQUIV.
            NodeEvent::PeerOfOtherChain { .. } => Relevance::Throttled("other-chain"),
            NodeEvent::Equivocation { .. } => Relevance::Throttled("equivocation"),
            NodeEvent::PeerSilent { .. } => Relevance::Throttled("peer silent"),
            NodeEvent::HistoryMissing { .. } => Relevance::Throttled("history missing"),
            NodeEvent::Failed { .. } => Relevance::Severe,
            _ => Relevance::Hidden,
        }
    }

    fn executor_did(&mut self, process: ProcessId, event: &ExecutorEvent) -> Relevance {
        let Some(column) = self.columns.get_mut(&process) else {
            return Relevance::Hidden;
        };
        match event {
            ExecutorEvent::Started { watermark, .. } => {
                column.progress = Some(watermark.0);
                match watermark.0 {
                    0 => Relevance::Hidden,
                    _ => Relevance::Shown,
                }
            }
            ExecutorEvent::Durable { watermark } => {
                column.progress = Some(watermark.0);
                Relevance::Hidden
            }
            ExecutorEvent::Refused { .. } => Relevance::Throttled("refused"),
            ExecutorEvent::Parked { .. } => Relevance::Throttled("parked"),
            ExecutorEvent::Stopped => Relevance::Shown,
            ExecutorEvent::Failed { .. } => Relevance::Severe,
            _ => Relevance::Hidden,
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

    fn push(&mut self, at: SimTime, text: String, severe: bool) {
        let columns = self
            .columns
            .values()
            .fold(String::new(), |mut out, column| {
                let epoch = (column.epoch > Epoch(0)).then(|| format!("{}.", column.epoch));
                let epoch = epoch.unwrap_or_default();
                let progress = column.progress.map(|n| format!("{epoch}{n}"));
                let progress = progress.unwrap_or_default();
                let _ = write!(out, " {:>5}", format!("{}{progress}", column.mark()));
                out
            });
        self.lines.push(Line {
            at,
            columns,
            text,
            severe,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::types::CommitIndex;

    const NODE: ProcessId = ProcessId::Node(0);
    const EXECUTOR: ProcessId = ProcessId::Executor(0);

    fn entry(at_ms: u64, process: ProcessId, what: What) -> Entry {
        Entry {
            at: SimTime::from_ms(at_ms),
            process,
            what,
        }
    }

    fn world(at_ms: u64, process: ProcessId, event: WorldEvent) -> Entry {
        entry(at_ms, process, What::World(event))
    }

    fn durable(at_ms: u64, watermark: u64) -> Entry {
        let watermark = GlobalExecIndex(watermark);
        let event = ExecutorEvent::Durable { watermark };
        entry(at_ms, EXECUTOR, What::Process(event.into()))
    }

    fn node(at_ms: u64, event: NodeEvent) -> Entry {
        entry(at_ms, NODE, What::Process(event.into()))
    }

    /// The lines below the legend and the head.
    fn lines(entries: &[Entry]) -> Vec<String> {
        let text = text(entries, &[], Colour::PLAIN);
        text.lines().skip(3).map(str::to_owned).collect()
    }

    #[test]
    fn columns_hold_progress_and_marks() {
        let plan = ReplayPlan::Replay {
            epoch: Epoch(0),
            from: CommitIndex(8),
            to: CommitIndex(10),
        };
        let lines = lines(&[
            world(0, NODE, WorldEvent::Started { start: 1 }),
            world(0, EXECUTOR, WorldEvent::Started { start: 1 }),
            durable(100, 6),
            durable(200, 7),
            world(300, EXECUTOR, WorldEvent::Stalled),
            world(900, NODE, WorldEvent::Killed),
            world(1_000, NODE, WorldEvent::Started { start: 2 }),
            node(1_100, NodeEvent::ReplayPlanned(plan)),
            node(1_200, NodeEvent::Ready),
            world(1_300, EXECUTOR, WorldEvent::Unstalled),
        ]);
        assert_eq!(
            lines,
            [
                "   0.300s     >    ~7  executor-0 stalls: reads and answers, executes nothing",
                "   0.900s     x    ~7  node-0 is killed",
                "   1.000s     >    ~7  node-0 starts again (start 2)",
                "   1.100s     >    ~7  node-0 plans: epoch 0: replay commits 8..=10",
                "   1.300s           7  executor-0 executes again",
            ]
        );
    }

    #[test]
    fn repetitions_are_hidden_and_progress_gets_a_line() {
        let mut entries: Vec<Entry> = (0..10)
            .map(|n| node(100 * n, NodeEvent::ProposalsPaused { blocks: 8 }))
            .collect();
        entries.push(durable(3_000, 5));
        let lines = lines(&entries);
        assert_eq!(
            lines,
            [
                "   0.000s     !        node-0 stops proposing: 8 blocks are not durable; a faster executor helps, or a larger min_round_delay_ms",
                "   3.000s     !     5",
            ]
        );
    }

    #[test]
    fn the_middle_of_a_long_timeline_is_left_out() {
        let entries: Vec<Entry> = (0..500)
            .map(|n| world(n, NODE, WorldEvent::Paused))
            .collect();
        let lines = lines(&entries);
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines[MOST_LINES / 2], "… 340 lines …");
        assert!(
            lines[MOST_LINES].starts_with("   0.499s"),
            "{}",
            lines[MOST_LINES]
        );
    }
}
