//! Messages between nodes, in BCS. A connection begins with two greetings, which carry a handshake; the first encrypted
//! message says what the rest of it is.

use super::{
    bcs::{Malformed, Reader},
    blocks::block_ref,
};
use bytes::Bytes;

/// What follows the first message of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The listener streams its own blocks, one a frame. The other end sends nothing more.
    Subscribe,
    /// Requests are answered one after the other.
    Query,
    /// A node without a seat sends batches, as on a transaction socket.
    HandOver,
}

/// Decodes a `Hello`. Returns the caller's ephemeral key, which names the session.
///
/// # Errors
/// If it is no such message.
pub(super) fn hello(body: Bytes) -> Result<[u8; 32], Malformed> {
    let mut reader = Reader::new(body);
    chain(&mut reader)?;
    let _epoch = reader.u64()?;
    let _from = reader.option(Reader::u16)?;
    let handshake = reader.bytes()?;
    reader.end()?;
    let key = handshake.first_chunk();
    key.copied()
        .ok_or_else(|| "a hello without a key".to_owned())
}

/// Decodes the purpose of a connection.
///
/// # Errors
/// If it is no such message.
pub(super) fn purpose(body: Bytes) -> Result<Purpose, Malformed> {
    let mut reader = Reader::new(body);
    let purpose = match reader.uleb()? {
        0 => {
            let _after_round = reader.u32()?;
            Purpose::Subscribe
        }
        1 => Purpose::Query,
        2 => Purpose::HandOver,
        other => return Err(format!("purpose {other} of a connection does not exist")),
    };
    reader.end()?;
    Ok(purpose)
}

/// Checks a `Welcome`.
///
/// # Errors
/// If it is no such message.
pub(super) fn welcome(body: Bytes) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    chain(&mut reader)?;
    match reader.uleb()? {
        0 => {
            let _handshake = reader.bytes()?;
        }
        1 => {}
        2 => {
            let (_oldest, _newest) = (reader.u64()?, reader.u64()?);
        }
        other => return Err(format!("reply {other} to a hello does not exist")),
    }
    reader.end()
}

/// Skips the identity of a chain.
pub(super) fn chain(reader: &mut Reader) -> Result<(), Malformed> {
    let _genesis = reader.sized::<32>()?;
    let (_gc_depth_rounds, _leaders_per_round) = (reader.u32()?, reader.u32()?);
    let (_max_commit_bytes, _epoch_start_granularity_ms) = (reader.u32()?, reader.u32()?);
    Ok(())
}

/// Checks a `PeerRequest`.
///
/// # Errors
/// If it is no such message.
pub(super) fn request(body: Bytes) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    match reader.uleb()? {
        0 => {
            reader.list(|reader| block_ref(reader).map(|_| ()))?;
        }
        1 => {
            let _from = reader.u32()?;
            let _to = reader.u32()?;
        }
        2 => {
            let _author = reader.u16()?;
        }
        other => return Err(format!("request {other} does not exist")),
    }
    reader.end()
}

/// The bytes of the blocks in a `PeerResponse`, in order.
///
/// # Errors
/// If it is no such message.
pub(super) fn response(body: Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut reader = Reader::new(body);
    let blocks = match reader.uleb()? {
        0 => reader.list(Reader::bytes)?,
        1 => {
            let _commits = reader.list(Reader::bytes)?;
            let voters = reader.list(Reader::bytes)?;
            reader.list(|reader| block_ref(reader).map(|_| ()))?;
            voters
        }
        2 => Vec::from_iter(reader.option(Reader::bytes)?),
        3 => vec![],
        other => return Err(format!("response {other} does not exist")),
    };
    reader.end()?;
    Ok(blocks)
}
