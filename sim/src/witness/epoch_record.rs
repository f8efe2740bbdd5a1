//! The record of an epoch in the store of a node.

use super::{
    ChangeStep, EpochRecord, Member, SeenBoundary,
    bcs::{Malformed, Reader},
    blocks::commit_ref,
    peers::chain,
};
use bytes::Bytes;
use metanode_core::types::{Epoch, GlobalExecIndex, TimestampMs};

/// The record under this key.
///
/// # Errors
/// If it does not decode or is that of another epoch.
pub(super) fn record(key: &[u8], value: &Bytes) -> Result<EpochRecord, Malformed> {
    let Ok(expected) = key.try_into().map(u64::from_be_bytes) else {
        return Err(format!("{key:02x?} is no key of a record"));
    };
    let damaged = |reason: String| format!("the record of epoch {expected}: {reason}");
    let found = decode_record(value.clone()).map_err(damaged)?;
    if found.epoch != Epoch(expected) {
        return Err(damaged(format!("found that of epoch {}", found.epoch)));
    }
    Ok(found)
}

fn decode_record(bytes: Bytes) -> Result<EpochRecord, Malformed> {
    let mut reader = Reader::new(bytes);
    let epoch = Epoch(reader.u64()?);
    let base = GlobalExecIndex(reader.u64()?);
    let start_ms = TimestampMs(reader.u64()?);
    let committee = committee(&mut reader, epoch)?;
    chain(&mut reader)?;
    let step = step(&mut reader)?;
    reader.end()?;
    Ok(EpochRecord {
        epoch,
        base,
        start_ms,
        committee,
        step,
    })
}

fn committee(reader: &mut Reader, epoch: Epoch) -> Result<Vec<Member>, Malformed> {
    let of_epoch = Epoch(reader.u64()?);
    let members = reader.list(member)?;
    let total = reader.u64()?;
    if of_epoch != epoch {
        return Err(format!("its committee is that of epoch {of_epoch}"));
    }
    let sum: u128 = members.iter().map(|member| u128::from(member.stake)).sum();
    if sum != u128::from(total) {
        return Err(format!("the stakes are {sum}, their total is {total}"));
    }
    Ok(members)
}

fn member(reader: &mut Reader) -> Result<Member, Malformed> {
    let (authority_key, protocol_key) = (reader.bytes()?.to_vec(), reader.array()?);
    let _network_key = reader.array::<32>()?;
    let member = Member {
        authority_key,
        protocol_key,
        stake: reader.u64()?,
        address: reader.array::<20>()?.to_vec(),
    };
    p2p_address(reader)?;
    let _name = reader.bytes()?;
    Ok(member)
}

/// Skips an IP address and a port.
fn p2p_address(reader: &mut Reader) -> Result<(), Malformed> {
    match reader.uleb()? {
        0 => reader.array::<4>().map(|_| ())?,
        1 => reader.array::<16>().map(|_| ())?,
        other => return Err(format!("IP version {other} does not exist")),
    }
    let _port = reader.array::<2>()?;
    Ok(())
}

fn step(reader: &mut Reader) -> Result<ChangeStep, Malformed> {
    let step = match reader.uleb()? {
        0 => return Ok(ChangeStep::Running),
        1 => ChangeStep::BoundaryCommitted,
        2 => ChangeStep::Drained,
        3 => ChangeStep::Advanced,
        other => return Err(format!("step {other} does not exist")),
    };
    let (commit, digest) = commit_ref(reader)?;
    Ok(step(SeenBoundary {
        commit,
        digest,
        gei: GlobalExecIndex(reader.u64()?),
        timestamp_ms: TimestampMs(reader.u64()?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::types::{
        self, Authority, Boundary, Chain, CommitDigest, CommitIndex, CommitRef, Committee,
        EpochBase, EpochStart, NetworkKey, PublicKey, Stake,
    };
    use proptest::prelude::*;
    use std::sync::Arc;

    const EPOCH: Epoch = Epoch(3);
    const KEY: [u8; 8] = EPOCH.0.to_be_bytes();

    fn record_bytes(total: u64, step: types::ChangeStep) -> Vec<u8> {
        let authority = |key: u8, stake| Authority {
            authority_key: vec![key; 3],
            protocol_key: PublicKey([key; 32]),
            network_key: NetworkKey([key; 32]),
            stake: Stake(stake),
            address: [key; 20],
            p2p_address: ([127, 0, 0, 1], 1).into(),
            name: "validator".to_owned(),
        };
        let members = vec![authority(1, 7), authority(2, total - 7)];
        let start = EpochStart {
            base: EpochBase {
                epoch: EPOCH,
                base: GlobalExecIndex(11),
            },
            timestamp_ms: TimestampMs(99),
            committee: Arc::new(Committee::new(EPOCH, members).unwrap()),
            chain: Chain::default(),
        };
        // A struct is encoded like the tuple of its fields.
        bcs::to_bytes(&(start, step)).unwrap()
    }

    #[test]
    fn the_record_of_an_epoch_is_seen_as_it_is() {
        let boundary = Boundary {
            commit: CommitRef {
                index: CommitIndex(4),
                digest: CommitDigest([8; 32]),
            },
            gei: GlobalExecIndex(15),
            timestamp_ms: TimestampMs(120),
        };
        let seen = SeenBoundary {
            commit: boundary.commit.index,
            digest: boundary.commit.digest,
            gei: boundary.gei,
            timestamp_ms: boundary.timestamp_ms,
        };
        use types::ChangeStep as Step;
        for (step, expected) in [
            (Step::Running, ChangeStep::Running),
            (
                Step::BoundaryCommitted(boundary),
                ChangeStep::BoundaryCommitted(seen),
            ),
            (Step::Drained(boundary), ChangeStep::Drained(seen)),
            (Step::Advanced(boundary), ChangeStep::Advanced(seen)),
        ] {
            let found = record(&KEY, &record_bytes(10, step).into());
            let member = |key: u8, stake| Member {
                authority_key: vec![key; 3],
                protocol_key: [key; 32],
                stake,
                address: vec![key; 20],
            };
            let record = EpochRecord {
                epoch: EPOCH,
                base: GlobalExecIndex(11),
                start_ms: TimestampMs(99),
                committee: vec![member(1, 7), member(2, 3)],
                step: expected,
            };
            assert_eq!(found, Ok(record));
        }
    }

    #[test]
    fn a_record_that_is_not_what_its_key_says_is_damaged() {
        let bytes = record_bytes(10, types::ChangeStep::Running);
        let cut = &bytes[..bytes.len() - 1];
        for (key, value) in [(&[0; 8][..], &bytes[..]), (&[3], &bytes), (&KEY, cut)] {
            assert!(record(key, &Bytes::copy_from_slice(value)).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_read(position: prop::sample::Index, byte: u8) {
            let mut bytes = record_bytes(10, types::ChangeStep::Running);
            let position = position.index(bytes.len());
            bytes[position] = byte;
            let _ = record(&KEY, &bytes.into());
        }
    }
}
