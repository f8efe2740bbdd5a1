//! Where simulated processes listen: the same ports and paths on every host.

/// TCP, for the nodes of other validators.
pub const P2P_PORT: u16 = 9000;
/// TCP, at which a node takes transactions over the old transport.
pub const OLD_TRANSPORT_PORT: u16 = 9300;
/// TCP, for requests of nodes on other hosts to an executor.
pub const PEER_RPC_PORT: u16 = 9100;
/// The Unix socket at which an executor accepts block streams.
pub const BLOCK_STREAM_PATH: &str = "/run/executor.sock";
/// The Unix socket at which a node takes transactions.
pub const TRANSACTIONS_PATH: &str = "/run/metanode-tx.sock";
/// The Unix socket at which an executor accepts requests of its node.
pub const RPC_PATH: &str = "/run/executor-rpc.sock";
