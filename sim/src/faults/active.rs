//! The state of the faults of a run, behind one lock of the world.

use super::{PlannedFault, schedule::Schedule};
use crate::{
    clock::SimTime,
    disk::Snapshot,
    net::{HijackGuard, RuleGuard},
    process_id::ProcessId,
    stranger::StrangerGuard,
};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Scheduled faults, and what the active ones hold. A guard that is returned must be dropped by the caller, which
/// undoes its effect.
pub(crate) struct ActiveFaults {
    pub schedule: Schedule,
    /// Draws what a power loss leaves on a disk and which bits flip.
    pub disk_damage: ChaCha8Rng,
    /// The numbers of the active faults that end later.
    lasting: BTreeSet<usize>,
    /// Rules of the socket kernel, by the number of their fault.
    rules: BTreeMap<usize, RuleGuard>,
    /// Hijacked socket files, by the number of their fault.
    hijacks: BTreeMap<usize, Vec<HijackGuard>>,
    /// Strangers, by the number of their fault.
    strangers: BTreeMap<usize, StrangerGuard>,
    /// Hosts without power are silent: their peers do not learn that connections are closed.
    powerless: BTreeMap<u16, RuleGuard>,
    /// Backups of disks, by the number of the fault that will restore them.
    backups: BTreeMap<(usize, ProcessId), (SimTime, Snapshot)>,
}

/// What an active fault holds. Dropping it undoes the effect.
#[must_use = "dropping it undoes the fault"]
pub(crate) struct Held {
    _rule: Option<RuleGuard>,
    _hijacks: Vec<HijackGuard>,
    _stranger: Option<StrangerGuard>,
}

impl ActiveFaults {
    pub fn new(faults: &[PlannedFault], disk_damage: ChaCha8Rng) -> Self {
        Self {
            schedule: Schedule::new(faults),
            disk_damage,
            lasting: BTreeSet::new(),
            rules: BTreeMap::new(),
            hijacks: BTreeMap::new(),
            strangers: BTreeMap::new(),
            powerless: BTreeMap::new(),
            backups: BTreeMap::new(),
        }
    }

    /// The fault has begun and ends later.
    pub fn begin(&mut self, number: usize) {
        self.lasting.insert(number);
    }

    /// The fault ends. `None` if it had already ended.
    pub fn end(&mut self, number: usize) -> Option<Held> {
        self.lasting.remove(&number).then(|| Held {
            _rule: self.rules.remove(&number),
            _hijacks: self.hijacks.remove(&number).unwrap_or_default(),
            _stranger: self.strangers.remove(&number),
        })
    }

    /// The numbers of the active faults.
    pub fn lasting(&self) -> Vec<usize> {
        self.lasting.iter().copied().collect()
    }

    /// Holds the rule until the fault ends. The rule of a momentary fault is held until all faults end.
    pub fn hold_rule(&mut self, number: usize, rule: RuleGuard) {
        self.rules.insert(number, rule);
    }

    /// Holds hijacked socket files until the fault ends.
    pub fn hold_hijacks(&mut self, number: usize, hijacks: Vec<HijackGuard>) {
        self.hijacks.insert(number, hijacks);
    }

    /// Holds a stranger until the fault ends.
    pub fn hold_stranger(&mut self, number: usize, stranger: StrangerGuard) {
        self.strangers.insert(number, stranger);
    }

    /// Returns all rules except those of hosts without power.
    pub fn take_rules(&mut self) -> BTreeMap<usize, RuleGuard> {
        std::mem::take(&mut self.rules)
    }

    /// The host has lost power, and `silence` blocks its traffic. Returns the previous guard.
    pub fn cut_power(&mut self, host: u16, silence: RuleGuard) -> Option<RuleGuard> {
        self.powerless.insert(host, silence)
    }

    /// The host has power again. Returns the guard that blocks its traffic.
    pub fn restore_power(&mut self, host: u16) -> Option<RuleGuard> {
        self.powerless.remove(&host)
    }

    /// Keeps a backup of a disk for the fault that will restore it.
    pub fn keep_backup(&mut self, number: usize, id: ProcessId, taken: SimTime, disk: Snapshot) {
        self.backups.insert((number, id), (taken, disk));
    }

    /// The backup that the fault restores, with the time at which it was taken. Later ones of the same disk are dropped,
    /// because the restored disk has not reached them.
    pub fn take_backup(&mut self, number: usize, id: ProcessId) -> Option<(SimTime, Snapshot)> {
        let (taken, disk) = self.backups.remove(&(number, id))?;
        self.backups
            .retain(|(_, of), (later, _)| *of != id || *later <= taken);
        Some((taken, disk))
    }

    /// The disk has another past now: backups of it are dropped.
    pub fn drop_backups(&mut self, id: ProcessId) {
        self.backups.retain(|(_, of), _| *of != id);
    }
}
