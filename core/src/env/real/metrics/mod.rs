//! Metrics of a process, for Prometheus: what happened, from events, and what is held, from quantities.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | contains |
//! |---|---|
//! | `declared` | every metric with its name, type, unit and meaning |
//! | `updates` | what an event changes (pure) |
//! | `registry` | the values, and their text |
//! | `request` | the answer to a request (pure) |
//! | `server` | the listener |
//!
//! `docs/metrics.md` lists them for people, `docs/dashboard.json` shows them; a test compares all three.

mod declared;
#[cfg(test)]
mod documents_tests;
mod registry;
mod request;
mod server;
mod updates;

pub use declared::Program;
pub use registry::Metrics;
pub use server::serve;
