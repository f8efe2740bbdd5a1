//! What is checked in the text of a configuration before it is read: numbers out of their range, and keys of former
//! versions.

use super::parameters::{EPOCH_LIMITS, LIMITS, within};
use toml::de::{DeInteger, DeTable, DeValue};

/// Keys that had no effect when they were last accepted.
const WITHOUT_EFFECT: [&str; 2] = ["peer_go_master_sockets", "peer_rpc_port"];

/// Accepted as `true` only, and not part of the configuration.
const READ_ENABLED: &str = "executor_read_enabled";

/// What is wrong, at a byte of the text.
pub(super) struct Wrong {
    pub offset: usize,
    pub reason: String,
}

/// Checks the document and takes out the keys that only former versions read.
///
/// # Errors
/// The first thing that is wrong, with the place of its key.
pub(super) fn check(document: &mut DeTable<'_>) -> Result<(), Wrong> {
    for key in WITHOUT_EFFECT {
        let reason = || format!("{key} does nothing in this version: remove it");
        refuse_if(document, key, |_| true, reason)?;
    }
    refuse_if(
        document,
        READ_ENABLED,
        |value| value.as_bool() != Some(true),
        || format!("{READ_ENABLED} must be true: a node cannot run without asking its executor"),
    )?;
    document.remove(READ_ENABLED);
    for limit in LIMITS.iter().chain(EPOCH_LIMITS) {
        let group = document.get(limit.group);
        let Some(group) = group.and_then(|group| group.get_ref().as_table()) else {
            continue;
        };
        let Some((key, value)) = group.get_key_value(limit.key) else {
            continue;
        };
        // Anything else is refused where it is read.
        let Some(found) = value.get_ref().as_integer().and_then(number) else {
            continue;
        };
        within(found, &limit.range).map_err(|e| Wrong {
            offset: key.span().start,
            reason: format!("{}.{} {e}", limit.group, limit.key),
        })?;
    }
    Ok(())
}

/// Refuses a key whose value is wrong.
fn refuse_if(
    document: &DeTable<'_>,
    key: &str,
    is_wrong: impl Fn(&DeValue<'_>) -> bool,
    reason: impl Fn() -> String,
) -> Result<(), Wrong> {
    match document.get_key_value(key) {
        Some((key, value)) if is_wrong(value.get_ref()) => Err(Wrong {
            offset: key.span().start,
            reason: reason(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn number(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}
