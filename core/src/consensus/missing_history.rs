//! When it is told that nobody keeps the commits that this node needs (contract §10.4). Pure.

use super::peer::PeerError;
use crate::{
    peers::SessionError,
    reminder::Reminder,
    types::{AuthorityIndex, Epoch},
};
use std::collections::BTreeMap;

/// The time after which it is told again. It doubles.
const TELL_AGAIN_MS: u64 = 10_000;

/// The attempts to fetch commits of one epoch since a peer last had some.
#[derive(Debug)]
pub(super) struct MissingHistory {
    /// The oldest epochs of the peers that have removed the wanted one.
    removed: BTreeMap<AuthorityIndex, Epoch>,
    reminder: Reminder,
}

/// Some peers have removed an epoch, and nobody else has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub peers: u16,
    /// The oldest epoch that one of them keeps.
    pub oldest: Epoch,
    pub for_ms: u64,
}

impl Default for MissingHistory {
    fn default() -> Self {
        Self {
            removed: BTreeMap::new(),
            reminder: Reminder::new(0, TELL_AGAIN_MS),
        }
    }
}

impl MissingHistory {
    /// A peer had commits.
    pub fn fetched(&mut self) {
        *self = Self::default();
    }

    /// A peer had no commits, for this reason.
    pub fn failed(&mut self, peer: AuthorityIndex, error: &PeerError) {
        match error {
            PeerError::NoSession(SessionError::NotRetained { epoch, retained })
                if retained.oldest > *epoch =>
            {
                self.removed.insert(peer, retained.oldest);
            }
            // It has the epoch.
            PeerError::NoCommits { .. } => {
                self.removed.remove(&peer);
            }
            _ => {}
        }
    }

    /// All peers have been asked at `now_ms`, by any clock that does not go back. Returns what is to be told now.
    pub fn all_failed(&mut self, now_ms: u64) -> Option<Missing> {
        let oldest = *self.removed.values().min()?;
        let for_ms = self.reminder.lasts(now_ms)?;
        let peers = u16::try_from(self.removed.len()).unwrap_or(u16::MAX);
        Some(Missing {
            peers,
            oldest,
            for_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::RetainedEpochs, types::CommitIndex};

    fn keeps(oldest: u64, newest: u64) -> PeerError {
        let retained = RetainedEpochs {
            oldest: Epoch(oldest),
            newest: Epoch(newest),
        };
        let epoch = Epoch(3);
        PeerError::NoSession(SessionError::NotRetained { epoch, retained })
    }

    #[test]
    fn it_is_told_at_once_and_at_each_doubling() {
        let mut missing = MissingHistory::default();
        missing.failed(AuthorityIndex(1), &keeps(7, 9));
        missing.failed(AuthorityIndex(2), &keeps(6, 9));
        missing.failed(AuthorityIndex(3), &PeerError::Closed);
        let told = (0..100_000).filter_map(|now_ms| missing.all_failed(now_ms));
        let told: Vec<_> = told.map(|it| (it.peers, it.oldest.0, it.for_ms)).collect();
        let at = |for_ms| (2, 6, for_ms);
        assert_eq!(told, [0, 10_000, 20_000, 40_000, 80_000].map(at));
        missing.fetched();
        assert_eq!(missing.all_failed(0), None);
    }

    #[test]
    fn a_peer_that_has_the_epoch_or_has_not_reached_it_has_not_removed_it() {
        let mut missing = MissingHistory::default();
        missing.failed(AuthorityIndex(1), &keeps(0, 2));
        missing.failed(AuthorityIndex(2), &keeps(4, 9));
        let from = CommitIndex(1);
        missing.failed(AuthorityIndex(2), &PeerError::NoCommits { from });
        assert_eq!(missing.all_failed(0), None);
    }
}
