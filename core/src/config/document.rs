//! Checks of a configuration document before deserialization: numbers outside of their valid range, keys of which only one
//! value is accepted, and a number that has a name.

use super::parameters::{ConsensusParameters, EPOCH_LIMITS, LIMITS, within};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

/// Accepted only with the value `true`, which is what the node always does.
const READ_ENABLED: &str = "executor_read_enabled";
const COMMIT_ENABLED: &str = "executor_commit_enabled";

/// An error with its byte offset in the text.
pub(super) struct DocumentError {
    pub offset: usize,
    pub reason: String,
}

/// Checks the document and removes the keys that have no effect.
///
/// # Errors
/// The first error, with the offset of its key.
pub(super) fn check(document: &mut DeTable<'_>) -> Result<(), DocumentError> {
    check_read_enabled(document)?;
    document.remove(READ_ENABLED);
    retain_all(document);
    for limit in LIMITS.iter().chain(EPOCH_LIMITS) {
        let group = document.get(limit.group);
        let Some(group) = group.and_then(|group| group.get_ref().as_table()) else {
            continue;
        };
        let Some((key, value)) = group.get_key_value(limit.key) else {
            continue;
        };
        // Deserialization rejects other types.
        let Some(found) = value.get_ref().as_integer().and_then(number) else {
            continue;
        };
        within(found, &limit.range).map_err(|e| DocumentError {
            offset: key.span().start,
            reason: format!("{}.{} {e}", limit.group, limit.key),
        })?;
    }
    check_epochs(document)
}

/// `retained_epochs = "all"` makes a node an archive: it means the highest number.
fn retain_all(document: &mut DeTable<'_>) {
    let group = document.get_mut("consensus").map(Spanned::get_mut);
    let Some(DeValue::Table(group)) = group else {
        return;
    };
    let Some(retained) = group.get_mut("retained_epochs") else {
        return;
    };
    if retained.get_ref().as_str() == Some("all")
        && let Ok(mut highest) = DeTable::parse("highest = 1_000_000")
        && let Some(highest) = highest.get_mut().remove("highest")
    {
        *retained.get_mut() = highest.into_inner();
    }
}

/// A node that may not query an executor would have epoch, committee and W from nowhere.
fn check_read_enabled(document: &DeTable<'_>) -> Result<(), DocumentError> {
    reject_if(
        document,
        READ_ENABLED,
        |value| value.as_bool().is_none(),
        || format!("{READ_ENABLED} is neither true nor false"),
    )?;
    let delivers = document.get(COMMIT_ENABLED);
    let delivers = delivers.and_then(|value| value.get_ref().as_bool()) == Some(true);
    reject_if(
        document,
        READ_ENABLED,
        |value| value.as_bool() == Some(false),
        || match delivers {
            true => format!(
                "{READ_ENABLED} is false and {COMMIT_ENABLED} true: a node that delivers begins after what its executor \
                 has, for which it must ask. Remove {READ_ENABLED}"
            ),
            false => format!(
                "{READ_ENABLED} is false: epoch, committee and watermark are known to executors only, so a node that asks \
                 none cannot start. Remove it; a node that must not ask its own executor can ask that of another \
                 validator, if executor_receive_socket_path is its RPC for peers, tcp://IP:PORT"
            ),
        },
    )
}

/// An epoch shorter than two granules might begin in the one in which it ends.
fn check_epochs(document: &DeTable<'_>) -> Result<(), DocumentError> {
    let group = document.get("consensus");
    let Some(group) = group.and_then(|group| group.get_ref().as_table()) else {
        return Ok(());
    };
    let value = |key, default: i128| match group.get_key_value(key) {
        Some((key, value)) => {
            let found = value.get_ref().as_integer().and_then(number);
            (found.unwrap_or(default), Some(key.span().start))
        }
        None => (default, None),
    };
    let defaults = ConsensusParameters::default();
    let (duration_ms, duration_at) = value("epoch_duration_ms", defaults.epoch_duration_ms.into());
    let (granularity_ms, granularity_at) = value(
        "epoch_start_granularity_ms",
        defaults.epoch_start_granularity_ms.into(),
    );
    match duration_at.or(granularity_at) {
        Some(offset) if duration_ms < 2 * granularity_ms => Err(DocumentError {
            offset,
            reason: format!(
                "consensus.epoch_duration_ms is {duration_ms}: expected at least twice epoch_start_granularity_ms, which is \
                 {granularity_ms}"
            ),
        }),
        _ => Ok(()),
    }
}

/// Rejects the key if its value fails the check.
fn reject_if(
    document: &DeTable<'_>,
    key: &str,
    is_wrong: impl Fn(&DeValue<'_>) -> bool,
    reason: impl Fn() -> String,
) -> Result<(), DocumentError> {
    match document.get_key_value(key) {
        Some((key, value)) if is_wrong(value.get_ref()) => Err(DocumentError {
            offset: key.span().start,
            reason: reason(),
        }),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn number(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}
