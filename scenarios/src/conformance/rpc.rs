//! Clauses of the executor RPC: kinds, order, frames.

use super::{
    rpc_client::{Connection, frame_of, frame_of_body, kind_for, violation},
    session::{Failure, Probe, Session},
};
use crate::clauses::Violation;
use metanode_core::{
    executor::wire::{
        BlockRequest, GetActiveValidators, GetBlocksRange, GetCurrentEpoch, GetEpochBoundaryData,
        GetEpochStartTimestamp, GetLastBlockNumber, GetValidatorsAtBlock, Request, RequestPayload,
        StatusRequest,
    },
    framing::Framing,
};
use prost::Message;

/// A body of this size is within the limit of 10 MB, however that is counted.
const LARGE_REQUEST_BYTES: usize = 10_000_000;
/// The tag of a field that no version of the messages has, with a length behind it.
const UNKNOWN_FIELD: [u8; 3] = [0xfa, 0xff, 0x01];

impl Session {
    /// Every request that changes nothing.
    fn questions(&mut self) -> Result<Vec<RequestPayload>, Failure> {
        let (block_number, epoch) = (self.watermark()?.0, self.chain.base().epoch.0);
        Ok(vec![
            RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}),
            RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}),
            RequestPayload::GetActiveValidators(GetActiveValidators {}),
            RequestPayload::GetValidatorsAtBlock(GetValidatorsAtBlock { block_number }),
            RequestPayload::GetEpochStartTimestamp(GetEpochStartTimestamp { epoch }),
            RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch }),
            RequestPayload::GetBlocksRange(GetBlocksRange {
                from: block_number + 1,
                to: block_number + 1,
                skip_bytes: 0,
            }),
        ])
    }

    pub fn rpc_kinds(&mut self) -> Probe {
        for request in self.questions()? {
            let kind = kind_for(&request);
            let sent = frame_of(request.clone());
            let answer = self.ask(request)?;
            if answer.kind() != kind {
                let expected = format!("{kind} to the request {}", super::hex(&sent));
                return Err(answer.unexpected(expected).into());
            }
        }
        Ok(())
    }

    pub fn rpc_order(&mut self) -> Probe {
        let mut questions = vec![];
        for request in self.questions()? {
            // What it is answered with alone: a request that is not served says nothing about the order.
            let kind = self.ask(request.clone())?.kind();
            questions.push((request, kind));
        }
        // Twice, the second time the other way round: neighbours differ in kind, and each comes early and late.
        let requests = questions.iter().chain(questions.iter().rev());
        let (requests, kinds): (Vec<_>, Vec<_>) = requests.cloned().unzip();
        let frames: Vec<u8> = (requests.into_iter()).flat_map(frame_of).collect();
        let mut connection = self.connect("a connection for requests")?;
        write(&mut connection, &frames)?;
        for (number, kind) in (1..).zip(kinds) {
            let answer = connection.answer(&format!("pipelined request {number}"))?;
            if answer.kind() != kind {
                let expected = format!("{kind} as response {number}");
                return Err(answer.unexpected(expected).into());
            }
        }
        Ok(())
    }

    pub fn rpc_split(&mut self) -> Probe {
        let first = frame_of(RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}));
        let second = frame_of(RequestPayload::GetEpochStartTimestamp(
            GetEpochStartTimestamp {
                epoch: self.chain.base().epoch.0,
            },
        ));
        let mut connection = self.connect("a connection for requests")?;
        for byte in &first {
            write(&mut connection, &[*byte])?;
        }
        expect_kind(&mut connection, "CurrentEpoch", "a request byte by byte")?;
        // The next one begins in the same write in which this one ends.
        let (head, tail) = second.split_at(3);
        write(&mut connection, &[&first, head].concat())?;
        expect_kind(
            &mut connection,
            "CurrentEpoch",
            "a request before half of one",
        )?;
        write(&mut connection, tail)?;
        expect_kind(
            &mut connection,
            "EpochStartTimestamp",
            "a request in two writes",
        )
    }

    pub fn rpc_unknown(&mut self) -> Probe {
        let body = |payload| Request::from(payload).encode_to_vec();
        let cases = [
            ("BlockRequest", body(RequestPayload::Block(BlockRequest {}))),
            (
                "StatusRequest",
                body(RequestPayload::Status(StatusRequest {})),
            ),
            (
                "a request of a later version",
                [&UNKNOWN_FIELD[..], &[0]].concat(),
            ),
        ];
        let mut connection = self.connect("a connection for requests")?;
        for (what, body) in cases {
            write(&mut connection, &frame_of_body(&body))?;
            expect_kind(&mut connection, "error", what)?;
        }
        let again = frame_of(RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}));
        write(&mut connection, &again)?;
        expect_kind(&mut connection, "CurrentEpoch", "the next request")
    }

    pub fn rpc_length(&mut self) -> Probe {
        let mut connection = self.connect("a connection for requests")?;
        let large = large_request();
        write(&mut connection, &frame_of_body(&large))?;
        let what = "a request of 10 MB with a field of a later version";
        expect_kind(&mut connection, "CurrentEpoch", what)?;
        let above = u32::try_from(Framing::RPC.limit_bytes + 1).unwrap_or(u32::MAX);
        for (length, after) in [
            (0, "a request of length 0".to_owned()),
            (above, format!("a request of {above} bytes is announced")),
            (
                u32::MAX,
                format!("a request of {} bytes is announced", u32::MAX),
            ),
        ] {
            let mut connection = self.connect("a connection for requests")?;
            let header = length.to_be_bytes();
            write(&mut connection, &header)?;
            let closed = connection.is_closed(&after);
            closed.map_err(|violation| violation.shown_by(&header))?;
        }
        Ok(())
    }
}

/// A known request that an unknown field makes large.
fn large_request() -> Vec<u8> {
    let mut body =
        Request::from(RequestPayload::GetCurrentEpoch(GetCurrentEpoch {})).encode_to_vec();
    body.extend(UNKNOWN_FIELD);
    // The length of the field takes four bytes.
    let padding = LARGE_REQUEST_BYTES - body.len() - 4;
    prost::encoding::encode_varint(padding as u64, &mut body);
    body.resize(LARGE_REQUEST_BYTES, 0);
    body
}

fn write(connection: &mut Connection, bytes: &[u8]) -> Result<(), Violation> {
    let written = connection.write(bytes);
    written.map_err(|error| violation("requests are read", &error).shown_by(bytes))
}

fn expect_kind(connection: &mut Connection, kind: &str, after: &str) -> Probe {
    let answer = connection.answer(after)?;
    match answer.kind() == kind {
        true => Ok(()),
        false => Err(answer.unexpected(format!("{kind} to {after}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_padding_is_the_request() {
        let body = large_request();
        assert_eq!(body.len(), LARGE_REQUEST_BYTES);
        let decoded = Request::decode(&body[..]).unwrap();
        let payload = RequestPayload::GetCurrentEpoch(GetCurrentEpoch {});
        assert_eq!(decoded.payload, Some(payload));
        let unknown = [&UNKNOWN_FIELD[..], &[0]].concat();
        assert_eq!(Request::decode(&unknown[..]).unwrap().payload, None);
    }
}
