//! How deployed executors differ from this one, all by configuration. The default of each key is what the contract says.

use serde::{Deserialize, Serialize};

/// The manners of an executor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manners {
    /// What `last_block_number` counts. Everywhere else blocks have their GEI.
    pub block_number: BlockNumber,
}

/// What the number of the last block is (contract §4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockNumber {
    /// Its GEI: the watermark.
    #[default]
    Gei,
    /// How many durable blocks have transactions. The watermark is `last_global_exec_index`.
    NonEmptyBlocks,
}
