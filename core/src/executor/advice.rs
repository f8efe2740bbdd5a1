//! Advice for operators on socket errors (contract §11).

use std::io;

/// A description of the error with advice on what to do.
#[must_use]
pub fn socket_advice(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "no process listens there: start the executor; its socket file may be stale"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied: check mode and owner of the socket file"
        }
        io::ErrorKind::NotFound => {
            "no such file: the process that listens there has not created it yet, or the path is wrong"
        }
        io::ErrorKind::AddrInUse => "address in use: another process listens there",
        _ => return error.to_string(),
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_errors_have_different_advice() {
        for (kind, advice) in [
            (io::ErrorKind::ConnectionRefused, "start the executor"),
            (io::ErrorKind::PermissionDenied, "mode and owner"),
            (io::ErrorKind::NotFound, "the path is wrong"),
            (io::ErrorKind::AddrInUse, "another process"),
            (io::ErrorKind::TimedOut, "timed out"),
        ] {
            let text = socket_advice(&kind.into());
            assert!(text.contains(advice), "{kind}: {text}");
        }
    }
}
