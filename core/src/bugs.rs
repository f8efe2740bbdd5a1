//! The museum: bugs that such systems really had, each behind a switch at the line where it would live.
//!
//! A harness is worth what it finds, so its simulator opens one bug at a time and watches which oracle notices.
//! Without the feature `museum`, [`enabled`] is `false` at compile time and nothing of a bug is left in the binary.
//! With it, the bugs of a run belong to the thread that simulates it: they need no way through the code, and two
//! simulations side by side have each their own.
//!
//! Bugs whose home is not built (transaction sockets, workers, the executor's own catch-up) have no bug.
//! Neither have those that the structure leaves no line for:
//!
//! | bug | why there is no switch |
//! |---|---|
//! | a sender that starts from its stored "last sent" (6a), a mark written at enqueue (16d), a stale file as W (2b) | the node stores nothing about delivery: the executor's answer is the only record |
//! | consumer, sender and loader that start from different queries (5a, 5b) | there is one window with one watermark; [`KnownBug::StartsAtStoreTip`] (5d) moves its start as a whole |
//! | a cursor that moves although its commit was only buffered (12) | the next commit to load follows from what the window holds |
//! | an executor that unlinks a live socket (22b), two nodes on one path (22c) | every executor has a host of its own; taking the path back from whoever stole it breaks no promise |
//! | a commit index that wraps above 2^32 (3c) | the two indexes are types, and only a base turns one into the other |
//! | old commits that look new after a change (4b), an old consumer dropped before the new one exists (25d) | each epoch has a window and a log of its own, and nothing is delivered between two |
//! | a lock held while waiting (25b) | the change is a task that holds none |
//! | a change that is forced after some seconds (25f) | which epoch a node runs is what its executor says: one that leaves too early comes back |
//! | an executor that serves an old connection beside the new one (19f) | a fault of the world, which every guard must stand; with none, legal repetitions are executed twice, too |

use serde::{Deserialize, Serialize};

macro_rules! known_bugs {
    ($($(#[$doc:meta])* $bug:ident = $number:literal $name:literal: $mechanism:literal,)*) => {
        /// One bug. Numbers with letters are those of the collection; `+` marks neighbours of its entries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum KnownBug {
            $(#[doc = $mechanism] #[serde(rename = $name)] $bug,)*
        }

        impl KnownBug {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// Entry and variant in the collection.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$bug => $number,)* }
            }

            /// What people type.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)* }
            }

            /// What goes wrong.
            #[must_use]
            pub const fn mechanism(self) -> &'static str {
                match self { $(Self::$bug => $mechanism,)* }
            }
        }
    };
}

known_bugs! {
    ReplayAfterZero = "1a" "replay_after_zero":
        "after a restart delivery begins at commit 1, wherever the executor is",
    BaseTakenAsZero = "1b" "base_taken_as_zero":
        "after a restart in a later epoch delivery begins at commit 1 and counts from 0",
    QueryFailureReadsAsGenesis = "2a" "query_failure_reads_as_genesis":
        "an executor that did not answer at first is taken to be at block 0",
    GeiAssertedAsCommitIndex = "3a" "gei_asserted_as_commit_index":
        "a start asserts that the watermark, taken for a commit index, is not above the last stored commit",
    GeiUsedAsCommitIndex = "3b" "gei_used_as_commit_index":
        "delivery begins behind the commit whose index is the watermark: right in epoch 0, far too high afterwards",
    WatermarkWithoutEpoch = "4a" "watermark_without_epoch":
        "as many commits of a new epoch count as handled as the one before had",
    GuardWithoutEpoch = "4c" "guard_without_epoch":
        "the executor skips commits of a new epoch whose index it has seen in the one before",
    StartsAtStoreTip = "5d" "starts_at_store_tip":
        "delivery begins behind the last stored commit; those that the executor still lacks are nobody's business",
    SentIsRemembered = "6d" "sent_is_remembered":
        "a new connection goes on behind what an older one wrote",
    HigherOfTwoCursors = "6e" "higher_of_two_cursors":
        "delivery begins above the watermark or the last stored commit, whichever is higher",
    BaseTakenFromTip = "7" "base_taken_from_tip":
        "after a restart the epoch's base is the executor's watermark: old commits get new numbers",
    RecoveryFloods = "9a" "recovery_floods":
        "the first load takes the whole backlog, whatever the window's size",
    RecoveryAwaitsItsConsumer = "9b" "recovery_awaits_its_consumer":
        "the start waits until the backlog is durable before it starts what delivers it",
    HandledIndexStands = "9c" "handled_index_stands":
        "durable blocks never leave the window",
    BatchOfNothing = "9e" "batch_of_nothing":
        "recovery reads batches of no commit",
    EndOfEpochMissed = "11a" "end_of_epoch_missed":
        "a boundary that is stored together with commits before it is delivered like them, and nothing follows from it",
    TrailingCommits = "11b" "trailing_commits":
        "commits go on being made and delivered behind the boundary",
    UnitsMixed = "13" "units_mixed":
        "the watermark is compared with a count of commits that leaves out the empty ones",
    ExecutedBeforeQuorum = "15" "executed_before_quorum":
        "blocks are accepted without their ancestors; commits leave out what is missing",
    WriteCountsAsDelivery = "16" "write_counts_as_delivery":
        "a written block leaves the window for good",
    LateReplyAnswersNextRequest = "18" "late_reply_answers_next_request":
        "a connection whose request timed out is used again",
    TimeoutBelowBlockTime = "19a" "timeout_below_block_time":
        "a block that the socket does not take at once is given up: one larger than its buffer never arrives",
    DeadPeerGoesUnnoticed = "19c" "dead_peer_goes_unnoticed":
        "only a failed write ends a connection, nobody looks for its end",
    ResendOnSameConnection = "19e" "resend_on_same_connection":
        "after a write that timed out in the middle the block is written again on the same connection",
    UnboundedSendBuffer = "20a" "unbounded_send_buffer":
        "the window takes every commit there is",
    PressureStopsAtTheWindow = "20d" "pressure_stops_at_the_window":
        "a full window does not pause proposals",
    FailureAwaitsNextCommit = "20e" "failure_awaits_next_commit":
        "a broken connection is replaced only when the next commit comes",
    StaleSocketRefusesBind = "22a" "stale_socket_refuses_bind":
        "a socket file that a crash left behind keeps the next start from listening",
    StaleSocketReadsAsGenesis = "22d" "stale_socket_reads_as_genesis":
        "a refused connection at start is taken for an executor at block 0",
    BoundaryFromLaggingExecutor = "23a" "boundary_from_lagging_executor":
        "the next epoch's base is what the executor reports when the boundary is committed",
    BoundaryOneShort = "23b" "boundary_one_short":
        "the next epoch's base is one below the boundary",
    BoundaryReadBeforeStop = "24" "boundary_read_before_old_epoch_stops":
        "commits behind the boundary are delivered, and the base is where that has come to",
    CommitteeBeforeAdvance = "25a" "committee_before_advance":
        "the executor is asked for the next committee before it is told that the epoch is over",
    ChangePausesDelivery = "25c" "change_pauses_delivery":
        "a boundary pauses the delivery whose end the change waits for",
    AdvancedBeforeDrained = "26a" "advanced_before_drained":
        "the executor is told that the epoch is over before it has all of it, and nobody delivers the rest",
    AdvanceFailureIgnored = "26b" "advance_failure_ignored":
        "that the executor did not advance is logged, and the node goes on into the next epoch",
    ClockInTheChain = "28a" "clock_in_the_chain":
        "an epoch begins at the time of day of the node that says so",
    StaleEpochStart = "28b" "stale_epoch_start":
        "later epochs are taken to have begun long ago, and end at once",
    WatermarkBeforeState = "30a" "watermark_before_state":
        "the executor makes its watermark durable, then the state that it stands for",
    StateWithoutWatermark = "30b" "state_without_watermark":
        "the executor's state and watermark are not one: a crash between them keeps the state alone",
    ReportsWhatIsInMemory = "30d" "reports_what_is_in_memory":
        "the executor reports blocks that it executed and has not made durable",
    BlocksBeforeState = "30f" "blocks_before_state":
        "the executor stores blocks first and takes the last of them for its watermark",
    Amnesia = "40a" "amnesia":
        "own blocks are not synced, and peers are not asked what this authority signed",
    HandedOnBeforeSynced = "+" "handed_on_before_synced":
        "commits are delivered before they are synced",
}

impl KnownBug {
    /// Those that a name or a number means: `18`, `late_reply_answers_next_request`, or `20` for 20a, 20d and 20e.
    #[must_use]
    pub fn named(text: &str) -> Vec<Self> {
        let of_entry = |bug: &&Self| {
            let number = bug.number();
            number == text || number.trim_end_matches(|c: char| c.is_ascii_lowercase()) == text
        };
        let all = Self::ALL.iter();
        match all.clone().find(|bug| bug.name() == text) {
            Some(bug) => vec![*bug],
            None => all.filter(of_entry).copied().collect(),
        }
    }
}

#[cfg(feature = "museum")]
thread_local! {
    /// By the position of the bug in [`KnownBug::ALL`].
    static ENABLED: [std::cell::Cell<bool>; KnownBug::ALL.len()] =
        const { [const { std::cell::Cell::new(false) }; KnownBug::ALL.len()] };
}

/// Whether this bug is switched on.
#[cfg(not(feature = "museum"))]
#[must_use]
#[inline(always)]
pub const fn enabled(_bug: KnownBug) -> bool {
    false
}

/// Whether this bug is switched on in the simulation that runs on this thread.
#[cfg(feature = "museum")]
#[must_use]
pub fn enabled(bug: KnownBug) -> bool {
    ENABLED.with(|enabled| enabled[bug as usize].get())
}

/// Switches exactly these bugs on for everything that runs on this thread from now on.
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
    fn a_bug_is_found_by_name_number_and_entry() {
        for bug in KnownBug::ALL {
            assert_eq!(KnownBug::named(bug.name()), [*bug]);
            assert!(KnownBug::named(bug.number()).contains(bug));
        }
        let pressure = [
            KnownBug::UnboundedSendBuffer,
            KnownBug::PressureStopsAtTheWindow,
            KnownBug::FailureAwaitsNextCommit,
        ];
        assert_eq!(KnownBug::named("20"), pressure);
        assert_eq!(KnownBug::named("2"), [KnownBug::QueryFailureReadsAsGenesis]);
        assert_eq!(KnownBug::named("dodo"), []);
        let names: BTreeSet<_> = KnownBug::ALL.iter().map(|e| e.name()).collect();
        assert_eq!(names.len(), KnownBug::ALL.len());
    }

    #[cfg(feature = "museum")]
    #[test]
    fn only_what_is_switched_on_is_enabled_and_only_on_this_thread() {
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
        #[allow(clippy::disallowed_methods)] // that it is another thread is what is tested
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
