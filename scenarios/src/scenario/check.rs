//! What a scenario file may say although its types do not forbid it, and may not. Every error names the key and what
//! was expected there.

use super::{
    Delivery, Scenario,
    fault::{DurableTrigger, FaultKind, FaultSection, StoredTrigger, TriggerSection, points_of},
    target::{Kind, Roster, Selector, Target},
};
use crate::source::{InputError, Source};
use metanode_sim::trace::ProcessId;

/// # Errors
/// The first thing that is wrong.
pub(super) fn scenario(scenario: &Scenario, source: &Source<'_>) -> Result<(), InputError> {
    if scenario.story.trim().is_empty() {
        let message = "is missing: expected what happens and what must hold";
        return Err(source.error("story", message));
    }
    for (key, low, least) in least_values(scenario) {
        at_least(source, key, low, least)?;
    }
    if scenario.topology.validators.high > 100 {
        return Err(source.error("topology.validators", "is too high: expected at most 100"));
    }
    let roster = scenario
        .topology
        .smallest_roster(scenario.epochs.duration_ms.is_some());
    let validators = scenario.topology.validators;
    for (key, entries, low, high) in [
        (
            "clock_skew_ms_by_host",
            scenario.clock_skew_ms_by_host.len(),
            validators.low,
            validators.high,
        ),
        (
            "executor.each",
            scenario.executor.each.len(),
            roster.executors,
            scenario.topology.most_executors(),
        ),
    ] {
        let each = u16::try_from(entries).ok();
        if entries > 0 && (low != high || each != Some(low)) {
            let message = format!("has {entries} entries: expected one for each, {low} to {high}");
            return Err(source.error(key, message));
        }
    }
    if let Some(odd) = &scenario.executor.odd {
        one_of(
            source,
            "executor.odd.which",
            odd.which,
            &[Kind::Executor],
            roster,
        )?;
    }
    scenario.epochs.check(source, validators.low)?;
    if let Some(byzantine) = &scenario.byzantine {
        let can_be_single = scenario.topology.delivery != Delivery::MasterPerNode;
        byzantine.check(source, roster, validators.high, can_be_single)?;
    }
    for (position, fault) in scenario.faults.iter().enumerate() {
        let at = At {
            source,
            path: format!("fault.{position}"),
            roster,
        };
        at.targets(fault)?;
        at.particulars(fault)?;
        at.lengths(fault)?;
        at.moment(&fault.when)?;
        at.repeat(fault)?;
    }
    for (position, expectation) in scenario.expect.iter().enumerate() {
        let path = |key: &str| format!("expect.{position}.{key}");
        let nodes = roster.count(Kind::Node);
        if !matches!(expectation.node, ProcessId::Node(node) if node < nodes) {
            let last = nodes - 1;
            let message = format!("is {}: expected node-0 to node-{last}", expectation.node);
            return Err(source.error(&path("node"), message));
        }
        if expectation.frames_after_restart.is_empty() {
            let message = "is empty: expected one GEI or more";
            return Err(source.error(&path("frames_after_restart"), message));
        }
    }
    Ok(())
}

/// Key, lowest value that may be drawn, lowest value that makes sense.
fn least_values(scenario: &Scenario) -> Vec<(&'static str, u64, u64)> {
    let mut values = vec![
        ("duration_ms", scenario.duration_ms.low, 1),
        ("settle_ms", scenario.settle_ms.low, 1),
    ];
    values.extend(scenario.topology.least_values());
    values.extend(scenario.network.least_values());
    values.extend(scenario.node.least_values());
    values.extend(scenario.node.peers.least_values());
    values.extend(scenario.executor.least_values());
    values.extend(scenario.workload.least_values());
    values.extend(scenario.epochs.least_values());
    values
}

fn at_least(source: &Source<'_>, key: &str, low: u64, least: u64) -> Result<(), InputError> {
    if low >= least {
        return Ok(());
    }
    let message = format!("{low} is too low: expected at least {least}");
    Err(source.error(key, message))
}

/// The target is one process of these kinds, and exists whatever the seed.
fn one_of(
    source: &Source<'_>,
    key: &str,
    target: Target,
    kinds: &[Kind],
    roster: Roster,
) -> Result<(), InputError> {
    let fits = if kinds.contains(&target.kind) && target.is_single() {
        target.check(roster)
    } else {
        let expected: Vec<_> = kinds.iter().map(|k| format!("{k}-N or any-{k}")).collect();
        let expected = expected.join(" or ");
        Err(format!("`{target}` does not fit here: expected {expected}"))
    };
    fits.map_err(|message| source.error(key, message))
}

impl FaultKind {
    /// The kinds of target that it may have.
    const fn strikes(self) -> &'static [Kind] {
        match self {
            Self::Kill | Self::Pause | Self::StartLate | Self::FailSync | Self::DiskFull => {
                &[Kind::Node, Kind::Executor, Kind::Host]
            }
            Self::PowerLoss
            | Self::Partition
            | Self::SlowLinks
            | Self::ShortWrites
            | Self::Reset
            | Self::HalfClose
            | Self::Truncate
            | Self::DelayReply
            | Self::JumpClock => &[Kind::Host],
            Self::Stall
            | Self::StopReading
            | Self::ServeBoth
            | Self::HijackSocket
            | Self::SlowReplies
            | Self::SilentReplies
            | Self::ErrorReplies
            | Self::Restore => &[Kind::Executor],
            Self::FlipBits => &[Kind::Node],
        }
    }

    const fn takes_down_ms(self) -> bool {
        matches!(self, Self::Kill | Self::PowerLoss | Self::Restore)
    }

    /// Whether it is over at once.
    const fn is_moment(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::HalfClose
                | Self::Truncate
                | Self::DelayReply
                | Self::FlipBits
                | Self::JumpClock
        )
    }

    /// Keys that it needs besides.
    const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::SlowReplies | Self::SlowLinks | Self::DelayReply => &["extra_ms"],
            Self::ShortWrites => &["max_bytes"],
            Self::Truncate => &["after_bytes"],
            Self::JumpClock => &["by_ms"],
            Self::Restore => &["taken_ms"],
            Self::HijackSocket => &["how"],
            Self::HalfClose => &["side"],
            _ => &[],
        }
    }

    /// Keys that it may have besides.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Partition => &["cut"],
            Self::FlipBits => &["blocks", "commits"],
            Self::PowerLoss => &["torn"],
            Self::Reset
            | Self::HalfClose
            | Self::Truncate
            | Self::DelayReply
            | Self::HijackSocket => &["channel"],
            _ => &[],
        }
    }
}

/// One `[[fault]]` in its file.
struct At<'a> {
    source: &'a Source<'a>,
    path: String,
    roster: Roster,
}

impl At<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn wrong(&self, key: &str, message: impl Into<String>) -> Result<(), InputError> {
        Err(self.source.error(&self.key(key), message))
    }

    fn targets(&self, fault: &FaultSection) -> Result<(), InputError> {
        if fault.targets.is_empty() {
            return self.wrong("targets", "names nobody: expected one target or more");
        }
        for (position, target) in fault.targets.iter().enumerate() {
            let key = format!("targets.{position}");
            let kinds = fault.kind.strikes();
            if !kinds.contains(&target.kind) {
                let kinds: Vec<_> = kinds.iter().map(Kind::to_string).collect();
                let expected = kinds.join(" or ");
                let message = format!("`{target}` cannot suffer this: expected {expected}");
                return self.wrong(&key, message);
            }
            if let Err(message) = target.check(self.roster) {
                return self.wrong(&key, message);
            }
            if fault.kind == FaultKind::Partition && target.which == Selector::All {
                return self.wrong(&key, "cuts off everybody: expected some hosts, not all");
            }
        }
        Ok(())
    }

    /// The keys that only some faults have.
    fn particulars(&self, fault: &FaultSection) -> Result<(), InputError> {
        let given = [
            ("cut", fault.cut.is_some()),
            ("channel", fault.channel.is_some()),
            ("how", fault.how.is_some()),
            ("side", fault.side.is_some()),
            ("torn", fault.torn.is_some()),
            ("extra_ms", fault.extra_ms.is_some()),
            ("max_bytes", fault.max_bytes.is_some()),
            ("after_bytes", fault.after_bytes.is_some()),
            ("blocks", fault.blocks.is_some()),
            ("commits", fault.commits.is_some()),
            ("by_ms", fault.by_ms.is_some()),
            ("taken_ms", fault.taken_ms.is_some()),
        ];
        for (key, is_given) in given {
            let needed = fault.kind.needs().contains(&key);
            if is_given && !needed && !fault.kind.takes().contains(&key) {
                return self.wrong(key, "is not for this fault");
            }
            if needed && !is_given {
                return self.wrong(key, "is missing: this fault needs it");
            }
        }
        if fault.kind == FaultKind::FlipBits && fault.blocks.is_none() && fault.commits.is_none() {
            return self.wrong("blocks", "is missing: this fault needs it, or `commits`");
        }
        Ok(())
    }

    fn lengths(&self, fault: &FaultSection) -> Result<(), InputError> {
        if fault.kind.is_moment() {
            for (key, given) in [("for_ms", fault.for_ms), ("down_ms", fault.down_ms)] {
                if given.is_some() {
                    return self.wrong(key, "is not for this fault, which is over at once");
                }
            }
            return Ok(());
        }
        let takes_down_ms = fault.kind.takes_down_ms();
        if takes_down_ms && fault.for_ms.is_some() {
            return self.wrong("for_ms", "is not for this fault: expected `down_ms`");
        }
        if !takes_down_ms && fault.down_ms.is_some() {
            return self.wrong("down_ms", "is not for this fault: expected `for_ms`");
        }
        if fault.kind != FaultKind::StartLate {
            return Ok(());
        }
        if fault.for_ms.is_none() {
            return self.wrong("for_ms", "is missing: start-late needs a time");
        }
        if !fault.when.is_empty() {
            return self.wrong("when", "is not for start-late, which is about the start");
        }
        if fault.repeat.is_some() {
            return self.wrong(
                "repeat",
                "is not for start-late: there is one start of the run",
            );
        }
        Ok(())
    }

    fn moment(&self, when: &TriggerSection) -> Result<(), InputError> {
        let one = |key: &str, target, kinds: &[Kind]| {
            one_of(self.source, &self.key(key), target, kinds, self.roster)
        };
        let counts_from_1 = |key: &str, low| at_least(self.source, &self.key(key), low, 1);
        if let Some(StoredTrigger { node, commit }) = &when.stored {
            one("when.stored.node", *node, &[Kind::Node])?;
            counts_from_1("when.stored.commit", commit.low.into())?;
        }
        if let Some(DurableTrigger { executor, gei }) = &when.durable {
            one("when.durable.executor", *executor, &[Kind::Executor])?;
            counts_from_1("when.durable.gei", gei.low)?;
        }
        if let Some(reached) = &when.reached {
            let processes = [Kind::Node, Kind::Executor];
            one("when.reached.process", reached.process, &processes)?;
            counts_from_1("when.reached.times", reached.times.low.into())?;
            if reached.points(self.roster.changes).is_empty() {
                let known = points_of(reached.process.kind, self.roster.changes);
                let known: Vec<_> = known.iter().map(|point| point.name()).collect();
                let message = format!(
                    "`{}` is no crash point of {}: expected any or one of {}",
                    reached.point,
                    reached.process,
                    known.join(", ")
                );
                return self.wrong("when.reached.point", message);
            }
        }
        Ok(())
    }

    fn repeat(&self, fault: &FaultSection) -> Result<(), InputError> {
        let Some(repeat) = &fault.repeat else {
            return Ok(());
        };
        if fault.when.stored.is_some() || fault.when.durable.is_some() {
            let message = "needs a time or a crash point in `when`: the others come only once";
            return self.wrong("repeat", message);
        }
        if fault.when.reached.is_none() && repeat.every_ms.low == 0 {
            let message = "must be at least 1 where only time tells repetitions apart";
            return self.wrong("repeat.every_ms", message);
        }
        if repeat.times.low == 0 || repeat.times.high > 1_000 {
            return self.wrong("repeat.times", "must be from 1 to 1000");
        }
        Ok(())
    }
}
