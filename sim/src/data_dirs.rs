//! Data directories of real processes that have ended, judged by the reference model: what nodes stored and executors hold is
//! what the blocks of all nodes decide.

use crate::{
    event_log::{Finding, Verdict},
    model::{Derived, Genesis, Model},
    oracles::{self, Invariant, Oracle, Violation},
    trace::{Entry, ProcessId, SimTime, What},
    witness::{Blocks, DiskWitness, Fact, NamedStore},
};
use metanode_core::{
    store::{StoreError, StoreFactory},
    types::{AuthorityIndex, Epoch, Round},
};
use thiserror::Error;

/// Rounds that are read at a time.
const ROUNDS: u32 = 256;

/// The directories of a chain whose committee never changes.
pub struct DataDirs {
    pub genesis: Genesis,
    /// That of each member, in the order of the members of epoch 0.
    pub nodes: Vec<Box<dyn StoreFactory>>,
    /// Of executors, and of Subs that follow one.
    pub executors: Vec<(ProcessId, Box<dyn StoreFactory>)>,
}

/// Why directories cannot be read.
#[derive(Debug, Error)]
enum DataDirError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a store of {process} cannot be read: {reason}")]
    Unreadable { process: ProcessId, reason: String },
}

/// A process with its stores.
struct Process {
    id: ProcessId,
    stores: Vec<NamedStore>,
    witness: DiskWitness,
}

impl Process {
    fn open(id: ProcessId, dir: &dyn StoreFactory, blocks: &Blocks) -> Result<Self, StoreError> {
        let open = |name: String| {
            let store = dir.open(&name, &[])?;
            Ok(NamedStore { name, store })
        };
        Ok(Self {
            id,
            stores: (dir.list()?.into_iter().map(open)).collect::<Result<_, StoreError>>()?,
            witness: DiskWitness::new(id, blocks.clone()),
        })
    }

    fn epoch(&self, epoch: Epoch) -> Option<NamedStore> {
        let name = format!("epoch-{}", epoch.0);
        self.stores.iter().find(|it| it.name == name).cloned()
    }

    fn named(&self, name: &str) -> Option<NamedStore> {
        self.stores.iter().find(|it| it.name == name).cloned()
    }

    fn unreadable(&self, reason: String) -> DataDirError {
        DataDirError::Unreadable {
            process: self.id,
            reason,
        }
    }
}

/// Judges what is in the directories. A store that cannot be opened or read violates TRUTH; a process that still runs keeps
/// its stores to itself.
#[must_use]
pub fn judge_data_dirs(dirs: DataDirs) -> Vec<Finding> {
    let mut judge = Judge::new(dirs.genesis);
    match judge.read(&dirs.nodes, &dirs.executors) {
        Ok(None) if judge.commits == 0 => judge.not_testable("no node has stored a commit"),
        Ok(None) => judge.findings(),
        Ok(Some(why)) => judge.not_testable(&why),
        Err(error) => {
            let unreadable = ("unreadable-store", error.to_string());
            judge.damaged.get_or_insert(unreadable);
            judge.not_testable("a store cannot be read")
        }
    }
}

/// An oracle, and what it has found.
struct Check {
    invariant: Invariant,
    oracle: Box<dyn Oracle + Send>,
    violation: Option<Box<Violation>>,
}

struct Judge {
    model: Model,
    /// By authority index.
    validators: Vec<u16>,
    checks: Vec<Check>,
    /// The first violation of TRUTH: its clause and what was found.
    damaged: Option<(&'static str, String)>,
    commits: u64,
    seen: u64,
}

impl Judge {
    fn new(genesis: Genesis) -> Self {
        let members = (genesis.members)(Epoch(0));
        let mut validators: Vec<_> = (0..).zip(members).collect();
        validators.sort_by(|(_, a), (_, b)| a.authority_key.cmp(&b.authority_key));
        let validators: Vec<_> = validators.into_iter().map(|(n, _)| n).collect();
        let check = |(invariant, oracle)| Check {
            invariant,
            oracle,
            violation: None,
        };
        let checks = oracles::of_stores(&validators).map(check).into();
        let mut judge = Self {
            model: Model::new(genesis),
            validators,
            checks,
            damaged: None,
            commits: 0,
            seen: 0,
        };
        let began = judge.model.genesis();
        judge.judge(ProcessId::World, What::Derived(began));
        judge
    }

    /// Reads all stores. Returns why they cannot be judged, if they cannot.
    fn read(
        &mut self,
        nodes: &[Box<dyn StoreFactory>],
        executors: &[(ProcessId, Box<dyn StoreFactory>)],
    ) -> Result<Option<String>, DataDirError> {
        let blocks = Blocks::default();
        let nodes = (0..).map(ProcessId::Node).zip(nodes);
        let mut nodes = nodes
            .map(|(id, dir)| Process::open(id, dir.as_ref(), &blocks))
            .collect::<Result<Vec<_>, _>>()?;
        let without = nodes.iter().find(|node| node.epoch(Epoch(0)).is_none());
        let why = without.map(|node| format!("{} has no store of epoch 0", node.id));
        if why.is_none() {
            self.nodes(&mut nodes)?;
        }
        for node in &mut nodes {
            self.see_whole(node);
        }
        for (id, dir) in executors {
            let mut process = Process::open(*id, dir.as_ref(), &blocks)?;
            // Without the blocks of nodes nothing says what an executor must have.
            if why.is_none()
                && let Some(store) = process.named("executor")
            {
                let read = store.flushes(&mut process.witness, |facts| self.see(*id, facts));
                read.map_err(|reason| process.unreadable(reason))?;
            }
            self.see_whole(&mut process);
        }
        Ok(why)
    }

    /// Epoch by epoch: first all blocks, then what was made of them.
    fn nodes(&mut self, nodes: &mut [Process]) -> Result<(), DataDirError> {
        for node in nodes.iter_mut() {
            for NamedStore { name, store } in &node.stores {
                // What a start finds is no fact here; the witness knows the stores from now on.
                node.witness.opened(name, store, &mut vec![]);
            }
        }
        let mut epoch = Epoch(0);
        while nodes.iter().any(|node| node.epoch(epoch).is_some()) {
            self.blocks(epoch, nodes)?;
            for node in nodes.iter_mut() {
                if let Some(store) = node.epoch(epoch) {
                    let facts = store.commits(&mut node.witness);
                    let facts = facts.map_err(|reason| node.unreadable(reason))?;
                    self.see(node.id, facts);
                }
            }
            epoch = epoch.next();
        }
        for node in nodes.iter_mut() {
            if let Some(store) = node.named("epochs") {
                let facts = store.records(&mut node.witness);
                let facts = facts.map_err(|reason| node.unreadable(reason))?;
                self.see(node.id, facts);
            }
        }
        Ok(())
    }

    /// The blocks of an epoch, round by round; those of an author first from its own store.
    fn blocks(&mut self, epoch: Epoch, nodes: &mut [Process]) -> Result<(), DataDirError> {
        let mut from = Round(0);
        loop {
            let mut first: Option<Round> = None;
            for node in nodes.iter() {
                if let Some(store) = node.epoch(epoch) {
                    let round = store.first_round(from);
                    let round = round.map_err(|reason| node.unreadable(reason))?;
                    first = first.into_iter().chain(round).min();
                }
            }
            let Some(first) = first else {
                return Ok(());
            };
            let rounds = first..Round(first.0.saturating_add(ROUNDS));
            if rounds.is_empty() {
                return Ok(());
            }
            from = rounds.end;
            for is_own in [true, false] {
                for node in nodes.iter_mut() {
                    let Some(store) = node.epoch(epoch) else {
                        continue;
                    };
                    let own = self.authority(node.id);
                    let is_asked = |author| (Some(author) == own) == is_own;
                    let facts = store.blocks(&mut node.witness, rounds.clone(), is_asked);
                    let facts = facts.map_err(|reason| node.unreadable(reason))?;
                    self.see(node.id, facts);
                }
            }
        }
    }

    fn authority(&self, node: ProcessId) -> Option<AuthorityIndex> {
        let index = self
            .validators
            .iter()
            .position(|n| ProcessId::Node(*n) == node)?;
        u16::try_from(index).ok().map(AuthorityIndex)
    }

    /// Whether the stores are whole.
    fn see_whole(&mut self, process: &mut Process) {
        for NamedStore { name, store } in &process.stores {
            let mut facts = vec![];
            process.witness.read_at_end(name, store, &mut facts);
            self.see(process.id, facts);
        }
    }

    fn see(&mut self, process: ProcessId, facts: Vec<Fact>) {
        for fact in facts {
            if let Fact::DamagedValue { reason } = &fact {
                let damaged = || ("damaged-value", format!("{process}: {reason}"));
                self.damaged.get_or_insert_with(damaged);
            }
            let derived = match &fact {
                Fact::BlockStored { block, .. } => self.model.add(block),
                Fact::CommitStored { .. } => {
                    self.commits += 1;
                    vec![]
                }
                _ => vec![],
            };
            let is_invalid = |derived: &Derived| matches!(derived, Derived::InvalidBlock { .. });
            // Whether a block is valid is known before it is seen.
            let (verdict, results): (Vec<_>, Vec<_>) = derived.into_iter().partition(is_invalid);
            for derived in verdict {
                self.judge(ProcessId::World, What::Derived(derived));
            }
            self.judge(process, What::Seen(fact));
            for derived in results {
                self.judge(ProcessId::World, What::Derived(derived));
            }
        }
    }

    fn judge(&mut self, process: ProcessId, what: What) {
        let entry = Entry {
            at: SimTime { ns: self.seen },
            process,
            what,
        };
        self.seen += 1;
        for check in self.checks.iter_mut().filter(|it| it.violation.is_none()) {
            check.violation = check.oracle.observe(&entry).err();
        }
    }

    fn findings(self) -> Vec<Finding> {
        let broken = self.checks.into_iter().map(|check| {
            let violation = check.violation;
            let violation =
                violation.map(|it| (it.clause, format!("{}: {}", it.process, it.message)));
            finding(check.invariant, violation)
        });
        broken
            .chain([finding(Invariant::Truth, self.damaged)])
            .collect()
    }

    /// What was found although not everything was read: a rule that is not broken so far is not held either.
    fn not_testable(self, why: &str) -> Vec<Finding> {
        let mut all = self.findings();
        let held = all
            .iter_mut()
            .filter(|finding| finding.verdict == Verdict::Held);
        for finding in held {
            finding.verdict = Verdict::NotTestable {
                why: why.to_owned(),
            };
        }
        all
    }
}

fn finding(invariant: Invariant, violation: Option<(&'static str, String)>) -> Finding {
    Finding {
        invariant,
        rule: match invariant {
            Invariant::Quorum => {
                "the blocks of all nodes decide what nodes stored and executors hold"
            }
            Invariant::Root => "a sequential ledger has the state that executors hold",
            Invariant::Noequiv => "an authority has one block per round in all stores",
            _ => "all stores are whole",
        },
        verdict: match violation {
            None => Verdict::Held,
            Some((clause, message)) => Verdict::Broken {
                clause,
                message,
                evidence: vec![],
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::{
        store::{Column, MemoryDisk, MemoryStores, Store},
        types::{SignatureScheme, TimestampMs},
    };
    use std::{io, sync::Arc};

    /// A disk that cannot be read.
    struct Broken;

    impl StoreFactory for Broken {
        fn open(&self, _: &str, _: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
            Err(StoreError::of_store("open", io::Error::other("broken")))
        }

        fn list(&self) -> Result<Vec<String>, StoreError> {
            Ok(vec!["epoch-0".to_owned()])
        }

        fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn judged(node: Box<dyn StoreFactory>) -> Vec<Finding> {
        judge_data_dirs(DataDirs {
            genesis: Genesis {
                scheme: SignatureScheme::KeyedHash,
                gc_depth_rounds: 60,
                leaders_per_round: 1,
                max_commit_bytes: 1_000,
                epoch_start_granularity_ms: 1,
                start_ms: TimestampMs(0),
                initial_balance: 0,
                members: Box::new(|_| vec![]),
            },
            nodes: vec![node],
            executors: vec![],
        })
    }

    #[test]
    fn without_the_first_epoch_nothing_is_testable() {
        let stores = MemoryStores::new(&MemoryDisk::default());
        for finding in judged(Box::new(stores)) {
            let expected = Verdict::NotTestable {
                why: "node-0 has no store of epoch 0".to_owned(),
            };
            assert_eq!(finding.verdict, expected);
        }
    }

    #[test]
    fn a_store_that_cannot_be_read_is_a_violation() {
        let findings = judged(Box::new(Broken));
        let broken = findings.iter().filter(|finding| {
            matches!(&finding.verdict, Verdict::Broken { clause, message, .. }
                if *clause == "unreadable-store" && message.contains("broken"))
        });
        let broken: Vec<_> = broken.map(|finding| finding.invariant).collect();
        assert_eq!(broken, [Invariant::Truth]);
        let is_held = |finding: &Finding| finding.verdict == Verdict::Held;
        assert!(!findings.iter().any(is_held), "{findings:?}");
    }
}
