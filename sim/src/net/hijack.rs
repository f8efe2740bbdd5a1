//! Hijacked socket files: a Unix path that is removed or leads to another listener while its own listener stays open.

use super::kernel::Kernel;
use super::link::HostId;
use super::listener::ListenerId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What replaces the socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hijack {
    /// Nothing: the file was removed.
    Removed,
    /// A stale file: connections are refused.
    Refuses,
    /// Another listener, which accepts every connection and sends nothing.
    Silent,
}

/// Restores the path when dropped, unless another listener has been bound to it.
#[must_use = "dropping the guard restores the path"]
pub struct HijackGuard {
    kernel: Kernel,
    host: HostId,
    path: PathBuf,
    owner: ListenerId,
    /// What is at the path unless it was changed since.
    left: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    File(Option<ListenerId>),
}

impl Kernel {
    /// Hijacks the path of a live listener, if there is one. Open connections are not affected.
    pub fn hijack(&self, host: HostId, path: &Path, how: Hijack) -> Option<HijackGuard> {
        let (owner, left) = self.lock().listeners.hijack(host, path, how)?;
        Some(HijackGuard {
            kernel: self.clone(),
            host,
            path: path.to_owned(),
            owner,
            left,
        })
    }
}

impl Drop for HijackGuard {
    fn drop(&mut self) {
        let mut state = self.kernel.lock();
        let listeners = &mut state.listeners;
        listeners.restore(self.host, &self.path, self.owner, self.left);
        if let Left::File(Some(impostor)) = self.left {
            state.close_listener(impostor);
        }
    }
}
