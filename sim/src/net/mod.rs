//! Sockets: a small socket kernel, the implementation of [`metanode_core::env::Network`] in a simulation.
//!
//! | file | content |
//! |---|---|
//! | `kernel` | [`Kernel`], the madsim plugin: all sockets behind one lock, and the operations of the world on them |
//! | `network` | [`SimNetwork`], the network of one host, its streams and listeners |
//! | `connection` | two pipes and two ends: end of stream, reset, broken pipe as Linux has them |
//! | `pipe` | one direction: a bounded queue of bytes, the front arrived, the rest in flight |
//! | `listener` | Unix paths, TCP ports, queues of connections that are not accepted yet |
//! | `link` | [`HostId`] and the latency between hosts |
//! | `rule`, `rules` | faults: a [`Rule`] gets each segment and returns a [`Verdict`] |
//! | `hijack` | socket files that are removed or replaced while their listeners stay open |
//! | `wire` | the state that all connections share: rules, links, timers, taps |
//! | `timer` | deliveries inside madsim's timers, without a task |
//! | `waiting` | tasks that wait for the same condition |
//! | `bench` | work for benchmarks |
//!
//! Guarantees: bytes arrive in order and once, and none arrive after a lost one; Unix sockets and connections inside a
//! host deliver immediately; a chunk between hosts takes the latency drawn from its link; a seed determines the order
//! of all events. It does not interpret the bytes.
//!
//! The tests in `tests/tests/socket_parity.rs` run against it and against the operating system.

pub mod bench;
mod connection;
mod hijack;
mod kernel;
mod link;
mod listener;
mod network;
mod pipe;
mod rule;
mod rules;
mod timer;
mod waiting;
mod wire;

pub use hijack::{Hijack, HijackGuard};
pub use kernel::{Kernel, RuleGuard, Settings};
pub use link::HostId;
pub use network::SimNetwork;
pub use rule::{ConnectVerdict, ConnectionId, Payload, Route, Rule, Segment, Side, Verdict};
pub use rules::{Cut, LatencySpike, Partition, ResetAll, ShortWrites};
pub(crate) use rules::{LateOnce, On, StallOnce, TearOnce};
pub use wire::{Stats, Tap};
