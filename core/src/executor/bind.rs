//! Taking over the path of a dead process without stealing that of a live one (contract §2).
//!
//! A Unix socket's file outlives the process that bound it. It is removed only if nobody answers on it.

use super::bug_switches;
use crate::{
    env::{BoxListener, Network},
    types::Address,
};
use std::io;
use thiserror::Error;

/// Why nothing listens on the address.
#[derive(Debug, Error)]
pub enum BindError {
    #[error(
        "{address} is in use: a live process answers on it; stop that process or configure another path"
    )]
    InUse { address: Address },
    #[error("cannot tell whether a live process owns {address}: {source}; {}", hint(.source))]
    Unclear { address: Address, source: io::Error },
    #[error("cannot remove the stale socket {address}: {source}; {}", hint(.source))]
    Unlink { address: Address, source: io::Error },
    #[error("cannot listen on {address}: {source}; {}", hint(.source))]
    Listen { address: Address, source: io::Error },
}

/// What to do about it (contract §11).
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "check mode and owner of the file and its directory",
        io::ErrorKind::NotFound => "create the directory, or correct the path",
        io::ErrorKind::AddrInUse => {
            "a live process owns it: stop that process or configure another address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host has no such address: correct the configuration"
        }
        _ => "check the address in the configuration",
    }
}

/// Listens on `address`. A Unix path that exists is taken over if nobody answers on it. A live owner sees a
/// connection come and go.
///
/// # Errors
/// If a live process owns the address, or the operating system refuses.
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
            tracing::info!(target: "[STARTUP]", %address, %in_use, "nobody answers: removing the stale socket");
            network.unlink(path).map_err(|source| BindError::Unlink {
                address: address_in_error(),
                source,
            })?;
        }
        // Its owner removed it in between.
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

    /// One Unix path and what is behind it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Behind {
        Nothing,
        Stale,
        Live,
        Forbidden,
    }

    struct OnePath(Mutex<Behind>);

    struct Silent;

    #[async_trait]
    impl crate::env::Listener for Silent {
        async fn accept(&self) -> io::Result<BoxStream> {
            std::future::pending().await
        }
    }

    impl OnePath {
        fn behind(&self) -> MutexGuard<'_, Behind> {
            self.0.lock().unwrap()
        }
    }

    #[async_trait]
    impl Network for OnePath {
        async fn connect(&self, _: &Address) -> io::Result<BoxStream> {
            match *self.behind() {
                Behind::Nothing => Err(io::ErrorKind::NotFound.into()),
                Behind::Stale => Err(io::ErrorKind::ConnectionRefused.into()),
                Behind::Live => Ok(Box::new(tokio::io::duplex(1).0)),
                Behind::Forbidden => Err(io::ErrorKind::PermissionDenied.into()),
            }
        }

        async fn listen(&self, _: &Address) -> io::Result<BoxListener> {
            let mut behind = self.behind();
            if *behind != Behind::Nothing {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            *behind = Behind::Live;
            Ok(Box::new(Silent))
        }

        fn unlink(&self, _: &Path) -> io::Result<()> {
            *self.behind() = Behind::Nothing;
            Ok(())
        }
    }

    async fn bind(behind: Behind, address: &str) -> (Result<(), BindError>, Behind) {
        let network = OnePath(Mutex::new(behind));
        let bound = bind_replacing_stale(&network, &address.parse().unwrap()).await;
        let after = *network.behind();
        (bound.map(drop), after)
    }

    #[tokio::test]
    async fn a_stale_path_is_taken_over_and_a_live_one_is_left_alone() {
        for free in [Behind::Nothing, Behind::Stale] {
            let (bound, after) = bind(free, "/run/a.sock").await;
            bound.unwrap();
            assert_eq!(after, Behind::Live);
        }
        let (bound, after) = bind(Behind::Live, "/run/a.sock").await;
        assert!(matches!(bound, Err(BindError::InUse { .. })));
        assert_eq!(after, Behind::Live);
        let (bound, after) = bind(Behind::Forbidden, "/run/a.sock").await;
        let error = bound.unwrap_err().to_string();
        assert!(
            error.contains("/run/a.sock") && error.contains("check mode and owner"),
            "{error}"
        );
        assert_eq!(after, Behind::Forbidden);
    }

    #[tokio::test]
    async fn a_tcp_port_in_use_is_never_taken_over() {
        let (bound, after) = bind(Behind::Stale, "127.0.0.1:7000").await;
        assert!(matches!(bound, Err(BindError::Listen { .. })));
        assert_eq!(after, Behind::Stale);
    }
}
