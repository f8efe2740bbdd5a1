//! The answer to an HTTP request. Pure.

use httparse::{EMPTY_HEADER, Error, Request, Status};

/// Bytes of a request, at most. What Prometheus sends has less than a tenth of it.
pub(super) const MOST_BYTES: usize = 8 * 1024;

/// Headers of a request, at most.
const MOST_HEADERS: usize = 64;

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Metrics,
    NotHttp,
    NotFound,
    OtherMethod,
    TooLarge,
}

/// The answer to what has arrived so far; `None` if the request is incomplete.
pub(super) fn answer(received: &[u8]) -> Option<Answer> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(received) {
        Ok(Status::Partial) if received.len() < MOST_BYTES => None,
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Some(Answer::TooLarge),
        Err(_) => Some(Answer::NotHttp),
        Ok(Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            let path = path.split('?').next();
            Some(match (request.method, path) {
                (Some("GET"), Some("/metrics")) => Answer::Metrics,
                (Some("GET"), _) => Answer::NotFound,
                _ => Answer::OtherMethod,
            })
        }
    }
}

impl Answer {
    /// The whole response. The connection ends with it.
    pub fn response(self, metrics: impl FnOnce() -> String) -> Vec<u8> {
        let (status, body) = match self {
            Self::Metrics => ("200 OK", metrics()),
            Self::NotHttp => ("400 Bad Request", "expected HTTP/1.1\n".to_owned()),
            Self::NotFound => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
            Self::OtherMethod => ("405 Method Not Allowed", "expected GET\n".to_owned()),
            Self::TooLarge => (
                "431 Request Header Fields Too Large",
                format!("expected at most {MOST_BYTES} bytes and {MOST_HEADERS} headers\n"),
            ),
        };
        let content_type = match self {
            Self::Metrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        };
        let allow = match self {
            Self::OtherMethod => "Allow: GET\r\n",
            _ => "",
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_have_their_answers() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Answer::Metrics),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", Answer::Metrics),
            ("GET / HTTP/1.1\r\n\r\n", Answer::NotFound),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", Answer::NotFound),
            ("POST /metrics HTTP/1.1\r\n\r\n", Answer::OtherMethod),
            ("\u{1}\u{2}\u{3}", Answer::NotHttp),
            (&many, Answer::TooLarge),
        ] {
            assert_eq!(answer(request.as_bytes()), Some(expected), "{request}");
        }
    }

    #[test]
    fn a_request_that_does_not_end_is_too_large() {
        let endless = format!("GET /metrics HTTP/1.1\r\na: {}", "b".repeat(MOST_BYTES));
        assert_eq!(answer(&endless.as_bytes()[..MOST_BYTES - 1]), None);
        assert_eq!(
            answer(&endless.as_bytes()[..MOST_BYTES]),
            Some(Answer::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer_in_the_end(bytes in prop::collection::vec(any::<u8>(), MOST_BYTES)) {
            prop_assert!(answer(&bytes).is_some());
        }
    }
}
