//! A delivered block: the message `CommittedEpochData` of contract §3.

use super::{
    ContentHash, Frame,
    bcs::Malformed,
    protobuf::{Value, fields},
};
use bytes::Bytes;
use metanode_core::types::{AuthorityIndex, CommitIndex, Epoch, GlobalExecIndex, TimestampMs};

/// Decodes the body of a frame of the block stream.
///
/// # Errors
/// If it is no message, or epoch and commit index of its only `CommittedBlock` are not those of the frame.
pub(crate) fn frame(body: Bytes) -> Result<Frame, Malformed> {
    let mut frame = Frame {
        gei: GlobalExecIndex(0),
        epoch: Epoch(0),
        commit: CommitIndex(0),
        timestamp_ms: TimestampMs(0),
        leader: AuthorityIndex(0),
        leader_address: vec![],
        content: ContentHash(0),
        transactions: vec![],
    };
    let mut blocks: Vec<&[u8]> = vec![];
    for field in fields(&body) {
        match field? {
            (1, Value::Bytes(block)) => blocks.push(block),
            (2, gei) => frame.gei = GlobalExecIndex(gei.number()),
            (3, commit) => frame.commit = CommitIndex(number(commit)?),
            (4, epoch) => frame.epoch = Epoch(epoch.number()),
            (5, timestamp) => frame.timestamp_ms = TimestampMs(timestamp.number()),
            (6, leader) => frame.leader = AuthorityIndex(number(leader)?),
            (7, address) => frame.leader_address = address.bytes().to_vec(),
            _ => {}
        }
    }
    let [block] = <[&[u8]; 1]>::try_from(blocks)
        .map_err(|blocks| format!("expected one CommittedBlock, found {}", blocks.len()))?;
    let transactions = committed_block(block, &frame)?;
    frame.content = ContentHash::of(transactions.iter().copied());
    let raw = transactions.iter().map(|(_, raw)| body.slice_ref(raw));
    frame.transactions = raw.collect();
    Ok(frame)
}

/// Workers and raw bytes of the transactions of a `CommittedBlock`.
fn committed_block<'a>(block: &'a [u8], frame: &Frame) -> Result<Vec<(u32, &'a [u8])>, Malformed> {
    let (mut epoch, mut height, mut transactions) = (0, 0, vec![]);
    for field in fields(block) {
        match field? {
            (1, value) => epoch = value.number(),
            (2, value) => height = value.number(),
            (3, transaction) => transactions.push(transaction_exe(transaction.bytes())?),
            _ => {}
        }
    }
    if (epoch, height) != (frame.epoch.0, u64::from(frame.commit.0)) {
        return Err(format!(
            "expected the CommittedBlock of commit {} of epoch {}, found commit {height} of epoch {epoch}",
            frame.commit, frame.epoch
        ));
    }
    Ok(transactions)
}

fn transaction_exe(message: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let (mut raw, mut worker) = (&[][..], 0);
    for field in fields(message) {
        match field? {
            (1, value) => raw = value.bytes(),
            (2, value) => worker = number(value)?,
            _ => {}
        }
    }
    Ok((worker, raw))
}

fn number<T: TryFrom<u64>>(value: Value<'_>) -> Result<T, Malformed> {
    let number = value.number();
    T::try_from(number).map_err(|_| format!("{number} is too large for its field"))
}
