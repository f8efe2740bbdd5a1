//! Client transactions: how their bytes are read and which hash they have (contract §3).

use super::protobuf::{Value, fields};
use metanode_core::types::TransactionHash;
use rustc_hash::FxHashMap;
use sha3::{Digest, Keccak256};
use std::cell::RefCell;
use xxhash_rust::xxh3::xxh3_128;

/// The known fields of a message with their numbers, in the order of its bytes. Of a field that is no list, the last value
/// counts.
struct Message<'a>(Vec<(u64, Value<'a>)>);

/// The fields of a transaction.
pub(crate) struct Transaction<'a>(Message<'a>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Bytes,
    ListOfBytes,
    ListOfAccess,
}

/// Number in `Transaction`, kind, and number in `TransactionHashData` of the fields that the hash covers, in the order of
/// that.
const FIELDS: [(u64, Kind, Option<u64>); 21] = [
    (Transaction::FROM_ADDRESS, Kind::Bytes, Some(1)),
    (Transaction::TO_ADDRESS, Kind::Bytes, Some(2)),
    (Transaction::AMOUNT, Kind::Bytes, Some(3)),
    (4, Kind::Number, Some(4)),  // MaxGas
    (5, Kind::Number, Some(5)),  // MaxGasPrice
    (6, Kind::Number, Some(6)),  // MaxTimeUse
    (7, Kind::Bytes, Some(7)),   // Data
    (16, Kind::Number, Some(8)), // Type
    (9, Kind::Bytes, Some(9)),   // LastDeviceKey
    (10, Kind::Bytes, Some(10)), // NewDeviceKey
    (Transaction::NONCE, Kind::Bytes, Some(11)),
    (15, Kind::Number, Some(12)),       // ChainID
    (17, Kind::Bytes, Some(13)),        // R
    (18, Kind::Bytes, Some(14)),        // S
    (19, Kind::Bytes, Some(15)),        // V
    (20, Kind::Bytes, Some(16)),        // GasTipCap
    (21, Kind::Bytes, Some(17)),        // GasFeeCap
    (22, Kind::ListOfAccess, Some(18)), // AccessList
    (8, Kind::ListOfBytes, None),       // RelatedAddresses
    (11, Kind::Bytes, None),            // Sign
    (14, Kind::Number, None),           // ReadOnly
];

/// Fields of an entry of an access list: Address, StorageKeys.
const ACCESS_FIELDS: [(u64, Kind); 2] = [(1, Kind::Bytes), (2, Kind::ListOfBytes)];

/// A number of at most 128 bits, with any number of zeros before it.
pub(crate) fn big_endian(bytes: &[u8]) -> Option<u128> {
    let mut number = 0u128;
    for byte in bytes {
        number = number.checked_mul(256)? + u128::from(*byte);
    }
    Some(number)
}

impl Transaction<'_> {
    pub const TO_ADDRESS: u64 = 1;
    pub const AMOUNT: u64 = 3;
    pub const NONCE: u64 = 12;
    pub const FROM_ADDRESS: u64 = 13;
}

impl<'a> Transaction<'a> {
    /// Reads a transaction. `None` if the bytes are none. Unknown fields are skipped.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let message = Message::read(bytes, |number| {
            let field = FIELDS.iter().find(|(known, ..)| *known == number);
            field.map(|(_, kind, _)| *kind)
        })?;
        for entry in message.values(22) {
            read_access(entry.bytes())?;
        }
        Some(Self(message))
    }

    /// A field of bytes.
    pub fn bytes(&self, number: u64) -> &'a [u8] {
        self.0.values(number).last().map_or(&[], Value::bytes)
    }

    /// The encoded `TransactionHashData`.
    fn hash_data(&self) -> Vec<u8> {
        let mut encoded = vec![];
        for (number, kind, hashed_as) in FIELDS {
            let Some(hashed_as) = hashed_as else { continue };
            let values = self.0.values(number);
            if kind != Kind::ListOfAccess {
                write(&mut encoded, hashed_as, kind, values);
                continue;
            }
            for entry in values {
                let of_entry = read_access(entry.bytes());
                let mut entry = vec![];
                for (number, kind) in ACCESS_FIELDS {
                    let values = of_entry.iter().flat_map(|of_entry| of_entry.values(number));
                    write(&mut entry, number, kind, values);
                }
                write_bytes(&mut encoded, hashed_as, &entry);
            }
        }
        encoded
    }
}

/// Hashes that are remembered, at most: a transaction is hashed when it is submitted, stored and committed.
const REMEMBERED: usize = 1 << 14;

thread_local! {
    /// By a checksum of the bytes.
    static KNOWN: RefCell<FxHashMap<u128, TransactionHash>> = RefCell::default();
}

/// The hash of these bytes as a transaction (contract §3.3).
pub(crate) fn hash(bytes: &[u8]) -> TransactionHash {
    KNOWN.with_borrow_mut(|known| {
        if known.len() == REMEMBERED {
            known.clear();
        }
        let hash = known.entry(xxh3_128(bytes));
        *hash.or_insert_with(|| compute_hash(bytes))
    })
}

fn compute_hash(bytes: &[u8]) -> TransactionHash {
    let digest = match Transaction::decode(bytes) {
        Some(transaction) => Keccak256::digest(transaction.hash_data()),
        None => Keccak256::digest(bytes),
    };
    TransactionHash(digest.into())
}

fn read_access(entry: &[u8]) -> Option<Message<'_>> {
    Message::read(entry, |number| {
        let field = ACCESS_FIELDS.iter().find(|(known, _)| *known == number);
        field.map(|(_, kind)| *kind)
    })
}

impl<'a> Message<'a> {
    /// `None` if the bytes are no message, or one of the known fields has another type.
    fn read(message: &'a [u8], kind_of: impl Fn(u64) -> Option<Kind>) -> Option<Self> {
        let mut values = vec![];
        for field in fields(message) {
            let (number, value) = field.ok()?;
            let Some(kind) = kind_of(number) else {
                continue;
            };
            let is_expected = match kind {
                Kind::Number => matches!(value, Value::Varint(_)),
                Kind::Bytes | Kind::ListOfBytes | Kind::ListOfAccess => {
                    matches!(value, Value::Bytes(_))
                }
            };
            if !is_expected {
                return None;
            }
            values.push((number, value));
        }
        Some(Self(values))
    }

    fn values(&self, number: u64) -> impl Iterator<Item = Value<'a>> {
        let of_field = self.0.iter().filter(move |(of, _)| *of == number);
        of_field.map(|(_, value)| *value)
    }
}

/// Writes a field. Protobuf leaves out a single value that is zero or empty.
fn write<'a>(to: &mut Vec<u8>, number: u64, kind: Kind, values: impl Iterator<Item = Value<'a>>) {
    match kind {
        Kind::Number => match values.last().map_or(0, |value| value.number()) {
            0 => {}
            value => {
                varint(to, number << 3);
                varint(to, value);
            }
        },
        Kind::Bytes => match values.last().map_or(&[][..], Value::bytes) {
            [] => {}
            bytes => write_bytes(to, number, bytes),
        },
        Kind::ListOfBytes | Kind::ListOfAccess => {
            values.for_each(|value| write_bytes(to, number, value.bytes()));
        }
    }
}

fn write_bytes(to: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(to, number << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend(bytes);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use metanode_core::types::{AccessTuple, ClientTransaction, Transaction as OfNode};
    use proptest::prelude::*;
    use prost::Message;

    fn is_hashed_alike(bytes: Bytes) {
        let theirs = OfNode(bytes.clone()).hash();
        assert_eq!(hash(&bytes), theirs, "{bytes:02x?}");
        let (ours, theirs) = (
            Transaction::decode(&bytes),
            ClientTransaction::decode(bytes.clone()).ok(),
        );
        assert_eq!(ours.is_some(), theirs.is_some(), "{bytes:02x?}");
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            assert_eq!(ours.bytes(Transaction::FROM_ADDRESS), theirs.from_address);
            assert_eq!(ours.bytes(Transaction::TO_ADDRESS), theirs.to_address);
            assert_eq!(ours.bytes(Transaction::AMOUNT), theirs.amount);
            assert_eq!(ours.bytes(Transaction::NONCE), theirs.nonce);
        }
    }

    fn small() -> impl Strategy<Value = Bytes> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            prop::collection::vec(any::<u8>(), 120..140),
        ]
        .prop_map(Bytes::from)
    }

    fn transaction() -> impl Strategy<Value = ClientTransaction> {
        let access = (small(), prop::collection::vec(small(), 0..3)).prop_map(|(address, keys)| {
            AccessTuple {
                address,
                storage_keys: keys,
            }
        });
        let numbers = prop::array::uniform5(prop_oneof![Just(0), 0u64..300, any::<u64>()]);
        let lists = (
            prop::collection::vec(small(), 0..3),
            prop::collection::vec(access, 0..3),
        );
        (
            prop::collection::vec(small(), 13),
            numbers,
            lists,
            any::<bool>(),
        )
            .prop_map(
                |(
                    bytes,
                    [max_gas, max_gas_price, max_time_use, chain_id, kind],
                    lists,
                    read_only,
                )| {
                    let mut bytes = bytes.into_iter();
                    let mut next = || bytes.next().unwrap();
                    ClientTransaction {
                        to_address: next(),
                        amount: next(),
                        max_gas,
                        max_gas_price,
                        max_time_use,
                        data: next(),
                        related_addresses: lists.0,
                        last_device_key: next(),
                        new_device_key: next(),
                        sign: next(),
                        nonce: next(),
                        from_address: next(),
                        read_only,
                        chain_id,
                        r#type: kind,
                        r: next(),
                        s: next(),
                        v: next(),
                        gas_tip_cap: next(),
                        gas_fee_cap: next(),
                        access_list: lists.1,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn transactions_are_hashed_as_by_the_node(transaction in transaction()) {
            is_hashed_alike(transaction.encode_to_vec().into());
        }

        #[test]
        fn damaged_transactions_are_hashed_as_by_the_node(
            transaction in transaction(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = transaction.encode_to_vec();
            for (position, value) in damage {
                if !bytes.is_empty() {
                    let position = position.index(bytes.len());
                    bytes[position] = value;
                }
            }
            is_hashed_alike(bytes.clone().into());
            bytes.truncate(length.index(bytes.len() + 1));
            is_hashed_alike(bytes.into());
        }

        #[test]
        fn noise_is_hashed_as_by_the_node(bytes in prop::collection::vec(prop_oneof![0u8..32, any::<u8>()], 0..50)) {
            is_hashed_alike(bytes.into());
        }
    }

    #[test]
    fn odd_encodings_are_read_as_by_the_node() {
        let most = [0xff; 9];
        let cases: [&[u8]; 14] = [
            b"",
            &[0x00],
            &[0x10, 0x05],                      // an unknown field
            &[0x13, 0x14],                      // an unknown, empty group
            &[0x13, 0x1b, 0x08, 1, 0x1c, 0x14], // a group in a group
            &[0x13, 0x1c],                      // the end of another group
            &[0x13],
            &[0x14],
            &[0x0b, 0x0c],                   // a group in place of an address
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8], // a number of the wrong type
            &[0x1a, 1, 7, 0x1a, 0],          // twice; the last one counts
            &[0xb2, 0x01, 2, 0x08, 1],       // an access list with a number as address
            &[&[0x20][..], &most, &[0x01]].concat(),
            &[&[0x20][..], &most, &[0x02]].concat(),
        ];
        for bytes in cases {
            is_hashed_alike(Bytes::copy_from_slice(bytes));
        }
        for depth in [99, 100, 101] {
            let nested = [vec![0x13; depth], vec![0x14; depth]].concat();
            is_hashed_alike(nested.into());
        }
    }
}
