//! Binding a Unix socket whose file a dead process left, without taking the path of a live one (contract §2.8).
//!
//! A Unix socket's file outlives the process that bound it. It is removed only if connections to it are refused.

use super::bug_switches;
use crate::{
    env::{BoxListener, Network},
    types::Address,
};
use std::io;
use thiserror::Error;

/// In the text of [`BindError::InUse`].
pub const IN_USE: &str = "is in use: another process listens there";

/// Why an address could not be bound.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("{address} {IN_USE}; stop that process or configure another path")]
    InUse { address: Address },
    #[error("cannot determine whether another process listens on {address}: {source}; {}", hint(.source))]
    Unclear { address: Address, source: io::Error },
    #[error("cannot remove the stale socket {address}: {source}; {}", hint(.source))]
    Unlink { address: Address, source: io::Error },
    #[error("cannot listen on {address}: {source}; {}", hint(.source))]
    Listen { address: Address, source: io::Error },
}

/// Advice for operators (contract §11).
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "check mode and owner of the file and its directory",
        io::ErrorKind::NotFound => "create the directory, or correct the path",
        io::ErrorKind::AddrInUse => {
            "another process listens there: stop that process or configure another address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host has no such address: correct the configuration"
        }
        _ => "check the address in the configuration",
    }
}

/// Listens on `address`. An existing Unix path is replaced if connections to it are refused. A live owner of the path
/// sees one connection that is closed at once.
///
/// # Errors
/// If another process listens on the address, or the operating system returns an error.
pub async fn bind_replacing_stale(
    network: &dyn Network,
    address: &Address,
) -> Result<BoxListener, BindError> {
    let address_in_error = || address.clone();
    let listen_error = |source| BindError::Listen {
        address: address_in_error(),
        source,
    };
    let (path, in_use) = match (network.listen(address).await, address) {
        (Err(error), Address::Unix(path))
            if bug_switches::may_be_stale(error.kind() == io::ErrorKind::AddrInUse) =>
        {
            (path, error)
        }
        (result, _) => return result.map_err(listen_error),
    };
    match network.connect(address).await {
        Ok(_answered) => {
            return Err(BindError::InUse {
                address: address_in_error(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(target: "[STARTUP]", %address, %in_use, "no process listens: removing the stale socket");
            network.unlink(path).map_err(|source| BindError::Unlink {
                address: address_in_error(),
                source,
            })?;
        }
        // The owner has removed it in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(BindError::Unclear {
                address: address_in_error(),
                source,
            });
        }
    }
    network.listen(address).await.map_err(listen_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::BoxStream;
    use async_trait::async_trait;
    use std::{
        path::Path,
        sync::{Mutex, MutexGuard},
    };

    /// The state of one Unix path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum PathState {
        Nothing,
        Stale,
        Live,
        Forbidden,
    }

    struct OnePath(Mutex<PathState>);

    struct Silent;

    #[async_trait]
    impl crate::env::Listener for Silent {
        async fn accept(&self) -> io::Result<BoxStream> {
            std::future::pending().await
        }
    }

    impl OnePath {
        fn state(&self) -> MutexGuard<'_, PathState> {
            self.0.lock().unwrap()
        }
    }

    #[async_trait]
    impl Network for OnePath {
        async fn connect(&self, _: &Address) -> io::Result<BoxStream> {
            match *self.state() {
                PathState::Nothing => Err(io::ErrorKind::NotFound.into()),
                PathState::Stale => Err(io::ErrorKind::ConnectionRefused.into()),
                PathState::Live => Ok(Box::new(tokio::io::duplex(1).0)),
                PathState::Forbidden => Err(io::ErrorKind::PermissionDenied.into()),
            }
        }

        async fn listen(&self, _: &Address) -> io::Result<BoxListener> {
            let mut state = self.state();
            if *state != PathState::Nothing {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            *state = PathState::Live;
            Ok(Box::new(Silent))
        }

        fn unlink(&self, _: &Path) -> io::Result<()> {
            *self.state() = PathState::Nothing;
            Ok(())
        }
    }

    async fn bind(state: PathState, address: &str) -> (Result<(), BindError>, PathState) {
        let network = OnePath(Mutex::new(state));
        let bound = bind_replacing_stale(&network, &address.parse().unwrap()).await;
        let after = *network.state();
        (bound.map(drop), after)
    }

    #[tokio::test]
    async fn a_stale_path_is_replaced_and_a_live_one_is_not() {
        for free in [PathState::Nothing, PathState::Stale] {
            let (bound, after) = bind(free, "/run/a.sock").await;
            bound.unwrap();
            assert_eq!(after, PathState::Live);
        }
        let (bound, after) = bind(PathState::Live, "/run/a.sock").await;
        assert!(matches!(bound, Err(BindError::InUse { .. })));
        assert_eq!(after, PathState::Live);
        let (bound, after) = bind(PathState::Forbidden, "/run/a.sock").await;
        let error = bound.unwrap_err().to_string();
        assert!(
            error.contains("/run/a.sock") && error.contains("check mode and owner"),
            "{error}"
        );
        assert_eq!(after, PathState::Forbidden);
    }

    #[tokio::test]
    async fn a_tcp_port_in_use_is_never_replaced() {
        let (bound, after) = bind(PathState::Stale, "127.0.0.1:7000").await;
        assert!(matches!(bound, Err(BindError::Listen { .. })));
        assert_eq!(after, PathState::Stale);
    }

    #[test]
    fn different_errors_have_different_advice() {
        for (kind, advice) in [
            (io::ErrorKind::PermissionDenied, "mode and owner"),
            (io::ErrorKind::NotFound, "create the directory"),
            (io::ErrorKind::AddrInUse, "stop that process"),
            (io::ErrorKind::AddrNotAvailable, "no such address"),
            (io::ErrorKind::Other, "check the address"),
        ] {
            assert!(hint(&kind.into()).contains(advice), "{kind}");
        }
    }
}
