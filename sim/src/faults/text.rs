//! Phrases that the descriptions of faults share: targets and durations.

use crate::{amounts::ms, process_id::ProcessId};
use std::fmt::Display;

/// `node-0, node-1 and executor-0`.
pub(super) fn processes(ids: &[ProcessId]) -> String {
    list(ids.iter())
}

/// `host-0 and host-2`.
pub(super) fn hosts(numbers: &[u16]) -> String {
    list(numbers.iter().map(|n| format!("host-{n}")))
}

/// `executor-0`.
pub(super) fn executors(numbers: &[u16]) -> String {
    list(numbers.iter().map(|n| ProcessId::Executor(*n)))
}

/// `node-0`.
pub(super) fn nodes(numbers: &[u16]) -> String {
    list(numbers.iter().map(|n| ProcessId::Node(*n)))
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let mut items: Vec<_> = items.map(|item| item.to_string()).collect();
    let last = items.pop().unwrap_or_default();
    if items.is_empty() {
        return last;
    }
    format!("{} and {last}", items.join(", "))
}

/// The duration of a fault.
pub(super) fn lasting(for_ms: Option<u64>) -> String {
    match for_ms {
        Some(for_ms) => format!("for {}", ms(for_ms)),
        None => "until faults end".to_owned(),
    }
}

/// When processes start again.
pub(super) fn back(down_ms: Option<u64>) -> String {
    match down_ms {
        Some(down_ms) => format!("back after {}", ms(down_ms)),
        None => "back when faults end".to_owned(),
    }
}
