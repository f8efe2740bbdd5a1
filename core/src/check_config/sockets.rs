//! What listens: at the node's own addresses, at those of its executor, and at those of its peers.

use super::{
    committee::Peer,
    files::{self, Entry},
    finding::{Finding, Judgement},
};
use crate::{
    env::Env,
    executor::{RpcError, socket_advice},
    types::{Address, Epoch, GlobalExecIndex},
};
use std::{io, path::Path, time::Duration};

/// The kernel's limit of a path of a Unix socket, without the terminating zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Binds an address for a moment.
pub(super) async fn listen(env: &Env, address: &Address) -> Judgement {
    let bound = env.network.listen(address).await;
    bound_at(address, &bound.map(drop))
}

fn bound_at(address: &Address, bound: &io::Result<()>) -> Judgement {
    let Err(error) = bound else {
        return Judgement::ok(format!("{address} is free"));
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => Judgement::warning(format!(
            "{address} is in use: right if this node runs already; otherwise stop the other process, which `ss -ltnp` shows"
        )),
        io::ErrorKind::AddrNotAvailable => Judgement::error(format!(
            "this machine has no address {address}: correct it; `ip address` shows those that it has"
        )),
        io::ErrorKind::PermissionDenied => Judgement::error(format!(
            "{address}: permission denied: ports below 1024 are reserved, choose another"
        )),
        _ => Judgement::error(format!("cannot listen on {address}: {error}")),
    }
}

/// The socket file that this node makes.
pub(super) async fn own_socket(env: &Env, path: &Path) -> Judgement {
    let bytes = path.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        let path = path.display();
        return Judgement::error(format!(
            "{path} has {bytes} bytes: expected at most {MAX_SOCKET_PATH_BYTES}, the limit of Unix sockets"
        ));
    }
    if let Some(wrong) = files::cannot_make_socket(path) {
        return wrong;
    }
    let connected = env.network.connect(&Address::Unix(path.to_owned())).await;
    owner(path, files::entry(path), &connected.map(drop))
}

/// Who has a socket file that this node makes.
fn owner(path: &Path, found: io::Result<Entry>, connected: &io::Result<()>) -> Judgement {
    let path = path.display();
    match (found, connected) {
        (Ok(Entry::Nothing), _) => Judgement::ok(format!("{path} can be made")),
        (Ok(Entry::Socket), Ok(())) => Judgement::warning(format!(
            "{path} is in use: right if this node runs already; otherwise stop the other process, which `ss -lxp` shows"
        )),
        (Ok(Entry::Socket), Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Judgement::ok(format!("{path} is stale, the node will replace it"))
        }
        (Ok(Entry::Socket), Err(error)) => {
            Judgement::error(format!("{path}: {}", socket_advice(error)))
        }
        (Ok(Entry::Folder | Entry::Other), _) => Judgement::error(format!(
            "{path} is no socket: remove it, or choose another path"
        )),
        (Err(error), _) => Judgement::error(format!("{path}: {error}")),
    }
}

/// Whether the executor has made the socket of the block stream. No connection is made.
pub(super) fn block_stream(address: &Address) -> Judgement {
    let Address::Unix(path) = address else {
        return Judgement::ok(format!(
            "{address} is not tried: a connection would end the stream of a node that runs"
        ));
    };
    if let Some(wrong) = files::folder_is_missing(path) {
        return wrong;
    }
    let shown = path.display();
    match files::entry(path) {
        Ok(Entry::Socket) => Judgement::ok(format!("{shown} is a socket")),
        Ok(Entry::Nothing) => Judgement::warning(format!("{shown}: {NOT_STARTED}")),
        Ok(Entry::Folder | Entry::Other) => Judgement::error(format!(
            "{shown} is no socket: correct the path, or remove it"
        )),
        Err(error) => Judgement::error(format!("{shown}: {}", socket_advice(&error))),
    }
}

const NOT_STARTED: &str = "no such file: right if the executor is not started yet; otherwise expected is what its configuration \
                           has as rust_go_receive_socket_path";

/// An executor that does not answer may start later, but it will not change the permissions of its socket.
pub(super) fn unanswered(error: &RpcError) -> Judgement {
    let text = error.to_string();
    match error {
        RpcError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Judgement::error(text)
        }
        RpcError::Connect { .. } => {
            Judgement::warning(format!("{text}. Right if the executor is not started yet"))
        }
        _ => Judgement::warning(text),
    }
}

/// Connects to the consensus port of a peer.
pub(super) async fn peer(env: &Env, peer: &Peer, wait: Duration) -> Finding {
    let connected = tokio::time::timeout(wait, env.network.connect(&peer.address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    reached(&peer.address, &connected.map(drop)).at(peer.origin.clone())
}

fn reached(address: &Address, connected: &io::Result<()>) -> Judgement {
    let Err(error) = connected else {
        return Judgement::ok(format!("{address} is reached"));
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Judgement::warning(format!(
            "{address} refuses connections: its machine is reached, its node is not started yet"
        )),
        io::ErrorKind::TimedOut => Judgement::warning(format!(
            "{address} does not answer: its machine is down, or a firewall drops packets"
        )),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Judgement::warning(format!("{address} has no route: {error}"))
        }
        _ => Judgement::warning(format!("{address} is not reached: {error}")),
    }
}

/// The answer of a peer's executor.
pub(super) fn peer_executor(
    address: &Address,
    answer: &Result<(Epoch, GlobalExecIndex), RpcError>,
) -> Judgement {
    match answer {
        Ok((epoch, watermark)) => Judgement::ok(format!(
            "{address} answers: epoch {epoch}, block {watermark}"
        )),
        Err(error) => Judgement::warning(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_config::Level;
    use io::ErrorKind as Kind;

    #[test]
    fn an_address_that_cannot_be_bound_is_an_error_unless_it_is_in_use() {
        let address = "127.0.0.1:9000".parse().unwrap();
        for (kind, level, part) in [
            (Kind::AddrInUse, Level::Warning, "ss -ltnp"),
            (Kind::AddrNotAvailable, Level::Error, "ip address"),
            (Kind::PermissionDenied, Level::Error, "below 1024"),
            (Kind::InvalidInput, Level::Error, "cannot listen"),
        ] {
            let judged = bound_at(&address, &Err(kind.into()));
            assert_eq!(judged.level, level, "{kind}");
            assert!(judged.text.contains(part), "{}", judged.text);
        }
        assert_eq!(bound_at(&address, &Ok(())).level, Level::Ok);
    }

    #[test]
    fn the_nodes_own_socket_may_be_stale_or_served_by_itself() {
        let path = Path::new("/run/node.sock");
        let refused = || Err(Kind::ConnectionRefused.into());
        let nothing = || Err(Kind::NotFound.into());
        for (found, connected, level) in [
            (Entry::Nothing, nothing(), Level::Ok),
            (Entry::Socket, refused(), Level::Ok),
            (Entry::Socket, Ok(()), Level::Warning),
            (
                Entry::Socket,
                Err(Kind::PermissionDenied.into()),
                Level::Error,
            ),
            // The node would take it for a stale socket and remove it.
            (Entry::Other, refused(), Level::Error),
            (Entry::Folder, refused(), Level::Error),
        ] {
            let judged = owner(path, Ok(found), &connected);
            assert_eq!(judged.level, level, "{found:?}: {}", judged.text);
        }
    }

    #[test]
    fn an_executor_that_is_not_started_yet_is_no_error() {
        let error = |kind: Kind| RpcError::Connect {
            address: "/run/rpc.sock".parse().unwrap(),
            source: kind.into(),
        };
        for (kind, level) in [
            (Kind::NotFound, Level::Warning),
            (Kind::ConnectionRefused, Level::Warning),
            (Kind::PermissionDenied, Level::Error),
        ] {
            assert_eq!(unanswered(&error(kind)).level, level, "{kind}");
        }
    }

    #[test]
    fn a_peer_that_is_not_reached_is_a_warning_that_says_why() {
        let address = "192.168.1.101:9001".parse().unwrap();
        for (kind, part) in [
            (Kind::ConnectionRefused, "not started yet"),
            (Kind::TimedOut, "firewall"),
            (Kind::HostUnreachable, "no route"),
        ] {
            let judged = reached(&address, &Err(kind.into()));
            assert_eq!(judged.level, Level::Warning);
            assert!(judged.text.contains(part), "{}", judged.text);
        }
    }
}
