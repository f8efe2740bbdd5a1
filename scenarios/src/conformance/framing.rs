//! Clauses of the block stream's frames.

use super::session::{Probe, Session};
use bytes::Bytes;
use metanode_core::{
    framing::Framing,
    types::{ClientTransaction, GlobalExecIndex},
};
use prost::Message;

/// Blocks in one write.
const SEVERAL: u64 = 5;
/// Large blocks: together more than one answer to `GetBlocksRange` can hold.
const LARGE_BLOCKS: u64 = 12;
/// Of each.
const LARGE_TRANSACTIONS: u64 = 16;
const LARGE_TRANSACTION_BYTES: usize = 64 * 1024;

impl Session {
    pub fn stream_frame(&mut self) -> Probe {
        self.deliver(1)?;
        self.deliver(1).map(drop)
    }

    pub fn stream_split(&mut self) -> Probe {
        let first = self.watermark()?.next();
        let [one, two] = [self.frame(first)?, self.frame(first.next())?];
        let mut stream = self.stream()?;
        for byte in &one {
            self.write(&mut stream, &[*byte])?;
        }
        self.reaches(&mut stream, first)?;
        // A write that ends within the length, and one that ends within the body.
        for piece in [&two[..1], &two[1..two.len() / 2], &two[two.len() / 2..]] {
            self.write(&mut stream, piece)?;
        }
        self.reaches(&mut stream, first.next())
    }

    pub fn stream_several(&mut self) -> Probe {
        self.deliver(SEVERAL).map(drop)
    }

    pub fn stream_uvarint(&mut self) -> Probe {
        let next = self.watermark()?.next();
        let body = self.chain.body(next)?;
        self.watermarks.delivered(next);
        let frame = [&padded_length(body.len() as u64)[..], &body].concat();
        let mut stream = self.stream()?;
        self.write(&mut stream, &frame)?;
        self.reaches(&mut stream, next)
    }

    pub fn stream_large(&mut self) -> Probe {
        let first = self.watermark()?.next();
        let transactions: Vec<Bytes> = (0..LARGE_TRANSACTIONS).map(large_transaction).collect();
        for gei in first.0..first.0 + LARGE_BLOCKS {
            self.chain.body_with(GlobalExecIndex(gei), &transactions)?;
        }
        self.deliver(LARGE_BLOCKS).map(drop)
    }

    pub fn stream_partial(&mut self) -> Probe {
        let watermark = self.watermark()?;
        let frame = self.frame(watermark.next())?;
        for end in [1, frame.len() / 2, frame.len() - 1] {
            let mut stream = self.stream()?;
            self.write(&mut stream, &frame[..end])?;
            stream.close();
        }
        self.stands_still(None, watermark, "parts of the next block")?;
        self.deliver(1).map(drop)
    }

    pub fn stream_length(&mut self) -> Probe {
        let watermark = self.watermark()?;
        let mut above = vec![];
        prost::encoding::encode_varint(Framing::BLOCK_STREAM.limit_bytes as u64 + 1, &mut above);
        let more_than_64_bits = [&[0xff; 9][..], &[2]].concat();
        for (length, after) in [
            (vec![0], "a block of length 0"),
            (above, "a block of more than 64 MiB is announced"),
            (more_than_64_bits, "a length of more than 64 bits"),
        ] {
            let mut stream = self.stream()?;
            self.write(&mut stream, &length)?;
            let closed = self.is_closed(&mut stream, after);
            closed.map_err(|failure| failure.shown_by(&length))?;
        }
        self.stands_still(None, watermark, "invalid lengths")?;
        self.deliver(1).map(drop)
    }
}

/// A LEB128 number with two bytes more than necessary.
fn padded_length(length: u64) -> Vec<u8> {
    let mut bytes = vec![];
    prost::encoding::encode_varint(length, &mut bytes);
    if let Some(last) = bytes.last_mut() {
        *last |= 0x80;
    }
    bytes.extend([0x80, 0x00]);
    bytes
}

/// A transaction that changes nothing but a nonce, if anything.
fn large_transaction(nonce: u64) -> Bytes {
    let account = Bytes::from_static(&[0xc0; 20]);
    let transaction = ClientTransaction {
        from_address: account.clone(),
        to_address: account,
        amount: Bytes::new(),
        nonce: nonce.to_be_bytes().to_vec().into(),
        data: vec![0; LARGE_TRANSACTION_BYTES].into(),
        ..ClientTransaction::default()
    };
    transaction.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_length_is_the_same_number() {
        for length in [1, 127, 128, 1 << 20] {
            let padded = padded_length(length);
            let decoded = prost::encoding::decode_varint(&mut &padded[..]);
            assert_eq!(decoded.unwrap(), length);
        }
    }
}
