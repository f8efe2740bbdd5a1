//! What an operator should do about a socket error (contract §11).

use std::io;

/// The error in words, with what to do about it.
#[must_use]
pub fn socket_advice(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: start the executor, or the socket file is stale"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied: check mode and owner of the socket file"
        }
        io::ErrorKind::NotFound => {
            "no such file: the executor has not created it yet, or the path is wrong"
        }
        io::ErrorKind::AddrInUse => "address in use: a live process owns it",
        _ => return error.to_string(),
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_an_operator_meets_are_told_apart() {
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
