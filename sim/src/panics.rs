//! Panics of simulated threads: captured for the report of the run instead of printed.

use crate::process_id::ProcessId;
use metanode_core::tasks::panic_message;
use serde::{Deserialize, Serialize};
use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    fmt,
    panic::PanicHookInfo,
    sync::{Arc, Once},
};

/// A panic of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Panic {
    pub message: String,
    /// File, line and column; `None` if nothing was captured.
    pub place: Option<String>,
    /// The process whose task panicked; `None` for the simulation itself.
    pub process: Option<ProcessId>,
    #[serde(skip)]
    pub backtrace: Option<Arc<Backtrace>>,
}

impl Panic {
    /// A failure of the simulation itself, without a place: it could not start, or was abandoned.
    #[must_use]
    pub const fn of_simulation(message: String) -> Self {
        Self {
            message,
            place: None,
            process: None,
            backtrace: None,
        }
    }

    /// The last panic of this thread, with the place and the backtrace that the hook captured.
    pub(crate) fn caught(message: &str, process: Option<ProcessId>) -> Self {
        let captured = CAPTURED.take();
        let (place, backtrace) = captured.map_or((None, None), |(place, backtrace)| {
            (Some(place), Some(backtrace))
        });
        Self {
            message: message.to_owned(),
            place,
            process,
            backtrace,
        }
    }

    /// Like [`Self::caught`], for a panic that unwound out of the simulation.
    pub(crate) fn unwound(payload: &(dyn Any + Send)) -> Self {
        Self::caught(panic_message(payload), None)
    }
}

impl PartialEq for Panic {
    fn eq(&self, other: &Self) -> bool {
        let parts = |of: &Self| (of.message.clone(), of.place.clone(), of.process);
        parts(self) == parts(other)
    }
}

impl fmt::Display for Panic {
    /// Process, message and place in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = self.process {
            write!(f, "{process} panicked: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(f, " (at {place})")?;
        }
        Ok(())
    }
}

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
    static CAPTURED: RefCell<Option<(String, Arc<Backtrace>)>> = const { RefCell::new(None) };
}

/// Captures panics of this thread from now on. Panics of other threads go to the previous hook.
pub(crate) fn capture_on_this_thread() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SIMULATED.get() {
                capture(info);
            } else {
                others(info);
            }
        }));
    });
    SIMULATED.set(true);
}

fn capture(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let backtrace = Arc::new(Backtrace::force_capture());
    let message = panic_message(info.payload());
    tracing::error!(%place, "panic: {message}\n{backtrace}");
    CAPTURED.set(Some((place, backtrace)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // the hook belongs to the thread that asks for it
    fn a_panic_of_a_simulated_thread_is_captured_with_its_place() {
        let panic = std::thread::spawn(|| {
            capture_on_this_thread();
            let caught = std::panic::catch_unwind(|| panic!("number {}", 7));
            let unwound = Panic::unwound(caught.unwrap_err().as_ref());
            assert!(CAPTURED.take().is_none(), "it is of that panic alone");
            unwound
        });
        let panic = panic.join().unwrap();
        assert_eq!(panic.message, "number 7");
        let place = panic.place.as_deref().unwrap_or_default();
        assert!(place.contains("panics.rs:"), "{place}");
        assert!(panic.backtrace.is_some());
        assert_eq!(panic.to_string(), format!("number 7 (at {place})"));
    }
}
