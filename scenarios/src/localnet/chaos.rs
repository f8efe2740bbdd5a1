//! Which fault comes when. Pure: a seed is a list.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::{fmt, ops::RangeInclusive};

/// A process of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Node(usize),
    Executor(usize),
    Sub(usize),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(n) => write!(f, "node-{n}"),
            Self::Executor(n) => write!(f, "executor-{n}"),
            Self::Sub(n) => write!(f, "sub-{n}"),
        }
    }
}

/// What happens to processes and links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start later.
    Kill { targets: Vec<Target>, down_ms: u64 },
    /// SIGTERM, and a start later.
    Stop { target: Target, down_ms: u64 },
    /// SIGSTOP, and SIGCONT later.
    Pause { target: Target, for_ms: u64 },
    /// No other node reaches the validator's, and it reaches none.
    CutOff {
        validator: usize,
        for_ms: u64,
        /// Connections are reset; otherwise they are silent.
        resets: bool,
    },
    /// Everything between the validator's node and others arrives later.
    Delay {
        validator: usize,
        latency_ms: u64,
        for_ms: u64,
    },
    /// The executor is killed, and a stranger listens on its addresses until it comes back.
    Impostor { executor: usize, for_ms: u64 },
    /// The executor is killed, and starts with the copy of its disk that the previous such fault made.
    Restore { executor: usize, down_ms: u64 },
    /// The disk of the process has no room for a while.
    FullDisk {
        target: Target,
        for_ms: u64,
        /// The process is killed, too, and starts on a full disk.
        is_killed: bool,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { targets, down_ms } => {
                let names: Vec<_> = targets.iter().map(Target::to_string).collect();
                write!(f, "kill {}, back after {down_ms} ms", names.join(" and "))
            }
            Self::Stop { target, down_ms } => write!(f, "stop {target}, back after {down_ms} ms"),
            Self::Pause { target, for_ms } => write!(f, "pause {target} for {for_ms} ms"),
            Self::CutOff {
                validator,
                for_ms,
                resets,
            } => {
                let how = if *resets {
                    "resetting its connections"
                } else {
                    "silently"
                };
                write!(f, "cut off node-{validator} for {for_ms} ms, {how}")
            }
            Self::Delay {
                validator,
                latency_ms,
                for_ms,
            } => write!(
                f,
                "delay node-{validator} by {latency_ms} ms for {for_ms} ms"
            ),
            Self::Impostor { executor, for_ms } => {
                write!(
                    f,
                    "a stranger listens for executor-{executor} for {for_ms} ms"
                )
            }
            Self::Restore { executor, down_ms } => write!(
                f,
                "put an older disk of executor-{executor} back, or copy it, back after {down_ms} ms"
            ),
            Self::FullDisk {
                target,
                for_ms,
                is_killed,
            } => {
                let and = if *is_killed { ", and kill it" } else { "" };
                write!(f, "fill the disk of {target} for {for_ms} ms{and}")
            }
        }
    }
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    None,
    /// Faults of all kinds until the end.
    Drawn {
        seed: u64,
    },
    /// So many kills, one after the other.
    Kills {
        seed: u64,
        count: u32,
    },
}

/// The network that faults are drawn for.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub nodes: usize,
    pub executors: usize,
    pub subs: usize,
    /// Whether disks can be filled.
    pub has_small_disks: bool,
}

/// The faults of a run in order, each with its time. There is no fault in the first two seconds, which is a start without
/// faults.
pub struct Faults {
    chaos: Chaos,
    shape: Shape,
    random: ChaCha8Rng,
    at_ms: u64,
    count: u32,
}

impl Faults {
    pub fn new(chaos: Chaos, shape: Shape) -> Self {
        let seed = match chaos {
            Chaos::None => 0,
            Chaos::Drawn { seed } | Chaos::Kills { seed, .. } => seed,
        };
        Self {
            chaos,
            shape,
            random: ChaCha8Rng::seed_from_u64(seed),
            at_ms: 2_000,
            count: 0,
        }
    }

    fn draw(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = (*range.start(), *range.end());
        low + self.random.next_u64() % (high - low + 1)
    }

    fn below(&mut self, count: usize) -> usize {
        let last = (count as u64).saturating_sub(1);
        usize::try_from(self.draw(0..=last)).unwrap_or(0)
    }

    fn target(&mut self) -> Target {
        let Shape {
            nodes,
            executors,
            subs,
            ..
        } = self.shape;
        match self.below(nodes + executors + subs) {
            n if n < nodes => Target::Node(n),
            n if n < nodes + executors => Target::Executor(n - nodes),
            n => Target::Sub(n - nodes - executors),
        }
    }

    fn kill(&mut self) -> Fault {
        let n = self.below(self.shape.nodes);
        let targets = match self.draw(0..=9) {
            // A host, and everybody.
            0..=2 if n < self.shape.executors => vec![Target::Node(n), Target::Executor(n)],
            3 => (0..self.shape.nodes).map(Target::Node).collect(),
            _ => vec![self.target()],
        };
        let down_ms = self.draw(0..=2_000);
        Fault::Kill { targets, down_ms }
    }

    fn any(&mut self) -> Fault {
        let validator = self.below(self.shape.nodes);
        let executor = self.below(self.shape.executors);
        let for_ms = self.draw(200..=5_000);
        let last = if self.shape.has_small_disks { 13 } else { 11 };
        match self.draw(0..=last) {
            0..=3 => self.kill(),
            4 => Fault::Stop {
                target: self.target(),
                down_ms: for_ms / 4,
            },
            5 | 6 => Fault::Pause {
                target: self.target(),
                for_ms,
            },
            7 | 8 => Fault::CutOff {
                validator,
                for_ms,
                resets: self.draw(0..=1) == 0,
            },
            9 => Fault::Delay {
                validator,
                latency_ms: self.draw(5..=200),
                for_ms,
            },
            10 => Fault::Impostor { executor, for_ms },
            11 => Fault::Restore {
                executor,
                down_ms: for_ms / 4,
            },
            _ => Fault::FullDisk {
                target: self.target(),
                for_ms,
                is_killed: self.draw(0..=1) == 0,
            },
        }
    }
}

impl Iterator for Faults {
    type Item = (u64, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        let fault = match self.chaos {
            Chaos::None => return None,
            Chaos::Drawn { .. } => self.any(),
            Chaos::Kills { count, .. } if self.count >= count => return None,
            Chaos::Kills { .. } => self.kill(),
        };
        self.count += 1;
        let at_ms = self.at_ms;
        self.at_ms += self.draw(200..=2_500);
        Some((at_ms, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::discriminant;

    const SHAPE: Shape = Shape {
        nodes: 4,
        executors: 4,
        subs: 1,
        has_small_disks: true,
    };

    #[test]
    fn a_seed_is_a_list_that_has_every_kind() {
        let drawn = |seed| Faults::new(Chaos::Drawn { seed }, SHAPE).take(200);
        assert!(drawn(1).eq(drawn(1)));
        assert!(!drawn(1).eq(drawn(2)));
        let mut kinds: Vec<_> = drawn(1).map(|(_, fault)| discriminant(&fault)).collect();
        kinds.dedup();
        let mut distinct = vec![];
        for kind in kinds {
            if !distinct.contains(&kind) {
                distinct.push(kind);
            }
        }
        assert_eq!(distinct.len(), 8);
    }

    #[test]
    fn kills_are_counted_and_nothing_else() {
        let chaos = Chaos::Kills { seed: 3, count: 50 };
        let faults: Vec<_> = Faults::new(chaos, SHAPE).collect();
        assert_eq!(faults.len(), 50);
        assert!(
            faults
                .iter()
                .all(|(_, it)| matches!(it, Fault::Kill { .. }))
        );
        assert!(faults.is_sorted_by_key(|(at_ms, _)| *at_ms));
        assert_eq!(Faults::new(Chaos::None, SHAPE).count(), 0);
    }

    #[test]
    fn single_master_has_one_executor() {
        let shape = Shape {
            executors: 1,
            ..SHAPE
        };
        let is_first = |target: &Target| !matches!(target, Target::Executor(n) if *n > 0);
        for (_, fault) in Faults::new(Chaos::Drawn { seed: 1 }, shape).take(300) {
            assert!(match &fault {
                Fault::Kill { targets, .. } => targets.iter().all(is_first),
                Fault::Stop { target, .. }
                | Fault::Pause { target, .. }
                | Fault::FullDisk { target, .. } => is_first(target),
                Fault::Impostor { executor, .. } | Fault::Restore { executor, .. } =>
                    *executor == 0,
                Fault::CutOff { .. } | Fault::Delay { .. } => true,
            });
        }
    }
}
