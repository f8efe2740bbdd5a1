//! The door to the operating system.

mod network;

pub use network::OsNetwork;
