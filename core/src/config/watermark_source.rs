//! Which number of the executor is W (contract §4.4).

use serde::{Deserialize, Serialize};

/// What the node asks the executor for to learn W, the highest GEI that is durable there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatermarkSource {
    /// `LastBlockNumber.last_block_number`: the executor numbers its blocks by GEI.
    #[default]
    LastBlockNumber,
    /// `ValidatorInfoList.last_global_exec_index`: the executor counts blocks and GEIs apart. Each answer carries the
    /// validators, too.
    LastGlobalExecIndex,
}
