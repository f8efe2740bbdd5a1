//! All processes of a network, and what a fault does to them.

use super::{
    chaos::{Fault, Target},
    impostor::Impostor,
    layout::Layout,
    links::Links,
    process::{Binaries, Process, copy_folder},
    small_disks,
};
use crate::live::now_ms;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write},
    process::ExitStatus,
};

/// A process that ended by itself is started again after this time, as by a service manager.
const RESTART_FAILED_AFTER_MS: u64 = 300;

/// A process that was asked to end and does not is killed after this time: a Sub waits for 10 s for the answers of its node.
const PATIENCE_MS: u64 = 15_000;

enum State {
    Up(Process),
    Paused {
        process: Process,
        until_ms: u64,
    },
    Stopping {
        process: Process,
        until_ms: u64,
        down_ms: u64,
    },
    Down {
        until_ms: u64,
    },
}

/// Known bugs, for binaries that were built with them.
#[derive(Clone, Debug, Default)]
pub struct Bugs {
    pub names: Vec<String>,
    /// The validators that have them; all if there are none.
    pub validators: Vec<usize>,
}

impl Bugs {
    fn of(&self, target: Target) -> &[String] {
        let (Target::Node(n) | Target::Executor(n) | Target::Sub(n)) = target;
        match self.validators.is_empty() || self.validators.contains(&n) {
            true => &self.names,
            false => &[],
        }
    }
}

/// The processes and links of a network. Times are milliseconds since its begin.
pub struct Network<'a> {
    layout: &'a Layout,
    binaries: &'a Binaries,
    bugs: &'a Bugs,
    links: Links,
    states: BTreeMap<Target, State>,
    /// Which node is connected again, and when.
    cut: BTreeMap<usize, u64>,
    delayed: BTreeMap<usize, u64>,
    impostors: BTreeMap<usize, (Impostor, u64)>,
    /// Whose disk has room again, and when.
    full: BTreeMap<Target, u64>,
    /// Whose disk was full at some time since its last start: it may end with an error.
    was_full: BTreeSet<Target>,
    /// How many ended because of that.
    pub ended_on_full_disks: u32,
    /// What ended by itself, with its exit status.
    pub ended: Vec<String>,
}

impl<'a> Network<'a> {
    /// Starts everything.
    ///
    /// # Errors
    /// If an address is taken, or a process cannot be started.
    pub fn begin(layout: &'a Layout, binaries: &'a Binaries, bugs: &'a Bugs) -> io::Result<Self> {
        let mut network = Self {
            layout,
            binaries,
            bugs,
            links: Links::begin(&layout.members)?,
            states: BTreeMap::new(),
            cut: BTreeMap::new(),
            delayed: BTreeMap::new(),
            impostors: BTreeMap::new(),
            full: BTreeMap::new(),
            was_full: BTreeSet::new(),
            ended_on_full_disks: 0,
            ended: vec![],
        };
        for target in layout.targets() {
            if let Some(mib) = layout.size.small_disk_mib {
                small_disks::make(&layout.disk(target), mib)?;
            }
            network.start(target)?;
        }
        Ok(network)
    }

    fn start(&mut self, target: Target) -> io::Result<()> {
        if !self.full.contains_key(&target) {
            self.was_full.remove(&target);
        }
        let process = self.binaries.start(
            target,
            &self.layout.config(target),
            &self.layout.log(target),
            &self.layout.events(target),
            self.bugs.of(target),
        )?;
        self.states.insert(target, State::Up(process));
        Ok(())
    }

    /// Whether everything runs and every link is as it should be.
    pub fn is_whole(&self) -> bool {
        let is_up = |state: &State| matches!(state, State::Up(_));
        let is_healed = self.cut.is_empty() && self.impostors.is_empty() && self.full.is_empty();
        self.states.values().all(is_up) && is_healed
    }

    /// How many processes do not run.
    pub fn down(&self) -> usize {
        let is_down = |state: &&State| !matches!(state, State::Up(_));
        self.states.values().filter(is_down).count()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// If the operating system refuses it.
    pub fn tick(&mut self, now_ms: u64) -> io::Result<()> {
        let (links, due) = (&self.links, |until_ms: &u64| *until_ms <= now_ms);
        self.cut.retain(|node, until_ms| {
            let is_due = due(until_ms);
            links.cut(*node, !is_due);
            !is_due
        });
        self.delayed.retain(|node, until_ms| {
            let is_due = due(until_ms);
            if is_due {
                links.delay(*node, 0);
            }
            !is_due
        });
        self.impostors.retain(|_, (_, until_ms)| !due(until_ms));
        let free: Vec<_> = (self.full.iter().filter(|(_, until_ms)| due(until_ms)))
            .map(|(target, _)| *target)
            .collect();
        for target in free {
            small_disks::free(&self.layout.disk(target))?;
            self.full.remove(&target);
        }
        for target in self.layout.targets() {
            self.tick_process(target, now_ms)?;
        }
        Ok(())
    }

    fn tick_process(&mut self, target: Target, now_ms: u64) -> io::Result<()> {
        let Some(state) = self.states.remove(&target) else {
            return Ok(());
        };
        let next = match state {
            State::Up(mut process) => match process.ended()? {
                None => State::Up(process),
                Some(status) => {
                    if status.code() == Some(1) && self.was_full.contains(&target) {
                        self.ended_on_full_disks += 1;
                    } else {
                        self.ended
                            .push(format!("{target} ended by itself: {status}"));
                    }
                    State::Down {
                        until_ms: now_ms + RESTART_FAILED_AFTER_MS,
                    }
                }
            },
            State::Paused { process, until_ms } if until_ms <= now_ms => {
                process.resume()?;
                State::Up(process)
            }
            State::Stopping {
                mut process,
                until_ms,
                down_ms,
            } => match process.ended()? {
                None if now_ms < until_ms => State::Stopping {
                    process,
                    until_ms,
                    down_ms,
                },
                ended => {
                    self.asked_to_end(target, ended);
                    State::Down {
                        until_ms: now_ms + down_ms,
                    }
                }
            },
            State::Down { until_ms } if until_ms <= now_ms => return self.start(target),
            waiting => waiting,
        };
        self.states.insert(target, next);
        Ok(())
    }

    /// Injects a fault. A process that is not up is left alone.
    ///
    /// # Errors
    /// If the operating system refuses it.
    pub fn inject(&mut self, fault: &Fault, now_ms: u64) -> io::Result<()> {
        match fault {
            Fault::Kill { targets, down_ms } => targets
                .iter()
                .try_for_each(|target| self.kill(*target, now_ms + down_ms).map(|_| ())),
            Fault::Stop { target, down_ms } => self.with_up(*target, |process| {
                process.terminate()?;
                Ok(State::Stopping {
                    process,
                    until_ms: now_ms + PATIENCE_MS,
                    down_ms: *down_ms,
                })
            }),
            Fault::Pause { target, for_ms } => self.with_up(*target, |process| {
                process.pause()?;
                let until_ms = now_ms + for_ms;
                Ok(State::Paused { process, until_ms })
            }),
            Fault::CutOff {
                validator,
                for_ms,
                resets,
            } => {
                self.links.cut(*validator, true);
                if *resets {
                    self.links.reset(*validator);
                }
                self.cut.insert(*validator, now_ms + for_ms);
                Ok(())
            }
            Fault::Delay {
                validator,
                latency_ms,
                for_ms,
            } => {
                self.links.delay(*validator, *latency_ms);
                self.delayed.insert(*validator, now_ms + for_ms);
                Ok(())
            }
            Fault::Impostor { executor, for_ms } => {
                let until_ms = now_ms + for_ms;
                // The impostor is gone when the executor starts.
                if self.kill(Target::Executor(*executor), until_ms + 1)? {
                    let paths = [
                        self.layout.block_stream(*executor),
                        self.layout.rpc(*executor),
                    ];
                    let impostor = Impostor::listen(paths.into());
                    self.impostors.insert(*executor, (impostor, until_ms));
                }
                Ok(())
            }
            Fault::Restore { executor, down_ms } => {
                let target = Target::Executor(*executor);
                match self.kill(target, now_ms + down_ms)? {
                    true => self.restore(target),
                    false => Ok(()),
                }
            }
            Fault::FullDisk {
                target,
                for_ms,
                is_killed,
            } => {
                self.fill(*target, now_ms + for_ms)?;
                match is_killed {
                    true => self.kill(*target, now_ms).map(|_| ()),
                    false => Ok(()),
                }
            }
        }
    }

    fn fill(&mut self, target: Target, until_ms: u64) -> io::Result<()> {
        self.full.insert(target, until_ms);
        self.was_full.insert(target);
        small_disks::fill(&self.layout.disk(target))
    }

    fn with_up(
        &mut self,
        target: Target,
        then: impl FnOnce(Process) -> io::Result<State>,
    ) -> io::Result<()> {
        let next = match self.states.remove(&target) {
            Some(State::Up(process)) => then(process)?,
            Some(other) => other,
            None => return Ok(()),
        };
        self.states.insert(target, next);
        Ok(())
    }

    /// Whether it was up, or paused.
    fn kill(&mut self, target: Target, until_ms: u64) -> io::Result<bool> {
        let (was_up, next) = match self.states.remove(&target) {
            Some(State::Up(mut process) | State::Paused { mut process, .. }) => {
                process.kill()?;
                (true, State::Down { until_ms })
            }
            Some(other) => (false, other),
            None => return Ok(false),
        };
        self.states.insert(target, next);
        Ok(was_up)
    }

    /// Replaces the data of a process that is down by its copy, or makes the copy.
    fn restore(&self, target: Target) -> io::Result<()> {
        if self.full.contains_key(&target) {
            return Ok(()); // there is no room for it
        }
        let (data, copy) = (self.layout.data(target), self.layout.copy(target));
        if !copy.exists() {
            return copy_folder(&data, &copy);
        }
        fs::remove_dir_all(&data)?;
        copy_folder(&copy, &data)?;
        fs::remove_dir_all(&copy)?;
        let mut events = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.layout.events(target))?;
        // A kill can have left a part of a line before it.
        let line = format!("\n{{\"v\":1,\"process\":\"{target}\",\"event\":\"disk_restored\"}}\n");
        events.write_all(line.as_bytes())
    }

    /// Ends all faults: what is paused or down runs again within a tick.
    ///
    /// # Errors
    /// If the operating system refuses it.
    pub fn heal(&mut self, now_ms: u64) -> io::Result<()> {
        let links = self.cut.values_mut().chain(self.delayed.values_mut());
        for until_ms in links.chain(self.full.values_mut()) {
            *until_ms = now_ms;
        }
        self.impostors.clear();
        for state in self.states.values_mut() {
            match state {
                State::Paused { until_ms, .. } | State::Down { until_ms } => *until_ms = now_ms,
                State::Up(_) | State::Stopping { .. } => {}
            }
        }
        self.tick(now_ms)
    }

    /// Notes it if the end of a process that was asked to end was not in good order. `ended`: `None` if it did not end.
    fn asked_to_end(&mut self, target: Target, ended: Option<ExitStatus>) {
        let how = match ended {
            Some(status) if status.success() => return,
            Some(status) if status.code() == Some(1) && self.was_full.contains(&target) => {
                self.ended_on_full_disks += 1;
                return;
            }
            Some(status) => status.to_string(),
            None => format!("did not end within {PATIENCE_MS} ms"),
        };
        self.ended.push(format!("{target} was asked to end: {how}"));
    }

    /// Asks one after the other to end, and kills what does not. Calls `pause` between two looks.
    ///
    /// # Errors
    /// If the operating system refuses it.
    pub fn end(&mut self, pause: impl Fn()) -> io::Result<()> {
        // Subs first: they wait for the answers of their nodes.
        let mut targets: Vec<_> = self.layout.targets().collect();
        targets.reverse();
        for target in targets {
            let Some(State::Up(mut process)) = self.states.remove(&target) else {
                continue;
            };
            process.terminate()?;
            let deadline_ms = now_ms() + PATIENCE_MS;
            let mut ended = process.ended()?;
            while ended.is_none() && now_ms() < deadline_ms {
                pause();
                ended = process.ended()?;
            }
            self.asked_to_end(target, ended);
        }
        Ok(())
    }
}

/// Copies disks that end with this program to where they stay.
///
/// # Errors
/// If the operating system refuses it.
pub fn keep_small_disks(layout: &Layout) -> io::Result<()> {
    if layout.size.small_disk_mib.is_none() {
        return Ok(());
    }
    let mut targets = layout.targets();
    targets.try_for_each(|target| copy_folder(&layout.data(target), &layout.kept(target)))
}
