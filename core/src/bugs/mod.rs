//! The museum: bugs that real systems of this kind had, each behind a switch.
//!
//! The simulator enables one bug at a time and records which oracle finds it, which measures the harness. Without the
//! feature `museum`, [`enabled`] is `false` at compile time and the binary contains no bug. With it, the enabled bugs
//! are thread-local state of the simulating thread: simulations on several threads are independent.
//!
//! A switch disables one guard. It is queried in the file `bug_switches.rs` of the module that has the guard; with no
//! bug enabled, each function there returns its argument. A second guard that masks the bug has a switch of its own,
//! which the entry lists in [`Entry::masked_by`].
//!
//! Bugs of parts that are not built yet (transaction sockets, workers, the executor's own catch-up) have no switch. Nor
//! do these, which the architecture rules out:
//!
//! | bug | why there is no switch |
//! |---|---|
//! | start from a stored "last sent" (6a), a mark written at enqueue (16d), a stale file as W (2b) | the node stores nothing about delivery: the executor's answer is the only record |
//! | consumer, sender and loader start from different queries (5a, 5b) | there is one window with one watermark; [`KnownBug::StartsAtStoreTip`] (5d) moves the start of all three |
//! | a cursor that advances although its commit was only buffered (12) | the next commit to load follows from the content of the window |
//! | an executor that unlinks a live socket (22b), two nodes on one path (22c) | every executor has its own host |
//! | a commit index that wraps above 2^32 (3c) | commit index and GEI are distinct types, and only a base converts between them |
//! | old commits that look new after an epoch change (4b), an old consumer dropped before the new one exists (25d) | each epoch has its own window and log, and nothing is delivered between two epochs |
//! | a lock held while waiting (25b) | the epoch change is a task that holds no lock |
//! | an epoch change that is forced after a timeout (25f) | a node runs the epoch that its executor reports, so a node that leaves too early returns to it |
//! | an executor that serves an old connection beside the new one (19f) | that is a fault of the environment, which every guard tolerates |

mod declared;
mod entry;

pub use declared::KnownBug;
pub use entry::{ASSERTION, Entry};

impl Entry {
    /// The switches that the museum enables for this entry: the bug and the guards that mask it.
    #[must_use]
    pub fn switches(&self) -> Vec<KnownBug> {
        let mut switches = vec![self.bug];
        switches.extend(self.masked_by);
        switches
    }

    /// The entries with this name or number: `late_reply_answers_next_request`, `18`, or `20` for 20a, 20d and 20e.
    #[must_use]
    pub fn named(text: &str) -> Vec<Self> {
        let is_meant = |entry: &&Self| {
            let number = entry.number;
            number == text || number.trim_end_matches(|c: char| c.is_ascii_lowercase()) == text
        };
        let all = KnownBug::ENTRIES.iter();
        match all.clone().find(|entry| entry.bug.name() == text) {
            Some(entry) => vec![*entry],
            None => all.filter(is_meant).copied().collect(),
        }
    }
}

impl KnownBug {
    /// The switches with this name or number: the bugs of [`Entry::named`], or a guard by its name.
    #[must_use]
    pub fn named(text: &str) -> Vec<Self> {
        match Self::ALL.iter().find(|bug| bug.name() == text) {
            Some(bug) => vec![*bug],
            None => Entry::named(text).iter().map(|entry| entry.bug).collect(),
        }
    }
}

#[cfg(feature = "museum")]
thread_local! {
    /// Indexed by the position of the bug in [`KnownBug::ALL`].
    static ENABLED: [std::cell::Cell<bool>; KnownBug::ALL.len()] =
        const { [const { std::cell::Cell::new(false) }; KnownBug::ALL.len()] };
}

/// Whether this bug is enabled.
#[cfg(not(feature = "museum"))]
#[must_use]
#[inline(always)]
pub const fn enabled(_bug: KnownBug) -> bool {
    false
}

/// Whether this bug is enabled in the simulation that runs on this thread.
#[cfg(feature = "museum")]
#[must_use]
pub fn enabled(bug: KnownBug) -> bool {
    ENABLED.with(|enabled| enabled[bug as usize].get())
}

/// Enables exactly these bugs on this thread from now on.
#[cfg(feature = "museum")]
pub fn enable(bugs: &[KnownBug]) {
    ENABLED.with(|enabled| {
        for (bug, enabled) in KnownBug::ALL.iter().zip(enabled) {
            enabled.set(bugs.contains(bug));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn entries_are_found_by_name_and_number_and_guards_by_name() {
        for entry in KnownBug::ENTRIES {
            assert_eq!(Entry::named(entry.bug.name()), [*entry]);
            assert!(Entry::named(entry.number).contains(entry));
        }
        for bug in KnownBug::ALL {
            assert_eq!(KnownBug::named(bug.name()), [*bug]);
        }
        let pressure = [
            KnownBug::UnboundedSendBuffer,
            KnownBug::PressureStopsAtTheWindow,
            KnownBug::FailureAwaitsNextCommit,
        ];
        assert_eq!(KnownBug::named("20"), pressure);
        let stale = [
            KnownBug::QueryFailureReadsAsGenesis,
            KnownBug::QueryFailureReadsAsRecord,
        ];
        assert_eq!(KnownBug::named("2"), stale);
        assert_eq!(KnownBug::named("7"), [KnownBug::BaseTakenFromTip]);
        assert_eq!(KnownBug::named("no_such_bug"), []);
        assert_eq!(Entry::named(KnownBug::StartIsTrusted.name()), []);
        let names: BTreeSet<_> = KnownBug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), KnownBug::ALL.len());
    }

    #[test]
    fn every_switch_is_an_entry_masks_one_or_tests_the_watchdog() {
        for bug in KnownBug::ALL {
            let is_used = |entry: &Entry| entry.switches().contains(bug);
            let is_of_museum = KnownBug::ENTRIES.iter().any(is_used);
            let tests_watchdog = *bug == KnownBug::SpinsWithoutYielding;
            assert!(is_of_museum != tests_watchdog, "{}", bug.name());
        }
    }

    #[cfg(feature = "museum")]
    #[test]
    fn exactly_the_given_bugs_are_enabled_and_only_on_this_thread() {
        enable(&[KnownBug::Amnesia, KnownBug::BaseTakenFromTip]);
        let enabled_bugs = || {
            KnownBug::ALL
                .iter()
                .copied()
                .filter(|e| enabled(*e))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            enabled_bugs(),
            [KnownBug::BaseTakenFromTip, KnownBug::Amnesia]
        );
        #[allow(clippy::disallowed_methods)] // the test needs a second thread
        let elsewhere = std::thread::scope(|scope| scope.spawn(enabled_bugs).join());
        assert_eq!(elsewhere.expect("no panic"), []);
        enable(&[]);
        assert_eq!(enabled_bugs(), []);
    }

    #[cfg(not(feature = "museum"))]
    #[test]
    fn without_the_feature_no_bug_is_enabled() {
        assert!(KnownBug::ALL.iter().all(|bug| !enabled(*bug)));
    }
}
