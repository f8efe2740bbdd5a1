//! Somebody else who listens where an executor did: reads everything and answers nothing.

use crate::live::{LiveListener, LiveSocket, Polled};
use metanode_core::types::Address;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Ends, and leaves the paths to others, when dropped.
pub struct Impostor {
    is_over: Arc<AtomicBool>,
    listeners: Vec<(PathBuf, JoinHandle<()>)>,
}

/// How long it takes at most to end.
const LOOK: Duration = Duration::from_millis(50);

impl Impostor {
    /// Listens on paths that nobody else listens on. One that cannot be had is left out.
    pub fn listen(paths: Vec<PathBuf>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let listen = |path: PathBuf| {
            let listener = LiveListener::bind(&Address::Unix(path.clone())).ok()?;
            let is_over = is_over.clone();
            let thread = thread::spawn(move || accept(&listener, &is_over));
            Some((path, thread))
        };
        let listeners = paths.into_iter().filter_map(listen).collect();
        Self { is_over, listeners }
    }
}

fn accept(listener: &LiveListener, is_over: &Arc<AtomicBool>) {
    while let Ok(socket) = listener.accept() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let is_over = is_over.clone();
        thread::spawn(move || read(socket, &is_over));
    }
}

fn read(mut socket: LiveSocket, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) && socket.poll(LOOK) != Polled::Closed {}
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for (path, thread) in self.listeners.drain(..) {
            // Wakes the listener. It removes its path, before anybody else listens there.
            let _ = LiveSocket::connect(&Address::Unix(path), LOOK);
            let _ = thread.join();
        }
    }
}
