//! The text of a trace entry.

use super::describe;
use metanode_core::types::{CommitIndex, Epoch};
use metanode_sim::trace::{Entry, What, WorldEvent};

/// An entry on one line: time, process and event.
#[must_use]
pub(crate) fn line(entry: &Entry) -> String {
    let Entry { at, process, what } = entry;
    format!("{at}  {process} {}", text(what))
}

/// The event, as a predicate of its process.
#[must_use]
pub fn text(what: &What) -> String {
    match what {
        What::Process(event) => event.to_string(),
        What::World(event) => world(event),
        What::Seen(fact) => fact.to_string(),
        What::Derived(derived) => derived.to_string(),
    }
}

fn world(event: &WorldEvent) -> String {
    use WorldEvent as E;
    match event {
        E::TurnedByzantine { strategy } => {
            format!("is Byzantine: {}", describe::strategy(*strategy))
        }
        E::Started { start: 1 } => "starts".into(),
        E::Started { start } => format!("starts again (start {start})"),
        E::Killed => "is killed".into(),
        E::Exited => "has ended".into(),
        E::PowerLost {
            lost_writes,
            torn_writes: 0,
        } => format!("loses power and {lost_writes} writes that were not synced"),
        E::PowerLost {
            lost_writes,
            torn_writes,
        } => format!(
            "loses power and {lost_writes} writes that were not synced, {torn_writes} of them torn"
        ),
        E::Panicked { message } => format!("panics: {message}"),
        E::Paused => "is paused".into(),
        E::Resumed => "resumes".into(),
        E::Stalled => "stalls: reads and answers, executes nothing".into(),
        E::Unstalled => "executes again".into(),
        E::Partitioned { hosts } => format!("cuts off hosts {hosts:?}"),
        E::PartitionHealed { hosts } => format!("reconnects hosts {hosts:?}"),
        E::FaultBegan { description, .. } => format!("begins: {description}"),
        E::FaultEnded { description, .. } => format!("ends: {description}"),
        E::FaultSkipped { description, .. } => format!("skips: {description}"),
        E::CommitsDamaged { commits } => {
            let commit = |(epoch, commit): &(Epoch, CommitIndex)| format!("{epoch}.{commit}");
            let commits: Vec<_> = commits.iter().map(commit).collect();
            format!("has flipped bits in commit {}", commits.join(", "))
        }
        E::DiskRestored {
            taken,
            copied_from: None,
        } => format!("is restored to its disk of {taken}"),
        E::DiskRestored {
            copied_from: Some(other),
            ..
        } => format!("gets a copy of the disk of {other}"),
        E::FaultsEnded => "ends all faults: progress is required from now on".into(),
        E::InUse { bytes } => format!("has {} KiB of memory in use", bytes >> 10),
    }
}
