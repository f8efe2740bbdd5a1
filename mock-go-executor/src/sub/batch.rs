//! What is sent in one frame, and what a reply leaves of it. Pure.

use bytes::Bytes;
use metanode_core::{
    framing::{FrameError, Framing},
    types::Transactions,
};
use prost::Message;
use serde::Deserialize;
use tokio::sync::oneshot;

/// What is sent in one frame.
#[derive(Debug)]
pub enum Batch {
    /// Transactions of the pool. What is not taken of them is sent again.
    Formed(Vec<Bytes>),
    /// The frame of a client, which gets the metanode's reply whatever it says.
    Forwarded {
        body: Bytes,
        answer: oneshot::Sender<Bytes>,
    },
}

/// A reply of the transaction socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Reply {
    pub success: bool,
    pub error: String,
    /// How many of the batch were taken, if not all.
    pub taken: usize,
    /// Whether the next one may be taken later.
    pub retry: bool,
}

/// What a reply leaves of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// To be sent again later.
    pub again: Vec<Bytes>,
    /// Not taken, and never will be.
    pub refused: usize,
}

/// Tag and length of a transaction in a frame.
const HEADER_BYTES: usize = 6;

/// What a transaction has in a frame, at most.
pub(super) const fn bytes_in_frame(transaction: &Bytes) -> usize {
    HEADER_BYTES + transaction.len()
}

impl Batch {
    /// What it has in memory.
    pub(super) fn len_bytes(&self) -> usize {
        match self {
            Self::Formed(transactions) => transactions.iter().map(bytes_in_frame).sum(),
            Self::Forwarded { body, .. } => body.len(),
        }
    }

    /// The number of its transactions.
    pub(super) fn transactions(&self) -> usize {
        match self {
            Self::Formed(transactions) => transactions.len(),
            Self::Forwarded { body, .. } => {
                let decoded = Transactions::decode(body.clone());
                decoded.map_or(0, |batch| batch.transactions.len())
            }
        }
    }

    /// The frame.
    ///
    /// # Errors
    /// If the batch is empty or too large for a frame.
    pub fn frame(&self) -> Result<Bytes, FrameError> {
        match self {
            Self::Formed(transactions) => Framing::TRANSACTIONS.encode(&Transactions {
                transactions: transactions.clone(),
            }),
            Self::Forwarded { body, .. } => Framing::TRANSACTIONS.encode_body(body),
        }
    }
}

impl Reply {
    /// How many of a batch of this size were taken.
    pub fn taken_of(&self, transactions: usize) -> usize {
        match self.success {
            true => transactions,
            false => self.taken.min(transactions),
        }
    }

    /// What is left of these transactions.
    pub fn left(&self, mut transactions: Vec<Bytes>) -> Left {
        if self.success {
            transactions.clear();
        }
        let mut again = transactions.split_off(self.taken.min(transactions.len()));
        let refused = usize::from(!self.retry && !again.is_empty());
        again.drain(..refused);
        Left { again, refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_sent_again_unless_it_never_can_be() {
        let batch = || [1, 2, 3].map(|n| Bytes::from(vec![n])).to_vec();
        let left = |json: &str| {
            let reply: Reply = serde_json::from_str(json).unwrap();
            let Left { again, refused } = reply.left(batch());
            let again: Vec<u8> = again.iter().map(|transaction| transaction[0]).collect();
            (again, refused)
        };
        assert_eq!(left(r#"{"success":true,"count":3}"#), (vec![], 0));
        let full = r#"{"success":false,"error":"full","taken":1,"retry":true}"#;
        assert_eq!(left(full), (vec![2, 3], 0));
        let too_large = r#"{"success":false,"error":"too large","taken":1,"retry":false}"#;
        assert_eq!(left(too_large), (vec![3], 1));
        let beyond = r#"{"success":false,"error":"","taken":9}"#;
        assert_eq!(left(beyond), (vec![], 0));
    }
}
