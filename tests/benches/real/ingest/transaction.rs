//! Transactions of 200 bytes that say when they were handed over.

use super::case::Replies;
use crate::machine::now_ns;
use bytes::Bytes;
use metanode_core::types::Transactions;
use mock_go_executor::sub::Batch;
use prost::Message;
use tokio::sync::oneshot;

/// Size of a transaction.
pub const BYTES: usize = 200;

/// Where the time is in a frame: after its length, the header of the first transaction (its tag, and two bytes of length),
/// the header of the nonce, and eight bytes that make the transaction different from all others.
pub const TIME_AT: usize = 4 + 3 + 2 + 8;

/// Tags of `Nonce` and `Data` in a `Transaction` (contract §3).
const NONCE: u8 = 12 << 3 | 2;
const DATA: u8 = 7 << 3 | 2;

/// The nonce comes first, which protobuf allows, so that its place is fixed.
fn transaction(number: u64, at_ns: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend([NONCE, 16]);
    bytes.extend(number.to_be_bytes());
    bytes.extend(at_ns.to_be_bytes());
    let data = BYTES - bytes.len() - 3;
    bytes.extend([DATA, data as u8 | 0x80, (data >> 7) as u8]);
    bytes.resize(BYTES, 0);
    bytes.into()
}

/// A batch that is handed over now, and where its reply will be if somebody waits for it.
pub struct Made {
    pub batch: Batch,
    pub at_ns: u64,
    pub reply: Option<oneshot::Receiver<Bytes>>,
}

/// The `number`-th batch, of so many transactions.
pub fn batch(number: u64, transactions: u32, replies: Replies) -> Made {
    let at_ns = now_ns();
    let of = |position| {
        transaction(
            number * u64::from(transactions) + u64::from(position),
            at_ns,
        )
    };
    let transactions: Vec<_> = (0..transactions).map(of).collect();
    let (batch, reply) = match replies {
        Replies::Forgotten => (Batch::Formed(transactions), None),
        Replies::Awaited => {
            let (answer, reply) = oneshot::channel();
            let body = Transactions { transactions }.encode_to_vec().into();
            (Batch::Forwarded { body, answer }, Some(reply))
        }
    };
    Made {
        batch,
        at_ns,
        reply,
    }
}
