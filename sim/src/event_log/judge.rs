//! Which invariants the lines can test, and the verdict on each.

use super::{
    rules::{Epochs, OfSimulator, OwnBlocks, Roots, Rule, Transactions},
    translate::{Process, Said},
};
use crate::{
    oracles::{Invariant, OfEventLogs, Violation},
    trace::{Entry, ProcessId, SimTime},
};
use metanode_core::env::trace_line::{Role, TraceEvent, TraceLine};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    str::FromStr,
};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
}

/// The verdict on one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing contradicts it.
    Held,
    /// With the lines that prove it, oldest first.
    Broken {
        clause: &'static str,
        message: String,
        evidence: Vec<Place>,
    },
    NotTestable {
        why: String,
    },
}

/// What the lines say about one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub invariant: Invariant,
    /// What of it was looked at.
    pub rule: &'static str,
    pub verdict: Verdict,
}

/// The judgement of event logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The processes with the names that messages use for them.
    pub processes: BTreeMap<String, ProcessId>,
    pub lines: u64,
    /// Lines that are not of the format, with what is wrong with them.
    pub unreadable: Vec<(Place, String)>,
    /// Lines of events that this version does not know.
    pub unknown: u64,
    /// One per rule.
    pub findings: Vec<Finding>,
}

/// A rule, and what it needs.
struct Check {
    invariant: Invariant,
    rule: &'static str,
    /// Without a line of each of these events it has nothing to judge.
    needs: &'static [&'static str],
    /// Without a line with this field it has nothing to judge.
    needs_field: Option<&'static str>,
    judge: Box<dyn Rule>,
    violation: Option<Box<Violation>>,
}

/// Invariants that no event log can show, and why.
const NOT_TESTABLE: [(Invariant, &str); 8] = [
    (Invariant::Bound, "needs the memory of processes"),
    (
        Invariant::Backp,
        "needs what is proposed under pressure, and for how long",
    ),
    (Invariant::Noloss, "needs what clients were answered"),
    (
        Invariant::Start,
        "needs to know when a process was started and what it waited for",
    ),
    (Invariant::Live, "needs to know when progress was possible"),
    (Invariant::Rpc, "needs the requests and replies on the wire"),
    (Invariant::Quorum, "needs the blocks of the DAG"),
    (
        Invariant::Truth,
        "needs the bytes behind what processes say",
    ),
];

/// Judges lines of event logs, one after the other.
pub struct Judge {
    checks: Vec<Check>,
    processes: BTreeMap<String, (ProcessId, Process)>,
    /// What occurs.
    events: BTreeSet<&'static str>,
    fields: BTreeSet<&'static str>,
    /// Of each line of a known event.
    places: Vec<(usize, u64)>,
    unknown: u64,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            checks: checks(),
            processes: BTreeMap::new(),
            events: BTreeSet::new(),
            fields: BTreeSet::new(),
            places: vec![],
            unknown: 0,
        }
    }
}

impl Check {
    fn new(
        invariant: Invariant,
        rule: &'static str,
        needs: &'static [&'static str],
        judge: Box<dyn Rule>,
    ) -> Self {
        Self {
            invariant,
            rule,
            needs,
            needs_field: None,
            judge,
            violation: None,
        }
    }

    fn with_field(self, field: &'static str) -> Self {
        Self {
            needs_field: Some(field),
            ..self
        }
    }

    /// By an oracle of the simulator, over what it takes.
    fn of_simulator(
        oracle: OfEventLogs,
        rule: &'static str,
        needs: &'static [&'static str],
        takes: fn(&Said) -> Option<&Entry>,
    ) -> Self {
        let invariant = oracle.invariant();
        let oracle = oracle.build();
        Self::new(
            invariant,
            rule,
            needs,
            Box::new(OfSimulator { oracle, takes }),
        )
    }
}

/// No chain gets so far: it is the number of a process that is broken, such as a -1.
const TOO_LARGE: u64 = 1 << 62;

/// What the lines of executors need for most rules.
const BLOCKS: &[&str] = &["block_executed", "watermark_durable"];

fn checks() -> Vec<Check> {
    let mut all = of_executors();
    all.extend(of_nodes());
    all
}

fn of_executors() -> Vec<Check> {
    use OfEventLogs as Oracle;
    vec![
        Check::of_simulator(
            Oracle::ExactlyOnce,
            "a commit changes the state of an executor once",
            BLOCKS,
            entry,
        ),
        Check::new(
            Invariant::Exec1,
            "a transaction changes the state of an executor once",
            BLOCKS,
            Box::<Transactions>::default(),
        )
        .with_field("transactions"),
        Check::of_simulator(
            Oracle::NoGaps,
            "the durable blocks of an executor have no hole",
            BLOCKS,
            entry,
        ),
        Check::of_simulator(
            Oracle::Monotonic,
            "a watermark does not fall, and epochs follow each other without a hole",
            BLOCKS,
            entry,
        ),
        Check::of_simulator(
            Oracle::Agreement,
            "a block has one content",
            BLOCKS,
            content,
        )
        .with_field("content"),
        Check::new(
            Invariant::Root,
            "a GEI has one state root",
            &["block_executed"],
            Box::<Roots>::default(),
        )
        .with_field("state_root"),
        Check::of_simulator(
            Oracle::Durability,
            "a reported watermark survives a crash",
            &["watermark_durable", "watermark_reported"],
            of_executor,
        ),
    ]
}

fn of_nodes() -> Vec<Check> {
    use OfEventLogs as Oracle;
    vec![
        Check::of_simulator(
            Oracle::Wire,
            "a node writes each block once per connection, and nothing at or below the known watermark",
            &["stream_opened", "block_sent", "watermark_learned"],
            entry,
        ),
        Check::of_simulator(
            Oracle::Agreement,
            "a GEI has one commit, and a commit one GEI and one digest",
            &[],
            place,
        ),
        Check::new(
            Invariant::Epoch,
            "an epoch has one base, one start and one committee",
            &["epoch_opened"],
            Box::<Epochs>::default(),
        ),
        Check::new(
            Invariant::Noequiv,
            "an authority signs one block per round",
            &["block_proposed"],
            Box::<OwnBlocks>::default(),
        ),
    ]
}

const fn entry(said: &Said) -> Option<&Entry> {
    match said {
        Said::Entry(entry) => Some(entry),
        _ => None,
    }
}

const fn place(said: &Said) -> Option<&Entry> {
    match said {
        Said::Entry(entry) | Said::Place(entry) => Some(entry),
        _ => None,
    }
}

const fn content(said: &Said) -> Option<&Entry> {
    match said {
        Said::Content(entry) => Some(entry),
        _ => None,
    }
}

/// A node's own log may begin after commits that it delivers.
const fn of_executor(said: &Said) -> Option<&Entry> {
    match said {
        Said::Entry(entry) if matches!(role_of(entry.process), Some(Role::Executor)) => Some(entry),
        _ => None,
    }
}

impl Judge {
    /// Judges the next line. `file` is its position among the files that [`Self::report`] is called with, `number` that of
    /// the line in it, from 1. Returns the highest GEI of the process so far.
    ///
    /// # Errors
    /// If the name of its process belongs to a process of another kind.
    pub fn line(&mut self, line: &TraceLine, file: usize, number: u64) -> Result<u64, String> {
        if line.event == TraceEvent::Unknown {
            self.unknown += 1;
            return Ok(0);
        }
        let largest = line.event.largest_number();
        if largest >= TOO_LARGE {
            return Err(format!("expected numbers below 2^62, found {largest}"));
        }
        let id = self.id_of(&line.process, &line.event)?;
        let at = SimTime {
            ns: self.places.len() as u64,
        };
        self.places.push((file, number));
        self.events.insert(line.event.name());
        self.fields.extend(fields(&line.event));
        let new = || (id, Process::new(id));
        let (_, process) = (self.processes.entry(line.process.clone())).or_insert_with(new);
        for said in process.says(&line.event, at) {
            for check in self.checks.iter_mut().filter(|it| it.violation.is_none()) {
                check.violation = check.judge.observe(&said).err();
            }
        }
        Ok(process.last_gei.0)
    }

    fn id_of(&self, name: &str, event: &TraceEvent) -> Result<ProcessId, String> {
        let role = event.role();
        if let Some((id, _)) = self.processes.get(name) {
            return match role.is_none() || role == role_of(*id) {
                true => Ok(*id),
                false => Err(format!(
                    "expected the lines of `{name}` to be of one node or of one executor, found `{}`",
                    event.name()
                )),
            };
        }
        let of_role = |n: u16| match role {
            Some(Role::Node) => Some(ProcessId::Node(n)),
            Some(Role::Executor) => Some(ProcessId::Executor(n)),
            None => None,
        };
        let is_free = |id: &ProcessId| self.processes.values().all(|(other, _)| other != id);
        let own = ProcessId::from_str(name).ok();
        let own = own.filter(|id| role.is_some() && role == role_of(*id) && is_free(id));
        // Other names get the numbers from the end.
        let mut free = (0..=u16::MAX).rev().filter_map(of_role).filter(is_free);
        own.or_else(|| free.next()).ok_or_else(|| match role {
            None => format!(
                "expected a line that shows whether `{name}` is a node or an executor before `{}`",
                event.name()
            ),
            Some(_) => "too many processes".to_owned(),
        })
    }

    /// The judgement of all lines of these files.
    #[must_use]
    pub fn report(self, files: &[PathBuf], unreadable: Vec<(Place, String)>) -> Report {
        let place = |entry: &Entry| {
            let index = usize::try_from(entry.at.ns).ok()?;
            let (file, line) = *self.places.get(index)?;
            let file = files.get(file)?.clone();
            Some(Place { file, line })
        };
        let finding = |check: &Check| Finding {
            invariant: check.invariant,
            rule: check.rule,
            verdict: match (&check.violation, self.misses(check)) {
                (Some(violation), _) => Verdict::Broken {
                    clause: violation.clause,
                    message: format!("{}: {}", violation.process, violation.message),
                    evidence: violation.evidence.iter().filter_map(place).collect(),
                },
                (None, Some(why)) => Verdict::NotTestable { why },
                (None, None) => Verdict::Held,
            },
        };
        let not_testable = NOT_TESTABLE.map(|(invariant, why)| Finding {
            invariant,
            rule: "",
            verdict: Verdict::NotTestable {
                why: why.to_owned(),
            },
        });
        let processes = self.processes.iter();
        Report {
            processes: processes
                .map(|(name, (id, _))| (name.clone(), *id))
                .collect(),
            lines: self.places.len() as u64 + self.unknown,
            unreadable,
            unknown: self.unknown,
            findings: (self.checks.iter().map(finding))
                .chain(not_testable)
                .collect(),
        }
    }

    /// What a check lacks.
    fn misses(&self, check: &Check) -> Option<String> {
        let mut needs = check.needs.iter();
        if let Some(event) = needs.find(|event| !self.events.contains(*event)) {
            return Some(format!("no line has the event `{event}`"));
        }
        let field = check.needs_field?;
        (!self.fields.contains(field)).then(|| format!("no line has the field `{field}`"))
    }
}

const fn role_of(id: ProcessId) -> Option<Role> {
    match id {
        ProcessId::Node(_) => Some(Role::Node),
        // A Sub executes what its Master has.
        ProcessId::Executor(_) | ProcessId::Sub(_) => Some(Role::Executor),
        ProcessId::World => None,
    }
}

/// The optional fields that the line has.
fn fields(event: &TraceEvent) -> impl Iterator<Item = &'static str> {
    let (content, state_root, transactions) = match event {
        TraceEvent::BlockExecuted {
            content,
            state_root,
            transactions,
            ..
        } => (
            content.is_some(),
            state_root.is_some(),
            transactions.is_some(),
        ),
        TraceEvent::ExecutorStarted { state_root, .. } => (false, state_root.is_some(), false),
        _ => (false, false, false),
    };
    [
        ("content", content),
        ("state_root", state_root),
        ("transactions", transactions),
    ]
    .into_iter()
    .filter(|(_, is_there)| *is_there)
    .map(|(field, _)| field)
}

impl Report {
    /// With findings from another source. What was not testable without it is left out.
    #[must_use]
    pub fn with(mut self, findings: Vec<Finding>) -> Self {
        let is_added = |finding: &Finding| {
            findings
                .iter()
                .any(|added| added.invariant == finding.invariant)
        };
        self.findings
            .retain(|finding| !(finding.rule.is_empty() && is_added(finding)));
        let testable = self
            .findings
            .partition_point(|finding| !finding.rule.is_empty());
        self.findings.splice(testable..testable, findings);
        self
    }

    /// The broken rules.
    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        let is_broken = |finding: &&Finding| matches!(finding.verdict, Verdict::Broken { .. });
        self.findings.iter().filter(is_broken)
    }
}
