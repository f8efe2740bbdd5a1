//! Client transactions: opaque bytes in consensus, decoded only to compute the hash.

use super::fixed_bytes;
use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use sha3::{Digest, Keccak256};
use std::fmt;

/// A transaction as the client sent it: the bytes of a [`ClientTransaction`], opaque to consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transaction(pub Bytes);

/// Keccak-256 of the protobuf `TransactionHashData` (contract §3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionHash(#[serde(with = "fixed_bytes")] pub [u8; 32]);

impl fmt::Display for TransactionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TransactionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `Transactions` of contract §3, with each transaction encoded.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Transactions {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub transactions: Vec<Bytes>,
}

/// `Transaction` of contract §3.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClientTransaction {
    #[prost(bytes = "bytes", tag = "1")]
    pub to_address: Bytes,
    /// Big-endian, without leading zeros.
    #[prost(bytes = "bytes", tag = "3")]
    pub amount: Bytes,
    #[prost(uint64, tag = "4")]
    pub max_gas: u64,
    #[prost(uint64, tag = "5")]
    pub max_gas_price: u64,
    #[prost(uint64, tag = "6")]
    pub max_time_use: u64,
    #[prost(bytes = "bytes", tag = "7")]
    pub data: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub related_addresses: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "9")]
    pub last_device_key: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub new_device_key: Bytes,
    #[prost(bytes = "bytes", tag = "11")]
    pub sign: Bytes,
    /// Big-endian.
    #[prost(bytes = "bytes", tag = "12")]
    pub nonce: Bytes,
    #[prost(bytes = "bytes", tag = "13")]
    pub from_address: Bytes,
    #[prost(bool, tag = "14")]
    pub read_only: bool,
    #[prost(uint64, tag = "15")]
    pub chain_id: u64,
    #[prost(uint64, tag = "16")]
    pub r#type: u64,
    #[prost(bytes = "bytes", tag = "17")]
    pub r: Bytes,
    #[prost(bytes = "bytes", tag = "18")]
    pub s: Bytes,
    #[prost(bytes = "bytes", tag = "19")]
    pub v: Bytes,
    #[prost(bytes = "bytes", tag = "20")]
    pub gas_tip_cap: Bytes,
    #[prost(bytes = "bytes", tag = "21")]
    pub gas_fee_cap: Bytes,
    #[prost(message, repeated, tag = "22")]
    pub access_list: Vec<AccessTuple>,
}

/// One entry of an access list.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccessTuple {
    #[prost(bytes = "bytes", tag = "1")]
    pub address: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub storage_keys: Vec<Bytes>,
}

/// The hashed part of a transaction: all fields except the signature and the routing hints.
#[derive(Clone, PartialEq, Eq, Message)]
struct TransactionHashData {
    #[prost(bytes = "bytes", tag = "1")]
    from_address: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    to_address: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    amount: Bytes,
    #[prost(uint64, tag = "4")]
    max_gas: u64,
    #[prost(uint64, tag = "5")]
    max_gas_price: u64,
    #[prost(uint64, tag = "6")]
    max_time_use: u64,
    #[prost(bytes = "bytes", tag = "7")]
    data: Bytes,
    #[prost(uint64, tag = "8")]
    r#type: u64,
    #[prost(bytes = "bytes", tag = "9")]
    last_device_key: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    new_device_key: Bytes,
    #[prost(bytes = "bytes", tag = "11")]
    nonce: Bytes,
    #[prost(uint64, tag = "12")]
    chain_id: u64,
    #[prost(bytes = "bytes", tag = "13")]
    r: Bytes,
    #[prost(bytes = "bytes", tag = "14")]
    s: Bytes,
    #[prost(bytes = "bytes", tag = "15")]
    v: Bytes,
    #[prost(bytes = "bytes", tag = "16")]
    gas_tip_cap: Bytes,
    #[prost(bytes = "bytes", tag = "17")]
    gas_fee_cap: Bytes,
    #[prost(message, repeated, tag = "18")]
    access_list: Vec<AccessTuple>,
}

/// The nonce of a sender that a transaction uses. The transaction hash covers both, so applying a transaction twice
/// is using a nonce twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpentNonce {
    #[serde(with = "fixed_bytes")]
    pub sender: [u8; 20],
    pub nonce: u64,
}

impl fmt::Display for SpentNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.sender[..8] {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "#{}", self.nonce)
    }
}

impl fmt::Debug for SpentNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClientTransaction {
    /// The hash that orders and deduplicates transactions.
    #[must_use]
    pub fn hash(self) -> TransactionHash {
        let covered = TransactionHashData {
            from_address: self.from_address,
            to_address: self.to_address,
            amount: self.amount,
            max_gas: self.max_gas,
            max_gas_price: self.max_gas_price,
            max_time_use: self.max_time_use,
            data: self.data,
            r#type: self.r#type,
            last_device_key: self.last_device_key,
            new_device_key: self.new_device_key,
            nonce: self.nonce,
            chain_id: self.chain_id,
            r: self.r,
            s: self.s,
            v: self.v,
            gas_tip_cap: self.gas_tip_cap,
            gas_fee_cap: self.gas_fee_cap,
            access_list: self.access_list,
        };
        TransactionHash(Keccak256::digest(covered.encode_to_vec()).into())
    }
}

impl Transaction {
    /// The hash of this transaction. Bytes that do not decode (only a faulty validator proposes such) are hashed as
    /// they are, so that every node orders them in the same way.
    #[must_use]
    pub fn hash(&self) -> TransactionHash {
        match ClientTransaction::decode(self.0.clone()) {
            Ok(transaction) => transaction.hash(),
            Err(_) => TransactionHash(Keccak256::digest(&self.0).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_the_nonce_but_not_the_signature() {
        let transaction = ClientTransaction {
            from_address: vec![1; 20].into(),
            nonce: vec![7].into(),
            sign: vec![1].into(),
            ..Default::default()
        };
        let resigned = ClientTransaction {
            sign: vec![2].into(),
            ..transaction.clone()
        };
        let next = ClientTransaction {
            nonce: vec![8].into(),
            ..transaction.clone()
        };
        assert_eq!(transaction.clone().hash(), resigned.hash());
        assert_ne!(transaction.hash(), next.hash());
    }
}
