//! What processes report, judged as it comes in. Only what holds in every order in which threads may report it is judged.

use crate::process::Name;
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{BlockDigest, CommitDigest, SpentNonce},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};
use tokio::sync::watch;

/// Only failing tests wait this long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is known of all processes.
#[derive(Default)]
pub struct Facts {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

/// Numbers are GEIs where nothing else is said.
#[derive(Debug, Default)]
pub struct Known {
    /// The first violation.
    violation: Option<String>,
    /// The last commit of any node.
    pub last_commit: u64,
    /// The watermark of each executor.
    pub durable: BTreeMap<u16, u64>,
    /// The epoch of each node.
    pub epochs: BTreeMap<u16, u64>,
    /// What clients were promised.
    pub promised: BTreeSet<[u8; 20]>,
    /// The block in which a nonce was spent.
    spent: BTreeMap<SpentNonce, u64>,
    /// The next block of each executor.
    next: BTreeMap<u16, u64>,
    /// Content and state root of blocks.
    blocks: BTreeMap<u64, (u128, [u8; 32])>,
    /// Digests and GEIs of commits, by epoch and index.
    commits: BTreeMap<(u64, u32), (CommitDigest, u64)>,
    /// Signed blocks by author, epoch and round.
    signed: BTreeMap<(u16, u64, u32), BlockDigest>,
    /// The last block of each connection.
    streams: BTreeMap<(Name, u64), u64>,
    /// Whether proposals pause.
    paused: BTreeMap<Name, bool>,
    /// How often some of it happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Facts {
    pub fn observe(&self, process: Name, event: &Event) {
        let judged = {
            let mut known = self.known.lock().unwrap();
            match event {
                Event::Node(event) => known.node(process, event),
                Event::Executor(event) => known.executor(process.member, event),
                Event::Sub(_) | Event::Crashed(_) => Ok(()),
            }
        };
        match judged {
            Ok(()) => self.changed.send_replace(()),
            Err(found) => self.violation(format!("{process:?}: {event:?}: {found}")),
        }
    }

    pub fn violation(&self, found: String) {
        (self.known.lock().unwrap().violation).get_or_insert(found);
        self.changed.send_replace(());
    }

    pub fn promised(&self, sender: [u8; 20]) {
        self.known.lock().unwrap().promised.insert(sender);
    }

    /// Reads what is known.
    pub fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.lock().unwrap())
    }

    /// Waits until this is so of what is known.
    ///
    /// # Panics
    /// As [`Self::until_outside`].
    pub async fn until(&self, what: &str, is_so: impl Fn(&Known) -> bool) {
        self.until_outside(what, || self.read(&is_so)).await;
    }

    /// Waits until this is so of the processes. It is asked without a lock on what is known, because processes report with
    /// locks of their own held, which their quantities need.
    ///
    /// # Panics
    /// With the violation, if there is one; if it takes too long, with what is known.
    pub async fn until_outside(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(TIMEOUT, async {
            loop {
                if let Some(violation) = self.read(|known| known.violation.clone()) {
                    panic!("{violation}");
                }
                if is_so() {
                    return;
                }
                let _ = changed.changed().await; // the sender is there
            }
        });
        if waited.await.is_err() {
            let found = self.read(|known| known.progress());
            panic!("{what}: not within {TIMEOUT:?}: {found}");
        }
    }
}

/// Compares with what another process, or the same one before, has reported.
fn same<K: Ord, V: PartialEq + Clone + std::fmt::Debug>(
    map: &mut BTreeMap<K, V>,
    key: K,
    found: V,
) -> Result<(), String> {
    let expected = map.entry(key).or_insert_with(|| found.clone());
    match *expected == found {
        true => Ok(()),
        false => Err(format!("expected {expected:?}, found {found:?}")),
    }
}

impl Known {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Whether everything that clients were promised is durable everywhere.
    pub fn has_kept_promises(&self) -> bool {
        let durable = self.durable.values().min().copied().unwrap_or_default();
        self.promised.iter().all(|sender| {
            let nonce = SpentNonce {
                sender: *sender,
                nonce: 0,
            };
            self.spent.get(&nonce).is_some_and(|gei| *gei <= durable)
        })
    }

    fn progress(&self) -> String {
        let Self {
            last_commit,
            durable,
            epochs,
            paused,
            counts,
            ..
        } = self;
        format!(
            "last commit {last_commit}, durable {durable:?}, epochs {epochs:?}, paused {paused:?}, {counts:?}"
        )
    }

    fn node(&mut self, process: Name, event: &NodeEvent) -> Result<(), String> {
        match event {
            NodeEvent::Proposed { epoch, block, .. } => {
                let slot = (process.member, epoch.0, block.round.0);
                same(&mut self.signed, slot, block.digest)
            }
            NodeEvent::CommitStored {
                epoch, commit, gei, ..
            } => {
                self.last_commit = self.last_commit.max(gei.0);
                let at = (epoch.0, commit.index.0);
                same(&mut self.commits, at, (commit.digest, gei.0))
            }
            NodeEvent::EpochOpened { base, .. } => {
                self.epochs.insert(process.member, base.epoch.0);
                self.paused.insert(process, false); // a new window is empty
                Ok(())
            }
            NodeEvent::StreamConnected { connection, start } => {
                self.count("connections");
                self.streams.insert((process, *connection), start.prev().0);
                Ok(())
            }
            NodeEvent::FrameWritten {
                connection, gei, ..
            } => match self.streams.insert((process, *connection), gei.0) {
                Some(last) if last < gei.0 => Ok(()),
                last => Err(format!("after block {last:?} of this connection")),
            },
            NodeEvent::WindowLoaded {
                blocks, capacity, ..
            } if blocks > capacity => Err("more blocks than the window has room for".to_owned()),
            NodeEvent::Rewound { .. } => {
                self.count("rewinds");
                Ok(())
            }
            NodeEvent::ProposalsPaused { .. } => self.pauses(process, true),
            NodeEvent::ProposalsResumed { .. } => self.pauses(process, false),
            _ => Ok(()),
        }
    }

    fn pauses(&mut self, process: Name, pauses: bool) -> Result<(), String> {
        if pauses {
            self.count("pauses");
        }
        match self.paused.insert(process, pauses) == Some(pauses) {
            true => Err("it was so before".to_owned()),
            false => Ok(()),
        }
    }

    fn executor(&mut self, member: u16, event: &ExecutorEvent) -> Result<(), String> {
        match event {
            ExecutorEvent::Started { watermark, .. } => {
                self.next.insert(member, watermark.next().0);
                let durable = self.durable.entry(member).or_default();
                let has_lost = watermark.0 < *durable;
                *durable = watermark.0;
                match has_lost {
                    true => Err("it was durable beyond that".to_owned()),
                    false => Ok(()),
                }
            }
            ExecutorEvent::Executed {
                gei,
                content,
                state_root,
                applied,
                ..
            } => {
                if self.next.insert(member, gei.next().0) != Some(gei.0) {
                    return Err("another block was next".to_owned());
                }
                for nonce in applied.iter() {
                    same(&mut self.spent, *nonce, gei.0)?;
                }
                same(&mut self.blocks, gei.0, (*content, *state_root))
            }
            ExecutorEvent::Durable { watermark } => {
                self.durable.insert(member, watermark.0);
                Ok(())
            }
            ExecutorEvent::Refused { .. } | ExecutorEvent::Malformed { .. } => {
                Err("a node must not send that".to_owned())
            }
            _ => Ok(()),
        }
    }
}
