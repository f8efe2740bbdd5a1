//! Sockets: a small socket kernel, the resource behind [`metanode_core::env::Network`] in a simulation.
//!
//! | file | is |
//! |---|---|
//! | `kernel` | [`Kernel`], the madsim plugin: all sockets behind one lock, what a world can do to them |
//! | `network` | [`SimNetwork`], one host's hooks to the kernel, and the streams and listeners it gives |
//! | `connection` | two pipes and two ends: end of stream, reset, broken pipe as Linux has them |
//! | `pipe` | one direction: a bounded queue of bytes, the front arrived, the rest in flight |
//! | `listener` | who listens where: Unix paths, TCP ports, queues of connections not accepted yet |
//! | `link` | [`HostId`] and the latency between hosts |
//! | `rule`, `rules` | faults: a [`Rule`] sees what travels and returns a [`Verdict`] |
//! | `hijack` | socket files that lead elsewhere while their listeners live |
//! | `wire` | what all connections share: rules, links, timers, taps |
//! | `timer` | deliveries inside madsim's timers, without a task |
//! | `waiting` | tasks that wait for the same thing |
//! | `bench` | work whose cost is worth knowing |
//!
//! It promises: bytes arrive in order, each once, or not at all and then nothing after them; a Unix socket and a
//! connection inside a host deliver at once, waking the reader; a chunk between hosts takes the latency drawn from its
//! link; one seed gives one order. It never looks into the bytes.
//!
//! The tests of `tests/tests/socket_parity.rs` hold for it and for the operating system.

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
pub(crate) use rules::{LateOnce, On, TearOnce};
pub use wire::{Stats, Tap};
