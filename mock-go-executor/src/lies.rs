//! Lies: what an executor tells peers instead of the truth. Nobody else is lied to.

use crate::controls::Lie;
use bytes::Bytes;
use metanode_core::executor::wire::{
    BlocksRange, CurrentEpoch, LastBlockNumber, ResponsePayload, ValidatorInfoList,
};

/// So many epochs ahead is a far one.
const FAR_EPOCHS: u64 = 1_000;
/// So many blocks ahead is a far one.
const FAR_BLOCKS: u64 = 1_000_000;

/// A frame that is no response.
pub(crate) const GARBAGE: [u8; 8] = [0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff];

/// What peers hear instead of this answer.
pub(crate) fn told(lie: Lie, answer: ResponsePayload) -> ResponsePayload {
    let number = |truth: u64, far: u64| match lie {
        Lie::FarEpoch => truth.saturating_add(far),
        Lie::OldEpoch => 0,
        _ => truth,
    };
    match answer {
        ResponsePayload::CurrentEpoch(CurrentEpoch { epoch }) => {
            ResponsePayload::CurrentEpoch(CurrentEpoch {
                epoch: number(epoch, FAR_EPOCHS),
            })
        }
        ResponsePayload::LastBlockNumber(LastBlockNumber { last_block_number }) => {
            ResponsePayload::LastBlockNumber(LastBlockNumber {
                last_block_number: number(last_block_number, FAR_BLOCKS),
            })
        }
        ResponsePayload::ValidatorInfoList(list) => {
            ResponsePayload::ValidatorInfoList(ValidatorInfoList {
                last_global_exec_index: number(list.last_global_exec_index, FAR_BLOCKS),
                ..list
            })
        }
        ResponsePayload::BlocksRange(range) if lie == Lie::OtherRoot => {
            ResponsePayload::BlocksRange(with_other_roots(range))
        }
        answer => answer,
    }
}

fn with_other_roots(mut range: BlocksRange) -> BlocksRange {
    for block in &mut range.blocks {
        let other = block.state_root.iter().map(|byte| !byte);
        block.state_root = other.collect::<Vec<_>>().into();
    }
    range
}

/// The frame of an answer that is garbage.
pub(crate) fn garbage() -> Bytes {
    Bytes::from_static(&GARBAGE)
}
