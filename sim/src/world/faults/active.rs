//! The state of the faults of a run, all of it behind one lock of the world.

use super::schedule::Schedule;
use crate::{
    clock::SimTime,
    disk::Snapshot,
    faults::PlannedFault,
    net::{HijackGuard, RuleGuard},
};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Faults that wait, and what is there because of those that have begun. Guards that it gives up are for the caller
/// to drop, which undoes what they stand for.
pub(crate) struct ActiveFaults {
    pub schedule: Schedule,
    /// Decides what a power loss leaves on a disk and which bits flip.
    pub disk_damage: ChaCha8Rng,
    /// The numbers of the faults that have begun and will be ended.
    lasting: BTreeSet<usize>,
    /// Rules of the socket kernel, by the number of their fault.
    rules: BTreeMap<usize, RuleGuard>,
    /// Hijacked socket files, by the number of their fault.
    hijacks: BTreeMap<usize, Vec<HijackGuard>>,
    /// Hosts without power are silent: their peers are not told that connections are gone.
    powerless: BTreeMap<u16, RuleGuard>,
    /// Backups of executors' disks, by the number of the fault that will restore them.
    backups: BTreeMap<(usize, u16), (SimTime, Snapshot)>,
}

/// What one fault holds; dropped, it is undone.
#[must_use = "dropping it undoes the fault"]
pub(crate) struct Held {
    _rule: Option<RuleGuard>,
    _hijacks: Vec<HijackGuard>,
}

impl ActiveFaults {
    pub fn new(faults: &[PlannedFault], disk_damage: ChaCha8Rng) -> Self {
        Self {
            schedule: Schedule::new(faults),
            disk_damage,
            lasting: BTreeSet::new(),
            rules: BTreeMap::new(),
            hijacks: BTreeMap::new(),
            powerless: BTreeMap::new(),
            backups: BTreeMap::new(),
        }
    }

    /// The fault has begun and will be ended.
    pub fn begin(&mut self, number: usize) {
        self.lasting.insert(number);
    }

    /// The fault is over. None if it was over before.
    pub fn end(&mut self, number: usize) -> Option<Held> {
        self.lasting.remove(&number).then(|| Held {
            _rule: self.rules.remove(&number),
            _hijacks: self.hijacks.remove(&number).unwrap_or_default(),
        })
    }

    /// The numbers of the faults that have begun and are not over.
    pub fn lasting(&self) -> Vec<usize> {
        self.lasting.iter().copied().collect()
    }

    /// The rule stays until the fault is over; that of a fault that is over at once, until all faults are.
    pub fn hold_rule(&mut self, number: usize, rule: RuleGuard) {
        self.rules.insert(number, rule);
    }

    /// The socket files are hijacked until the fault is over.
    pub fn hold_hijacks(&mut self, number: usize, hijacks: Vec<HijackGuard>) {
        self.hijacks.insert(number, hijacks);
    }

    /// Gives up all rules but those of hosts without power.
    pub fn take_rules(&mut self) -> BTreeMap<usize, RuleGuard> {
        std::mem::take(&mut self.rules)
    }

    /// The host is without power, and `silence` keeps it silent. Returns what kept it silent before.
    pub fn cut_power(&mut self, host: u16, silence: RuleGuard) -> Option<RuleGuard> {
        self.powerless.insert(host, silence)
    }

    /// The host has power again. Returns what kept it silent.
    pub fn restore_power(&mut self, host: u16) -> Option<RuleGuard> {
        self.powerless.remove(&host)
    }

    /// Keeps a backup of an executor's disk for the fault that will restore it.
    pub fn keep_backup(&mut self, number: usize, executor: u16, taken: SimTime, disk: Snapshot) {
        self.backups.insert((number, executor), (taken, disk));
    }

    /// The backup that the fault restores, with the time at which it was taken. Later ones of the same executor are
    /// gone: they are of a past that did not happen any more.
    pub fn take_backup(&mut self, number: usize, executor: u16) -> Option<(SimTime, Snapshot)> {
        let (taken, disk) = self.backups.remove(&(number, executor))?;
        self.backups
            .retain(|(_, of), (later, _)| *of != executor || *later <= taken);
        Some((taken, disk))
    }
}
