//! The transactions of a frame of the transaction socket: the valid ones at its beginning, and why the rest is refused.

use crate::{
    framing::take_uvarint,
    types::{ClientTransaction, Epoch, MAX_BLOCK_TRANSACTION_BYTES, Transaction},
};
use bytes::{Buf, Bytes};
use prost::{DecodeError, Message};
use thiserror::Error;

/// Transactions of one frame. A frame of empty ones could have millions, each of which costs memory.
pub(super) const MAX_BATCH_TRANSACTIONS: usize = 1 << 16;

/// The field of `Transactions` that has the transactions.
const TRANSACTIONS: u64 = 1;

/// What a client sent in one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The transactions before the first one that is refused.
    pub transactions: Vec<Transaction>,
    pub refusal: Option<Refusal>,
}

/// Why a transaction, and all after it in its batch, were not taken. Positions in the batch are from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("expected a message `Transactions`, found after {position} transactions {found}")]
    NoBatch {
        position: usize,
        found: &'static str,
    },
    #[error("transaction {position} of the batch is no message `Transaction`: {reason}")]
    NoTransaction {
        position: usize,
        reason: DecodeError,
    },
    #[error(
        "transaction {position} of the batch has {bytes} bytes, no block carries more than \
        {MAX_BLOCK_TRANSACTION_BYTES}"
    )]
    TooLarge { position: usize, bytes: usize },
    #[error(
        "a batch has at most {MAX_BATCH_TRANSACTIONS} transactions: send the others in another one"
    )]
    TooMany,
    #[error(
        "the journal holds {held_bytes} bytes of transactions that are not executed, its limit is {limit_bytes}: clients \
        send faster than the chain executes, try again later"
    )]
    Full {
        held_bytes: usize,
        limit_bytes: usize,
    },
    #[error("this node is starting and has not heard from its executor yet: try again later")]
    Starting,
    #[error("this node is not a validator in epoch {epoch}: send to one that is")]
    NoSeat { epoch: Epoch },
}

impl Refusal {
    /// Whether the same transaction may be taken later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NoBatch { .. } | Self::NoTransaction { .. } | Self::TooLarge { .. } => false,
            Self::TooMany | Self::Full { .. } | Self::Starting | Self::NoSeat { .. } => true,
        }
    }
}

/// The transactions in the body of a frame, with the bytes that the client sent: fields that this version does not know
/// are delivered, too.
#[must_use]
pub fn transactions(mut body: Bytes) -> Batch {
    let mut transactions = vec![];
    let refusal = loop {
        match next(&mut body, transactions.len()) {
            Ok(Some(transaction)) => transactions.push(transaction),
            Ok(None) => break None,
            Err(refusal) => break Some(refusal),
        }
    };
    Batch {
        transactions,
        refusal,
    }
}

/// The transaction at this position, which is next in `body`. `None` at its end.
fn next(body: &mut Bytes, position: usize) -> Result<Option<Transaction>, Refusal> {
    let no_batch = |found| Refusal::NoBatch { position, found };
    while body.has_remaining() {
        let key = number(body).map_err(no_batch)?;
        let bytes = match key & 7 {
            0 => {
                number(body).map_err(no_batch)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(body).map_err(no_batch)?).unwrap_or(usize::MAX),
            5 => 4,
            _ => return Err(no_batch("a field of unknown type")),
        };
        if bytes > body.remaining() {
            return Err(no_batch("a field that is longer than the message"));
        }
        let value = body.split_to(bytes);
        if key == TRANSACTIONS << 3 | 2 {
            return valid(value, position).map(Some);
        }
    }
    Ok(None)
}

fn number(body: &mut Bytes) -> Result<u64, &'static str> {
    match take_uvarint(body) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err("an incomplete number"),
        Err(_) => Err("a number of more than 64 bits"),
    }
}

fn valid(transaction: Bytes, position: usize) -> Result<Transaction, Refusal> {
    let bytes = transaction.len();
    if position == MAX_BATCH_TRANSACTIONS {
        return Err(Refusal::TooMany);
    }
    if bytes > MAX_BLOCK_TRANSACTION_BYTES {
        return Err(Refusal::TooLarge { position, bytes });
    }
    match ClientTransaction::decode(transaction.clone()) {
        Ok(_) => Ok(Transaction(transaction)),
        Err(reason) => Err(Refusal::NoTransaction { position, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `Transactions` of contract §3, as prost encodes it.
    #[derive(Clone, PartialEq, Eq, Message)]
    struct Transactions {
        #[prost(message, repeated, tag = "1")]
        transactions: Vec<ClientTransaction>,
        /// A field of a later version.
        #[prost(fixed64, tag = "7")]
        later: u64,
    }

    fn client_transaction(number: u64, data: usize) -> ClientTransaction {
        ClientTransaction {
            max_gas: number,
            data: vec![1; data].into(),
            ..ClientTransaction::default()
        }
    }

    fn body(transactions: &[ClientTransaction]) -> Vec<u8> {
        let transactions = transactions.to_vec();
        let later = 9;
        Transactions {
            transactions,
            later,
        }
        .encode_to_vec()
    }

    proptest! {
        #[test]
        fn every_transaction_keeps_its_bytes(numbers in prop::collection::vec(0u64..1 << 40, 0..20)) {
            let sent: Vec<_> = numbers.iter().map(|n| client_transaction(*n, *n as usize % 200)).collect();
            let batch = transactions(body(&sent).into());
            prop_assert_eq!(batch.refusal, None);
            let expected: Vec<_> = sent.iter().map(|t| Transaction(t.encode_to_vec().into())).collect();
            prop_assert_eq!(batch.transactions, expected);
        }

        #[test]
        fn any_bytes_give_what_prost_decodes_or_a_refusal(body in prop::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..60)) {
            let batch = transactions(body.clone().into());
            if let Ok(decoded) = Transactions::decode(&body[..]) {
                let groups = body.iter().any(|byte| matches!(byte & 7, 3 | 4));
                prop_assert!(groups || batch.refusal.is_none(), "{:?}", batch.refusal);
                prop_assert!(groups || batch.transactions.len() == decoded.transactions.len());
            }
        }
    }

    #[test]
    fn what_comes_before_a_transaction_that_is_refused_is_taken() {
        let good = client_transaction(1, 10);
        let most = MAX_BLOCK_TRANSACTION_BYTES;
        let overhead = client_transaction(1, most).encoded_len() - most;
        let largest = client_transaction(1, most - overhead);
        let too_large = client_transaction(1, most - overhead + 1);
        let batch = transactions(body(&[good.clone(), largest, too_large, good.clone()]).into());
        assert_eq!(batch.transactions.len(), 2);
        let bytes = most + 1;
        assert_eq!(
            batch.refusal,
            Some(Refusal::TooLarge { position: 2, bytes })
        );

        let mut damaged = body(&[good]);
        damaged.truncate(damaged.len() - 9);
        damaged.extend([0x0a, 2, 0xff, 0xff]);
        let batch = transactions(damaged.into());
        assert_eq!(batch.transactions.len(), 1);
        let refusal = batch.refusal.unwrap();
        assert!(matches!(
            refusal,
            Refusal::NoTransaction { position: 1, .. }
        ));
        assert!(!refusal.is_temporary());
    }

    #[test]
    fn more_transactions_than_a_batch_may_have_are_left_to_the_next_one() {
        let empty = [0x0a, 0].repeat(MAX_BATCH_TRANSACTIONS + 1);
        let batch = transactions(empty.into());
        assert_eq!(batch.transactions.len(), MAX_BATCH_TRANSACTIONS);
        assert_eq!(batch.refusal, Some(Refusal::TooMany));
        assert!(Refusal::TooMany.is_temporary());
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused() {
        let cases: [&[u8]; 5] = [&[0x0a], &[0x0a, 5, 1], &[0x0b], &[0x80], &[0xff; 11]];
        for body in cases {
            let batch = transactions(Bytes::copy_from_slice(body));
            let refused = matches!(batch.refusal, Some(Refusal::NoBatch { position: 0, .. }));
            assert!(refused, "{body:?}: {batch:?}");
        }
    }
}
