//! Nodes on several threads, as in production.
//!
//! | file | content |
//! |---|---|
//! | `panic` | a panic of any task ends the process |
//!
//! Only in the build without `--cfg madsim`.

#![cfg(not(madsim))]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

mod panic;
