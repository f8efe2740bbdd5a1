//! Switches of the [known bugs](crate::bugs) of ingestion. With no bug enabled, arguments are returned unchanged.

use super::{
    Answer, Phase, Refusal,
    taken::{Sequence, Taken},
};
use crate::{
    bugs::{self, KnownBug},
    framing::FrameError,
    store::Durability,
};
use bytes::Bytes;
use std::collections::BTreeMap;

type Entries = BTreeMap<Sequence, Option<Bytes>>;

/// What a start finds in the journal.
pub(super) fn stored(entries: Entries) -> Entries {
    if bugs::enabled(KnownBug::JournalNotRead) {
        return Entries::new();
    }
    entries
}

/// How a batch is written before its client is told that it is taken.
pub(super) fn durability() -> Durability {
    match bugs::enabled(KnownBug::SuccessBeforeSync) {
        true => Durability::Buffered,
        false => Durability::Synced,
    }
}

/// The answer to a batch of this size.
pub(super) fn answer(mut answer: Answer, sent: usize) -> Answer {
    let says_success = bugs::enabled(KnownBug::SuccessWithRemainder)
        || bugs::enabled(KnownBug::QueuedAlthoughFull) && answer.queued;
    if says_success && matches!(answer.refusal, Some(Refusal::Full { .. })) {
        answer.refusal = None;
        answer.taken = sent;
    }
    answer
}

/// Why nothing is taken in this phase.
pub(super) fn refusal(phase: Phase) -> Option<Refusal> {
    match phase {
        Phase::Queueing if bugs::enabled(KnownBug::RejectedBetweenEpochs) => {
            let found = "a batch between two epochs";
            Some(Refusal::NoBatch { position: 0, found })
        }
        phase => phase.refusal(),
    }
}

/// Whether the pool sees what is taken in this phase.
pub(super) fn is_seen(phase: Phase) -> bool {
    phase != Phase::Queueing || !bugs::enabled(KnownBug::QueuedAfterTheDrain)
}

/// Called when a node enters a phase.
pub(super) fn entered(taken: &mut Taken) {
    if bugs::enabled(KnownBug::EpochForgetsInclusions) {
        taken.forget_inclusions();
    }
}

/// Whether a frame that is too long is taken for consumed although its bytes are not.
pub(super) fn goes_on_after(error: &FrameError) -> bool {
    let is_too_long = matches!(error, FrameError::TooLarge { .. });
    is_too_long && bugs::enabled(KnownBug::FrameRejectedNotConsumed)
}

/// Whether a client gets no reply.
pub(super) fn is_silent(answer: &Answer) -> bool {
    let is_refused = answer.taken == 0 && answer.refusal.is_some();
    is_refused && bugs::enabled(KnownBug::RefusalNotAnswered)
}

/// What is removed: the last `new` ones, and those before them, which the disk did not remove the last time.
pub(super) fn removed(unremoved: &[Sequence], new: usize) -> impl Iterator<Item = Sequence> {
    let before = match bugs::enabled(KnownBug::RemovalNotRepeated) {
        true => unremoved.len() - new,
        false => 0,
    };
    unremoved[before..].iter().copied()
}

/// Whether an entry leaves the journal when a commit contains it, executed or not.
pub(super) fn is_removed_with_its_commit() -> bool {
    bugs::enabled(KnownBug::RemovedWithItsCommit)
}
