//! Advice for operators on socket errors (contract §11).

use std::io;

/// A description of the error with advice on what to do.
#[must_use]
pub(crate) fn socket_advice(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "no process listens there: start the executor; its socket file may be stale"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied: check mode and owner of the socket file"
        }
        io::ErrorKind::NotFound => {
            "no such file: the executor has not created it yet, or the path is wrong"
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
        let kinds = [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::AddrInUse,
            io::ErrorKind::TimedOut,
        ];
        let mut texts: Vec<_> = kinds
            .iter()
            .map(|kind| socket_advice(&(*kind).into()))
            .collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), kinds.len());
    }
}
