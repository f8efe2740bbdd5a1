//! `do` of a `[[fault]]`: every kind of fault, and all that the scenario schema knows of it.
//!
//! Each file is a subject of [`metanode_sim::faults`]. For each kind it holds a [`Schema`]: which targets and keys its
//! section takes, the fault that a seed draws from a section, the fault that a swarm draws. Below them, `section` is
//! the way back: the section that says a given fault and leaves nothing open.

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
            in_swarm: InSwarm::usual(|swarm| {
                let ($who, $for_ms) = (swarm.$of_swarm(), Some(swarm.lasts_ms));
                $fault.into()
            }),
        }
    };
}

mod clock;
mod disk;
mod executor;
mod network;
mod process;
mod socket;

use super::{FaultSection, drawn::Drawn, swarm::SwarmDraws};
use crate::scenario::target::Kind;
use metanode_sim::faults::Fault;
use serde::{Deserialize, Serialize};

macro_rules! fault_kinds {
    ($($kind:ident = $subject:ident::$schema:ident,)*) => {
        /// `do`; what each does, [`metanode_sim::faults`] says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum FaultKind {
            $($kind,)*
        }

        impl FaultKind {
            /// All of them, in the order in which a swarm draws how often each comes. A kind more, or another order,
            /// changes what every seed of a swarm draws.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// All that is known of it.
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
    PowerLoss = process::POWER_LOSS,
    Pause = process::PAUSE,
    StartLate = process::START_LATE,
    Stall = executor::STALL,
    StopReading = executor::STOP_READING,
    ServeBoth = executor::SERVE_BOTH,
    HijackSocket = socket::HIJACK_SOCKET,
    SlowReplies = executor::SLOW_REPLIES,
    SilentReplies = executor::SILENT_REPLIES,
    ErrorReplies = executor::ERROR_REPLIES,
    Restore = disk::RESTORE,
    Partition = network::PARTITION,
    SlowLinks = network::SLOW_LINKS,
    ShortWrites = socket::SHORT_WRITES,
    Reset = socket::RESET,
    HalfClose = socket::HALF_CLOSE,
    Truncate = socket::TRUNCATE,
    DelayReply = socket::DELAY_REPLY,
    FailSync = disk::FAIL_SYNC,
    DiskFull = disk::DISK_FULL,
    FlipBits = disk::FLIP_BITS,
    JumpClock = clock::JUMP_CLOCK,
}

/// The section that says this fault, from the start of the run, and leaves nothing open.
pub(super) fn section(fault: &Fault) -> FaultSection {
    match fault {
        Fault::Process(fault) => process::section(fault),
        Fault::Executor(fault) => executor::section(fault),
        Fault::Network(fault) => network::section(fault),
        Fault::Socket(fault) => socket::section(fault),
        Fault::Disk(fault) => disk::section(fault),
        Fault::Clock(fault) => clock::section(fault),
    }
}

/// One kind of fault in scenario files.
pub(in crate::scenario) struct Schema {
    pub(super) targets: Targets,
    pub(super) time: Time,
    pub(super) keys: Keys,
    /// The fault that a seed makes of a section. Numbers are drawn by the labels of their keys.
    pub(super) of_section: fn(&Drawn<'_>) -> Fault,
    pub(in crate::scenario) in_swarm: InSwarm,
}

/// The targets that a kind takes.
pub(super) struct Targets {
    pub kinds: &'static [Kind],
    /// Whether all of them at once make sense.
    pub all: bool,
}

const PROCESSES: Targets = Targets {
    kinds: &[Kind::Node, Kind::Executor, Kind::Host],
    all: true,
};
const NODES: Targets = Targets {
    kinds: &[Kind::Node],
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

/// Which key says how long a fault lasts.
pub(super) enum Time {
    /// None: it is over at once.
    Moment,
    /// `down_ms`, or until all faults end.
    Down,
    /// `for_ms`, or until all faults end.
    For,
    /// `for_ms` from the start of the run: it has no `when` and no `repeat`.
    FromStart,
}

/// Which of the other keys a kind takes.
pub(super) struct Keys {
    pub needs: &'static [&'static str],
    /// Of these it needs at least one.
    pub one_of: &'static [&'static str],
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
    pub moments: Moments,
    /// Whether some come as crash loops.
    pub loops: bool,
    /// Whether it is harmless where validators are Byzantine.
    pub beside_byzantine: bool,
    /// Draws from one stream: the order of the draws is part of what a seed means.
    pub draw: fn(&mut SwarmDraws<'_>) -> Fault,
}

/// When a swarm lets a fault happen.
pub(in crate::scenario) enum Moments {
    /// At a time or on a condition.
    Any,
    /// At a time.
    Times,
    /// From the start of the run.
    Start,
}

impl InSwarm {
    /// Like most kinds: at any moment, once, with or without Byzantine validators.
    const fn usual(draw: fn(&mut SwarmDraws<'_>) -> Fault) -> Self {
        Self {
            moments: Moments::Any,
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

    /// One fault of each kind, as a swarm draws it.
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
    fn every_kind_is_said_again_under_its_own_name() {
        for kind in FaultKind::ALL {
            assert_eq!(section(&drawn(*kind)).kind, *kind);
        }
    }

    #[test]
    fn every_kind_takes_the_keys_that_say_it_again_and_only_keys_that_exist() {
        for kind in FaultKind::ALL {
            let Schema { keys, .. } = kind.schema();
            let own = keys.needs.iter().chain(keys.one_of).chain(keys.takes);
            let own: BTreeSet<_> = own.copied().collect();
            let particulars = section(&drawn(*kind)).particulars();
            let exist: BTreeSet<_> = particulars.iter().map(|(key, _)| *key).collect();
            assert!(own.is_subset(&exist), "{kind:?}: {own:?}");
            for (key, is_given) in particulars {
                assert!(!is_given || own.contains(key), "{kind:?}: {key}");
                assert!(is_given || !keys.needs.contains(&key), "{kind:?}: {key}");
            }
        }
    }
}
