//! The JSON of a reply (contract §8): it says what is true and durable, nothing more.

use super::journal::Answer;
use serde::Serialize;

#[derive(Serialize)]
struct Json {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<usize>,
    /// Whether the transaction after the taken ones may be taken later.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
}

/// The body of the reply to a batch.
///
/// # Panics
/// Never: numbers and strings always encode.
#[must_use]
pub fn reply(answer: &Answer) -> Vec<u8> {
    let Answer {
        taken,
        queued,
        refusal,
    } = answer;
    let json = match refusal {
        None => Json {
            success: true,
            queued: queued.then_some(true),
            count: Some(*taken),
            error: None,
            taken: None,
            retry: None,
        },
        Some(refusal) => refused(*taken, refusal.to_string(), refusal.is_temporary()),
    };
    encode(&json)
}

/// The body of the reply before a connection is closed. Nothing of the last frame was taken.
#[must_use]
pub(super) fn closing(error: impl ToString, is_temporary: bool) -> Vec<u8> {
    encode(&refused(0, error.to_string(), is_temporary))
}

fn refused(taken: usize, error: String, is_temporary: bool) -> Json {
    Json {
        success: false,
        queued: None,
        count: None,
        error: Some(error),
        taken: Some(taken),
        retry: Some(is_temporary),
    }
}

/// A reply of the old transport: whether all of the batch is taken, the length of a body of this module, and the body.
#[must_use]
pub(super) fn of_old_transport(is_ok: bool, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX); // bodies have hundreds of bytes
    [&[u8::from(is_ok)], &length.to_be_bytes()[..], body].concat()
}

#[allow(clippy::expect_used)]
fn encode(json: &Json) -> Vec<u8> {
    serde_json::to_vec(json).expect("numbers and strings always encode")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ingest::Refusal, types::Epoch};

    #[test]
    fn replies_have_the_form_of_the_contract() {
        let text = |answer| String::from_utf8(reply(&answer)).unwrap();
        let mut answer = Answer {
            taken: 3,
            queued: false,
            refusal: None,
        };
        assert_eq!(text(answer.clone()), r#"{"success":true,"count":3}"#);
        answer.queued = true;
        assert_eq!(
            text(answer.clone()),
            r#"{"success":true,"queued":true,"count":3}"#
        );
        answer.refusal = Some(Refusal::NoSeat { epoch: Epoch(7) });
        assert_eq!(
            text(answer),
            r#"{"success":false,"error":"this node is not a validator in epoch 7: send to one that is","taken":3,"retry":true}"#
        );
        assert_eq!(of_old_transport(true, b"{}"), [1, 0, 0, 0, 2, b'{', b'}']);
        assert_eq!(
            closing("a frame of length 0", false),
            br#"{"success":false,"error":"a frame of length 0","taken":0,"retry":false}"#
        );
    }
}
