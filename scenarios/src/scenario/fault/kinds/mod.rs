//! `do` of a `[[fault]]`: the kinds of faults.
//!
//! Each file is a subject of [`metanode_sim::faults`]. It has a [`Schema`] per kind: the targets and keys of its
//! section, the fault that a seed draws from a section, and the fault that a swarm draws. `section` is the inverse: the
//! section with fixed values from which every seed draws a given fault.

/// The schema of a kind without keys of its own that lasts `for_ms`. `$of_section` and `$of_swarm` are the methods that
/// name its targets, `$fault` makes the fault of them and of its duration.
macro_rules! lasting {
    ($targets:ident, $of_section:ident, $of_swarm:ident, |$who:ident, $for_ms:ident| $fault:expr) => {
        Schema {
            targets: $targets,
            time: Time::For,
            keys: Keys::NONE,
            of_section: |drawn| {
                let ($who, $for_ms) = (drawn.$of_section(), drawn.for_ms());
                $fault.into()
            },
            in_swarm: InSwarm::plain(|swarm| {
                let ($who, $for_ms) = (swarm.$of_swarm(), Some(swarm.lasts_ms));
                $fault.into()
            }),
        }
    };
}

impl FaultKind {
    /// The kinds of which swarms draw. Lies are drawn apart: all of a seed are told by one executor.
    pub(in crate::scenario) fn of_swarms() -> Vec<Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|kind| *kind != Self::LieToPeers).collect()
    }
}

mod clock;
mod disk;
mod executor;
mod network;
mod process;
mod socket;
mod stranger;

pub use executor::LieKind;
pub(in crate::scenario) use executor::any_lie;

use super::{FaultSection, drawn::Drawn, swarm::SwarmDraws};
use crate::scenario::target::Kind;
use metanode_sim::faults::Fault;
use serde::{Deserialize, Serialize};

macro_rules! fault_kinds {
    ($($kind:ident = $subject:ident::$schema:ident,)*) => {
        /// `do`; the kinds are described in [`metanode_sim::faults`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum FaultKind {
            $($kind,)*
        }

        impl FaultKind {
            /// All kinds, in the order in which a swarm draws their weights. Another order or a further kind changes
            /// what every seed of a swarm draws.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The schema of this kind.
            pub(in crate::scenario) const fn schema(self) -> &'static Schema {
                match self {
                    $(Self::$kind => &$subject::$schema,)*
                }
            }
        }
    };
}

fault_kinds! {
    Kill = process::KILL,
    Stop = process::STOP,
    PowerLoss = process::POWER_LOSS,
    Pause = process::PAUSE,
    StartLate = process::START_LATE,
    Stall = executor::STALL,
    StopReading = executor::STOP_READING,
    ServeBoth = executor::SERVE_BOTH,
    HijackSocket = socket::HIJACK_SOCKET,
    SlowReplies = executor::SLOW_REPLIES,
    SilentReplies = executor::SILENT_REPLIES,
    LostReplies = executor::LOST_REPLIES,
    ErrorReplies = executor::ERROR_REPLIES,
    Restore = disk::RESTORE,
    CopyExecutor = disk::COPY_EXECUTOR,
    RestoreNodes = disk::RESTORE_NODES,
    Partition = network::PARTITION,
    SlowLinks = network::SLOW_LINKS,
    ShortWrites = socket::SHORT_WRITES,
    Reset = socket::RESET,
    HalfClose = socket::HALF_CLOSE,
    Truncate = socket::TRUNCATE,
    StallConnection = socket::STALL_CONNECTION,
    DelayReply = socket::DELAY_REPLY,
    FailSync = disk::FAIL_SYNC,
    FailSyncAfterWrite = disk::FAIL_SYNC_AFTER_WRITE,
    DiskFull = disk::DISK_FULL,
    FlipBits = disk::FLIP_BITS,
    JumpClock = clock::JUMP_CLOCK,
    Stranger = stranger::STRANGER,
    LieToPeers = executor::LIE_TO_PEERS,
}

/// The section with fixed values for this fault, which begins with the run.
pub(super) fn section(fault: &Fault) -> FaultSection {
    match fault {
        Fault::Process(fault) => process::section(fault),
        Fault::Executor(fault) => executor::section(fault),
        Fault::Network(fault) => network::section(fault),
        Fault::Socket(fault) => socket::section(fault),
        Fault::Disk(fault) => disk::section(fault),
        Fault::Clock(fault) => clock::section(fault),
        Fault::Stranger(fault) => stranger::section(fault),
    }
}

/// One kind of fault in scenario files.
pub(in crate::scenario) struct Schema {
    pub(super) targets: Targets,
    pub(super) time: Time,
    pub(super) keys: Keys,
    /// The fault that a seed draws from a section.
    pub(super) of_section: fn(&Drawn<'_>) -> Fault,
    pub(in crate::scenario) in_swarm: InSwarm,
}

/// The targets of a kind.
pub(super) struct Targets {
    pub kinds: &'static [Kind],
    /// Whether the fault may affect all of them at once.
    pub all: bool,
}

const PROCESSES: Targets = Targets {
    kinds: &[Kind::Node, Kind::Executor, Kind::Sub, Kind::Host],
    all: true,
};
const NODES: Targets = Targets {
    kinds: &[Kind::Node],
    all: true,
};
const EXECUTORS_AND_SUBS: Targets = Targets {
    kinds: &[Kind::Executor, Kind::Sub],
    all: true,
};
const EXECUTORS: Targets = Targets {
    kinds: &[Kind::Executor],
    all: true,
};
const HOSTS: Targets = Targets {
    kinds: &[Kind::Host],
    all: true,
};
const SOME_HOSTS: Targets = Targets {
    kinds: &[Kind::Host],
    all: false,
};

/// Which key is the duration of a fault.
pub(super) enum Time {
    /// None: the fault has no duration.
    Moment,
    /// `down_ms`, or until all faults end.
    Down,
    /// `for_ms`, or until all faults end.
    For,
    /// `for_ms` from the start of the run; no `when` and no `repeat`.
    FromStart,
}

/// The other keys of a kind.
pub(super) struct Keys {
    /// Required.
    pub needs: &'static [&'static str],
    /// At least one of these is required.
    pub one_of: &'static [&'static str],
    /// Optional.
    pub takes: &'static [&'static str],
}

impl Keys {
    const NONE: Self = Self {
        needs: &[],
        one_of: &[],
        takes: &[],
    };
}

/// How a swarm draws faults of a kind.
pub(in crate::scenario) struct InSwarm {
    pub triggers: Triggers,
    /// Whether some are repeated as crash loops.
    pub loops: bool,
    /// Whether it may occur in a run with Byzantine validators.
    pub beside_byzantine: bool,
    /// Draws from one stream: another order of the draws changes what every seed draws.
    pub draw: fn(&mut SwarmDraws<'_>) -> Fault,
}

/// The triggers that a swarm draws for a fault.
pub(in crate::scenario) enum Triggers {
    /// At a time or on a condition.
    Any,
    /// At a time.
    Times,
    /// From the start of the run.
    Start,
}

impl InSwarm {
    /// Any trigger, no crash loops, with or without Byzantine validators.
    const fn plain(draw: fn(&mut SwarmDraws<'_>) -> Fault) -> Self {
        Self {
            triggers: Triggers::Any,
            loops: false,
            beside_byzantine: true,
            draw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sampling::Sampler, scenario::target::Roster};
    use std::collections::BTreeSet;

    /// A fault of this kind, as a swarm draws it.
    fn drawn(kind: FaultKind) -> Fault {
        let roster = Roster {
            validators: 4,
            executors: 4,
            changes: false,
        };
        let mut stream = Sampler::of_seed(0).stream("test");
        let mut draws = SwarmDraws::new(&mut stream, roster, Some(1), 1_000);
        (kind.schema().in_swarm.draw)(&mut draws)
    }

    #[test]
    fn the_section_of_a_fault_has_its_kind() {
        for kind in FaultKind::ALL {
            assert_eq!(section(&drawn(*kind)).kind, *kind);
        }
    }

    #[test]
    fn the_section_of_a_fault_has_the_keys_of_its_schema() {
        for kind in FaultKind::ALL {
            let Schema { keys, .. } = kind.schema();
            let own = keys.needs.iter().chain(keys.one_of).chain(keys.takes);
            let own: BTreeSet<_> = own.copied().collect();
            let kind_keys = section(&drawn(*kind)).kind_keys();
            let exist: BTreeSet<_> = kind_keys.iter().map(|(key, _)| *key).collect();
            assert!(own.is_subset(&exist), "{kind:?}: {own:?}");
            for (key, is_given) in kind_keys {
                assert!(!is_given || own.contains(key), "{kind:?}: {key}");
                assert!(is_given || !keys.needs.contains(&key), "{kind:?}: {key}");
            }
        }
    }
}
