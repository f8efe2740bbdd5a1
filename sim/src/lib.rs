//! The simulated world around the node and the executor: everything they touch through `Env`, decided by a seed.

#![cfg(madsim)]

pub mod disk;
