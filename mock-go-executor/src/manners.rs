//! How deployed executors differ from this one, all by configuration. The default of each key is what the contract says.

use serde::{Deserialize, Serialize};

/// The manners of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manners {
    /// What `last_block_number` counts. Everywhere else blocks have their GEI.
    pub block_number: BlockNumber,
    /// Which blocks it reports as durable.
    pub reports: Reports,
    /// A new block stream does not close the one before: both are read, and the guard decides.
    pub serves_two_streams: bool,
    /// Blocks above a gap that are kept until it is filled. A further one ends its stream, as every one does with 0.
    pub parked_blocks: u32,
    /// Bytes of these blocks, at most.
    pub parked_bytes: u32,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            block_number: BlockNumber::Gei,
            reports: Reports::Durable,
            serves_two_streams: false,
            parked_blocks: 0,
            parked_bytes: 64 << 20,
        }
    }
}

/// Which blocks an executor reports as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reports {
    /// Those that survive a crash.
    #[default]
    Durable,
    /// Those that it has executed: broken, blocks are lost with a crash. For tests of who checks executors.
    Executed,
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
