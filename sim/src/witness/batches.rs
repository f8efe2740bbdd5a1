//! The transaction socket: batches of clients and the replies of a node (contract §8).

use super::{
    bcs::Malformed,
    protobuf::{Value, fields},
    transaction,
};
use bytes::Bytes;
use metanode_core::types::TransactionHash;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Contract §8.8.
const MOST_BYTES: usize = 4 << 20;

/// A transaction that a node has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    pub hash: TransactionHash,
    #[serde(skip)]
    pub bytes: u64,
}

/// A batch that is not answered. What is refused is never hashed: it may be large, and come again and again.
#[derive(Default)]
pub(super) struct Batch(Vec<Bytes>);

impl Batch {
    /// The beginning that decodes, as the field `Transactions.Transactions`.
    pub fn read(body: &Bytes) -> Self {
        let transactions = fields(body).map_while(Result::ok);
        let transactions = transactions.filter_map(|field| match field {
            (1, Value::Bytes(transaction)) => Some(body.slice_ref(transaction)),
            _ => None,
        });
        Self(transactions.collect())
    }

    /// Whether there is a transaction at this position that a block can carry.
    pub fn has_valid(&self, position: usize) -> bool {
        let transaction = self.0.get(position);
        transaction
            .is_some_and(|it| it.len() <= MOST_BYTES && fields(it).all(|field| field.is_ok()))
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Of all transactions.
    pub fn bytes(&self) -> u64 {
        self.0
            .iter()
            .map(|transaction| transaction.len() as u64)
            .sum()
    }

    /// The first ones.
    pub fn taken(&self, count: usize) -> Arc<[Taken]> {
        let taken = self.0.iter().take(count).map(|transaction| Taken {
            hash: transaction::hash(transaction),
            bytes: transaction.len() as u64,
        });
        taken.collect()
    }
}

/// What a reply promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub success: bool,
    pub taken: usize,
    /// Whether the next one may be taken later.
    pub retry: bool,
}

#[derive(Deserialize)]
struct Json {
    success: bool,
    count: Option<usize>,
    taken: Option<usize>,
    error: Option<String>,
    #[serde(default)]
    retry: bool,
}

/// Decodes a reply to a batch of this size.
///
/// # Errors
/// If it is not one of the replies of the contract, or promises what was not sent.
pub(super) fn reply(body: &[u8], sent: usize) -> Result<Promise, Malformed> {
    let json: Json = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let promise = match json {
        Json {
            success: true,
            count: Some(taken),
            error: None,
            taken: None,
            retry,
        } if taken == sent => Promise {
            success: true,
            taken,
            retry,
        },
        Json {
            success: false,
            taken: Some(taken),
            error: Some(_),
            count: None,
            retry,
        } if taken <= sent => Promise {
            success: false,
            taken,
            retry,
        },
        _ => {
            let reply = String::from_utf8_lossy(body);
            return Err(format!("the reply {reply} to {sent} transactions"));
        }
    };
    Ok(promise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_promises_at_most_what_was_sent() {
        let promised = |json: &str| reply(json.as_bytes(), 3).ok().map(|p| (p.success, p.taken));
        assert_eq!(promised(r#"{"success":true,"count":3}"#), Some((true, 3)));
        let queued = r#"{"success":true,"queued":true,"count":3}"#;
        assert_eq!(promised(queued), Some((true, 3)));
        let refused = r#"{"success":false,"error":"full","taken":2,"retry":true}"#;
        assert_eq!(promised(refused), Some((false, 2)));
        for wrong in [
            r#"{"success":true,"count":2}"#,
            r#"{"success":true,"count":4}"#,
            r#"{"success":true}"#,
            r#"{"success":false,"error":"full"}"#,
            r#"{"success":false,"taken":0}"#,
            r#"{"success":false,"error":"full","taken":4}"#,
            "ok",
        ] {
            assert_eq!(promised(wrong), None, "{wrong}");
        }
    }
}
