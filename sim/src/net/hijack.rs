//! Hijacked socket files: a Unix path that leads to somebody else, or nowhere, while its listener lives on.

use super::kernel::Kernel;
use super::link::HostId;
use super::listener::ListenerId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is at the path instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hijack {
    /// Nothing: the file was removed.
    Removed,
    /// The file of a dead process: connections are refused.
    Refuses,
    /// Another listener: it takes every connection and says nothing.
    Silent,
}

/// Gives the path back to its owner when dropped, unless somebody has bound it anew.
#[must_use = "dropping the guard gives the path back"]
pub struct HijackGuard {
    kernel: Kernel,
    host: HostId,
    path: PathBuf,
    owner: ListenerId,
    /// What stands at the path as long as nobody else has changed it.
    left: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    File(Option<ListenerId>),
}

impl Kernel {
    /// Hijacks the path of a live listener; nothing happens if there is none. Connections that are open go on.
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
        listeners.give_back(self.host, &self.path, self.owner, self.left);
        if let Left::File(Some(impostor)) = self.left {
            state.close_listener(impostor);
        }
    }
}
