//! The simulated world of the metanode: everything that `metanode_core::env` asks for, under one seed.

#![cfg(madsim)]

pub mod net;
