//! The error texts that deployed clients match (contract §3.2).

use metanode_core::types::GlobalExecIndex;

/// What they match for a block that is not durable yet.
pub const NOT_DURABLE: &str = "not been committed to DB yet";

/// The error for a block that is not durable yet.
#[must_use]
pub fn not_durable(asked: u64, watermark: GlobalExecIndex) -> String {
    format!("block {asked} has {NOT_DURABLE}: the last one is {watermark}")
}
