//! What was wrong in a run.

use super::{layout::Layout, run::Settled};
use metanode_sim::{event_log::Report, run::Verdict};
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    fs, io,
};

/// Something that a network must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// So many rules do not hold in event logs and data directories; the report has them.
    Rules(usize),
    /// ROOT or AGREE: the chains of two executors differ.
    Fork(String),
    /// NOLOSS: so many transactions were promised and are in no block, although there are new blocks.
    Lost(usize),
    /// START: a process ended by itself or, asked to end, not in good order; how often.
    Ended { how: String, times: usize },
    /// A process panicked; the line that says so.
    Panicked(String),
    /// LIVE: not all processes ran and had new blocks in time. So many promised transactions are in no block yet.
    NoProgress { missing: usize },
}

impl Failure {
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Rules(_) | Self::Fork(_) | Self::Lost(_) | Self::Ended { .. } => {
                Verdict::SafetyViolated
            }
            Self::Panicked(_) => Verdict::Panicked,
            Self::NoProgress { .. } => Verdict::LivenessViolated,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(count) => write!(f, "{count} rules are broken, see above"),
            Self::Fork(how) => write!(f, "the chains differ: {how}"),
            Self::Lost(count) => {
                write!(f, "{count} transactions were promised and are in no block")
            }
            Self::Ended { how, times: 1 } | Self::Panicked(how) => f.write_str(how),
            Self::Ended { how, times } => write!(f, "{how}, {times} times"),
            Self::NoProgress { missing } => write!(
                f,
                "no progress after all faults had ended: not all processes ran and had new blocks in time, {missing} promised \
                 transactions are in no block"
            ),
        }
    }
}

/// Everything that was wrong. `ended` is what ended by itself.
///
/// # Errors
/// If the log of a process cannot be read.
pub(super) fn failures(
    layout: &Layout,
    report: &Report,
    ended: Vec<String>,
    settled: &Settled,
) -> io::Result<Vec<Failure>> {
    let mut ways: BTreeMap<String, usize> = BTreeMap::new();
    for how in ended {
        *ways.entry(how).or_default() += 1;
    }
    let ways = ways.into_iter();
    let mut all: Vec<_> = ways
        .map(|(how, times)| Failure::Ended { how, times })
        .collect();
    all.extend(panics(layout)?.into_iter().map(Failure::Panicked));
    all.extend(settled.chains.fork.clone().map(Failure::Fork));
    all.extend(
        match (settled.has_progressed, settled.chains.missing.len()) {
            (true, 0) => None,
            (true, missing) => Some(Failure::Lost(missing)),
            // The comparison ends with a fork, whatever is missing then.
            (false, _) if settled.chains.fork.is_some() => None,
            (false, missing) => Some(Failure::NoProgress { missing }),
        },
    );
    let broken = report.broken().count();
    all.extend((broken > 0).then_some(Failure::Rules(broken)));
    Ok(all)
}

/// The first line of each log that tells of a panic.
fn panics(layout: &Layout) -> io::Result<Vec<String>> {
    let first = |target| {
        let text = fs::read(layout.log(target))?;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains("panicked at"));
        Ok(line.map(|line| format!("{target}: {line}")))
    };
    (layout.targets().map(first))
        .filter_map(io::Result::transpose)
        .collect()
}
